//! Refreshes the last and distinct value caches that queries use, so that a query does not have to.

use neap_manifest::SnapshotOptions;
use neap_operators::Cancellation;
use neap_scan::StaleTail;
use neap_schema::{CacheId, DatabaseId, TableId};
use neap_tables::QueryContext;

use crate::{QueryEngine, QueryError, QueryRequest};

impl QueryEngine {
    /// Refreshes the caches of a database that queries used recently, and returns their number. Sends no request if
    /// there are none. Otherwise it sends the requests of one query and, after a flush, one more for each cache.
    ///
    /// # Errors
    /// The first error that a query would meet; the other caches are refreshed nevertheless. The refresh is bounded by
    /// the timeout of a query.
    pub async fn feed(&self, database: DatabaseId) -> Result<usize, QueryError> {
        let warm = self.tables().cache_layers.warm(database);
        if warm.is_empty() || !self.settings().use_caches {
            return Ok(0);
        }
        let timeout = self.settings().timeout;
        let fed = self.world().timeout(timeout, self.refresh_listed_caches(database, warm));
        fed.await.ok_or(QueryError::Timeout(timeout))?
    }

    async fn refresh_listed_caches(
        &self,
        database: DatabaseId,
        warm: Vec<(TableId, CacheId)>,
    ) -> Result<usize, QueryError> {
        let (options, request) = (SnapshotOptions::default(), QueryRequest::default());
        let context = self
            .context(database, options, &request, StaleTail::Fail, Cancellation::default())
            .await?;
        self.executor().run(refresh_all(context, warm)).await
    }
}

/// Refreshes the caches that still exist and returns their number. An error of one cache does not stop the others.
async fn refresh_all(
    context: QueryContext,
    warm: Vec<(TableId, CacheId)>,
) -> Result<usize, QueryError> {
    let (mut refreshed, mut failed) = (0, None);
    for (table, cache) in warm {
        match context.refresh_cache(table, cache).await {
            Ok(true) => refreshed += 1,
            Ok(false) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(refreshed), |error| Err(QueryError::Execution(error)))
}
