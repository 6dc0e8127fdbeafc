//! Earlier versions of a manifest: compares a random history with a list of the contents of each version.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use neap_bucket::{Stamp, VersionedValue};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{DatabaseId, TableId};
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::{
    ManifestTestBed,
    fixture::{ManifestFixture, delete_of, mark},
};
use crate::{
    Manifest, ObjectName, RecordedDelete, Replacement, Section, SectionBounds, TimeRange,
    section::SectionLocation,
};

const HOUR: Duration = Duration::from_secs(3_600);
const RESTORED: DatabaseId = DatabaseId::new(2);

/// The expected contents of a version.
#[derive(Clone, Debug, Default)]
struct ExpectedVersion {
    mark: Stamp,
    sections: BTreeMap<SectionLocation, Arc<Section>>,
    /// All deletes that were ever recorded.
    deletes: Vec<(Stamp, RowDelete)>,
}

impl ExpectedVersion {
    fn of_table(&self, table: u32) -> Vec<Arc<Section>> {
        let sections = self.sections.values().cloned();
        let mut found: Vec<_> = sections.filter(|one| one.table == TableId::new(table)).collect();
        found.sort_by_key(|section| section.order());
        found
    }

    fn objects(&self) -> impl Iterator<Item = ObjectName> {
        let sections = self.sections.values();
        sections.map(|section| section.object_name())
    }
}

#[derive(Clone, Debug)]
enum HistoryStep {
    Flush {
        tables: u32,
        day: i32,
        delete: Option<(u32, i32)>,
    },
    Merge {
        table: u32,
        first: usize,
        count: usize,
        moved: bool,
    },
    Remove {
        table: u32,
        first: usize,
        count: usize,
        floor: Option<i64>,
    },
    Collect {
        minutes: u64,
    },
    Pin {
        back: usize,
    },
    Release,
    Sleep {
        minutes: u64,
    },
}

fn step() -> impl Strategy<Value = HistoryStep> {
    let delete = proptest::option::weighted(0.3, (1u32..4, 0i32..4));
    let flush = (1u32..8, 0i32..4, delete).prop_map(|(tables, day, delete)| HistoryStep::Flush {
        tables,
        day,
        delete,
    });
    let range = (1u32..4, 0usize..30, 1usize..16);
    let merge = (range.clone(), any::<bool>()).prop_map(|((table, first, count), moved)| {
        HistoryStep::Merge { table, first, count, moved }
    });
    let floor = proptest::option::of(0i64..100);
    let remove = (range, floor).prop_map(|((table, first, count), floor)| HistoryStep::Remove {
        table,
        first,
        count,
        floor,
    });
    let minutes = 0u64..90;
    prop_oneof![
        12 => flush,
        4 => merge,
        2 => remove,
        3 => minutes.clone().prop_map(|minutes| HistoryStep::Collect { minutes }),
        1 => (0usize..6).prop_map(|back| HistoryStep::Pin { back }),
        1 => Just(HistoryStep::Release),
        2 => minutes.prop_map(|minutes| HistoryStep::Sleep { minutes }),
    ]
}

struct VersionHistory {
    fixture: ManifestFixture,
    state: ExpectedVersion,
    versions: BTreeMap<u64, ExpectedVersion>,
    pinned: Vec<u64>,
}

/// Returns the closure of the chosen sections: adds all sections that lie between them, repeatedly.
fn closed(all: &[Arc<Section>], mut chosen: BTreeSet<usize>) -> Vec<Arc<Section>> {
    loop {
        let inputs = chosen.iter().map(|at| &all[*at]);
        let table = all[*chosen.first().unwrap()].table;
        let bounds = inputs.map(|section| section.bounds()).reduce(SectionBounds::union).unwrap();
        let met: BTreeSet<_> = (0..all.len())
            .filter(|at| all[*at].table == table && bounds.overlaps(&all[*at].bounds()))
            .collect();
        if met == chosen {
            return met.into_iter().map(|at| Arc::clone(&all[at])).collect();
        }
        chosen = met;
    }
}

impl VersionHistory {
    /// Records the contents after the commit of `current`. All versions since the last recorded one have them.
    fn write_down(&mut self, current: &VersionedValue<Manifest>) {
        let last = self.versions.last_key_value().map_or(0, |(version, _)| *version);
        assert!(current.version <= last + 1);
        if current.version > last {
            self.versions.insert(current.version, self.state.clone());
        }
    }

