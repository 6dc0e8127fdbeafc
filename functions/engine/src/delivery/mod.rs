//! Delivers segments to triggers on writes: at least once, in order of the known stamps.

mod batch;
mod events;
mod sweep;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow_array::RecordBatch;
use futures::{StreamExt, stream::FuturesUnordered};
use neap_bucket::{SegmentName, StoreTime, VersionedValue};
use neap_catalog::{ANY_AGE, DatabaseCatalog};
use neap_wal::Segment;
use tokio::sync::Semaphore;

pub use events::{SegmentDelivery, WorkReport};

use crate::{
    LogLevel, PluginInput,
    active_triggers::ActiveTrigger,
    checkpoint::{LeaseAction, TriggerFeed},
    delivery::batch::tables_for,
    engine::{Engine, TimeBudget, kibibytes},
    error::EngineError,
    retry::{AttemptOutcome, RetryableRun},
};

/// The age from which a segment is not retried. Until then it is kept for triggers that have not processed it.
const SEGMENT_AGE: Duration = neap_wal::TRIGGER_RETENTION;

/// Number of segments fetched at once when a trigger has a backlog. It must not exceed the capacity of the cache.
const PREFETCH_SEGMENTS: usize = 8;

/// Estimated ratio of decoded rows to the size of a segment.
const DECODED_FACTOR: usize = 8;

/// Maximum number of unreadable segments of a trigger that later segments may overtake.
const MAX_UNREADABLE_SEGMENTS: usize = 8;

/// The content of a segment for a trigger.
enum SegmentContent {
    /// No rows for this trigger.
    Nothing,
    /// The call for the segment, and the depth of its rows.
    Call(PluginInput, u8),
}

/// The concurrency of one trigger while its queue is drained.
#[derive(Debug)]
struct DrainConcurrency {
    /// Maximum number of concurrent runs.
    parallel: usize,
    places: Semaphore,
    /// Number of unreadable segments that are being retried.
    aside: AtomicUsize,
}

impl DrainConcurrency {
    fn new(parallel: usize) -> Self {
        Self {
            parallel,
            places: Semaphore::new(parallel),
            aside: AtomicUsize::new(0),
        }
    }

    /// Returns the maximum number of segments in flight.
    fn limit(&self) -> usize {
        self.parallel + self.aside.load(Ordering::Relaxed).min(MAX_UNREADABLE_SEGMENTS)
    }

    fn skip_unreadable(&self) -> UnreadableSegment<'_> {
        self.aside.fetch_add(1, Ordering::Relaxed);
        UnreadableSegment(self)
    }
}

/// An unreadable segment that later segments may overtake, until this is dropped.
#[derive(Debug)]
struct UnreadableSegment<'a>(&'a DrainConcurrency);

