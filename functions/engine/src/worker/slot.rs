//! What the pool keeps of a trigger.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::worker::{RunError, TriggerKey, process::Process};

/// The wait after the second failure in a row; it doubles with each further one. The first one costs no wait.
const BACKOFF: Duration = Duration::from_millis(100);

/// The longest wait.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// A process that waits for a run.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) process: Process,
    /// On the monotonic clock.
    pub(super) since: Duration,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Idle>,
    /// Processes that ended badly, one after the other.
    failures: u32,
    /// When the next process may start, on the monotonic clock.
    not_before: Duration,
}

/// The processes of a trigger, and the runs that may use them.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: TriggerKey,
    /// Whether several processes may run the trigger.
    pub(super) is_shared: bool,
    /// One for each run that may overlap with others. Who takes an idle process to run on it holds one.
    pub(super) permits: Arc<Semaphore>,
    /// For the one run that needs no place among those that overlap with others.
    pub(super) first: Arc<Semaphore>,
    /// Held from before an idle process is taken to end it until what it leaves is kept. Who starts another one asks
    /// for that when it has had this.
    pub(super) handing_over: Arc<tokio::sync::Mutex<()>>,
    /// The trigger is gone, or the server stops.
    pub(super) stop: CancellationToken,
    waiting: AtomicUsize,
    state: Mutex<State>,
}

/// A run that waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Slot);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Slot {
    pub(super) fn new(
        key: TriggerKey,
        is_shared: bool,
        runs: usize,
        stop: CancellationToken,
    ) -> Self {
        Self {
            key,
            is_shared,
            permits: Arc::new(Semaphore::new(if is_shared { runs } else { 1 })),
            first: Arc::new(Semaphore::new(1)),
            handing_over: Arc::default(),
            stop,
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a run that waits, of at most so many.
    pub(super) fn wait(&self, max: usize) -> Result<Waiting<'_>, RunError> {
        let waiting = Waiting(self);
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= max {
            return Err(RunError::Busy(max));
        }
        Ok(waiting)
    }

    /// The process that waits for the shortest time: others may then end.
    pub(super) fn take_newest(&self) -> Option<Process> {
        self.with(|state| state.idle.pop().map(|idle| idle.process))
    }

    /// The process that waits for the longest time, if it does so since `before`.
    pub(super) fn take_oldest(&self, before: Duration) -> Option<Process> {
        self.with(|state| {
            let waits = state.idle.first().is_some_and(|idle| idle.since <= before);
            waits.then(|| state.idle.remove(0).process)
        })
    }

    /// Since when the longest waiting process waits.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.with(|state| state.idle.first().map(|idle| idle.since))
    }

    /// Puts a process back for the next run; gives it back if the trigger is gone.
    pub(super) fn put(&self, process: Process, since: Duration) -> Option<Process> {
        self.with(|state| {
            if self.stop.is_cancelled() {
                return Some(process);
            }
            state.idle.push(Idle { process, since });
            None
        })
    }

    /// Takes all that wait.
    pub(super) fn clear(&self) -> Vec<Process> {
        self.with(|state| state.idle.drain(..).map(|idle| idle.process).collect())
    }

    /// How long a new process has to wait for its start.
    pub(super) fn backoff(&self, now: Duration) -> Duration {
        self.with(|state| state.not_before.saturating_sub(now))
    }

    /// A process ended well, or badly.
    pub(super) fn ended(&self, badly: bool, now: Duration) {
        self.with(|state| {
            if !badly {
                state.failures = 0;
                return;
            }
            let doublings = state.failures;
            state.failures = doublings.saturating_add(1);
            let wait = match doublings.checked_sub(1) {
                None => Duration::ZERO,
                Some(doublings) => BACKOFF.saturating_mul(1 << doublings.min(16)),
            };
            state.not_before = now.saturating_add(wait.min(MAX_BACKOFF));
        });
    }

    /// Whether nothing is lost when the slot is.
    pub(super) fn is_void(&self, now: Duration) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
            && self.with(|state| {
                let is_calm = now >= state.not_before.saturating_add(MAX_BACKOFF);
                state.idle.is_empty() && (state.failures == 0 || is_calm)
            })
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::{DatabaseId, TriggerId};

    use super::*;

    #[test]
    fn each_failure_in_a_row_makes_the_next_start_wait_longer_up_to_a_limit() {
        let key = TriggerKey::Trigger {
            database: DatabaseId::new(1),
            trigger: TriggerId::new(1),
        };
        let slot = Slot::new(key, false, 8, CancellationToken::new());
        let mut waits = Vec::new();
        for _ in 0..12 {
            slot.ended(true, Duration::ZERO);
            waits.push(slot.backoff(Duration::ZERO).as_millis());
        }
        let expected = [
            0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000,
        ];
        assert_eq!(waits, expected);
        assert!(!slot.is_void(MAX_BACKOFF) && slot.is_void(MAX_BACKOFF * 2));
        slot.ended(false, Duration::ZERO);
        slot.ended(true, Duration::ZERO);
        assert_eq!(slot.backoff(Duration::ZERO), Duration::ZERO);
    }
}
