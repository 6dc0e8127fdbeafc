//! Running a trigger as its `error_behavior` says, until that is settled.
//!
//! | behaviour | a run fails | lines of a run can't be written |
//! |---|---|---|
//! | `log` | it is logged | it is logged |
//! | `retry` | it runs again, later and later | it runs again |
//! | `disable` | the trigger is disabled | it is logged |

use std::{sync::Arc, time::Duration};

use neap_bucket::StoreTime;
use neap_catalog::{CatalogError, ErrorBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    Call, CallError, LogLevel, RunError,
    checkpoint::FeedKey,
    engine::{Engine, Time},
    logs::LoggedTrigger,
    roster::KnownTrigger,
    run::Job,
};

/// A run is not begun with less time than this, and is stopped so long before the time is over.
const TIME_TO_FINISH: Duration = Duration::from_secs(2);

/// What is run, for which trigger, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Attempts<'a> {
    pub(crate) key: FeedKey,
    pub(crate) call: Call,
    /// The depth of what the plugin writes.
    pub(crate) depth: u8,
    /// When it is no longer worth trying.
    pub(crate) expires: StoreTime,
    pub(crate) time: &'a Time,
    /// The trigger is disabled or deleted.
    pub(crate) closed: &'a CancellationToken,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The plugin ran, or will not be tried again.
    Done,
    /// The time is over, the engine stops, or the trigger does not run any more.
    Later,
    /// It is to run again after a pause.
    Again,
}

impl Engine {
    /// Runs a trigger until it succeeds, or its failure is settled.
    pub(crate) async fn attempt(&self, attempts: Attempts<'_>) -> Settled {
        let (time, closed) = (attempts.time, attempts.closed);
        for attempt in 0.. {
            let settled = self.attempt_once(attempts.clone()).await;
            if settled != Settled::Again {
                return settled;
            }
            if !self.pause(attempt, time, closed).await {
                return Settled::Later;
            }
        }
        Settled::Later
    }

    /// Runs a trigger once.
    pub(crate) async fn attempt_once(&self, attempts: Attempts<'_>) -> Settled {
        let Some(known) = self.roster.get(attempts.key) else {
            return Settled::Later;
        };
        if !self.has_time(attempts.time) || self.is_stopped(attempts.closed) {
            return Settled::Later;
        }
        let left = attempts.time.left(&self.bucket);
        let time = left.map(|left| left.saturating_sub(TIME_TO_FINISH));
        let ran = self.runner.run(Job {
            database: known.database,
            database_name: Arc::clone(&known.database_name),
            trigger: Arc::clone(&known.trigger),
            call: attempts.call,
            depth: attempts.depth,
            time,
        });
        let ran = ran.await;
        match (&ran.result, known.trigger.error_behavior) {
            (Err(CallError::Failed(RunError::Stopping)), _) => return Settled::Later,
            // Nothing of the plugin has run: it is the machine that fails, not the plugin.
            (Err(CallError::NotRun(_)), _) => {}
            (Err(CallError::Failed(RunError::Busy(_) | RunError::NoPlace(_))), _) => {}
            (Err(_), ErrorBehavior::Disable) => {
                if self.disable(&known).await {
                    // Nothing more of what waits runs, however long it takes until the roster shows it.
                    attempts.closed.cancel();
                }
                return Settled::Done;
            }
            (_, ErrorBehavior::Retry) if !ran.is_success() => {}
            _ => return Settled::Done,
        }
        if self.is_expired(attempts.expires) {
            let text = "it is not tried again: it has failed for too long";
            self.log_for(&known, LogLevel::Error, text.to_owned());
            self.runner.metrics.lost(known.labels());
            return Settled::Done;
        }
        Settled::Again
    }

    /// Whether it is too late for another attempt.
    pub(crate) fn is_expired(&self, expires: StoreTime) -> bool {
        let now = self.bucket.clock().now();
        now.is_none_or(|now| now >= expires)
    }

    /// Whether there is time for another run.
    pub(crate) fn has_time(&self, time: &Time) -> bool {
        time.left(&self.bucket)
            .is_none_or(|left| left > TIME_TO_FINISH)
    }

    pub(crate) fn is_stopped(&self, closed: &CancellationToken) -> bool {
        self.stopping.is_cancelled() || closed.is_cancelled()
    }

    /// Waits before the next attempt; each time twice as long. Whether there is one.
    pub(crate) async fn pause(
        &self,
        attempt: u32,
        time: &Time,
        closed: &CancellationToken,
    ) -> bool {
        let (first, longest) = self.settings.retry_pauses;
        let pause = first.saturating_mul(1 << attempt.min(16)).min(longest);
        if time
            .left(&self.bucket)
            .is_some_and(|left| left <= pause + TIME_TO_FINISH)
        {
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
    pub(crate) fn log_for(&self, known: &KnownTrigger, level: LogLevel, text: String) {
        let of = LoggedTrigger {
            database: known.database,
            database_name: Arc::clone(&known.database_name),
            trigger: known.trigger.name.as_str().into(),
        };
        self.runner.log.add(&of, level, text);
    }

    /// Disables a trigger whose plugin failed, unless it was enabled again since the run began. Whether it no longer
    /// runs as it did.
    pub(crate) async fn disable(&self, known: &KnownTrigger) -> bool {
        let (id, since) = (known.trigger.id, known.trigger.since);
        let disabled = self
            .catalog
            .disable_failed_trigger(known.database, id, since);
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
