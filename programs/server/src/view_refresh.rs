//! The task that refreshes materialized views and continuous queries after flushes.
//!
//! A database with views is flushed at the interval of the option, because views have flushed rows only. It is due after
//! this process has flushed it, after it finds that another process has flushed its segments, after a view was created in
//! it, and when one of its views is behind. Other flushes by other processes, or by this process before a restart, are
//! found by a sweep over all databases at the start and every 600 seconds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::World;
use neap_catalog::Catalog;
use neap_query::QueryEngine;
use neap_schema::{DatabaseId, ViewId};
use tokio_util::sync::CancellationToken;

use super::{backlog::FlushBacklog, cache_refresh::ChangedDatabases, due_databases::DueDatabases};

/// Interval at which flushed databases are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the sweep over all databases, which costs at most one GET per database, and three per database with
/// views.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum age of the catalogs that a sweep uses.
const CATALOG_AGE: Duration = SWEEP_INTERVAL;

/// Maximum time for the views of one database, before other databases are processed.
const REFRESH_LIMIT: Duration = Duration::from_secs(60);

/// Pause after a failed refresh of a database.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Counters of refreshes since the start of the process.
#[derive(Debug, Default)]
pub(super) struct ViewStats {
    pub(super) windows: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) failures: AtomicU64,
    /// The number of databases with a view that was behind at its last refresh.
    pub(super) behind: AtomicU64,
}

/// Refreshes views in the background.
#[derive(Debug)]
pub(super) struct ViewRefreshTask {
    pub(super) engine: Arc<QueryEngine>,
    pub(super) catalog: Arc<Catalog>,
    /// The databases that were flushed since the last round.
    pub(super) flushed: Arc<ChangedDatabases>,
    /// Flushes databases with views early, because views have flushed rows only.
    pub(super) backlog: Arc<FlushBacklog>,
    pub(super) stats: Arc<ViewStats>,
    /// The interval of flushes of databases with views.
    pub(super) interval: Duration,
    pub(super) world: World,
}

/// The next view id of each database at the last round. A database with a new view is refreshed.
#[derive(Debug, Default)]
struct KnownViews(BTreeMap<DatabaseId, ViewId>);

impl KnownViews {
    /// Returns the databases with views created since the last call, among all known databases.
    fn news(&mut self, known: impl IntoIterator<Item = (DatabaseId, ViewId)>) -> Vec<DatabaseId> {
        let mut news = Vec::new();
        let mut seen = BTreeMap::new();
        for (database, next) in known {
            let before = self.0.get(&database).copied();
            if before.is_some_and(|before| next > before) || before.is_none() && next.get() > 1 {
                news.push(database);
            }
            seen.insert(database, before.map_or(next, |before| before.max(next)));
        }
        self.0 = seen;
        news
    }
}

impl ViewRefreshTask {
    /// Refreshes until `stop`. An interrupted refresh is continued by the next one.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.rounds() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn rounds(&self) {
        let mut queue = DueDatabases::default();
        let mut views = KnownViews::default();
        let mut next_sweep = self.world.clock.monotonic();
        loop {
            self.world.clock.sleep(CHECK_INTERVAL).await;
            let now = self.world.clock.monotonic();
            for database in self.flushed.take() {
                queue.add(database, now);
            }
            let known = self.catalog.known_databases();
            let with_views = known
                .iter()
                .filter(|(_, catalog)| catalog.value.views().next().is_some())
                .map(|(database, _)| *database)
                .collect();
            self.backlog.flush_early(with_views, self.interval);
            let known = known
                .into_iter()
                .map(|(database, catalog)| (database, catalog.value.next_view()));
            for database in views.news(known) {
                queue.add(database, now);
            }
            if now >= next_sweep {
                next_sweep = now + SWEEP_INTERVAL;
                for database in self.databases_with_views().await {
                    queue.add(database, now);
                }
            }
            for database in queue.take_due(now) {
                if let Some(wait) = self.refresh(database).await {
                    queue.add(database, self.world.clock.monotonic() + wait);
                }
            }
            let behind = u64::try_from(queue.len()).unwrap_or(u64::MAX);
            self.stats.behind.store(behind, Ordering::Relaxed);
        }
    }

    async fn databases_with_views(&self) -> Vec<DatabaseId> {
        let found = self.engine.databases_with_views(CATALOG_AGE).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list the databases with views");
            Vec::new()
        })
    }

    /// Refreshes the views of a database. Returns the time until another refresh is needed even without a flush.
    async fn refresh(&self, database: DatabaseId) -> Option<Duration> {
        let report = match self.engine.refresh_views(database, REFRESH_LIMIT).await {
            Ok(report) => report,
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%database, %error, "views not refreshed");
                return Some(PAUSE_AFTER_FAILURE);
            }
        };
        self.stats.windows.fetch_add(report.windows, Ordering::Relaxed);
        self.stats.rows.fetch_add(report.rows, Ordering::Relaxed);
        for (view, error) in report.failures() {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%database, view, %error, "view not refreshed");
        }
        if report.windows > 0 {
            let (windows, rows) = (report.windows, report.rows);
            tracing::info!(%database, windows, rows, "views refreshed");
        }
        report.next_refresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_with_a_new_view_is_refreshed_once() {
        let one = DatabaseId::new(1);
        let mut views = KnownViews::default();
        assert_eq!(views.news([(one, ViewId::new(1))]), []);
        assert_eq!(views.news([(one, ViewId::new(2))]), [one]);
        assert_eq!(views.news([(one, ViewId::new(2))]), []);
        let mut restarted = KnownViews::default();
        assert_eq!(restarted.news([(one, ViewId::new(3))]), [one]);
    }
}
