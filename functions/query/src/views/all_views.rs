//! Refreshes the views of all databases within a time limit, for functions that a scheduler invokes.

use std::time::Duration;

use futures::{StreamExt, stream};
use neap_catalog::{CatalogError, DatabaseCatalog};
use neap_schema::DatabaseId;

use crate::QueryEngine;

/// Number of catalogs that are read concurrently.
const CATALOGS_AT_ONCE: usize = 16;

/// The work of a refresh of all views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllViewsReport {
    /// The number of databases with views.
    pub databases: usize,
    /// The number of computed windows.
    pub windows: u64,
    /// The number of rows written.
    pub rows: u64,
    /// The databases with a view that was not refreshed, with the reasons.
    pub failures: Vec<(DatabaseId, String)>,
    /// Whether another refresh has work even without new data.
    pub unfinished: bool,
}

impl QueryEngine {
    /// Returns the live databases with views, by catalogs that are at most `max_age` old, and those whose catalog can't
    /// be read.
    ///
    /// # Errors
    /// The root catalog can't be read.
    pub async fn databases_with_views(
        &self,
        max_age: Duration,
    ) -> Result<Vec<DatabaseId>, CatalogError> {
        self.databases_where(max_age, |catalog| catalog.views().next().is_some()).await
    }

    /// Returns the live databases whose catalog meets a condition, by catalogs that are at most `max_age` old, and those whose
    /// catalog can't be read.
    /// Fails if the root catalog can't be read.
    pub(crate) async fn databases_where(
        &self,
        max_age: Duration,
        condition: fn(&DatabaseCatalog) -> bool,
    ) -> Result<Vec<DatabaseId>, CatalogError> {
        let root = self.catalog().root(max_age).await?.value;
        let live: Vec<DatabaseId> = root.live_databases().map(|(database, _)| database).collect();
        let read: Vec<_> = live
            .into_iter()
            .map(|database| async move {
                let catalog = self.catalog().database(database, max_age).await;
                let is_other = catalog.is_ok_and(|it| !condition(&it.value));
                (!is_other).then_some(database)
            })
            .collect();
        let read = stream::iter(read).buffered(CATALOGS_AT_ONCE);
        Ok(read.filter_map(std::future::ready).collect().await)
    }

    /// Refreshes the views of all databases. Begins no further windows after `limit`, which all databases share: a
    /// database with much work does not delay the others. Without changes, it costs 1 GET, 1 for each database, and 3
    /// more for each one with views.
    ///
    /// # Errors
    /// The root catalog can't be read. Failures of single databases are in the report.
    pub async fn refresh_all_views(&self, limit: Duration) -> Result<AllViewsReport, CatalogError> {
        let world = self.world();
        let started_at = world.clock_reading();
        let mut waiting = self.databases_with_views(Duration::ZERO).await?;
        let mut report = AllViewsReport { databases: waiting.len(), ..AllViewsReport::default() };
        while !waiting.is_empty() {
            let mut behind = Vec::new();
            let count = waiting.len();
            for (index, database) in waiting.into_iter().enumerate() {
                let left = limit.saturating_sub(world.elapsed(&started_at));
                if left.is_zero() {
                    behind.push(database);
                    continue;
                }
                let others = u32::try_from(count - index).unwrap_or(u32::MAX);
                if self.refresh_share(database, left / others, &mut report).await {
                    behind.push(database);
                }
            }
            let is_over = world.elapsed(&started_at) >= limit;
            if is_over {
                report.unfinished |= !behind.is_empty();
                break;
            }
            waiting = behind;
        }
        Ok(report)
    }

    /// Refreshes the views of one database. Returns whether it can be continued at once.
    async fn refresh_share(
        &self,
        database: DatabaseId,
        limit: Duration,
        report: &mut AllViewsReport,
    ) -> bool {
        let refreshed = match self.refresh_views(database, limit).await {
            Ok(refreshed) => refreshed,
            Err(error) => {
                report.failures.push((database, error.to_string()));
                return false;
            }
        };
        report.windows = report.windows.saturating_add(refreshed.windows);
        report.rows = report.rows.saturating_add(refreshed.rows);
        for (view, error) in refreshed.failures() {
            let reason = format!("view '{view}': {error}");
            report.failures.push((database, reason));
        }
        let Some(wait) = refreshed.next_refresh() else {
            return false;
        };
        // Without progress, another attempt would not be better.
        let continues = wait.is_zero() && refreshed.windows > 0;
        report.unfinished |= !continues;
        continues
    }
}
