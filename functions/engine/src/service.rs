//! The engine of a long-lived process: loops that run concurrently until they are stopped.
//!
//! | loop | wakes | requests while idle |
//! |---|---|---|
//! | triggers | when this process changes the catalog; every 10 s if others write | at least 2 conditional GETs; none for a sole writer |
//! | sweep | every 60 s; every 10 s if others write | 1 GET for each trigger and 1 LIST for each database; none for a sole writer |
//! | checkpoints | 5 s after a segment was processed | none |
//! | logs | every 60 s | none |
//! | a task for each trigger | when a segment is queued or a tick is due | none |

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use neap_bucket::{ClockReading, StoreTime};
use neap_catalog::ANY_AGE;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{TriggerFeed, TriggerRef},
    engine::{Engine, TimeBudget},
};

/// Maximum time for running triggers to end when the engine stops.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The running tasks of triggers.
#[derive(Debug, Default)]
struct TriggerTasks {
    set: JoinSet<()>,
    /// The triggers that have a task, with the times from which they run.
    started: BTreeMap<TriggerRef, StoreTime>,
}

impl Engine {
    /// Runs triggers until `stop` is cancelled, then saves checkpoints and logs.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks = TriggerTasks::default();
        let work = async {
            tokio::join!(
                self.run_trigger_loop(&mut tasks),
                self.run_sweep_loop(),
                self.run_checkpoint_loop(),
                self.run_log_loop(),
            )
        };
        tokio::select! {
            _ = work => {}
            () = stop.cancelled() => {}
        }
        self.stopping.cancel();
        self.runner.plugins.stop().await;
        self.join_runs(&mut tasks.set).await;
        self.save(&self.feeds()).await;
        self.save_logs().await;
    }

    /// Stops the engine of a function that is started by events.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.runner.plugins.stop().await;
        self.join_runs(&mut JoinSet::new()).await;
        self.save(&self.feeds()).await;
        self.save_logs().await;
    }

    /// Waits until the tasks of triggers and the runs for requests have ended, and their lines are written.
    async fn join_runs(&self, triggers: &mut JoinSet<()>) {
        let mut requests = mem::take(&mut *self.request_runs());
        let ended = async {
            for set in [&mut *triggers, &mut requests] {
                while set.join_next().await.is_some() {}
            }
        };
        let ended = self.bucket.world().timeout(STOP_LIMIT, ended).await;
        if ended.is_none() {
            tracing::warn!("triggers did not stop in time");
            triggers.abort_all();
        }
    }

    async fn run_trigger_loop(self: &Arc<Self>, tasks: &mut TriggerTasks) {
        let mut max_age = ANY_AGE;
        let mut attempt = 0;
        let mut polled = self.bucket.world().clock_reading();
        loop {
            if max_age != ANY_AGE {
                polled = self.bucket.world().clock_reading();
            }
            match self.refresh(max_age).await {
                Ok(()) => {
                    attempt = 0;
                    self.start_tasks(tasks);
                }
                Err(error) => {
                    tracing::warn!(%error, "the triggers can't be read");
                    attempt += 1;
                }
            }
            max_age = self.wait_for_catalog(attempt, &polled).await;
        }
    }

    /// Waits until the triggers must be read again, and returns the maximum age of the catalogs for that read. The
    /// interval counts from `polled`, so that frequent changes by this process do not delay the detection of changes by
    /// others.
    async fn wait_for_catalog(&self, attempt: u32, polled: &ClockReading) -> Duration {
        let interval = self.settings.catalog_interval;
        let world = self.bucket.world();
        let pause = async {
            if attempt == 0 && self.is_sole_writer() {
                return std::future::pending().await;
            }
            let wait = interval.saturating_sub(world.elapsed(polled));
            world.clock.sleep(wait).await;
        };
        tokio::select! {
            biased;
            () = pause => interval / 2,
            // This process has its own commits in memory.
            () = self.changed.notified() => ANY_AGE,
        }
    }

    /// Starts the tasks of new triggers. Tasks of removed triggers end by themselves.
    fn start_tasks(self: &Arc<Self>, tasks: &mut TriggerTasks) {
        while tasks.set.try_join_next().is_some() {}
        let all = self.roster.all();
        tasks.started.retain(|key, since| {
            let known = all.get(key);
            known.is_some_and(|known| known.trigger.since == *since)
        });
        for (key, known) in all.iter() {
            if tasks.started.insert(*key, known.trigger.since).is_some() {
                continue;
            }
            let (engine, key) = (Arc::clone(self), *key);
            if let Some(feed) = self.feed(key) {
                tasks.set.spawn(async move { engine.serve_feed(&feed).await });
            } else if let Some(closed) = self.closed(key)
                && known.trigger.specification.is_scheduled()
            {
                tasks.set.spawn(async move { engine.serve_schedule(key, closed).await });
            }
        }
    }

    /// Runs a trigger on writes until it is closed.
    async fn serve_feed(&self, feed: &TriggerFeed) {
        let time = TimeBudget::unlimited(&self.bucket);
        let mut attempt = 0;
        while !self.is_stopped(&feed.closed) {
            if !feed.is_loaded()
                && let Err(error) = feed.load().await
            {
                tracing::warn!(trigger = %feed.key.trigger, %error, "a checkpoint can't be read");
                self.pause(attempt, &time, &feed.closed).await;
                attempt += 1;
                continue;
            }
            attempt = 0;
            self.drain(feed, &time).await;
            if feed.has_overflow() {
                self.doubt.notify_one();
            }
            // Segments still wait only if another instance has the lease.
            let pause = async {
                if feed.is_idle() {
                    std::future::pending().await
                } else {
                    let interval = self.settings.foreign_sweep_interval;
                    self.bucket.world().clock.sleep(interval).await;
                }
            };
            tokio::select! {
                () = feed.more.notified() => {}
                () = pause => {}
                () = feed.closed.cancelled() => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    async fn run_sweep_loop(&self) {
        loop {
            for database in self.databases_with_feeds() {
                if let Err(error) = self.sweep_database(database).await {
                    tracing::warn!(%database, %error, "failed to sweep a tail");
                }
            }
            let interval = if self.is_sole_writer() {
                self.settings.sweep_interval
            } else {
                self.settings.foreign_sweep_interval
            };
            tokio::select! {
                () = self.bucket.world().clock.sleep(interval) => {}
                () = self.doubt.notified() => {}
            }
        }
    }

    async fn run_checkpoint_loop(&self) {
        loop {
            self.dirty.notified().await;
            self.bucket.world().clock.sleep(self.settings.checkpoint_interval).await;
            let feeds = self.feeds();
            let is_saved = self.save(&feeds).await;
            if !is_saved || feeds.iter().any(|feed| feed.has_lease(self.holder)) {
                self.dirty.notify_one();
            }
        }
    }

    async fn run_log_loop(&self) {
        loop {
            self.bucket.world().clock.sleep(self.settings.log_interval).await;
            self.save_logs().await;
        }
    }
}
