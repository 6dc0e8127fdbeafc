//! Keeps caches that are asked for up to date with what is written, so that a query finds it done.

use std::sync::Arc;

use neap_catalog::Table;
use neap_manifest::SnapshotOptions;
use neap_schema::{CacheId, DatabaseId, TableId};

use super::{Cache, CacheTable};
use crate::{
    QueryEngine, QueryError, QueryRequest, interrupt::Interrupt, scan::Behind, session::Scope,
};

impl QueryEngine {
    /// Brings what is kept for the caches of a database up to date, as far as they were asked for lately; their
    /// number. Costs no request if there is none; else those of a query and, after a flush, one for each cache.
    ///
    /// # Errors
    /// Whatever a query would meet first; the other caches are up to date nevertheless. It takes no longer than a
    /// query may.
    pub async fn feed(&self, database: DatabaseId) -> Result<usize, QueryError> {
        let warm = self.shared().bases.warm(database);
        if warm.is_empty() || !self.settings().use_caches {
            return Ok(0);
        }
        let timeout = self.settings().timeout;
        let fed = self.world().timeout(timeout, self.feed_all(database, warm));
        fed.await.ok_or(QueryError::Timeout(timeout))?
    }

    async fn feed_all(
        &self,
        database: DatabaseId,
        warm: Vec<(TableId, CacheId)>,
    ) -> Result<usize, QueryError> {
        let (options, request) = (SnapshotOptions::default(), QueryRequest::default());
        let scope = self
            .scope(
                database,
                options,
                &request,
                Behind::Fail,
                Interrupt::default(),
            )
            .await?;
        self.executor().run(feed(scope, warm)).await
    }
}

async fn feed(scope: Arc<Scope>, warm: Vec<(TableId, CacheId)>) -> Result<usize, QueryError> {
    let catalog = &scope.snapshot.catalog.value;
    let (mut fed, mut failed) = (0, None);
    for (table, cache) in warm {
        let table = catalog.table_by_id(table);
        let Some((table, cache)) = table.and_then(|table| Some((table, find(table, cache)?)))
        else {
            continue;
        };
        match CacheTable::new(&scope, table, cache).prepare().await {
            Ok(()) => fed += 1,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(fed), |error| Err(QueryError::Execution(error)))
}

fn find(table: &Table, id: CacheId) -> Option<Cache> {
    let last = table.last_caches().iter().find(|cache| cache.id == id);
    let distinct = table.distinct_caches().iter().find(|cache| cache.id == id);
    let last = last.map(|cache| Cache::Last(Arc::clone(cache)));
    last.or_else(|| distinct.map(|cache| Cache::Distinct(Arc::clone(cache))))
}
