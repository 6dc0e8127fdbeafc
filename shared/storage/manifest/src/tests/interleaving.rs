//! Interleaves the steps of two collectors with each other and with other jobs, with pauses of up to a day between any
//! two steps. No committed manifest references a deleted object.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::VersionedValue;
use neap_schema::DatabaseId;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{ManifestTestBed, fixture::ManifestFixture};
use crate::{FlushCommit, GarbageCollection, Manifest, ObjectName, Replacement};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum InterleavingStep {
    /// A collector reads the manifest and its references, and lists the objects.
    Look {
        collector: usize,
    },
    /// The collector deletes some of the deletable objects.
    Delete {
        collector: usize,
        percent: usize,
    },
    /// The collector commits, and drops its state.
    Commit {
        collector: usize,
    },
    /// A flush puts its bundle.
    BeginFlush {
        tables: u32,
    },
    /// The job commits on the base that it read at its start.
    EndFlush,
    /// A merge puts its bundle.
    BeginMerge {
        table: u32,
        first: usize,
        count: usize,
    },
    /// The job commits on the base that it read at its start.
    EndMerge,
    Remove {
        table: u32,
        first: usize,
        count: usize,
    },
    Pin {
        back: usize,
    },
    Sleep {
        minutes: u32,
    },
}

fn step() -> impl Strategy<Value = InterleavingStep> {
    let range = (1u32..3, 0usize..20, 2usize..12);
    prop_oneof![
        6 => (0usize..2).prop_map(|collector| InterleavingStep::Look { collector }),
        6 => (0usize..2, prop_oneof![Just(100), 0usize..100])
            .prop_map(|(collector, percent)| InterleavingStep::Delete { collector, percent }),
        6 => (0usize..2).prop_map(|collector| InterleavingStep::Commit { collector }),
        8 => prop_oneof![1u32..4, Just(3)].prop_map(|tables| InterleavingStep::BeginFlush { tables }),
        8 => Just(InterleavingStep::EndFlush),
        3 => range.clone().prop_map(|(table, first, count)| InterleavingStep::BeginMerge { table, first, count }),
        3 => Just(InterleavingStep::EndMerge),
        4 => range.prop_map(|(table, first, count)| InterleavingStep::Remove { table, first, count }),
        1 => (0usize..4).prop_map(|back| InterleavingStep::Pin { back }),
        4 => prop_oneof![0u32..60, 0u32..1_600].prop_map(|minutes| InterleavingStep::Sleep { minutes }),
    ]
}

/// The findings of a collector, and the objects that it may delete.
struct PendingCollection {
    base: VersionedValue<Manifest>,
    collection: GarbageCollection,
    deletable: BTreeSet<ObjectName>,
}

struct TestCollector {
    fixture: ManifestFixture,
    time_travel: Duration,
    seen: Option<PendingCollection>,
}

struct InterleavedRun {
    fixture: ManifestFixture,
    collectors: [TestCollector; 2],
    flush: Option<(VersionedValue<Manifest>, FlushCommit)>,
    merge: Option<(VersionedValue<Manifest>, Replacement)>,
    pins: u32,
    instances: u64,
}

impl InterleavedRun {
    fn new(inline: usize, time_travel: [u32; 2]) -> Self {
        let stage = ManifestTestBed::new();
        let collector = |at: usize| TestCollector {
            fixture: ManifestFixture::on(&stage, 10 + at as u64, inline),
            time_travel: MINUTE * time_travel[at],
            seen: None,
        };
        Self {
            fixture: ManifestFixture::on(&stage, 1, inline),
            collectors: [collector(0), collector(1)],
            flush: None,
            merge: None,
            pins: 1,
            instances: 100,
        }
    }

