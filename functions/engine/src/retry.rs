//! Runs a trigger with the retries that its `error_behavior` asks for.
//!
//! | behaviour | a run fails | lines of a run can't be written |
//! |---|---|---|
//! | `log` | the failure is logged | the failure is logged |
//! | `retry` | it runs again, with exponential backoff; if the runs of the trigger may overlap, up to five times | it runs again, with exponential backoff |
//! | `disable` | the trigger is disabled | the failure is logged |

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Stamp, StoreTime};
use neap_catalog::{CatalogError, ErrorBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    LogLevel, PluginCallError, PluginInput, RunError,
    active_triggers::ActiveTrigger,
    checkpoint::TriggerRef,
    engine::{Engine, TimeBudget},
    logs::LogSource,
    run::TriggerRun,
};

/// Duration reserved at the end of a time budget. A run starts only if more than this is left, and is stopped this long
/// before the budget ends.
const TIME_TO_FINISH: Duration = Duration::from_secs(2);

/// A call to run with retries: its trigger, its input and its limits.
#[derive(Clone, Debug)]
pub(crate) struct RetryableRun<'a> {
    pub(crate) key: TriggerRef,
    pub(crate) call: PluginInput,
    /// The number of plugins in a row that lead to the lines that this plugin writes.
    pub(crate) depth: u8,
    /// The time from which failures are not retried.
    pub(crate) expires: StoreTime,
    pub(crate) time: &'a TimeBudget,
    /// The number of attempts that failed in the plugin.
    pub(crate) failures: &'a AtomicU32,
    /// Cancelled when the trigger is disabled or deleted.
    pub(crate) closed: &'a CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// The plugin ran, or will not be retried.
    Done,
    /// Not finished: the time budget is used up, the engine stops, or the trigger no longer runs.
    Deferred,
    /// The run must be retried after a pause.
    Retry,
}

impl Engine {
    /// Runs a trigger until it succeeds or its failure is final.
    pub(crate) async fn attempt(&self, attempts: RetryableRun<'_>) -> AttemptOutcome {
        let (time, closed) = (attempts.time, attempts.closed);
        for attempt in 0.. {
            let settled = self.attempt_once(attempts.clone()).await;
            if settled != AttemptOutcome::Retry {
                return settled;
            }
            if !self.pause(attempt, time, closed).await {
                return AttemptOutcome::Deferred;
            }
        }
        AttemptOutcome::Deferred
    }

    /// Runs a trigger once.
    pub(crate) async fn attempt_once(&self, attempts: RetryableRun<'_>) -> AttemptOutcome {
        let Some(known) = self.roster.get(attempts.key) else {
            return AttemptOutcome::Deferred;
        };
        if !self.has_time(attempts.time) || self.is_stopped(attempts.closed) {
            return AttemptOutcome::Deferred;
        }
        let left = attempts.time.left(&self.bucket);
        let time = left.map(|left| left.saturating_sub(TIME_TO_FINISH));
        let ran = self
            .runner
            .run(TriggerRun {
                database: known.database,
                database_name: Arc::clone(&known.database_name),
                trigger: Arc::clone(&known.trigger),
                call: attempts.call,
                depth: attempts.depth,
                time,
                stop: attempts.closed.clone(),
                abandoned: CancellationToken::new(),
            })
            .await;
        match (&ran.result, known.trigger.error_behavior) {
            (Err(PluginCallError::Failed(RunError::Stopping)), _) => {
                return AttemptOutcome::Deferred;
            }
            // The plugin did not start: the machine failed, not the plugin.
            (Err(PluginCallError::NotStarted(_)), _) => {}
            (Err(PluginCallError::Failed(RunError::Busy(_) | RunError::NoProcess(_))), _) => {}
            (Err(_), ErrorBehavior::Disable) => {
                if self.disable(&known).await {
                    // Stops the queued runs now, because the roster may show the change only later.
                    attempts.closed.cancel();
                }
                return AttemptOutcome::Done;
            }
            (Err(_), ErrorBehavior::Retry) if self.was_last_attempt(&known, attempts.failures) => {
                return AttemptOutcome::Done;
            }
            (_, ErrorBehavior::Retry) if !ran.is_success() => {}
            _ => return AttemptOutcome::Done,
        }
        if self.is_expired(attempts.expires) {
            let text = "giving up: the plugin has failed for too long";
            self.log_for(&known, LogLevel::Error, text.to_owned());
            self.runner.metrics.lost(known.labels());
            return AttemptOutcome::Done;
        }
        AttemptOutcome::Retry
    }

