//! Triggers on schedules.
//!
//! ```text
//!   every engine                                store
//!     |  the tick is due                          |
//!     |-- PUT engine/<db>/<trigger>/tick/<ms> --> |   only if there is none: the body names the claim
//!     |<--- done: run it   refused: GET --------- |   own body (the answer was lost): run it; else skip it
//! ```
//!
//! A tick runs at most once: if an engine dies with a claim, the tick is lost, and undecided ticks are skipped. In a
//! long-lived process, a tick does not run later if no engine was running, or if a trigger without `run_async` was
//! still running. Events of a scheduler may be late or lost, so an event also runs the unclaimed ticks of the last
//! minutes.

mod claim;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use neap_bucket::StoreTime;
use tokio_util::sync::CancellationToken;

use crate::{
    PluginInput, Timetable,
    active_triggers::ActiveTrigger,
    checkpoint::TriggerRef,
    delivery::WorkReport,
    engine::{Engine, TimeBudget},
    retry::{AttemptOutcome, RetryableRun},
    schedule::claim::{TickClaim, millis},
};

/// A tick that is this late is skipped: the machine slept, or the process was suspended.
const MAX_TICK_DELAY: Duration = Duration::from_secs(60);

/// Maximum duration of one sleep, because the wall clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The period before an event whose ticks it runs. Events should come every minute, but may be late, fail, or be
/// throttled.
const EVENT_WINDOW: Duration = Duration::from_secs(5 * 60);

/// The duration for which a failing tick is retried.
const TICK_RETRY_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of ticks skipped in one step.
const MAX_SKIPPED_TICKS: usize = 1_000;

impl Engine {
    fn wall_now(&self) -> StoreTime {
        StoreTime::from_micros(self.bucket.world().clock.wall_micros())
    }

    /// Runs a scheduled trigger at its ticks, until it is closed and its runs have ended.
    pub(crate) async fn serve_schedule(&self, key: TriggerRef, closed: CancellationToken) {
        let mut last = self.wall_now();
        let mut runs = FuturesUnordered::new();
        while let Some(known) = self.roster.get(key) {
            let Ok(Some(table)) = Timetable::from_specification(&known.trigger.specification)
            else {
                return;
            };
            let limit = if known.trigger.run_async {
                self.settings.parallel_runs.max(1)
            } else {
                1
            };
            let now = self.wall_now();
            // The next tick is computed from the last one, so that no tick repeats when the wall clock is set back.
            let Some(next) = table.next_after(last) else {
                return;
            };
            let wait = next.since(now).min(LONGEST_SLEEP);
            tokio::select! {
                () = closed.cancelled() => break,
                () = self.stopping.cancelled() => break,
                Some(()) = runs.next() => continue,
                () = self.bucket.world().clock.sleep(wait) => {}
            }
            let now = self.wall_now();
            if now < next {
                continue;
            }
            last = next;
            if now.since(next) >= MAX_TICK_DELAY {
                let missed = table.ticks(next, now).take(MAX_SKIPPED_TICKS);
                last = missed.last().unwrap_or(next);
                self.skip(&known);
            } else if runs.len() >= limit {
                self.skip(&known);
            } else {
                let closed = closed.clone();
                runs.push(async move { self.run_claimed(key, next, &closed).await });
            }
        }
        while runs.next().await.is_some() {}
    }

    fn skip(&self, known: &ActiveTrigger) {
        self.runner.metrics.tick_skipped(known.labels());
    }

    /// Runs a tick if this instance can claim it.
    async fn run_claimed(&self, key: TriggerRef, tick: StoreTime, closed: &CancellationToken) {
        let is_ours = if self.is_sole_writer() {
            TickClaim::Ours
        } else {
            self.claim(key, tick).await
        };
        if is_ours == TickClaim::Ours {
            let time = TimeBudget::unlimited(&self.bucket);
            self.run_tick(key, tick, &time, closed).await;
        }
    }

    async fn run_tick(
        &self,
        key: TriggerRef,
        tick: StoreTime,
        time: &TimeBudget,
        closed: &CancellationToken,
    ) -> AttemptOutcome {
        let now = self.bucket.clock().now().unwrap_or(tick);
        self.attempt(RetryableRun {
            key,
            call: PluginInput::Schedule { time: tick },
            depth: 1,
            expires: now.plus(TICK_RETRY_PERIOD),
            time,
            failures: &AtomicU32::new(0),
            closed,
        })
        .await
    }

    /// Runs the ticks of the last five minutes up to `now`, within `limit`, for an event that comes every minute. Skips
    /// ticks that another event has run, and ticks before the trigger was created or enabled.
    pub async fn handle_schedule(&self, now: StoreTime, limit: Duration) -> WorkReport {
        let time = TimeBudget::limited(&self.bucket, limit);
        let mut report = WorkReport::default();
        if let Err(error) = self.refresh(Duration::ZERO).await {
            report.failures.push(error.to_string());
            return report;
        }
        let all = self.roster.all();
        let of_time = all.values().filter(|known| known.trigger.specification.is_scheduled());
        let runs = of_time.map(|known| self.run_window(known, now, &time));
        for one in join_all(runs).await {
            report.done += one.done;
            report.failures.extend(one.failures);
            report.unfinished |= one.unfinished;
        }
        self.save_logs().await;
        report
    }

    /// Runs the ticks of one trigger one after the other.
    async fn run_window(
        &self,
        known: &Arc<ActiveTrigger>,
        now: StoreTime,
        time: &TimeBudget,
    ) -> WorkReport {
        let mut report = WorkReport::default();
        let Ok(Some(table)) = Timetable::from_specification(&known.trigger.specification) else {
            return report;
        };
        let closed = CancellationToken::new();
        let after = now.minus(EVENT_WINDOW).max(known.trigger.since);
        let due: Vec<StoreTime> = table.ticks(after, now).collect();
        // If there are several ticks, most of them have run. One LIST shows these and saves two requests for each.
        let claimed = match due.len() {
            0 | 1 => BTreeSet::new(),
            _ => self.claimed(known.key(), after).await,
        };
        for tick in due {
            if closed.is_cancelled() {
                break;
            }
            if claimed.contains(&millis(tick)) {
                continue;
            }
            if !self.has_time(time) {
                report.unfinished = true;
                break;
            }
            match self.claim(known.key(), tick).await {
                TickClaim::Ours => match self.run_tick(known.key(), tick, time, &closed).await {
                    AttemptOutcome::Done => report.done += 1,
                    AttemptOutcome::Deferred | AttemptOutcome::Retry => report.unfinished = true,
                },
                TickClaim::Others => {}
                TickClaim::Unknown(reason) => report.failures.push(reason),
            }
        }
        report
    }
}
