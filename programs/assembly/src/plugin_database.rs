//! Gives plugins access to the database: calls the query function and the write function of the same process, without
//! HTTP.
//!
//! ```text
//! plugin ── query ──► permits for plugins ──► permits for queries ──► QueryEngine
//!        └─ write ──► WriteService ──► group commit of the plugins' depth
//! ```
//!
//! No wait here can deadlock on a resource that a plugin holds. A request that triggered the plugin holds a request
//! permit, and plugins take no request permits; a query that reads rows for a plugin waits for no other query. All
//! plugins together take at most half of the query permits, so that clients are answered regardless of the number of
//! plugin queries.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use neap_bucket::Stamp;
use neap_catalog::{CatalogError, INTERNAL_DATABASE};
use neap_engine::{DatabaseAccess, DatabaseAccessError, PluginWriteOptions, QueryRows};
use neap_query::{QueryEngine, QueryError, QueryRequest};
use neap_write::{Precision, WriteFailure, WriteOptions, WriteService};
use tokio::sync::Semaphore;

/// Maximum time that a plugin query waits for other plugin queries.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(10);

/// Time after the first attempt beyond which a write that failed with a retryable error is not retried.
const RETRY_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Query and write access to the database for the plugins of one process.
#[derive(Debug)]
pub struct PluginDatabase {
    writes: Arc<WriteService>,
    queries: Arc<QueryEngine>,
    /// Permits for concurrent plugin queries.
    places: Arc<Semaphore>,
}

impl PluginDatabase {
    /// Creates a database port that sends writes to `writes` and queries to `queries`.
    pub fn new(writes: Arc<WriteService>, queries: Arc<QueryEngine>) -> Self {
        let places = queries.settings().concurrent_queries.div_ceil(2).max(1);
        Self {
            writes,
            queries,
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Returns the pause before a failed write is retried, or `None` if a retry can't succeed. A write whose outcome is
    /// unknown is retried, too, because points with a timestamp overwrite themselves.
    fn pause(failure: &WriteFailure, attempt: u32) -> Option<Duration> {
        let pause = failure.retry_after()?;
        Some(pause.saturating_mul(2_u32.saturating_pow(attempt)))
    }
}

/// Converts a query error into the error that the plugin receives.
fn query_error(error: QueryError) -> DatabaseAccessError {
    DatabaseAccessError(match error {
        QueryError::ReadOnly => "plugins can't delete rows with a query".to_owned(),
        error => error.to_string(),
    })
}

/// Converts a write failure into the error that the plugin receives.
fn write_error(database: &str, failure: &WriteFailure) -> DatabaseAccessError {
    DatabaseAccessError(match failure {
        WriteFailure::Catalog(CatalogError::Forbidden) => {
            format!("the database {database} of the trigger was dropped")
        }
        failure => failure.to_string(),
    })
}

#[async_trait]
impl DatabaseAccess for PluginDatabase {
    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = self
            .queries
            .world()
            .timeout(MAX_QUEUE_TIME, place)
            .await
            .and_then(Result::ok)
            .ok_or_else(|| query_error(QueryError::Busy))?;
        let found = self.queries.find_database(database).await;
        let request = QueryRequest {
            text: sql.to_owned(),
            parameters: parameters.iter().cloned().collect(),
            ..QueryRequest::default()
        };
        let rows = self
            .queries
            .query(found.map_err(query_error)?, request)
            .await
            .map_err(query_error)?;
        let batches = rows.batches.map(move |batch| {
            // The permit is released with the last batch, or when the stream is dropped.
            let _place = &place;
            batch.map_err(query_error)
        });
        Ok(QueryRows { schema: rows.schema, batches: Box::pin(batches) })
    }

    async fn write(
        &self,
        database: &str,
        lines: Bytes,
        options: PluginWriteOptions,
    ) -> Result<Option<Stamp>, DatabaseAccessError> {
        if database == INTERNAL_DATABASE {
            let text = format!("the database {INTERNAL_DATABASE} can't be written to");
            return Err(DatabaseAccessError(text));
        }
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: false,
            no_sync: options.no_sync,
            depth: options.depth,
            only: options.only,
            ..WriteOptions::default()
        };
        let world = self.queries.world();
        let started_at = world.clock_reading();
        let mut attempt = 0;
        loop {
            let failure = match self.writes.write(database, lines.clone(), options).await {
                Ok(accepted) => return Ok(accepted.stamp),
                Err(failure) => failure,
            };
            let pause = Self::pause(&failure, attempt);
            let in_time = |pause: &Duration| {
                world.elapsed(&started_at).saturating_add(*pause) < RETRY_TIME_LIMIT
            };
            let Some(pause) = pause.filter(in_time) else {
                return Err(write_error(database, &failure));
            };
            tracing::debug!(%database, %failure, ?pause, "retrying a plugin write");
            world.clock.sleep(pause).await;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests;
