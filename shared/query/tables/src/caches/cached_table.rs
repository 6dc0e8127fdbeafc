//! The provider of a table with caches.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use neap_catalog::Table;
use neap_scan::SnapshotTable;
use neap_schema::{CacheId, TableId};

use super::{CacheTable, TableCacheDefinition};
use crate::scope::QueryScope;

/// Returns the provider of a table. If the table has caches and the query may use them,
/// [`CacheRewrite`](super::CacheRewrite) can replace it by a cache. The table has further columns for these aliases.
pub(crate) fn table_provider(
    scope: &Arc<QueryScope>,
    table: &Arc<Table>,
    aliases: &[&str],
) -> Arc<dyn TableProvider> {
    let rows = scope.table(table).with_aliases(aliases);
    let has_caches = !table.last_caches().is_empty() || !table.distinct_caches().is_empty();
    if scope.uses_caches && has_caches {
        Arc::new(CachedTable { scope: Arc::clone(scope), rows })
    } else {
        Arc::new(rows)
    }
}

/// Brings the contents of a cache up to date; false if there is no such cache.
/// Fails if the contents can't be read or computed.
pub(crate) async fn refresh(
    scope: &Arc<QueryScope>,
    table: TableId,
    cache: CacheId,
) -> Result<bool> {
    let table = scope.snapshot.catalog.value.table_by_id(table);
    let Some((table, cache)) = table.and_then(|table| Some((table, find_cache(table, cache)?)))
    else {
        return Ok(false);
    };
    CacheTable::new(scope, table, cache).prepare().await?;
    Ok(true)
}

fn find_cache(table: &Table, id: CacheId) -> Option<TableCacheDefinition> {
    let last = table.last_caches().iter().find(|cache| cache.id == id);
    let distinct = table.distinct_caches().iter().find(|cache| cache.id == id);
    let last = last.map(|cache| TableCacheDefinition::Last(Arc::clone(cache)));
    last.or_else(|| distinct.map(|cache| TableCacheDefinition::Distinct(Arc::clone(cache))))
}

/// A table whose caches may answer queries of it.
#[derive(Clone, Debug)]
pub(crate) struct CachedTable {
    pub(super) scope: Arc<QueryScope>,
    pub(crate) rows: SnapshotTable,
}

#[async_trait]
impl TableProvider for CachedTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        self.rows.table_type()
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.rows.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(session, projection, filters, limit).await
    }
}
