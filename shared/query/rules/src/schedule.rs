//! The times of evaluations.

use std::time::Duration;

/// How far back missed evaluations are made up for, in milliseconds. Earlier ones are skipped, because their alerts are old
/// and a process that was down must not fall further behind.
const CATCH_UP_MS: i64 = 15 * 60_000;

/// Returns the times of the evaluations of a group that are due, oldest first, and the time until the next one. All are
/// multiples of the interval. `evaluated_ms` is the time of the last evaluation; a group without one is due at once.
pub fn due_times(interval_ms: u64, evaluated_ms: Option<i64>, now_ms: i64) -> (Vec<i64>, Duration) {
    let interval = i64::try_from(interval_ms).unwrap_or(i64::MAX).max(1);
    let newest = now_ms.div_euclid(interval).saturating_mul(interval);
    let first = match evaluated_ms {
        None => newest,
        Some(evaluated) => {
            let next = evaluated.div_euclid(interval).saturating_add(1);
            let made_up = now_ms.saturating_sub(CATCH_UP_MS).div_euclid(interval).saturating_add(1);
            // A long interval has at most one evaluation that is due.
            next.max(made_up.min(newest.div_euclid(interval))).saturating_mul(interval)
        }
    };
    let mut due = Vec::new();
    let mut time = first;
    while time <= newest {
        due.push(time);
        time = time.saturating_add(interval);
    }
    let wait = newest.saturating_add(interval).saturating_sub(now_ms);
    let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
    (due, wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn due(interval: i64, evaluated: Option<i64>, now: i64) -> (Vec<i64>, u128) {
        let interval = u64::try_from(interval).unwrap();
        let (due, wait) = due_times(interval, evaluated, now);
        (due, wait.as_millis())
    }

    #[test]
    fn evaluations_are_at_the_multiples_of_the_interval() {
        assert_eq!(due(15_000, None, 100_000), (vec![90_000], 5_000));
        assert_eq!(due(15_000, Some(90_000), 100_000), (vec![], 5_000));
        assert_eq!(due(15_000, Some(90_000), 105_000), (vec![105_000], 15_000));
    }

    #[test]
    fn missed_evaluations_are_made_up_for_in_their_order() {
        let missed = due(MINUTE, Some(10 * MINUTE), 13 * MINUTE + 1);
        assert_eq!(missed, (vec![11 * MINUTE, 12 * MINUTE, 13 * MINUTE], 59_999));
        // After a long pause, only those of the last minutes.
        let (after_a_day, _) = due(MINUTE, Some(0), 1_440 * MINUTE);
        assert_eq!(after_a_day.len(), 15);
        assert_eq!(after_a_day.last(), Some(&(1_440 * MINUTE)));
        let (hourly, _) = due(60 * MINUTE, Some(0), 150 * MINUTE);
        assert_eq!(hourly, [120 * MINUTE]);
    }

    #[test]
    fn a_new_interval_does_not_repeat_a_time() {
        assert_eq!(due(MINUTE, Some(90_000), 100_000), (vec![], 20_000));
        assert_eq!(due(MINUTE, Some(90_000), 120_000).0, [120_000]);
    }
}
