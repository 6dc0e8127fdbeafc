//! The task that maintains the store while the process runs: it merges flushed sections, fills new caches, removes
//! expired and dropped data, and deletes unreferenced objects.
//!
//! The task has its own threads at the lowest priority and, on network stores, its own connections, so that merges wait
//! for requests and requests don't wait for merges. It may be interrupted at any point; the next run continues.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use neap_bucket::World;
use neap_catalog::{Catalog, CatalogError, DatabaseCatalog};
use neap_compact::{CompactError, CompactionReport, Compactor, CompactorEvent};
use neap_manifest::{ManifestError, RowDeleteLog};
use neap_schema::{CacheId, DatabaseId};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::sweep_schedule::FIRST_SWEEP_DELAY;

/// Interval at which flushed databases are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum time for merges of one database after a flush, before other databases are processed.
const FLUSHED_LIMIT: Duration = Duration::from_secs(60);

/// Time from the start to the first round over all databases; short, so that processes with short lives run a round,
/// too.
const FIRST_ROUND: Duration = Duration::from_secs(120);

/// Maximum time of a round over all databases, before databases flushed in the meantime are processed.
const ROUND_LIMIT: Duration = Duration::from_secs(600);

/// Pause after a panic of the task.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(60);

/// Time after a flush when its segments can be deleted: the grace period of the garbage collector plus the maximum
/// clock difference.
const DELETE_SEGMENTS_AFTER: Duration = Duration::from_secs(130);

/// Niceness of the threads, from -20 (highest priority) to 19.
const NICENESS: i32 = 19;

/// Flushed databases that await maintenance, with the time of the flush.
#[derive(Debug, Default)]
pub(super) struct FlushedDatabases(Mutex<BTreeMap<DatabaseId, PendingMaintenance>>);

/// Pending maintenance of a flushed database.
#[derive(Clone, Copy, Debug)]
struct PendingMaintenance {
    flushed: Duration,
    is_merged: bool,
}

impl FlushedDatabases {
    /// Records a committed flush.
    pub(super) fn note(&self, database: DatabaseId, now: Duration) {
        let visits = PendingMaintenance { flushed: now, is_merged: false };
        self.lock().insert(database, visits);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DatabaseId, PendingMaintenance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the databases to process: each once after a flush, and once more when the flushed segments can be
    /// deleted.
    fn due(&self, now: Duration) -> Vec<DatabaseId> {
        let mut due = Vec::new();
        self.lock().retain(|database, visits| {
            let is_tidy = now.saturating_sub(visits.flushed) >= DELETE_SEGMENTS_AFTER;
            if !visits.is_merged || is_tidy {
                due.push(*database);
            }
            visits.is_merged = true;
            !is_tidy
        });
        due
    }
}

/// The next cache id of each database at the last check. A database with a new cache is processed soon.
#[derive(Debug, Default)]
struct KnownCaches(BTreeMap<DatabaseId, CacheId>);

impl KnownCaches {
    /// Returns the databases with caches created since the last call, among all known databases.
    fn news(&mut self, known: impl IntoIterator<Item = (DatabaseId, CacheId)>) -> Vec<DatabaseId> {
        let none = DatabaseCatalog::default().next_cache();
        let mut seen = BTreeMap::new();
        let mut news = Vec::new();
        for (database, next) in known {
            let before = self.0.get(&database).copied().unwrap_or(none);
            if next > before {
                news.push(database);
            }
            seen.insert(database, next.max(before));
        }
        self.0 = seen;
        news
    }
}

/// Counters of maintenance since the start of the process.
#[derive(Debug, Default)]
pub(super) struct MaintenanceStats {
    pub(super) merges: AtomicU64,
    pub(super) removed_sections: AtomicU64,
    pub(super) deleted_objects: AtomicU64,
    pub(super) filled_caches: AtomicU64,
    pub(super) failures: AtomicU64,
    /// The row delete requests that were not completed at the last look.
    pub(super) pending_row_deletes: AtomicU64,
}

impl MaintenanceStats {
    fn add(&self, report: &CompactionReport) {
        let add = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        let collected = &report.collected;
        add(&self.merges, report.merges);
        add(&self.removed_sections, report.removed);
        add(&self.filled_caches, report.caches);
        add(
            &self.deleted_objects,
            collected.segments + collected.objects + collected.results,
        );
        add(&self.failures, report.failures.len());
    }
}

/// The progress of row deletes was not recorded.
#[derive(Debug, thiserror::Error)]
enum RowDeleteRefreshError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Log(#[from] ManifestError),
}

/// Maintains databases in the background.
#[derive(Debug)]
pub(super) struct MaintenanceTask {
    pub(super) compactor: Compactor,
    pub(super) flushed: Arc<FlushedDatabases>,
    /// The catalogs shared with the functions of this process, which see new caches first.
    pub(super) catalog: Arc<Catalog>,
    pub(super) stats: Arc<MaintenanceStats>,
    /// Interval of the rounds over all databases.
    pub(super) interval: Duration,
    pub(super) world: World,
}

impl MaintenanceTask {
    /// Runs until `stop`, which interrupts it. A task that panics, for example on damaged data, is restarted.
    pub(super) async fn run(self: Arc<Self>, stop: &CancellationToken) {
        loop {
            let work = Arc::clone(&self);
            let mut task = tokio::spawn(async move { work.work().await });
            tokio::select! {
                () = stop.cancelled() => {
                    task.abort();
                    return;
                }
                ended = &mut task => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(?ended, "maintenance panicked");
                }
            }
            self.world.clock.sleep(PAUSE_AFTER_PANIC).await;
        }
    }