    async fn flush(&mut self, sections: &[(u32, i32)], deletes: Vec<RowDelete>) {
        let current = self.fixture.flush_with(sections, deletes.clone()).await;
        self.state.mark = current.value.low_water_mark;
        let stamp = self.state.mark;
        let deletes = deletes.into_iter().map(|delete| (stamp, delete));
        self.state.deletes.extend(deletes);
        for section in &current.value.sections {
            if section.added == current.version {
                self.state.sections.insert(section.place(), Arc::clone(section));
            }
        }
        self.write_down(&current);
    }

    async fn replace(&mut self, base: VersionedValue<Manifest>, replacement: Replacement) {
        let current = self.fixture.replaced(base, &replacement).await;
        for section in &replacement.remove {
            self.state.sections.remove(&section.place()).unwrap();
        }
        for section in &replacement.add {
            let mut section = section.clone();
            section.added = current.version;
            self.state.sections.insert(section.place(), Arc::new(section));
        }
        if let Some(floor) = replacement.floor {
            let table = replacement.table;
            let is_covered = |delete: &RowDelete| {
                let bounds = delete.condition.time_bounds();
                delete.table == table
                    && bounds.is_some_and(|(first, last)| first == i64::MIN && last < floor)
            };
            let deletes = &mut self.state.deletes;
            deletes.retain(|(_, delete)| !is_covered(delete));
            let mark = current.value.low_water_mark.as_u64();
            let condition = Condition::Time { min: i64::MIN, max: floor - 1 };
            deletes.push((Stamp::from_u64(mark + 1), RowDelete { table, condition }));
        }
        self.write_down(&current);
    }

    async fn take(&mut self, step: HistoryStep) {
        match step {
            HistoryStep::Flush { tables, day, delete } => {
                let tables = (1..4).filter(|table| tables & (1 << (table - 1)) != 0);
                let sections: Vec<_> = tables.map(|table| (table, day)).collect();
                let delete = delete.map(|(table, day)| delete_of(table, day, day));
                self.flush(&sections, delete.into_iter().collect()).await;
            }
            HistoryStep::Merge { table, first, count, moved } => {
                let all = self.state.of_table(table);
                let chosen: BTreeSet<_> =
                    (first..first + count).filter(|at| *at < all.len()).collect();
                if chosen.is_empty() {
                    return;
                }
                let base = self.fixture.read().await;
                let merge = self.fixture.merge(&base, &closed(&all, chosen)).await;
                if moved {
                    // A flush, possibly with a spill, comes before the commit.
                    self.flush(&[(1, 3)], Vec::new()).await;
                }
                self.replace(base, merge).await;
            }
            HistoryStep::Remove { table, first, count, floor } => {
                let all = self.state.of_table(table).into_iter();
                let inputs: Vec<_> = all.skip(first).take(count).collect();
                if !inputs.is_empty() {
                    let removal = Replacement { floor, ..ManifestFixture::removal(&inputs) };
                    let base = self.fixture.read().await;
                    self.replace(base, removal).await;
                }
            }
            HistoryStep::Collect { minutes } => {
                let period = Duration::from_secs(minutes * 60);
                let current = self.fixture.collect(period).await;
                self.write_down(&current);
            }
            HistoryStep::Pin { back } => {
                let current = self.fixture.read().await;
                let versions = Manifest::versions(&current);
                if let Some(info) = versions.iter().rev().nth(back) {
                    let store = self.fixture.store();
                    let pin = store.pin(self.fixture.database, current, info.version, RESTORED);
                    let current = pin.await.unwrap();
                    self.pinned.push(info.version);
                    self.write_down(&current);
                }
            }
            HistoryStep::Release => {
                let base = self.fixture.read().await;
                let mut collection = self.fixture.look(&base, HOUR).await;
                collection.deleted.clear();
                collection.released.insert(RESTORED);
                let current = self.fixture.commit_collection(base, &collection).await;
                self.pinned.clear();
                self.write_down(&current);
            }
            HistoryStep::Sleep { minutes } => {
                self.fixture.stage.sleep(Duration::from_secs(minutes * 60)).await;
            }
        }
    }

