//! The caches of a table, and the names of their columns.

use std::sync::Arc;

use neap_schema::{CacheId, ColumnId, ColumnType, TIME_COLUMN};

use crate::{
    Column, DatabaseCatalog, DistinctCacheDefinition, LastCacheDefinition, Table, ValueColumns,
};

impl LastCacheDefinition {
    /// Returns the names of the key columns, in order.
    pub fn key_names(&self, table: &Table) -> Vec<String> {
        names(&self.key_columns, table)
    }

    /// Returns the names of the other columns without `time`: in the order of an explicit list, otherwise sorted.
    pub fn value_names(&self, table: &Table) -> Vec<String> {
        match &self.value_columns {
            ValueColumns::Explicit(columns) => names(columns, table),
            ValueColumns::AllNonKey => {
                let columns = table.columns().iter().filter(|column| {
                    column.name != TIME_COLUMN && !self.key_columns.contains(&column.id)
                });
                let mut names: Vec<_> = columns.map(|column| column.name.clone()).collect();
                names.sort_unstable();
                names
            }
        }
    }

    /// Returns whether a key column is a field. A later write can then move a row to another key.
    pub fn is_keyed_by_fields(&self, table: &Table) -> bool {
        has_fields(&self.key_columns, table)
    }
}

impl DistinctCacheDefinition {
    /// Returns the names of the columns, in order.
    pub fn column_names(&self, table: &Table) -> Vec<String> {
        names(&self.columns, table)
    }

    /// Returns whether a column is a field. A later write can then remove a combination from a row.
    pub fn is_keyed_by_fields(&self, table: &Table) -> bool {
        has_fields(&self.columns, table)
    }
}

/// Returns the columns with these ids. All of them exist because the columns of a cache are not dropped.
fn columns<'a>(ids: &'a [ColumnId], table: &'a Table) -> impl Iterator<Item = &'a Column> {
    ids.iter().filter_map(|id| table.column_by_id(*id))
}

fn names(ids: &[ColumnId], table: &Table) -> Vec<String> {
    columns(ids, table).map(|column| column.name.clone()).collect()
}

fn has_fields(ids: &[ColumnId], table: &Table) -> bool {
    columns(ids, table).any(|column| column.column_type != ColumnType::Tag)
}

impl Table {
    /// Returns the last value caches, in order of creation.
    pub fn last_caches(&self) -> &[Arc<LastCacheDefinition>] {
        &self.last_caches
    }

    /// Returns the distinct value caches, in order of creation.
    pub fn distinct_caches(&self) -> &[Arc<DistinctCacheDefinition>] {
        &self.distinct_caches
    }

    /// Returns the last value cache with this name.
    pub fn last_cache(&self, name: &str) -> Option<&Arc<LastCacheDefinition>> {
        self.last_caches.iter().find(|cache| cache.name == name)
    }

    /// Returns the distinct value cache with this name.
    pub fn distinct_cache(&self, name: &str) -> Option<&Arc<DistinctCacheDefinition>> {
        self.distinct_caches.iter().find(|cache| cache.name == name)
    }
}

impl DatabaseCatalog {
    /// Returns the id of the next cache. All ids assigned so far are smaller.
    pub fn next_cache(&self) -> CacheId {
        self.next_cache
    }

    /// Returns the ids of the caches of all tables, including dropped tables.
    pub fn cache_ids(&self) -> impl Iterator<Item = CacheId> {
        self.all_tables().flat_map(|table| {
            let last = table.last_caches.iter().map(|cache| cache.id);
            last.chain(table.distinct_caches.iter().map(|cache| cache.id))
        })
    }
}
