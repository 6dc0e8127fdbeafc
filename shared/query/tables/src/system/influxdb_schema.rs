//! `system.influxdb_schema`: the columns of the tables of a database in the terms of InfluxDB 1, as in InfluxDB 3.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_catalog::{DatabaseCatalog, Table};
use neap_manifest::Snapshot;
use neap_schema::ColumnType;

use super::{
    source::{NameFilter, SystemTableSource},
    table_builder::SystemTableBuilder,
};

/// The name of the column with the names of tables.
const MEASUREMENT: &str = "measurement";

/// The columns of the tables of a snapshot.
#[derive(Debug)]
pub(super) struct InfluxdbSchemaSource(pub(super) Arc<Snapshot>);

#[async_trait]
impl SystemTableSource for InfluxdbSchemaSource {
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        rows(&self.0.catalog.value, &NameFilter::new(MEASUREMENT, filters))
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&DatabaseCatalog::default(), &NameFilter::ANY)
    }
}

/// Returns the columns of the tables with these names, sorted by table name and column name.
fn rows(catalog: &DatabaseCatalog, names: &NameFilter<'_>) -> Result<RecordBatch> {
    let mut tables: Vec<&Table> = catalog
        .tables()
        .filter(|table| names.matches(table.name()))
        .map(Arc::as_ref)
        .collect();
    tables.sort_unstable_by_key(|table| table.name());
    let mut columns: Vec<(&str, &str, ColumnType)> = Vec::new();
    for table in tables {
        let first = columns.len();
        let of_table = table.columns().iter();
        columns.extend(
            of_table.map(|column| (table.name(), column.name.as_str(), column.column_type)),
        );
        if let Some(of_table) = columns.get_mut(first..) {
            of_table.sort_unstable_by_key(|(_, name, _)| *name);
        }
    }
    SystemTableBuilder::new(&columns)
        .views(MEASUREMENT, |(table, ..)| table)
        .views("key", |(_, name, _)| name)
        .views("data_type", |(.., column_type)| name(*column_type))
        .finish()
}

fn name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Tag => "tag",
        ColumnType::Time => "time",
        ColumnType::Float => "float",
        ColumnType::Integer => "integer",
        ColumnType::UInteger => "uinteger",
        ColumnType::String => "string",
        ColumnType::Boolean => "boolean",
    }
}
