//! Functions for `system.last_caches` and `system.distinct_caches`: the tables with their caches, and the ids and names
//! of columns.
//!
//! InfluxDB 3 Core counts the columns of a table from 0, and `time` comes after the columns that the table was created
//! with. Here the id of `time` follows those of the other columns. It is the same as in Core for a table that got no
//! columns since it was created, and it is never the id of another column.

use std::sync::Arc;

use arrow::{
    array::{ListArray, ListBuilder, StringViewBuilder, UInt16Builder},
    datatypes::{DataType, Field},
};
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_schema::{ColumnId, ColumnType};

/// Returns the caches of one kind of all tables of a database, sorted by table name and cache name.
pub(super) fn by_name<'a, C>(
    snapshot: &'a Snapshot,
    caches: impl Fn(&'a Table) -> &'a [Arc<C>],
    name: impl Fn(&C) -> &str,
) -> Vec<(&'a Table, &'a C)> {
    let tables = snapshot.catalog.value.tables();
    let of_table = |table: &'a Arc<Table>| {
        let table: &'a Table = table;
        caches(table).iter().map(move |cache| (table, cache.as_ref()))
    };
    let mut found: Vec<(&Table, &C)> = tables.flat_map(of_table).collect();
    found.sort_by_key(|(table, cache)| (table.name(), name(cache).to_owned()));
    found
}

/// Lists of the columns of caches, as ids and as names.
pub(super) struct CacheColumnLists {
    ids: ListBuilder<UInt16Builder>,
    names: ListBuilder<StringViewBuilder>,
}

impl CacheColumnLists {
    pub(super) fn new() -> Self {
        let items = |data_type| Arc::new(Field::new("item", data_type, true));
        Self {
            ids: ListBuilder::new(UInt16Builder::new()).with_field(items(DataType::UInt16)),
            names: ListBuilder::new(StringViewBuilder::new()).with_field(items(DataType::Utf8View)),
        }
    }

    /// Adds the columns of one cache.
    pub(super) fn push(&mut self, table: &Table, columns: &[ColumnId]) {
        let last = table.columns().last().map(|column| column.id).unwrap_or_default();
        for column in columns.iter().filter_map(|id| table.column_by_id(*id)) {
            let id = match column.column_type {
                ColumnType::Time => usize::from(last.get()) + 1,
                _ => usize::from(column.id.get()),
            };
            let id = u16::try_from(id.saturating_sub(1)).unwrap_or(u16::MAX);
            self.ids.values().append_value(id);
            self.names.values().append_value(&column.name);
        }
        self.ids.append(true);
        self.names.append(true);
    }

    /// Adds null, for a cache that names no columns.
    pub(super) fn push_null(&mut self) {
        self.ids.append(false);
        self.names.append(false);
    }

    /// Returns the ids and the names.
    pub(super) fn finish(mut self) -> [Arc<ListArray>; 2] {
        [Arc::new(self.ids.finish()), Arc::new(self.names.finish())]
    }
}
