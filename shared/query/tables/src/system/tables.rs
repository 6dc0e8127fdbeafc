//! `system.tables` of `_internal`: the tables of all databases including dropped ones, with the columns of InfluxDB 3, and
//! settings of Neap.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{Catalog, ColdStorage, DatabaseEntry, Deletion, Table};
use neap_scan::external;

use super::{
    catalogs::{DATABASE_NAME, databases, is_gone},
    source::{NameFilter, SystemTableSource},
    table_builder::SystemTableBuilder,
};

/// The tables of all databases.
#[derive(Debug)]
pub(super) struct TablesSource(pub(super) Arc<Catalog>);

struct TableRow<'a> {
    database: &'a DatabaseEntry,
    table: &'a Table,
    /// The setting of the table, otherwise that of its database.
    cold: Option<ColdStorage>,
}

impl TableRow<'_> {
    /// The deletion of the table or of its database.
    fn deletion(&self) -> Option<Deletion> {
        self.table.deletion().or(self.database.deletion)
    }
}

fn rows(tables: &[TableRow<'_>]) -> Result<RecordBatch> {
    SystemTableBuilder::new(tables)
        .views(DATABASE_NAME, |row| &row.database.name)
        .views("table_name", |row| row.table.name())
        .counts("column_count", |row| row.table.columns().len() as u64)
        .views("series_key_columns", |row| row.table.tag_names().join(", "))
        .counts("last_cache_count", |row| row.table.last_caches().len() as u64)
        .counts("distinct_cache_count", |row| row.table.distinct_caches().len() as u64)
        .booleans("deleted", |row| row.deletion().is_some())
        .seconds_or_null("hard_deletion_time", |row| row.deletion()?.hard_delete_at)
        .counts_or_null("cold_after_ns", |row| u64::try_from(row.cold?.after().as_nanos()).ok())
        .views_or_null("cold_class", |row| row.cold.map(|cold| cold.class().as_str()))
        .finish()
}

#[async_trait]
impl SystemTableSource for TablesSource {
    /// Costs 1 GET of the root catalog, and 1 GET of the catalog of each database that passes the filters.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let wanted = NameFilter::new(DATABASE_NAME, filters);
        let root = self.0.root(Duration::ZERO).await.map_err(external)?;
        let databases = databases(&self.0, &root.value, &wanted).await?;
        let tables = databases.iter().flat_map(|database| {
            let tables = database.catalog.all_tables();
            tables.map(|table| TableRow {
                database: &database.entry,
                table,
                cold: database.catalog.cold_storage_of(table.id()),
            })
        });
        let there = tables.filter(|row| !is_gone(row.deletion()));
        let mut tables: Vec<TableRow<'_>> = there.collect();
        tables.sort_by_key(|row| (&row.database.name, row.table.name()));
        rows(&tables)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}
