//! `system.influxdb_schema`: the columns of the tables of a database in the terms of InfluxDB 1, as in InfluxDB 3.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use neap_catalog::{Column, DatabaseCatalog, Table};
use neap_schema::ColumnType;

use super::columns::{table, views};

/// Returns the columns of the tables, sorted by table name and column name.
pub(super) fn rows(catalog: &DatabaseCatalog) -> Result<RecordBatch> {
    let tables = catalog.tables();
    let of_table = |table: &'_ std::sync::Arc<Table>| -> Vec<(String, Column)> {
        let columns = table.columns().iter();
        columns
            .map(|column| (table.name().to_owned(), column.clone()))
            .collect()
    };
    let mut columns: Vec<(String, Column)> = tables.flat_map(of_table).collect();
    columns.sort_by(|(table, column), (other_table, other)| {
        (table, &column.name).cmp(&(other_table, &other.name))
    });
    table(vec![
        (
            "measurement",
            false,
            views(columns.iter().map(|(table, _)| table)),
        ),
        (
            "key",
            false,
            views(columns.iter().map(|(_, column)| &column.name)),
        ),
        (
            "data_type",
            false,
            views(columns.iter().map(|(_, column)| name(column.column_type))),
        ),
    ])
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
