//! The engine of a process that lives on: loops that run side by side until they are told to stop.
//!
//! | loop | wakes | requests when nothing happens |
//! |---|---|---|
//! | triggers | when the catalog has changed here; where others write, every 10 s | 2 GETs and more, conditional; none for a sole writer |
//! | sweep | every 60 s; where others write, every 10 s | a GET for each trigger and a LIST for each database; none for a sole writer |
//! | checkpoints | 5 s after something was seen | none |
//! | logs | every 60 s | none |
//! | a task for each trigger | when something waits for it | none |

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_bucket::{Moment, StoreTime};
use neap_catalog::ANY_AGE;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{Feed, FeedKey},
    engine::{Engine, Time},
};

/// How long what runs may take to end when the engine stops.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The tasks of triggers.
#[derive(Debug, Default)]
struct Tasks {
    set: JoinSet<()>,
    /// Which triggers have one, and since when they run.
    started: BTreeMap<FeedKey, StoreTime>,
}

impl Engine {
    /// Runs triggers until it is told to stop, and then saves what they have seen and logged.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks = Tasks::default();
        let work = async {
            tokio::join!(
                self.keep_triggers(&mut tasks),
                self.keep_sweeping(),
                self.keep_checkpoints(),
                self.keep_logs(),
            )
        };
        tokio::select! {
            _ = work => {}
            () = stop.cancelled() => {}
        }
        self.stopping.cancel();
        self.runner.plugins.stop().await;
        let ended = async { while tasks.set.join_next().await.is_some() {} };
        let world = self.bucket.world();
        if world.timeout(STOP_LIMIT, ended).await.is_none() {
            tracing::warn!("triggers did not end in time");
            tasks.set.abort_all();
        }
        self.save(&self.feeds()).await;
        self.save_logs().await;
    }

    /// Ends the engine of a function that is started by events.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.runner.plugins.stop().await;
        self.save(&self.feeds()).await;
        self.save_logs().await;
    }

    async fn keep_triggers(self: &Arc<Self>, tasks: &mut Tasks) {
        let mut max_age = ANY_AGE;
        let mut attempt = 0;
        let mut polled = self.bucket.world().moment();
        loop {
            if max_age != ANY_AGE {
                polled = self.bucket.world().moment();
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

    /// Waits until the triggers are to be read again. How old what is read then may be. However often this process
    /// changes its catalog, the others' changes are asked for in time after it was done last, `polled`.
    async fn wait_for_catalog(&self, attempt: u32, polled: &Moment) -> Duration {
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
            // What this process commits it knows.
            () = self.changed.notified() => ANY_AGE,
        }
    }

    /// Starts the tasks of new triggers. Those of triggers that are gone end by themselves.
    fn start_tasks(self: &Arc<Self>, tasks: &mut Tasks) {
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
                tasks
                    .set
                    .spawn(async move { engine.serve_feed(&feed).await });
            } else if let Some(closed) = self.closed(key)
                && known.trigger.specification.is_of_time()
            {
                tasks
                    .set
                    .spawn(async move { engine.serve_schedule(key, closed).await });
            }
        }
    }

    /// Runs a trigger on writes, until it is closed.
    async fn serve_feed(&self, feed: &Feed) {
        let time = Time::unlimited(&self.bucket);
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
            if feed.has_turned_away() {
                self.doubt.notify_one();
            }
            // What still waits does so because another instance has the lease.
            let pause = async {
                match feed.is_idle() {
                    true => std::future::pending().await,
                    false => {
                        let interval = self.settings.foreign_sweep_interval;
                        self.bucket.world().clock.sleep(interval).await;
                    }
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

    async fn keep_sweeping(&self) {
        loop {
            for database in self.fed_databases() {
                if let Err(error) = self.sweep_database(database).await {
                    tracing::warn!(%database, %error, "a tail can't be looked at");
                }
            }
            let interval = match self.is_sole_writer() {
                true => self.settings.sweep_interval,
                false => self.settings.foreign_sweep_interval,
            };
            tokio::select! {
                () = self.bucket.world().clock.sleep(interval) => {}
                () = self.doubt.notified() => {}
            }
        }
    }

    async fn keep_checkpoints(&self) {
        loop {
            self.dirty.notified().await;
            self.bucket
                .world()
                .clock
                .sleep(self.settings.checkpoint_interval)
                .await;
            let feeds = self.feeds();
            let is_saved = self.save(&feeds).await;
            if !is_saved || feeds.iter().any(|feed| feed.has_lease(self.holder)) {
                self.dirty.notify_one();
            }
        }
    }

    async fn keep_logs(&self) {
        loop {
            self.bucket
                .world()
                .clock
                .sleep(self.settings.log_interval)
                .await;
            self.save_logs().await;
        }
    }
}
