//! The parser's view of a database catalog, and the tables and columns that a request adds.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use neap_catalog::{DatabaseCatalog, TableAddition};
use neap_rows::line_protocol::{SchemaView, TableRows, TableView};
use neap_schema::ColumnType;

/// A database catalog in the form that the parser needs.
pub(crate) struct CatalogView<'a>(pub(crate) &'a DatabaseCatalog);

impl SchemaView for CatalogView<'_> {
    fn table(&self, name: &str) -> Option<Arc<TableView>> {
        Some(self.0.table(name)?.view())
    }
}

/// The tables and columns that the rows of a request need, some of which do not exist yet.
#[derive(Debug)]
pub(crate) struct MissingTables {
    /// The tables and columns that do not exist yet.
    pub(crate) additions: Vec<TableAddition>,
    /// All tables of the rows, with their columns.
    tables: Vec<(String, SchemaRef)>,
}

impl MissingTables {
    /// Returns `None` if all tables and columns of the rows exist.
    pub(crate) fn of_rows(tables: &[TableRows]) -> Option<Self> {
        let incomplete =
            tables.iter().filter(|table| table.is_new || !table.new_columns.is_empty());
        let additions: Vec<_> = incomplete
            .map(|table| TableAddition {
                table: table.name.clone(),
                columns: table.new_columns.clone(),
            })
            .collect();
        if additions.is_empty() {
            return None;
        }
        let tables = tables.iter();
        Some(Self {
            additions,
            tables: tables.map(|table| (table.name.clone(), table.batch.schema())).collect(),
        })
    }

    /// Returns whether a catalog has all tables and columns of the rows, with the same types.
    pub(crate) fn exist_in(&self, catalog: &DatabaseCatalog) -> bool {
        self.tables.iter().all(|(name, schema)| {
            catalog.table(name).is_some_and(|table| {
                schema.fields().iter().all(|field| {
                    let column = table.column(field.name());
                    column.is_some_and(|column| is_of_type(field.metadata(), column.column_type))
                })
            })
        })
    }
}

fn is_of_type(
    metadata: &std::collections::HashMap<String, String>,
    column_type: ColumnType,
) -> bool {
    metadata
        .get(neap_schema::COLUMN_TYPE_METADATA_KEY)
        .is_some_and(|value| value == column_type.metadata_value())
}
