//! Triggers of time.
//!
//! ```text
//!   every engine                                store
//!     |  the tick has come                        |
//!     |-- PUT engine/<db>/<trigger>/tick/<ms> --> |   only if there is none: the body says who
//!     |<--- done: run it   refused: GET --------- |   ours after all (an answer was lost): run it; else leave it
//! ```
//!
//! A tick runs at most once: an engine that dies with a claim takes the tick with it, and what can't be decided is left.
//! In a process that lives on, a tick that nobody was there for, or that came while a trigger without `run_async` still
//! ran, does not run later. An event of a scheduler may come late, or be lost: it also runs the ticks of the last
//! minutes that nobody has claimed.

mod claim;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use neap_bucket::StoreTime;
use tokio_util::sync::CancellationToken;

use crate::{
    Call, Timetable,
    attempts::{Attempts, Settled},
    checkpoint::FeedKey,
    delivery::WorkReport,
    engine::{Engine, Time},
    roster::KnownTrigger,
    schedule::claim::{Claim, millis},
};

/// A tick that is so late is not run any more: the machine slept, or the process stood still.
const LATEST: Duration = Duration::from_secs(60);

/// The longest sleep at once: the wall clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How far back an event looks for ticks: events are to come every minute, but come late, fail, or are throttled.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// A failing tick is tried so long.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The most ticks that are counted as skipped at a time.
const MAX_COUNTED: usize = 1_000;

impl Engine {
    fn wall_now(&self) -> StoreTime {
        StoreTime::from_micros(self.bucket.world().clock.wall_micros())
    }

    /// Runs a trigger of time at its times, until it is closed.
    pub(crate) async fn serve_schedule(&self, key: FeedKey, closed: CancellationToken) {
        let mut last = self.wall_now();
        let mut runs = FuturesUnordered::new();
        while let Some(known) = self.roster.get(key) {
            let Ok(Some(table)) = Timetable::of(&known.trigger.specification) else {
                return;
            };
            let limit = match known.trigger.run_async {
                true => self.settings.parallel_runs.max(1),
                false => 1,
            };
            let now = self.wall_now();
            // A wall clock that was set back gives no tick twice.
            let Some(next) = table.next_after(last) else {
                return;
            };
            let wait = next.since(now).min(LONGEST_SLEEP);
            tokio::select! {
                () = closed.cancelled() => return,
                () = self.stopping.cancelled() => break,
                Some(()) = runs.next() => continue,
                () = self.bucket.world().clock.sleep(wait) => {}
            }
            let now = self.wall_now();
            if now < next {
                continue;
            }
            last = next;
            if now.since(next) >= LATEST {
                let missed = table.ticks(next, now).take(MAX_COUNTED);
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

    fn skip(&self, known: &KnownTrigger) {
        self.runner.metrics.tick_skipped(known.labels());
    }

    /// Runs a tick if this instance gets it.
    async fn run_claimed(&self, key: FeedKey, tick: StoreTime, closed: &CancellationToken) {
        let is_ours = match self.is_sole_writer() {
            true => Claim::Ours,
            false => self.claim(key, tick).await,
        };
        if is_ours == Claim::Ours {
            let time = Time::unlimited(&self.bucket);
            self.run_tick(key, tick, &time, closed).await;
        }
    }

    async fn run_tick(
        &self,
        key: FeedKey,
        tick: StoreTime,
        time: &Time,
        closed: &CancellationToken,
    ) -> Settled {
        let now = self.bucket.clock().now().unwrap_or(tick);
        self.attempt(Attempts {
            key,
            call: Call::Schedule { time: tick },
            depth: 1,
            expires: now.plus(PATIENCE),
            time,
            closed,
        })
        .await
    }

    /// Runs the ticks of the last five minutes up to `now`, within `limit`: for an event that comes every minute. A tick
    /// that another event has run is left out, and so are those from before the trigger was created or enabled.
    pub async fn handle_schedule(&self, now: StoreTime, limit: Duration) -> WorkReport {
        let time = Time::limited(&self.bucket, limit);
        let mut report = WorkReport::default();
        if let Err(error) = self.refresh(Duration::ZERO).await {
            report.failures.push(error.to_string());
            return report;
        }
        let all = self.roster.all();
        let of_time = all
            .values()
            .filter(|known| known.trigger.specification.is_of_time());
        let runs = of_time.map(|known| self.run_window(known, now, &time));
        for one in join_all(runs).await {
            report.done += one.done;
            report.failures.extend(one.failures);
            report.unfinished |= one.unfinished;
        }
        self.save_logs().await;
        report
    }

    /// The ticks of one trigger, one after the other.
    async fn run_window(
        &self,
        known: &Arc<KnownTrigger>,
        now: StoreTime,
        time: &Time,
    ) -> WorkReport {
        let mut report = WorkReport::default();
        let Ok(Some(table)) = Timetable::of(&known.trigger.specification) else {
            return report;
        };
        let closed = CancellationToken::new();
        let after = now.minus(WINDOW).max(known.trigger.since);
        let due: Vec<StoreTime> = table.ticks(after, now).collect();
        // Most of several ticks have run: one LIST says so, and spares two requests for each of them.
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
                Claim::Ours => match self.run_tick(known.key(), tick, time, &closed).await {
                    Settled::Done => report.done += 1,
                    Settled::Later | Settled::Again => report.unfinished = true,
                },
                Claim::Others => {}
                Claim::Unknown(reason) => report.failures.push(reason),
            }
        }
        report
    }
}
