//! What a function does that is started by events: each piece of work within a time, and nothing left running.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use neap_bucket::SegmentName;
use neap_schema::DatabaseId;

use crate::{
    checkpoint::{Feed, LeaseWish},
    engine::{Engine, Time},
    error::EngineError,
};

/// How often leases are renewed and checkpoints are saved during an event.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// What became of a segment that an event named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its database.
    pub database: DatabaseId,
    /// The segment.
    pub name: SegmentName,
    /// `Ok`: all triggers have seen it, and that is saved. Otherwise why not, for people: it is to be named again.
    pub result: Result<(), String>,
}

/// What a sweep or a schedule has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// Segments or ticks that triggers ran for, or had nothing to do for.
    pub done: usize,
    /// What went wrong, for people.
    pub failures: Vec<String>,
    /// Whether something is left for the next event.
    pub unfinished: bool,
}

impl Engine {
    /// Gives segments that were put to the triggers of their databases, within `limit`.
    pub async fn handle_segments(
        &self,
        segments: Vec<(DatabaseId, SegmentName)>,
        limit: Duration,
    ) -> Vec<Delivered> {
        let time = Time::limited(&self.bucket, limit);
        let refreshed = self.refresh(Duration::ZERO).await.map(drop);
        let mut by_database: BTreeMap<DatabaseId, Vec<SegmentName>> = BTreeMap::new();
        for (database, name) in &segments {
            by_database.entry(*database).or_default().push(*name);
        }
        let mut failures: BTreeMap<DatabaseId, String> = BTreeMap::new();
        let mut feeds = Vec::new();
        for (database, names) in &by_database {
            let of_database = self.feeds_of(*database);
            let loaded = match &refreshed {
                Ok(()) => self.load(&of_database).await,
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = loaded {
                failures.insert(*database, reason);
                continue;
            }
            for name in names {
                self.offer(*database, *name);
            }
            feeds.extend(of_database);
        }
        self.work_off(&feeds, &time).await;
        let result = |database: &DatabaseId, name: &SegmentName| {
            if let Some(reason) = failures.get(database) {
                return Err(reason.clone());
            }
            let waits = |feed: &Arc<Feed>| {
                let is_current = !feed.closed.is_cancelled();
                feed.key.database == *database && is_current && !feed.has_saved(*name)
            };
            match feeds.iter().find(|feed| waits(feed)) {
                None => Ok(()),
                Some(feed) => Err(format!("trigger {} has not seen it yet", feed.key.trigger)),
            }
        };
        let delivered = segments.into_iter().map(|(database, name)| Delivered {
            result: result(&database, &name),
            database,
            name,
        });
        delivered.collect()
    }

    /// Reads what triggers have seen.
    async fn load(&self, feeds: &[Arc<Feed>]) -> Result<(), String> {
        let loaded = join_all(feeds.iter().map(|feed| feed.load())).await;
        let loaded: Result<(), EngineError> = loaded.into_iter().collect();
        loaded.map_err(|error| error.to_string())
    }

    /// Looks at the tails of all databases with triggers on writes, and runs these for what they have not seen, within
    /// `limit`.
    pub async fn sweep(&self, limit: Duration) -> WorkReport {
        let time = Time::limited(&self.bucket, limit);
        let mut report = WorkReport::default();
        if let Err(error) = self.refresh(Duration::ZERO).await {
            report.failures.push(error.to_string());
            return report;
        }
        for database in self.fed_databases() {
            if let Err(error) = self.sweep_database(database).await {
                report
                    .failures
                    .push(format!("database {database}: {error}"));
            }
        }
        let feeds = self.feeds();
        let pending = |feeds: &[Arc<Feed>]| feeds.iter().map(|feed| feed.pending().0).sum();
        let before: usize = pending(&feeds);
        self.work_off(&feeds, &time).await;
        let after: usize = pending(&feeds);
        report.done = before.saturating_sub(after);
        report.unfinished = after > 0 || feeds.iter().any(|feed| feed.has_turned_away());
        report
    }

    /// Runs triggers until nothing waits or the time is over, and saves what they have seen and logged.
    async fn work_off(&self, feeds: &[Arc<Feed>], time: &Time) {
        let drained = join_all(feeds.iter().map(|feed| self.drain(feed, time)));
        let keep = async {
            loop {
                self.bucket.world().clock.sleep(SAVE_INTERVAL).await;
                self.save(feeds).await;
            }
        };
        tokio::select! {
            _ = drained => {}
            () = keep => {}
        }
        self.save(feeds).await;
        for feed in feeds.iter().filter(|feed| feed.has_lease(self.holder)) {
            // The next event may come to another instance.
            if let Err(error) = feed.save(self.holder, LeaseWish::Release).await {
                tracing::warn!(trigger = %feed.key.trigger, %error, "a lease is not given back");
            }
        }
        self.save_logs().await;
    }

    /// Saves what plugins logged.
    pub(crate) async fn save_logs(&self) {
        if let Err(error) = self.logs().save().await {
            tracing::warn!(%error, "what plugins logged is not saved");
        }
    }
}
