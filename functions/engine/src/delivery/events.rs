//! Handlers of a function that is started by events. Each runs within a time limit and leaves no task behind.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use neap_bucket::SegmentName;
use neap_schema::DatabaseId;

use crate::{
    checkpoint::{LeaseAction, TriggerFeed},
    engine::{Engine, TimeBudget},
    error::EngineError,
};

/// Interval at which leases are renewed and checkpoints saved during an event.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// The result of delivering a segment that an event named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDelivery {
    /// The database of the segment.
    pub database: DatabaseId,
    /// The segment.
    pub name: SegmentName,
    /// `Ok`: all triggers have processed the segment, and that is saved. Otherwise the reason, as text: the caller must
    /// send the segment again.
    pub result: Result<(), String>,
}

/// The work done by a sweep or a schedule event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// The number of segments or ticks that triggers ran for or skipped.
    pub done: usize,
    /// Descriptions of failures.
    pub failures: Vec<String>,
    /// Whether work is left for the next event.
    pub unfinished: bool,
}

impl Engine {
    /// Delivers segments to the triggers of their databases, within `limit`.
    pub async fn handle_segments(
        &self,
        segments: Vec<(DatabaseId, SegmentName)>,
        limit: Duration,
    ) -> Vec<SegmentDelivery> {
        let time = TimeBudget::limited(&self.bucket, limit);
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
        self.drain_feeds(&feeds, &time).await;
        let result = |database: &DatabaseId, name: &SegmentName| {
            if let Some(reason) = failures.get(database) {
                return Err(reason.clone());
            }
            let waits = |feed: &Arc<TriggerFeed>| {
                let is_current = !feed.closed.is_cancelled();
                feed.key.database == *database && is_current && !feed.has_saved(*name)
            };
            match feeds.iter().find(|feed| waits(feed)) {
                None => Ok(()),
                Some(feed) => {
                    Err(format!("trigger {} has not processed the segment yet", feed.key.trigger))
                }
            }
        };
        let delivered = segments.into_iter().map(|(database, name)| SegmentDelivery {
            result: result(&database, &name),
            database,
            name,
        });
        delivered.collect()
    }

    /// Loads the checkpoints of feeds.
    async fn load(&self, feeds: &[Arc<TriggerFeed>]) -> Result<(), String> {
        let loaded: Result<(), EngineError> =
            join_all(feeds.iter().map(|feed| feed.load())).await.into_iter().collect();
        loaded.map_err(|error| error.to_string())
    }

    /// Lists the tails of all databases with triggers on writes, and runs the triggers for segments that they have not
    /// processed, within `limit`.
    pub async fn sweep(&self, limit: Duration) -> WorkReport {
        let time = TimeBudget::limited(&self.bucket, limit);
        let mut report = WorkReport::default();
        if let Err(error) = self.refresh(Duration::ZERO).await {
            report.failures.push(error.to_string());
            return report;
        }
        for database in self.databases_with_feeds() {
            if let Err(error) = self.sweep_database(database).await {
                report.failures.push(format!("database {database}: {error}"));
            }
        }
        let feeds = self.feeds();
        let pending = |feeds: &[Arc<TriggerFeed>]| feeds.iter().map(|feed| feed.pending().0).sum();
        let before: usize = pending(&feeds);
        self.drain_feeds(&feeds, &time).await;
        let after: usize = pending(&feeds);
        report.done = before.saturating_sub(after);
        report.unfinished = after > 0 || feeds.iter().any(|feed| feed.has_overflow());
        report
    }

    /// Runs triggers until their queues are empty or the time is used up, and saves their checkpoints and logs.
    async fn drain_feeds(&self, feeds: &[Arc<TriggerFeed>], time: &TimeBudget) {
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
            // The next event may be handled by another instance.
            if let Err(error) = feed.save(self.holder, LeaseAction::Release).await {
                tracing::warn!(trigger = %feed.key.trigger, %error, "failed to release the lease of a trigger");
            }
        }
        self.save_logs().await;
    }

    /// Saves the logs of plugins.
    pub(crate) async fn save_logs(&self) {
        if let Err(error) = self.logs().save().await {
            tracing::warn!(%error, "failed to save the logs of plugins");
        }
    }
}
