//! The database as plugins have it: the query function and the write function of the same process, without HTTP.
//!
//! ```text
//! plugin ── query ──► places for plugins ──► places for queries ──► QueryEngine
//!        └─ write ──► WriteService ──► group commit of the plugins' depth
//! ```
//!
//! Nothing here is waited for by what a plugin holds: a request that made it run has a place among requests, which
//! plugins take none of; a query that reads rows for a plugin waits for no other query. Plugins together take at most
//! half of the places for queries, so that clients are answered however many plugins ask.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use neap_bucket::Stamp;
use neap_catalog::{CatalogError, INTERNAL_DATABASE};
use neap_engine::{Database, PluginWrite, PortError, QueryRows};
use neap_query::{QueryEngine, QueryError, QueryRequest};
use neap_write::{Precision, WriteFailure, WriteOptions, WriteService};
use tokio::sync::Semaphore;

/// The longest that a query of a plugin waits for other queries of plugins.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// So long after its beginning, a write that failed for a reason that passes is not sent again.
const LAST_ATTEMPT: Duration = Duration::from_secs(30);

/// The functions of a process, as plugins use them.
#[derive(Debug)]
pub struct PluginDatabase {
    writes: Arc<WriteService>,
    queries: Arc<QueryEngine>,
    /// The queries of plugins that run at once.
    places: Arc<Semaphore>,
}

impl PluginDatabase {
    /// What plugins write goes through the one, and what they ask through the other.
    pub fn new(writes: Arc<WriteService>, queries: Arc<QueryEngine>) -> Self {
        let places = queries.settings().concurrent_queries.div_ceil(2).max(1);
        Self {
            writes,
            queries,
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Whether a write that failed may succeed when it is sent again, and after which pause. One that is in doubt is
    /// sent again, too: points that have a time are the same then.
    fn pause(failure: &WriteFailure, attempt: u32) -> Option<Duration> {
        let pause = failure.retry_after()?;
        Some(pause.saturating_mul(2_u32.saturating_pow(attempt)))
    }
}

/// What a plugin is told of a query.
fn refusal(error: QueryError) -> PortError {
    PortError(match error {
        QueryError::ReadOnly => "plugins can't delete rows with a query".to_owned(),
        error => error.to_string(),
    })
}

/// What a plugin is told of lines that are not stored.
fn unwritten(database: &str, failure: &WriteFailure) -> PortError {
    PortError(match failure {
        WriteFailure::Catalog(CatalogError::Forbidden) => {
            format!("the database {database} of the trigger was dropped")
        }
        failure => failure.to_string(),
    })
}

#[async_trait]
impl Database for PluginDatabase {
    async fn query(
        &self,
        database: &str,
        sql: &str,
        parameters: &[(String, String)],
    ) -> Result<QueryRows, PortError> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = self.queries.world().timeout(LONGEST_WAIT, place).await;
        let place = place.and_then(Result::ok);
        let place = place.ok_or_else(|| refusal(QueryError::Busy))?;
        let found = self.queries.find_database(database).await;
        let request = QueryRequest {
            text: sql.to_owned(),
            parameters: parameters.iter().cloned().collect(),
            ..QueryRequest::default()
        };
        let rows = self.queries.query(found.map_err(refusal)?, request).await;
        let rows = rows.map_err(refusal)?;
        let batches = rows.batches.map(move |batch| {
            // The place is given back with the last of the rows, or with the interest in them.
            let _place = &place;
            batch.map_err(refusal)
        });
        Ok(QueryRows {
            schema: rows.schema,
            batches: Box::pin(batches),
        })
    }

    async fn write(
        &self,
        database: &str,
        lines: Bytes,
        options: PluginWrite,
    ) -> Result<Option<Stamp>, PortError> {
        if database == INTERNAL_DATABASE {
            let text = format!("the database {INTERNAL_DATABASE} can't be written to");
            return Err(PortError(text));
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
        let begun = world.moment();
        let mut attempt = 0;
        loop {
            let failure = match self.writes.write(database, lines.clone(), options).await {
                Ok(accepted) => return Ok(accepted.stamp),
                Err(failure) => failure,
            };
            let pause = Self::pause(&failure, attempt);
            let in_time =
                |pause: &Duration| world.elapsed(&begun).saturating_add(*pause) < LAST_ATTEMPT;
            let Some(pause) = pause.filter(in_time) else {
                return Err(unwritten(database, &failure));
            };
            tracing::debug!(%database, %failure, ?pause, "lines of a plugin are sent again");
            world.clock.sleep(pause).await;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests;
