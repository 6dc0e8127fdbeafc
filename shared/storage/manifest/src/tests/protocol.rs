//! Runs writers, flushers, a collector and readers concurrently from one seed. Every acknowledged write is in every
//! later snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use neap_bucket::{Entropy, Stamp, StoreTime};
use neap_test_inputs::cases;
use proptest::prelude::*;
use ulid::Ulid;

use super::{DATABASE, Instance, ManifestTestBed};
use crate::{Manifest, PendingObject, SnapshotOptions, SnapshotSettings};

/// The test's knowledge of the expected state: the acknowledged writes, and the segments in each section.
#[derive(Debug, Default)]
struct WriteOracle {
    acknowledged: BTreeSet<Stamp>,
    /// The stamps of the flushed segments by object, committed or not.
    taken_in: BTreeMap<Ulid, BTreeSet<Stamp>>,
}

type SharedWriteOracle = Arc<Mutex<WriteOracle>>;

struct Actor {
    stage: ManifestTestBed,
    instance: Instance,
    oracle: SharedWriteOracle,
    chance: Entropy,
    rounds: usize,
}

impl Actor {
    async fn pause(&self, longest_seconds: u64) {
        let longest = Duration::from_secs(longest_seconds);
        self.stage.sleep(self.chance.below(longest)).await;
    }

    async fn write(self) {
        for _ in 0..self.rounds {
            self.pause(3).await;
            if let Ok(stamp) = self.instance.write(0).await {
                self.oracle.lock().unwrap().acknowledged.insert(stamp);
            }
        }
    }

    async fn flush(self) {
        for _ in 0..self.rounds {
            self.pause(6).await;
            let store = &self.instance.manifests;
            let mark = store.read(DATABASE, None).await.unwrap().value.low_water_mark;
            let listing = self.instance.tail.list(DATABASE, mark).await.unwrap();
            let date = listing.first_page_date.unwrap();
            let cut = Stamp::end_of(date.minus(self.instance.rules.flush_lag));
            let names = listing.names().into_iter().map(|name| name.stamp);
            let taken: BTreeSet<_> = names.filter(|stamp| *stamp <= cut).collect();
            if taken.is_empty() {
                continue;
            }
            let object = PendingObject::draw(&self.instance.bucket).unwrap();
            self.oracle.lock().unwrap().taken_in.insert(object.ulid, taken);
            self.instance.flush_from(mark, cut, object).await;
        }
    }

    async fn collect(self) {
        for _ in 0..self.rounds {
            self.pause(10).await;
            let current = self.instance.manifests.read(DATABASE, None).await.unwrap();
            assert_eq!(current.value.check(), Ok(()));
            let now = current.current_at.unwrap_or(StoreTime::from_micros(0));
            if let Some(mark) = Manifest::settled_mark(&current, now, Duration::from_secs(40)) {
                self.instance.collect(mark).await;
            }
        }
    }

    async fn query(self) {
        for _ in 0..self.rounds {
            self.pause(4).await;
            let before = self.oracle.lock().unwrap().acknowledged.clone();
            let options = SnapshotOptions::default();
            let snapshot = self.instance.reader.read(DATABASE, options).await.unwrap();
            let tail: BTreeSet<_> = snapshot.tail_names().map(|name| name.stamp).collect();
            assert!(tail.iter().all(|stamp| *stamp > snapshot.mark()));
            let taken_in = &self.oracle.lock().unwrap().taken_in;
            let sections = &snapshot.manifest.value.sections;
            for stamp in &before {
                let section = sections
                    .iter()
                    .find(|section| section.above < *stamp && *stamp <= section.upto);
                let in_section =
                    section.is_some_and(|section| taken_in[&section.object].contains(stamp));
                assert!(in_section || tail.contains(stamp), "{stamp} is missing");
            }
        }
    }
}

fn run(seed: u64, delay: Duration, sole_writer: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = ManifestTestBed::with_seed(seed);
        let oracle = SharedWriteOracle::default();
        let settings = SnapshotSettings {
            sole_writer,
            retained_bytes: 32 << 10,
            ..SnapshotSettings::default()
        };
        let shared = stage.instance(seed, settings);
        let instance = |n: u64| {
            if sole_writer {
                shared.clone()
            } else {
                stage.instance(seed.wrapping_add(n), settings)
            }
        };
        let actor = |n: u64, rounds| Actor {
            stage: stage.clone(),
            instance: instance(n),
            oracle: Arc::clone(&oracle),
            chance: Entropy::from_seed(seed.wrapping_mul(31).wrapping_add(n)),
            rounds,
        };
        stage.slow_down(delay);
        futures::join!(
            actor(1, 60).write(),
            actor(2, 60).write(),
            actor(3, 30).flush(),
            actor(4, 30).flush(),
            actor(5, 18).collect(),
            actor(6, 45).query(),
            actor(7, 45).query(),
            actor(7, 45).query(),
        );
        let oracle = oracle.lock().unwrap();
        assert!(oracle.acknowledged.len() > 20 && !oracle.taken_in.is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(24)))]
    #[test]
    fn no_acknowledged_write_is_missing_from_a_later_snapshot(
        seed: u64,
        delay_ms in 1u64..600,
        sole_writer: bool,
    ) {
        run(seed, Duration::from_millis(delay_ms), sole_writer);
    }
}
