//! The task that keeps the store in order while the process runs: it merges what was flushed, fills new caches,
//! removes what has expired or was dropped, and deletes what nothing needs.
//!
//! It has threads and, on a network, connections of its own, at the lowest priority: a request never waits
//! for a merge, only the merge for requests. It may be cut short anywhere; the next run goes on.

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
use neap_catalog::{Catalog, DatabaseCatalog};
use neap_compact::{CompactError, Compactor, Event, Report};
use neap_schema::{CacheId, DatabaseId};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How often the databases that were flushed are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long merges after a flush may take before others have their turn.
const FLUSHED_LIMIT: Duration = Duration::from_secs(60);

/// The first look at every database is so long after the start: a process that never lives long looks, too.
const FIRST_ROUND: Duration = Duration::from_secs(120);

/// How long a look at every database may take before what was flushed meanwhile has its turn.
const ROUND_LIMIT: Duration = Duration::from_secs(600);

/// The pause after a task that broke down.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(60);

/// So long after a flush its segments can be deleted: the grace of the collector, and what clocks differ by.
const TIDY_AFTER: Duration = Duration::from_secs(130);

/// The priority of the threads, from -20, the highest, to 19.
const NICENESS: i32 = 19;

/// The databases that were flushed and not looked at since, with the time of the flush.
#[derive(Debug, Default)]
pub(super) struct Flushed(Mutex<BTreeMap<DatabaseId, Visits>>);

/// What is left to be done after a flush.
#[derive(Clone, Copy, Debug)]
struct Visits {
    flushed: Duration,
    is_merged: bool,
}

impl Flushed {
    /// A flush was committed at this time.
    pub(super) fn note(&self, database: DatabaseId, now: Duration) {
        let visits = Visits {
            flushed: now,
            is_merged: false,
        };
        self.lock().insert(database, visits);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DatabaseId, Visits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The databases to look at: those that were flushed, and once more when their segments can go.
    fn due(&self, now: Duration) -> Vec<DatabaseId> {
        let mut due = Vec::new();
        self.lock().retain(|database, visits| {
            let is_tidy = now.saturating_sub(visits.flushed) >= TIDY_AFTER;
            if !visits.is_merged || is_tidy {
                due.push(*database);
            }
            visits.is_merged = true;
            !is_tidy
        });
        due
    }
}

/// The caches of databases as this process has seen them last: a database with a new one is looked at soon.
#[derive(Debug, Default)]
struct SeenCaches(BTreeMap<DatabaseId, CacheId>);

impl SeenCaches {
    /// The databases with caches that were not there the last time, of all that a process knows of.
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

/// What maintenance has done since the process started.
#[derive(Debug, Default)]
pub(super) struct MaintenanceStats {
    pub(super) merges: AtomicU64,
    pub(super) removed_sections: AtomicU64,
    pub(super) deleted_objects: AtomicU64,
    pub(super) filled_caches: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl MaintenanceStats {
    fn add(&self, report: &Report) {
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

/// Maintains databases in the background.
#[derive(Debug)]
pub(super) struct Maintenance {
    pub(super) compactor: Compactor,
    pub(super) flushed: Arc<Flushed>,
    /// The catalogs as the functions of this process know them, in which new caches show first.
    pub(super) catalog: Arc<Catalog>,
    pub(super) stats: Arc<MaintenanceStats>,
    /// How often every database is looked at.
    pub(super) interval: Duration,
    pub(super) world: World,
}

impl Maintenance {
    /// Works until `stop`, which cuts it short. A task that breaks down, on damaged data for instance, is started
    /// again.
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
                    tracing::error!(?ended, "maintenance broke down");
                }
            }
            self.world.clock.sleep(PAUSE_AFTER_PANIC).await;
        }
    }

    async fn work(&self) {
        let mut next_round = self.world.clock.monotonic() + FIRST_ROUND.min(self.interval);
        let mut caches = SeenCaches::default();
        loop {
            self.world.clock.sleep(CHECK_INTERVAL).await;
            let now = self.world.clock.monotonic();
            let due = stream::iter(self.flushed.due(now));
            due.for_each_concurrent(self.compactor.parallel_databases(), |database| async move {
                let limit = Some(FLUSHED_LIMIT);
                let report = self.compactor.after_flush(database, limit).await;
                if report.as_ref().is_ok_and(Report::has_more) {
                    self.flushed.note(database, now);
                }
                self.note(report);
            })
            .await;
            let known = self.catalog.known_databases().into_iter();
            let known = known.map(|(database, catalog)| (database, catalog.value.next_cache()));
            for database in caches.news(known) {
                let limit = Some(FLUSHED_LIMIT);
                self.note(self.compactor.fill_caches(database, limit).await);
            }
            if now >= next_round {
                let limit = Some(ROUND_LIMIT);
                let report = self.compactor.handle(&Event::Collect, limit).await;
                // What is left has its turn soon.
                let pause = match report.as_ref().is_ok_and(Report::has_more) {
                    true => CHECK_INTERVAL,
                    false => self.interval,
                };
                next_round = self.world.clock.monotonic() + pause;
                self.note(report);
            }
        }
    }

    fn note(&self, report: Result<Report, CompactError>) {
        match report {
            Ok(report) => self.stats.add(&report),
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "maintenance failed");
            }
        }
    }
}

/// The threads of maintenance.
///
/// # Errors
///
/// They can't be started.
pub(super) fn runtime(parallel: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("maintenance")
        .worker_threads(1)
        .max_blocking_threads(parallel.max(1) + 2)
        .on_thread_start(|| {
            // Without it maintenance works all the same, only in the way of requests.
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "maintenance has the priority of requests");
            }
        })
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flushed_database_is_looked_at_at_once_and_when_its_segments_can_go() {
        let flushed = Flushed::default();
        let database = DatabaseId::new(3);
        let at = Duration::from_secs;
        flushed.note(database, at(10));
        assert_eq!(flushed.due(at(11)), [database]);
        assert_eq!(flushed.due(at(12)), []);
        assert_eq!(flushed.due(at(140)), [database]);
        assert_eq!(flushed.due(at(900)), []);
    }

    #[test]
    fn a_database_is_looked_at_once_for_each_new_cache() {
        let mut seen = SeenCaches::default();
        let (one, two) = (DatabaseId::new(1), DatabaseId::new(2));
        let id = CacheId::new;
        assert_eq!(seen.news([(one, id(1)), (two, id(1))]), []);
        assert_eq!(seen.news([(one, id(1)), (two, id(3))]), [two]);
        assert_eq!(seen.news([(one, id(2)), (two, id(3))]), [one]);
        // A catalog that was read again may be one from before.
        assert_eq!(seen.news([(one, id(2)), (two, id(2))]), []);
        assert_eq!(seen.news([(one, id(2)), (two, id(3))]), []);
    }

    #[test]
    fn a_further_flush_puts_the_second_look_off() {
        let flushed = Flushed::default();
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