    /// Counts a failure of a plugin. Returns whether the plugin will not be tried again: in a trigger whose runs may
    /// overlap, an input on which the plugin always fails must not take the place of other inputs.
    fn was_last_attempt(&self, known: &ActiveTrigger, failures: &AtomicU32) -> bool {
        let failures = failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !known.trigger.run_async || failures < self.settings.async_attempts {
            return false;
        }
        let text = format!("giving up: the plugin failed {failures} times");
        self.log_for(known, LogLevel::Error, text);
        self.runner.metrics.lost(known.labels());
        true
    }

    /// Returns whether it is too late for another attempt. It never is while the clocks disagree.
    pub(crate) fn is_expired(&self, expires: StoreTime) -> bool {
        let now = self.bucket.removal_time(Stamp::ZERO);
        now.is_ok_and(|now| now >= expires)
    }

    /// Returns whether enough time is left for another run.
    pub(crate) fn has_time(&self, time: &TimeBudget) -> bool {
        time.left(&self.bucket).is_none_or(|left| left > TIME_TO_FINISH)
    }

    pub(crate) fn is_stopped(&self, closed: &CancellationToken) -> bool {
        self.stopping.is_cancelled() || closed.is_cancelled()
    }

    /// Waits before the next attempt; each pause is twice the one before, up to a maximum. Returns whether there is a
    /// next attempt.
    pub(crate) async fn pause(
        &self,
        attempt: u32,
        time: &TimeBudget,
        closed: &CancellationToken,
    ) -> bool {
        let (first, longest) = self.settings.retry_pauses;
        let pause = first.saturating_mul(1 << attempt.min(16)).min(longest);
        if time.left(&self.bucket).is_some_and(|left| left <= pause + TIME_TO_FINISH) {
            return false;
        }
        let sleep = self.bucket.world().clock.sleep(pause);
        tokio::select! {
            () = sleep => !self.is_stopped(closed),
            () = self.stopping.cancelled() => false,
            () = closed.cancelled() => false,
        }
    }

    /// Adds a line to the log of a trigger.
    pub(crate) fn log_for(&self, known: &ActiveTrigger, level: LogLevel, text: String) {
        let of = LogSource {
            database: known.database,
            database_name: Arc::clone(&known.database_name),
            trigger: known.trigger.name.as_str().into(),
        };
        self.runner.log.add(&of, level, text);
    }

    /// Disables a trigger whose plugin failed, unless the trigger was enabled again since the run began. Returns
    /// whether the trigger no longer runs as it did.
    pub(crate) async fn disable(&self, known: &ActiveTrigger) -> bool {
        let (id, since) = (known.trigger.id, known.trigger.since);
        let disabled = self.catalog.disable_failed_trigger(known.database, id, since);
        let is_settled = match disabled.await {
            Ok(trigger) => {
                if trigger.disabled {
                    let text = "the trigger is disabled because its plugin failed";
                    self.log_for(known, LogLevel::Error, text.to_owned());
                }
                true
            }
            Err(CatalogError::NotFound { .. }) => true,
            Err(error) => {
                let text = format!("the trigger could not be disabled: {error}");
                self.log_for(known, LogLevel::Error, text);
                false
            }
        };
        self.triggers_changed();
        is_settled
    }
}