impl Drop for UnreadableSegment<'_> {
    fn drop(&mut self) {
        self.0.aside.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the time from which a segment is not retried.
fn expiry(name: SegmentName) -> StoreTime {
    name.stamp.time().plus(SEGMENT_AGE)
}

/// Returns the size of the rows of a call in bytes.
fn bytes_of(call: &PluginInput) -> usize {
    let PluginInput::Writes { tables, .. } = call else {
        return 0;
    };
    let batches = tables.iter().flat_map(|(_, batches)| batches);
    batches.map(RecordBatch::get_array_memory_size).sum()
}

impl Engine {
    /// Runs a trigger for its queued segments, until the queue is empty, the time is used up, or another instance has
    /// the lease.
    pub(crate) async fn drain(&self, feed: &TriggerFeed, time: &TimeBudget) {
        // If two events overlap, the second one handles the segments that the first one left.
        let turn = feed.draining.lock();
        let limit = time.left(&self.bucket).unwrap_or(Duration::MAX);
        let Some(_turn) = self.bucket.world().timeout(limit, turn).await else {
            return;
        };
        let drain = DrainConcurrency::new(match self.is_async(feed) {
            Some(true) => self.settings.parallel_runs.max(1),
            Some(false) | None => 1,
        });
        let mut runs = FuturesUnordered::new();
        let mut is_over = false;
        loop {
            let is_async = self.is_async(feed);
            is_over |= is_async.is_none() || feed.closed.is_cancelled();
            while !is_over && runs.len() < drain.limit() && !feed.is_idle() {
                if is_async == Some(false) && !self.holds(feed).await {
                    is_over = true;
                    break;
                }
                let Some(taken) = feed.take() else {
                    break;
                };
                let drain = &drain;
                runs.push(async move {
                    let settled = self.deliver(feed, taken.name, time, drain).await;
                    (taken, settled)
                });
            }
            if runs.is_empty() {
                return;
            }
            tokio::select! {
                Some((taken, settled)) = runs.next() => match settled {
                    AttemptOutcome::Done => {
                        taken.finish();
                        self.dirty.notify_one();
                    }
                    AttemptOutcome::Deferred | AttemptOutcome::Retry => {
                        drop(taken);
                        is_over = true;
                    }
                },
                () = feed.more.notified() => {}
            }
        }
    }

    /// Returns whether the runs of a trigger may overlap; `None` if the trigger no longer runs.
    fn is_async(&self, feed: &TriggerFeed) -> Option<bool> {
        let known = self.roster.get(feed.key);
        known.map(|known| known.trigger.run_async)
    }

    /// Returns whether this instance may run a trigger whose runs must not overlap.
    async fn holds(&self, feed: &TriggerFeed) -> bool {
        if self.is_sole_writer() {
            return true;
        }
        match feed.hold(self.holder, self.settings.lease).await {
            Ok(holds) => {
                if holds {
                    self.dirty.notify_one();
                }
                // Acquiring the lease may have reloaded the checkpoint, and other instances may have processed all
                // segments.
                holds && !feed.is_idle()
            }
            Err(error) => {
                let database = feed.key.database;
                tracing::warn!(%database, trigger = %feed.key.trigger, %error, "failed to acquire the lease of a trigger");
                false
            }
        }
    }

    /// Runs a trigger for a segment, with retries.
    async fn deliver(
        &self,
        feed: &TriggerFeed,
        name: SegmentName,
        time: &TimeBudget,
        drain: &DrainConcurrency,
    ) -> AttemptOutcome {
        let mut aside = None;
        let failures = AtomicU32::new(0);
        for attempt in 0.. {
            match self.deliver_once(feed, name, time, drain, &failures).await {
                Ok(AttemptOutcome::Retry) => {}
                Ok(settled) => return settled,
                Err(EngineError::Segment(error)) => {
                    let Some(known) = self.roster.get(feed.key) else {
                        return AttemptOutcome::Deferred;
                    };
                    if self.is_expired(expiry(name)) {
                        let text = format!("giving up on a segment that can't be read: {error}");
                        self.log_for(&known, LogLevel::Error, text);
                        self.runner.metrics.lost(known.labels());
                        return AttemptOutcome::Done;
                    }
                    if attempt == 0 {
                        let text = format!("a segment can't be read and will be retried: {error}");
                        self.log_for(&known, LogLevel::Error, text);
                    }
                    // Later segments do not wait for this one.
                    if aside.is_none() {
                        aside = Some(drain.skip_unreadable());
                        feed.more.notify_one();
                    }
                }
                Err(error) => {
                    tracing::warn!(database = %feed.key.database, %error, "a segment can't be read");
                }
            }
            if !self.pause(attempt, time, &feed.closed).await {
                return AttemptOutcome::Deferred;
            }
        }
        AttemptOutcome::Deferred
    }

    /// Reads a segment and runs a trigger for it once. The decoded rows are dropped at the end.
    async fn deliver_once(
        &self,
        feed: &TriggerFeed,
        name: SegmentName,
        time: &TimeBudget,
        drain: &DrainConcurrency,
        failures: &AtomicU32,
    ) -> Result<AttemptOutcome, EngineError> {
        let Some(known) = self.roster.get(feed.key) else {
            return Ok(AttemptOutcome::Deferred);
        };
        let ahead = feed.prefetch(name, PREFETCH_SEGMENTS);
        if ahead.len() > 1 {
            // A segment that can't be read is reported when its own turn comes.
            self.tail.fetch(feed.key.database, &ahead).await.ok();
        }
        let Some(segment) = self.segment(&known, name).await? else {
            return Ok(AttemptOutcome::Done);
        };
        let held = async {
            let place = drain.places.acquire().await.ok()?;
            let room =
                self.acquire_decode_memory(segment.size_bytes().saturating_mul(DECODED_FACTOR));
            Some((place, room.await?))
        };
        let left = time.left(&self.bucket).unwrap_or(Duration::MAX);
        let held = tokio::select! {
            held = self.bucket.world().timeout(left, held) => held.flatten(),
            () = feed.closed.cancelled() => None,
            () = self.stopping.cancelled() => None,
        };
        let Some((_place, mut room)) = held else {
            return Ok(AttemptOutcome::Deferred);
        };
        let SegmentContent::Call(call, depth) = self.content(&known, name, &segment).await? else {
            return Ok(AttemptOutcome::Done);
        };
        // Releases the permits that the decoded rows do not need.
        let excess = room.num_permits().saturating_sub(kibibytes(bytes_of(&call)));
        drop(room.split(excess));
        let attempts = RetryableRun {
            key: feed.key,
            call,
            depth: depth.saturating_add(1),
            expires: expiry(name),
            time,
            failures,
            closed: &feed.closed,
        };
        Ok(self.attempt_once(attempts).await)
    }

    /// Fetches a segment; `None` if it no longer exists.
    async fn segment(
        &self,
        known: &ActiveTrigger,
        name: SegmentName,
    ) -> Result<Option<Arc<Segment>>, EngineError> {
        let fetched = match self.tail.fetch(known.database, &[name]).await {
            Err(neap_wal::TailError::Segment(error)) => return Err(error.into()),
            fetched => fetched?,
        };
        let segment = fetched.segments.into_iter().next();
        if segment.is_none() {
            let text = format!("the segment with stamp {} no longer exists", name.stamp);
            self.log_for(known, LogLevel::Warn, text);
            self.runner.metrics.lost(known.labels());
        }
        Ok(segment)
    }

    /// Decodes the rows of a segment for a trigger.
    async fn content(
        &self,
        known: &ActiveTrigger,
        name: SegmentName,
        segment: &Segment,
    ) -> Result<SegmentContent, EngineError> {
        let catalog = self.catalog_for(segment).await?;
        let tables = tables_for(segment, &catalog.value, &known.trigger.specification)?;
        if tables.is_empty() {
            return Ok(SegmentContent::Nothing);
        }
        let depth = segment.depth();
        if depth > self.settings.max_depth {
            let text = format!(
                "{depth} plugins in a row led to the rows of stamp {}; the rows are not delivered, because \
                 triggers that start each other would run forever",
                name.stamp
            );
            self.log_for(known, LogLevel::Error, text);
            self.runner.metrics.looped(known.labels());
            return Ok(SegmentContent::Nothing);
        }
        let stamp = Some(name);
        Ok(SegmentContent::Call(PluginInput::Writes { tables, stamp }, depth))
    }

    /// Returns a catalog that has all tables of a segment.
    async fn catalog_for(
        &self,
        segment: &Segment,
    ) -> Result<VersionedValue<DatabaseCatalog>, EngineError> {
        let (database, needed) = (segment.database(), segment.needs_catalog());
        let mut catalog = self.catalog.database(database, ANY_AGE).await?;
        if catalog.version < needed {
            catalog = self.catalog.database(database, Duration::ZERO).await?;
        }
        let version = catalog.version;
        if version < needed {
            return Err(EngineError::CatalogBehind { database, needed, version });
        }
        Ok(catalog)
    }

    /// Saves checkpoints, releases leases that are not needed and renews the others. Returns whether all are saved.
    pub(crate) async fn save(&self, feeds: &[Arc<TriggerFeed>]) -> bool {
        let mut is_saved = true;
        for feed in feeds {
            // A successor of this instance does not have to wait until its leases expire.
            let is_left = self.stopping.is_cancelled() && feed.has_lease(self.holder);
            if !is_left && !feed.is_unsaved(self.holder, self.settings.lease) {
                continue;
            }
            let wish = if feed.is_idle() || self.stopping.is_cancelled() {
                LeaseAction::Release
            } else if feed.has_lease(self.holder) {
                LeaseAction::Hold(self.settings.lease)
            } else {
                LeaseAction::Unchanged
            };
            if let Err(error) = feed.save(self.holder, wish).await {
                is_saved = false;
                tracing::warn!(database = %feed.key.database, trigger = %feed.key.trigger, %error, "failed to save the checkpoint of a trigger");
            }
        }
        is_saved
    }
}
