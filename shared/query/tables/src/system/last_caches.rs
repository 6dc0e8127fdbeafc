//! `system.last_caches`: the definitions of last value caches, as InfluxDB 3 shows them.
//!
//! The value columns are null where a cache shows all columns that are not in its key.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use neap_catalog::{LastCacheDefinition, Table, ValueColumns};
use neap_manifest::Snapshot;
use neap_schema::ColumnId;

use super::{
    caches::{CacheColumnLists, by_name},
    table_builder::SystemTableBuilder,
};

/// The last value caches of the tables of a database.
pub(super) fn rows(snapshot: &Snapshot) -> Result<RecordBatch> {
    let caches: Vec<(&Table, &LastCacheDefinition)> =
        by_name(snapshot, Table::last_caches, |cache| &cache.name);
    let (mut keys, mut values) = (CacheColumnLists::new(), CacheColumnLists::new());
    for (table, cache) in &caches {
        keys.push(table, &cache.key_columns);
        match &cache.value_columns {
            ValueColumns::AllNonKey => values.push_null(),
            ValueColumns::Explicit(columns) => {
                let time = ColumnId::default();
                values.push(table, &[columns.as_slice(), &[time]].concat());
            }
        }
    }
    let ([key_ids, key_names], [value_ids, value_names]) = (keys.finish(), values.finish());
    SystemTableBuilder::new(&caches)
        .views("table", |(table, _)| table.name())
        .views("name", |(_, cache)| &cache.name)
        .column("key_column_ids", false, key_ids)
        .column("key_column_names", false, key_names)
        .column("value_column_ids", true, value_ids)
        .column("value_column_names", true, value_names)
        .counts("count", |(_, cache)| cache.count)
        .counts("ttl", |(_, cache)| cache.ttl_s)
        .finish()
}
