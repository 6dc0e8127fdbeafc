//! `system.distinct_caches`: the definitions of distinct value caches, as InfluxDB 3 shows them.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use neap_catalog::{DistinctCacheDefinition, Table};
use neap_manifest::Snapshot;

use super::{
    caches::{CacheColumnLists, by_name},
    table_builder::SystemTableBuilder,
};

/// The distinct value caches of the tables of a database.
pub(super) fn rows(snapshot: &Snapshot) -> Result<RecordBatch> {
    let caches: Vec<(&Table, &DistinctCacheDefinition)> =
        by_name(snapshot, Table::distinct_caches, |cache| &cache.name);
    let mut columns = CacheColumnLists::new();
    for (table, cache) in &caches {
        columns.push(table, &cache.columns);
    }
    let [ids, names] = columns.finish();
    SystemTableBuilder::new(&caches)
        .views("table", |(table, _)| table.name())
        .views("name", |(_, cache)| &cache.name)
        .column("column_ids", false, ids)
        .column("column_names", false, names)
        .counts("max_cardinality", |(_, cache)| cache.max_cardinality)
        .counts("max_age_seconds", |(_, cache)| cache.max_age_s)
        .finish()
}
