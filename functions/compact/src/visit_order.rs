//! The processing order of databases, chosen so that no database starves if the time never suffices for all.
//!
//! Half of the positions go to the databases that have waited longest, half go by rotation: if the oldest tails are
//! those that cannot be flushed, the rotation reaches the others. The order depends only on the store's time. A process
//! also remembers which databases failed recently; these come last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{ClockReading, StoreTime, World};
use neap_schema::DatabaseId;

/// 2^64 divided by the golden ratio: its multiples are distributed evenly on a circle, so that the starts of
/// consecutive runs are far apart. If each run has time for a tenth of the databases, runs at intervals of 1 to 60
/// minutes reach all of them within 11 to 20 runs.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Time for which a failed database comes last.
const FAILURE_BACKOFF: Duration = Duration::from_secs(600);

/// Maximum number of databases remembered as failed.
const MAX_RECENT_FAILURES: usize = 100_000;

/// Returns the start index among `count` databases, from the minute of the store's clock.
pub(crate) fn rotation_start(now: StoreTime, count: usize) -> usize {
    let minutes = now.micros().unsigned_abs() / 60_000_000;
    let turn = u128::from(minutes.wrapping_mul(GOLDEN_STEP));
    usize::try_from((turn * count as u128) >> 64).unwrap_or(0)
}

/// Orders databases with a known oldest segment, alternating between age and rotation.
pub(crate) fn by_age_and_rotation(
    oldest: &BTreeMap<DatabaseId, StoreTime>,
    now: StoreTime,
) -> Vec<DatabaseId> {
    let mut rotated: Vec<DatabaseId> = oldest.keys().copied().collect();
    rotated.rotate_left(rotation_start(now, oldest.len()));
    let mut by_age = rotated.clone();
    // The sort is stable, so that ties rotate.
    by_age.sort_by_key(|database| oldest.get(database).copied());
    let both = by_age.into_iter().zip(rotated);
    let mut taken = BTreeSet::new();
    let both = both.flat_map(|(old, next)| [old, next]);
    both.filter(|database| taken.insert(*database)).collect()
}

/// Databases that recently failed or took too long in this process. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentFailures(Arc<Mutex<BTreeMap<DatabaseId, ClockReading>>>);

impl RecentFailures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, ClockReading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records whether the work on a database has failed.
    pub(crate) fn note(&self, database: DatabaseId, has_failed: bool, world: &World) {
        let mut failed = self.lock();
        if !has_failed {
            failed.remove(&database);
            return;
        }
        if failed.len() >= MAX_RECENT_FAILURES {
            failed.retain(|_, moment| world.elapsed(moment) < FAILURE_BACKOFF);
        }
        if failed.len() < MAX_RECENT_FAILURES {
            failed.insert(database, world.clock_reading());
        }
    }

    /// Moves failed databases to the end, those with the oldest failure first.
    pub(crate) fn move_last(&self, databases: &mut [DatabaseId], world: &World) {
        let failed = self.lock();
        databases.sort_by_cached_key(|database| {
            let since = failed
                .get(database)
                .map(|moment| world.elapsed(moment))
                .filter(|since| *since < FAILURE_BACKOFF);
            since.map(|since| FAILURE_BACKOFF.saturating_sub(since))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::test_bed::CompactTestBed;

    fn minute(number: i64) -> StoreTime {
        StoreTime::from_micros((28_000_000 + number) * 60_000_000)
    }

    #[test]
    fn rotation_reaches_every_database_within_20_runs_at_any_interval() {
        for minutes in [1, 2, 5, 10, 15, 20, 30, 60] {
            let mut reached = BTreeSet::new();
            for run in 0..20 {
                let start = rotation_start(minute(run * minutes), 1_000);
                reached.extend((start..start + 100).map(|index| index % 1_000));
            }
            assert_eq!(reached.len(), 1_000, "every {minutes} minutes");
        }
    }

    #[test]
    fn half_of_the_positions_go_to_the_oldest_and_half_rotate() {
        let oldest = |number: u32| (DatabaseId::new(number), minute(i64::from(number)));
        let oldest: BTreeMap<_, _> = (0..100).map(oldest).collect();
        let now = minute(1_000);
        let order = by_age_and_rotation(&oldest, now);
        assert_eq!(order.len(), 100);
        let start = u32::try_from(rotation_start(now, 100)).unwrap();
        assert!((10..90).contains(&start));
        let expected = [0, start, 1, start + 1, 2, start + 2].map(DatabaseId::new);
        assert_eq!(order[..6], expected);
    }

    #[test]
    fn the_same_age_rotates() {
        let oldest: BTreeMap<_, _> = (0..10).map(|id| (DatabaseId::new(id), minute(0))).collect();
        let first = |run| by_age_and_rotation(&oldest, minute(run))[0];
        let firsts: BTreeSet<_> = (0..20).map(first).collect();
        assert_eq!(firsts.len(), 10);
        assert_eq!(by_age_and_rotation(&BTreeMap::new(), minute(0)), []);
    }

    #[test]
    fn failed_databases_come_last_until_they_succeed() {
        let world = World::system();
        let setbacks = RecentFailures::default();
        let [a, b, c] = [1, 2, 3].map(DatabaseId::new);
        setbacks.note(b, true, &world);
        setbacks.note(a, true, &world);
        let order = || {
            let mut order = [a, b, c];
            setbacks.move_last(&mut order, &world);
            order
        };
        assert_eq!(order(), [c, b, a]);
        setbacks.note(b, false, &world);
        assert_eq!(order(), [b, c, a]);
    }

    #[tokio::test]
    async fn failed_databases_come_last_for_ten_minutes() {
        let stage = CompactTestBed::new().await;
        let world = stage.bucket.world();
        let setbacks = RecentFailures::default();
        let [a, b] = [1, 2].map(DatabaseId::new);
        setbacks.note(a, true, world);
        let order = || {
            let mut order = [a, b];
            setbacks.move_last(&mut order, world);
            order
        };
        stage.pass(Duration::from_secs(599));
        assert_eq!(order(), [b, a]);
        stage.pass(Duration::from_secs(1));
        assert_eq!(order(), [a, b]);
    }
}