    async fn take(&mut self, step: InterleavingStep) {
        let fixture = self.fixture.clone();
        match step {
            InterleavingStep::Look { collector } => {
                let collector = &mut self.collectors[collector];
                let base = collector.fixture.read().await;
                let look = collector.fixture.look(&base, collector.time_travel);
                let mut collection = look.await;
                collector.seen = Some(PendingCollection {
                    deletable: std::mem::take(&mut collection.deleted),
                    base,
                    collection,
                });
            }
            InterleavingStep::Delete { collector, percent } => {
                let collector = &mut self.collectors[collector];
                if let Some(seen) = &mut collector.seen {
                    let count = (seen.deletable.len() * percent).div_ceil(100);
                    let some: BTreeSet<_> = seen.deletable.iter().take(count).copied().collect();
                    collector.fixture.delete(&some).await;
                    seen.collection.deleted.extend(some);
                }
            }
            InterleavingStep::Commit { collector } => {
                let collector = &mut self.collectors[collector];
                if let Some(PendingCollection { base, collection, .. }) = collector.seen.take() {
                    collector.fixture.commit_collection(base, &collection).await;
                }
            }
            InterleavingStep::BeginFlush { tables } => {
                let base = fixture.read().await;
                let tables = (1..3).filter(|table| tables & (1 << (table - 1)) != 0);
                let sections: Vec<_> = tables.map(|table| (table, 0)).collect();
                let flush = fixture.next_flush(&base, &sections).await;
                // The previous flush has crashed, and its bundle is an orphan.
                self.flush = Some((base, flush));
            }
            InterleavingStep::EndFlush => {
                if let Some((base, flush)) = self.flush.take() {
                    fixture.commit_flush(base, flush).await;
                }
            }
            InterleavingStep::BeginMerge { table, first, count } => {
                let base = fixture.read().await;
                let all = fixture.table(table).await.into_iter();
                let inputs: Vec<_> = all.skip(first).take(count).collect();
                if !inputs.is_empty() {
                    let merge = fixture.merge(&base, &inputs).await;
                    self.merge = Some((base, merge));
                }
            }
            InterleavingStep::EndMerge => {
                if let Some((base, merge)) = self.merge.take() {
                    let store = fixture.store();
                    // A base may be so old that its pages are gone.
                    let replaced = store.replace(fixture.database, base, &merge).await;
                    replaced.unwrap();
                }
            }
            InterleavingStep::Remove { table, first, count } => {
                let all = fixture.table(table).await.into_iter();
                let inputs: Vec<_> = all.skip(first).take(count).collect();
                if !inputs.is_empty() {
                    fixture
                        .replaced(fixture.read().await, &ManifestFixture::removal(&inputs))
                        .await;
                }
            }
            InterleavingStep::Pin { back } => {
                let current = fixture.read().await;
                let versions = Manifest::versions(&current);
                if let Some(info) = versions.iter().rev().nth(back) {
                    self.pins += 1;
                    let restored = DatabaseId::new(self.pins);
                    let store = fixture.store();
                    let pin = store.pin(fixture.database, current, info.version, restored);
                    pin.await.unwrap();
                }
            }
            InterleavingStep::Sleep { minutes } => fixture.stage.sleep(MINUTE * minutes).await,
        }
    }

    /// Checks that all readable objects exist, with an instance that has cached nothing.
    async fn check(&mut self) {
        self.instances += 1;
        let fixture = ManifestFixture::on(&self.fixture.stage, self.instances, 100);
        let current = fixture.read().await;
        assert_eq!(current.value.check(), Ok(()));
        let there: BTreeSet<_> =
            fixture.objects().await.into_iter().map(|(name, _)| name).collect();
        let referenced = fixture.referenced_objects(&current.value).await;
        for object in referenced.live.iter().chain(&referenced.readable) {
            assert!(there.contains(object), "{object:?} is named and gone");
        }
        for info in Manifest::versions(&current) {
            let (_, view) = Manifest::at(&current, info.mark).unwrap();
            for section in fixture.sections_of(&view).await {
                let object = section.object_name();
                assert!(there.contains(&object), "{object:?} of {info:?} is gone");
            }
        }
    }

    /// Checks that repeated collections delete all unreferenced objects.
    async fn settle(&mut self) {
        let fixture = self.fixture.clone();
        for _ in 0..2 {
            fixture.stage.sleep(MINUTE * 60 * 24).await;
            for _ in 0..3 {
                fixture.stage.sleep(MINUTE * 120).await;
                fixture.collect(MINUTE * 60).await;
            }
        }
        let current = fixture.read().await;
        let referenced = fixture.referenced_objects(&current.value).await;
        for (object, _) in fixture.objects().await {
            let is_named =
                referenced.live.contains(&object) || referenced.readable.contains(&object);
            assert!(is_named, "{object:?} stays");
        }
        let pinned = !current.value.pins.is_empty();
        assert!(pinned || current.value.condemned.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(80)))]
    #[test]
    fn no_committed_manifest_names_a_deleted_object(
        steps in proptest::collection::vec(step(), 1..160),
        inline in 3usize..20,
        time_travel in [0u32..120, 0u32..120],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut play = InterleavedRun::new(inline, time_travel);
            for step in steps {
                play.take(step).await;
                play.check().await;
            }
            play.settle().await;
        });
    }
}
