//! `system.distinct_caches`: the definitions of distinct value caches, as InfluxDB 3 shows them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use datafusion::common::Result;
use neap_catalog::{DistinctCacheDefinition, Table};
use neap_manifest::Snapshot;

use super::{
    caches::{CacheColumnLists, by_name},
    columns::{table, views},
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
    let numbers = |number: fn(&DistinctCacheDefinition) -> u64| -> ArrayRef {
        let numbers = caches.iter().map(|(_, cache)| number(cache));
        Arc::new(UInt64Array::from_iter_values(numbers))
    };
    table(vec![
        (
            "table",
            false,
            views(caches.iter().map(|(table, _)| table.name())),
        ),
        (
            "name",
            false,
            views(caches.iter().map(|(_, cache)| cache.name.as_str())),
        ),
        ("column_ids", false, ids),
        ("column_names", false, names),
        (
            "max_cardinality",
            false,
            numbers(|cache| cache.max_cardinality),
        ),
        ("max_age_seconds", false, numbers(|cache| cache.max_age_s)),
    ])
}
