//! The parser's view of a database catalog, and the tables and columns that a request adds.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use neap_catalog::{DatabaseCatalog, TableAddition};
use neap_rows::line_protocol::{SchemaView, TableRows, TableView};

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
    /// All tables of the rows.
    tables: Vec<TableColumns>,
}

/// The columns of the rows of a table.
#[derive(Debug)]
struct TableColumns {
    table: String,
    schema: SchemaRef,
    /// The names under which the columns are encoded.
    stored_names: Vec<String>,
}

impl TableColumns {
    /// The columns of rows that are encoded with a catalog.
    fn new(catalog: &DatabaseCatalog, rows: &TableRows) -> Self {
        let (table, schema) = (rows.name.clone(), rows.batch.schema());
        let known = catalog.table(&table);
        let names = schema.fields().iter().map(|field| match known {
            Some(known) => known.expected_stored_name(field.name()),
            None => field.name().clone(),
        });
        Self { stored_names: names.collect(), table, schema }
    }

    /// Returns whether a catalog has the columns, with the same types and stored names.
    fn exist_in(&self, catalog: &DatabaseCatalog) -> bool {
        let mut columns = self.schema.fields().iter().zip(&self.stored_names);
        catalog.table(&self.table).is_some_and(|table| {
            columns.all(|(field, stored_name)| {
                let column = table.column(field.name());
                column.is_some_and(|column| {
                    column.column_type.is_named_by(field) && column.stored_name() == stored_name
                })
            })
        })
    }
}

impl MissingTables {
    /// Returns `None` if all tables and columns of the rows exist. The rows are encoded with a catalog.
    pub(crate) fn of_rows(catalog: &DatabaseCatalog, tables: &[TableRows]) -> Option<Self> {
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
            tables: tables.map(|rows| TableColumns::new(catalog, rows)).collect(),
        })
    }

    /// Returns whether a catalog has all tables and columns of the rows, with the same types and stored names. Several new
    /// columns may get other names than those under which they are encoded; then the request is validated again.
    pub(crate) fn exist_in(&self, catalog: &DatabaseCatalog) -> bool {
        self.tables.iter().all(|table| table.exist_in(catalog))
    }
}
