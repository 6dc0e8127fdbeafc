//! The task that flushes tails while the process runs, and once more when it stops.
//!
//! The task flushes according to the backlog of this process. Segments that other processes wrote, or this process
//! before a restart, are found by a sweep over all databases soon after the start and every 600 seconds. A database with
//! many writes from other processes is flushed more often.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use neap_bucket::World;
use neap_catalog::Catalog;
use neap_compact::{CompactError, FlushResult, FlushSkipped, ParallelFlusher};
use neap_manifest::SnapshotReader;
use neap_memory::MemoryPressure;
use neap_schema::DatabaseId;
use neap_wal::TailWriter;
use tokio_util::sync::CancellationToken;

use super::{
    backlog::FlushBacklog,
    blocked_flushes::BlockedFlushes,
    cache_refresh::ChangedDatabases,
    maintenance,
    plugins::EngineHandle,
    sweep_schedule::{SWEEP_INTERVAL, SweepSchedule},
};

/// Interval at which the backlog is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed flush.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Maximum age of the list of databases.
const CATALOG_AGE: Duration = Duration::from_secs(60);

/// Flushes in the background.
#[derive(Debug)]
pub(super) struct FlushTask {
    pub(super) flusher: ParallelFlusher,
    pub(super) catalog: Arc<Catalog>,
    pub(super) backlog: Arc<FlushBacklog>,
    pub(super) blocked: Arc<BlockedFlushes>,
    pub(super) flushed: Arc<maintenance::FlushedDatabases>,
    pub(super) changed: Arc<ChangedDatabases>,
    pub(super) flushed_sources: Arc<ChangedDatabases>,
    pub(super) snapshots: Arc<SnapshotReader>,
    pub(super) triggers: Arc<EngineHandle>,
    pub(super) writer: TailWriter,
    /// Memory pressure: above low, all databases with flushable segments are flushed.
    pub(super) pressure: MemoryPressure,
    pub(super) world: World,
}

impl FlushTask {
    /// Flushes until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        let mut sweeps = SweepSchedule::starting(self.world.clock.monotonic());
        while !stop.is_cancelled() {
            if sweeps.take_due(self.world.clock.monotonic(), self.pressure.level()) {
                self.sweep(stop).await;
            }
            let due = self.backlog.due_at(self.pressure.level());
            self.flush_all(due, stop).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.world.clock.sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    /// Flushes all flushable segments once more, at shutdown.
    pub(super) async fn finish(&self) {
        let never = CancellationToken::new();
        self.flush_all(self.backlog.flushable(), &never).await;
    }

    /// Flushes databases concurrently. Starts no further flush after `stop`.
    async fn flush_all(&self, databases: Vec<DatabaseId>, stop: &CancellationToken) {
        let flushes = stream::iter(databases).for_each_concurrent(
            self.flusher.parallel(),
            |database| async move {
                if !stop.is_cancelled() {
                    self.flush(database, stop).await;
                }
            },
        );
        flushes.await;
    }

    /// Flushes all databases. Costs one GET and one LIST per database.
    async fn sweep(&self, stop: &CancellationToken) {
        let root = match self.catalog.root(CATALOG_AGE).await {
            Ok(root) => root,
            Err(error) => {
                tracing::warn!(%error, "cannot list the databases to flush");
                return;
            }
        };
        let live = root.value.live_databases().map(|(id, _)| id).collect();
        self.flush_all(live, stop).await;
    }

    /// Flushes a database until no segment is old enough.
    async fn flush(&self, database: DatabaseId, stop: &CancellationToken) {
        let own = self.backlog.flushable_segments(database);
        let mut bytes = self.backlog.flushable_bytes(database);
        let mut taken: usize = 0;
        loop {
            let begin = self.backlog.now();
            let flushed = self.flusher.flush(database, bytes).await;
            if let Ok(FlushResult::Done { segments, .. }) = &flushed {
                taken += segments;
            }
            self.blocked.record(database, &flushed);
            let more = self.note(database, &flushed);
            if more && !stop.is_cancelled() {
                // The remaining segments are from other processes, so their size is unknown.
                bytes = u64::MAX;
                continue;
            }
            match flushed {
                Ok(
                    FlushResult::Done { .. } | FlushResult::Skipped(FlushSkipped::NothingToFlush),
                ) if !more => {
                    self.backlog.flushed(database, begin);
                    if own > 0 && taken == 0 {
                        // Another process has flushed the segments of this one, and may refresh no views.
                        self.flushed_sources.mark(database);
                    }
                }
                Ok(FlushResult::Done { .. }) => {}
                Ok(FlushResult::Skipped(_)) | Err(_) => {
                    self.backlog.postpone(database, PAUSE_AFTER_FAILURE);
                    return;
                }
            }
            let of_others = taken.saturating_sub(own);
            self.backlog.plan_next(database, of_others, SWEEP_INTERVAL);
            return;
        }
    }

    /// Logs the outcome of a flush, and returns whether there is more to flush.
    fn note(&self, database: DatabaseId, flushed: &Result<FlushResult, CompactError>) -> bool {
        match flushed {
            Ok(FlushResult::Done { segments, rows, sections, bytes, more, mark, tail }) => {
                // Otherwise the writer would learn it from its next read of the manifest.
                self.writer.observe_tail(database, *mark, *tail);
                tracing::info!(%database, segments, rows, sections, bytes, "flushed");
                self.flushed.note(database, self.world.clock.monotonic());
                self.changed.mark(database);
                self.flushed_sources.mark(database);
                return *more;
            }
            Ok(FlushResult::Skipped(FlushSkipped::NothingToFlush)) => {}
            Ok(FlushResult::Skipped(reason)) => {
                if *reason == FlushSkipped::Overtaken {
                    // The process that flushed may write, too.
                    self.catalog.end_sole_process();
                    self.snapshots.end_sole_writer();
                    self.triggers.end_sole_writer();
                }
                tracing::warn!(%database, %reason, "not flushed");
            }
            Err(error) => tracing::warn!(%database, %error, "not flushed"),
        }
        false
    }
}