    /// Checks that a manifest has the expected contents.
    async fn check_view(&self, view: &Manifest, expected: &ExpectedVersion) {
        let fixture = &self.fixture;
        assert_eq!(view.low_water_mark, expected.mark);
        let inline = view.sections.iter();
        for section in inline {
            assert!(expected.sections.contains_key(&section.place()));
        }
        let found = fixture.sections_of(view).await;
        let places = |sections: &[Arc<Section>]| -> Vec<_> {
            let sections = sections.iter();
            sections.map(|one| (one.order(), one.place(), one.added)).collect()
        };
        let mut wanted: Vec<_> = expected.sections.values().cloned().collect();
        wanted.sort_by_key(|section| section.order());
        assert_eq!(places(&found), places(&wanted));
        for table in 1..4 {
            let id = TableId::new(table);
            let times = TimeRange::ALL;
            let loaded: Vec<_> = fixture
                .store()
                .load_sections(fixture.database, view, id, times)
                .await
                .unwrap()
                .into_iter()
                .map(|one| one.section)
                .collect();
            assert_eq!(places(&loaded), places(&expected.of_table(table)));
        }
        // A delete that is removed too early, or never, changes the set of sections to which deletes apply.
        let all = expected.deletes.iter().map(|(stamp, delete)| RecordedDelete {
            stamp: *stamp,
            delete: delete.clone(),
            added: 0,
            dropped: None,
            expiry: false,
        });
        let applied = |deletes: &[RecordedDelete]| -> BTreeSet<_> {
            let pairs = deletes.iter().flat_map(|recorded| {
                let sections = wanted.iter().filter(|section| recorded.applies_to(section));
                sections.map(|section| (recorded.stamp, section.place()))
            });
            pairs.collect()
        };
        let recorded: Vec<_> = view.pending_deletes().cloned().collect();
        assert_eq!(applied(&recorded), applied(&all.collect::<Vec<_>>()));
    }

    async fn check(&self) {
        let fixture = &self.fixture;
        let current = fixture.read().await;
        assert_eq!(current.value.check(), Ok(()));
        self.check_view(&current.value, &self.state).await;
        let referenced = fixture.referenced_objects(&current.value).await;
        let deletable = referenced.deletable();
        let there: BTreeSet<_> =
            fixture.objects().await.into_iter().map(|(name, _)| name).collect();
        let readable = Manifest::versions(&current);
        for info in &readable {
            let expected = &self.versions[&info.version];
            for as_of in [info.mark, Stamp::from_u64(info.mark.as_u64() + 1)] {
                let (version, view) = Manifest::at(&current, as_of).unwrap();
                assert_eq!(version, info.version);
                self.check_view(&view, expected).await;
            }
            for object in expected.objects() {
                assert!(there.contains(&object) && !deletable.contains(&object));
            }
        }
        for version in &self.pinned {
            for object in self.versions[version].objects() {
                assert!(there.contains(&object) && !deletable.contains(&object));
            }
        }
        let before = readable.first().map(|oldest| oldest.mark.as_u64().saturating_sub(1));
        if let Some(before) = before {
            let found = Manifest::at(&current, Stamp::from_u64(before));
            match current.value.oldest_readable {
                0 => assert_eq!(found.unwrap().1.section_count(), 0),
                _ => assert!(found.is_err()),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(40)))]
    #[test]
    fn every_readable_version_keeps_its_committed_contents(
        steps in proptest::collection::vec(step(), 1..90),
        inline in 4usize..24,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut history = VersionHistory {
                fixture: ManifestFixture::on(&ManifestTestBed::new(), 1, inline),
                state: ExpectedVersion::default(),
                versions: BTreeMap::from([(0, ExpectedVersion::default())]),
                pinned: Vec::new(),
            };
            for step in steps {
                history.take(step).await;
                history.check().await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_was_empty_before_its_first_flush() {
    let fixture = ManifestFixture::new(100);
    let current = fixture.flush(&[(1, 0)]).await;
    let (version, view) = Manifest::at(&current, Stamp::from_u64(5)).unwrap();
    assert_eq!((version, view.section_count()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_gone_name_the_oldest_that_is_there() {
    let fixture = ManifestFixture::new(100);
    fixture.flush_times(3, &[(1, 0)]).await;
    let base = fixture.read().await;
    let merge = fixture.merge(&base, &fixture.table(1).await).await;
    fixture.replaced(base, &merge).await;
    fixture.flush(&[]).await;
    fixture.stage.sleep(HOUR).await;
    let current = fixture.collect(HOUR).await;
    let gone = Manifest::at(&current, mark(2)).unwrap_err();
    assert_eq!(gone.oldest, Some(mark(3)));
    let (_, view) = Manifest::at(&current, mark(3)).unwrap();
    assert_eq!(fixture.sections_of(&view).await.len(), 1);
}
