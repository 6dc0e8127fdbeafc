//! The parser's view of a database catalog, and the tables and columns that a request adds.

use std::sync::Arc;

use neap_catalog::{DatabaseCatalog, TableAddition};
use neap_line_protocol::{SchemaView, TableRows, TableView};
use neap_schema::ColumnType;

/// A database catalog in the form that the parser needs.
pub(crate) struct CatalogView<'a>(pub(crate) &'a DatabaseCatalog);

impl SchemaView for CatalogView<'_> {
    fn table(&self, name: &str) -> Option<Arc<TableView>> {
        Some(self.0.table(name)?.view())
    }
}

/// Returns the tables and columns that the rows need and that do not exist yet.
pub(crate) fn additions(tables: &[TableRows]) -> Vec<TableAddition> {
    let incomplete = tables
        .iter()
        .filter(|table| table.is_new || !table.new_columns.is_empty());
    incomplete
        .map(|table| TableAddition {
            table: table.name.clone(),
            columns: table.new_columns.clone(),
        })
        .collect()
}

/// Returns whether a catalog has all tables and columns of the rows, with the same types.
pub(crate) fn has_tables_and_columns(catalog: &DatabaseCatalog, tables: &[TableRows]) -> bool {
    tables.iter().all(|rows| {
        catalog.table(&rows.name).is_some_and(|table| {
            rows.batch.schema_ref().fields().iter().all(|field| {
                let column = table.column(field.name());
                column.is_some_and(|column| is_of_type(field.metadata(), column.column_type))
            })
        })
    })
}

fn is_of_type(
    metadata: &std::collections::HashMap<String, String>,
    column_type: ColumnType,
) -> bool {
    metadata
        .get(neap_schema::COLUMN_TYPE_METADATA_KEY)
        .is_some_and(|value| value == column_type.metadata_value())
}
