//! The state of a trigger in the pool.

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

/// The backoff after the second failure in a row; it doubles with each further failure. The first failure causes no
/// backoff.
const BACKOFF: Duration = Duration::from_millis(100);

/// Maximum backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct IdleProcess {
    pub(super) process: Process,
    /// The time since which the process is idle, on the monotonic clock.
    pub(super) since: Duration,
}

#[derive(Debug, Default)]
struct SlotState {
    idle: Vec<IdleProcess>,
    /// The number of consecutive processes that failed.
    failures: u32,
    /// The time from which the next process may start, on the monotonic clock.
    not_before: Duration,
}

/// The processes of a trigger, with the permits for runs on them.
#[derive(Debug)]
pub(super) struct TriggerSlot {
    pub(super) key: TriggerKey,
    /// Whether several processes may run the trigger.
    pub(super) is_shared: bool,
    /// One permit for each concurrent run. A run must hold one to take an idle process.
    pub(super) permits: Arc<Semaphore>,
    /// The permit for the one run that does not count as overlapping.
    pub(super) first: Arc<Semaphore>,
    /// Held from before an idle process is taken to end it until its cache is stored. The start of another process
    /// locks this before it looks for the cache.
    pub(super) handing_over: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled when the trigger is disabled or deleted, or the server stops.
    pub(super) stop: CancellationToken,
    waiting: AtomicUsize,
    state: Mutex<SlotState>,
}

/// Counts a waiting run until it is dropped.
#[derive(Debug)]
pub(super) struct WaitingRun<'a>(&'a TriggerSlot);

impl Drop for WaitingRun<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl TriggerSlot {
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

    fn with<R>(&self, act: impl FnOnce(&mut SlotState) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a waiting run; fails if there are `max` already.
    pub(super) fn wait(&self, max: usize) -> Result<WaitingRun<'_>, RunError> {
        let waiting = WaitingRun(self);
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= max {
            return Err(RunError::Busy(max));
        }
        Ok(waiting)
    }

    /// Takes the process that has been idle for the shortest time, so that the others can expire.
    pub(super) fn take_newest(&self) -> Option<Process> {
        self.with(|state| state.idle.pop().map(|idle| idle.process))
    }

    /// Takes the process that has been idle for the longest time, if it is idle since `before` or earlier.
    pub(super) fn take_oldest(&self, before: Duration) -> Option<Process> {
        self.with(|state| {
            let waits = state.idle.first().is_some_and(|idle| idle.since <= before);
            waits.then(|| state.idle.remove(0).process)
        })
    }

    /// Returns the time since which the oldest idle process is idle.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.with(|state| state.idle.first().map(|idle| idle.since))
    }

    /// Returns a process to the slot for the next run. Gives the process back if the trigger is gone.
    pub(super) fn put(&self, process: Process, since: Duration) -> Option<Process> {
        self.with(|state| {
            if self.stop.is_cancelled() {
                return Some(process);
            }
            state.idle.push(IdleProcess { process, since });
            None
        })
    }

    /// Takes all idle processes.
    pub(super) fn clear(&self) -> Vec<Process> {
        self.with(|state| state.idle.drain(..).map(|idle| idle.process).collect())
    }

    /// Returns the time until a new process may start.
    pub(super) fn backoff(&self, now: Duration) -> Duration {
        self.with(|state| state.not_before.saturating_sub(now))
    }

    /// Records the end of a process, which sets or resets the backoff.
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

    /// Returns whether the slot holds no state and can be removed.
    pub(super) fn is_unused(&self, now: Duration) -> bool {
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
    fn consecutive_failures_back_off_exponentially_up_to_a_limit() {
        let key = TriggerKey::Trigger { database: DatabaseId::new(1), trigger: TriggerId::new(1) };
        let slot = TriggerSlot::new(key, false, 8, CancellationToken::new());
        let mut waits = Vec::new();
        for _ in 0..12 {
            slot.ended(true, Duration::ZERO);
            waits.push(slot.backoff(Duration::ZERO).as_millis());
        }
        let expected = [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000];
        assert_eq!(waits, expected);
        assert!(!slot.is_unused(MAX_BACKOFF) && slot.is_unused(MAX_BACKOFF * 2));
        slot.ended(false, Duration::ZERO);
        slot.ended(true, Duration::ZERO);
        assert_eq!(slot.backoff(Duration::ZERO), Duration::ZERO);
    }
}