    async fn work(&self) {
        let mut next_round = self.world.clock.monotonic() + FIRST_ROUND.min(self.interval);
        let mut caches = KnownCaches::default();
        // The first look comes half an interval after the beginning of the first flush, with which it does not compete.
        let before = FIRST_SWEEP_DELAY.saturating_sub(CHECK_INTERVAL / 2);
        self.world.clock.sleep(before).await;
        loop {
            self.world.clock.sleep(CHECK_INTERVAL).await;
            let now = self.world.clock.monotonic();
            let due = stream::iter(self.flushed.due(now));
            due.for_each_concurrent(self.compactor.parallel_databases(), |database| async move {
                let limit = Some(FLUSHED_LIMIT);
                let report = self.compactor.after_flush(database, limit).await;
                if report.as_ref().is_ok_and(CompactionReport::has_more) {
                    self.flushed.note(database, now);
                }
                self.note(report);
            })
            .await;
            let known = self
                .catalog
                .known_databases()
                .into_iter()
                .map(|(database, catalog)| (database, catalog.value.next_cache()));
            for database in caches.news(known) {
                let limit = Some(FLUSHED_LIMIT);
                self.note(self.compactor.fill_caches(database, limit).await);
            }
            if now >= next_round {
                let limit = Some(ROUND_LIMIT);
                let report = self.compactor.handle(&CompactorEvent::Collect, limit).await;
                // Continue soon if work is left.
                let pause = if report.as_ref().is_ok_and(CompactionReport::has_more) {
                    CHECK_INTERVAL
                } else {
                    self.interval
                };
                next_round = self.world.clock.monotonic() + pause;
                self.note(report);
                self.refresh_row_deletes().await;
            }
        }
    }

    /// Records which row deletes are completed: 1 GET, if none is pending.
    async fn refresh_row_deletes(&self) {
        let refreshed = async {
            let root = self.catalog.root(self.catalog.max_age()).await?.value;
            let log = RowDeleteLog::new(&self.catalog);
            let exists = |database| root.databases().contains_key(&database);
            Ok::<_, RowDeleteRefreshError>(log.refresh(exists).await?)
        };
        match refreshed.await {
            Ok(requests) => {
                let pending = requests.pending().count() as u64;
                let shown = &self.stats.pending_row_deletes;
                shown.store(pending, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "the progress of row deletes is not recorded");
            }
        }
    }

    fn note(&self, report: Result<CompactionReport, CompactError>) {
        match report {
            Ok(report) => self.stats.add(&report),
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "maintenance failed");
            }
        }
    }
}

/// Creates the runtime of maintenance.
pub(super) fn runtime(parallel: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("maintenance")
        .worker_threads(1)
        .max_blocking_threads(parallel.max(1) + 2)
        .on_thread_start(|| {
            // Maintenance works without it, but competes with requests.
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "cannot lower the priority of maintenance threads");
            }
        })
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flushed_database_is_due_immediately_and_when_its_segments_can_be_deleted() {
        let flushed = FlushedDatabases::default();
        let database = DatabaseId::new(3);
        let at = Duration::from_secs;
        flushed.note(database, at(10));
        assert_eq!(flushed.due(at(11)), [database]);
        assert_eq!(flushed.due(at(12)), []);
        assert_eq!(flushed.due(at(140)), [database]);
        assert_eq!(flushed.due(at(900)), []);
    }

    #[test]
    fn a_database_is_due_once_for_each_new_cache() {
        let mut seen = KnownCaches::default();
        let (one, two) = (DatabaseId::new(1), DatabaseId::new(2));
        let id = CacheId::new;
        assert_eq!(seen.news([(one, id(1)), (two, id(1))]), []);
        assert_eq!(seen.news([(one, id(1)), (two, id(3))]), [two]);
        assert_eq!(seen.news([(one, id(2)), (two, id(3))]), [one]);
        // A catalog that is read again may be older.
        assert_eq!(seen.news([(one, id(2)), (two, id(2))]), []);
        assert_eq!(seen.news([(one, id(2)), (two, id(3))]), []);
    }

    #[test]
    fn another_flush_postpones_the_second_maintenance() {
        let flushed = FlushedDatabases::default();
        let database = DatabaseId::new(3);
        let at = Duration::from_secs;
        flushed.note(database, at(10));
        flushed.due(at(11));
        flushed.note(database, at(100));
        assert_eq!(flushed.due(at(140)), [database]);
        assert_eq!(flushed.due(at(141)), []);
        assert_eq!(flushed.due(at(230)), [database]);
    }
}
