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
    columns::{booleans, counts, counts_or_null, seconds_or_null, table, views, views_or_null},
    source::{NameFilter, SystemTableSource},
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
    let rows = || tables.iter();
    let number = |number: fn(&Table) -> usize| counts(rows().map(|row| number(row.table) as u64));
    table(vec![
        (
            DATABASE_NAME,
            false,
            views(rows().map(|row| &row.database.name)),
        ),
        (
            "table_name",
            false,
            views(rows().map(|row| row.table.name())),
        ),
        ("column_count", false, number(|table| table.columns().len())),
        (
            "series_key_columns",
            false,
            views(rows().map(|row| row.table.tag_names().join(", "))),
        ),
        (
            "last_cache_count",
            false,
            number(|table| table.last_caches().len()),
        ),
        (
            "distinct_cache_count",
            false,
            number(|table| table.distinct_caches().len()),
        ),
        (
            "deleted",
            false,
            booleans(rows().map(|row| row.deletion().is_some())),
        ),
        (
            "hard_deletion_time",
            true,
            seconds_or_null(rows().map(|row| row.deletion()?.hard_delete_at)),
        ),
        (
            "cold_after_ns",
            true,
            counts_or_null(rows().map(|row| u64::try_from(row.cold?.after().as_nanos()).ok())),
        ),
        (
            "cold_class",
            true,
            views_or_null(rows().map(|row| row.cold.map(|cold| cold.class().as_str()))),
        ),
    ])
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
