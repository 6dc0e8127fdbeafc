//! The order in which databases have their turns, so that none starves where the time is never enough for all.
//!
//! Half of the turns go to those that have waited longest, half by rotation: where the oldest tails are those that can't
//! be flushed, the rotation reaches the others. It needs no state but the store's time. A process also remembers which
//! databases failed it lately; these come last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::{Moment, StoreTime, World};
use neap_schema::DatabaseId;

/// 2^64 divided by the golden ratio: its multiples divide a circle evenly, so that the starts of consecutive runs are far
/// from each other. If each run has time for a tenth of the databases, runs every 1 to 60 minutes reach all of them with
/// 11 to 20 runs.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// For so long a database comes last that has failed.
const SETBACK_TIME: Duration = Duration::from_secs(600);

/// The maximum number of databases that are remembered as failed.
const MAX_SETBACKS: usize = 100_000;

/// The index to start with among `count` databases, by the minute of the store's clock.
pub(crate) fn rotation_start(now: StoreTime, count: usize) -> usize {
    let minutes = now.micros().unsigned_abs() / 60_000_000;
    let turn = u128::from(minutes.wrapping_mul(GOLDEN_STEP));
    usize::try_from((turn * count as u128) >> 64).unwrap_or(0)
}

/// Orders databases, of each of which the oldest segment is known: by age and by rotation in turn.
pub(crate) fn by_age_and_rotation(
    oldest: &BTreeMap<DatabaseId, StoreTime>,
    now: StoreTime,
) -> Vec<DatabaseId> {
    let mut rotated: Vec<DatabaseId> = oldest.keys().copied().collect();
    rotated.rotate_left(rotation_start(now, oldest.len()));
    let mut by_age = rotated.clone();
    // A stable sort, so that ties rotate.
    by_age.sort_by_key(|database| oldest.get(database).copied());
    let both = by_age.into_iter().zip(rotated);
    let mut taken = BTreeSet::new();
    let both = both.flat_map(|(old, next)| [old, next]);
    both.filter(|database| taken.insert(*database)).collect()
}

/// The databases that have lately failed or taken too long in this process. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setbacks(Arc<Mutex<BTreeMap<DatabaseId, Moment>>>);

impl Setbacks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the work on a database has failed.
    pub(crate) fn note(&self, database: DatabaseId, has_failed: bool, world: &World) {
        let mut failed = self.lock();
        if !has_failed {
            failed.remove(&database);
            return;
        }
        if failed.len() >= MAX_SETBACKS {
            failed.retain(|_, moment| world.elapsed(moment) < SETBACK_TIME);
        }
        if failed.len() < MAX_SETBACKS {
            failed.insert(database, world.moment());
        }
    }

    /// Moves databases that have failed behind the others, those first that have waited longest since.
    pub(crate) fn put_last(&self, databases: &mut [DatabaseId], world: &World) {
        let failed = self.lock();
        databases.sort_by_cached_key(|database| {
            let since = failed.get(database).map(|moment| world.elapsed(moment));
            let since = since.filter(|since| *since < SETBACK_TIME);
            since.map(|since| SETBACK_TIME.saturating_sub(since))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: i64) -> StoreTime {
        StoreTime::from_micros((28_000_000 + number) * 60_000_000)
    }

    #[test]
    fn every_database_is_soon_among_the_first_whatever_the_time_between_runs() {
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
    fn half_of_the_turns_go_to_the_oldest_and_half_rotate() {
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
    fn what_failed_comes_last_until_it_succeeds() {
        let world = World::system();
        let setbacks = Setbacks::default();
        let [a, b, c] = [1, 2, 3].map(DatabaseId::new);
        setbacks.note(b, true, &world);
        setbacks.note(a, true, &world);
        let order = || {
            let mut order = [a, b, c];
            setbacks.put_last(&mut order, &world);
            order
        };
        assert_eq!(order(), [c, b, a]);
        setbacks.note(b, false, &world);
        assert_eq!(order(), [b, c, a]);
    }
}
