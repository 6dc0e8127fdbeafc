//! The parser's view of existing tables.

use std::sync::Arc;

pub use neap_schema::TableView;

/// The existing tables of a database.
pub trait SchemaView {
    /// Returns the columns of a table, or `None` if there is no such table.
    ///
    /// Called once for each table that a body names.
    fn table(&self, name: &str) -> Option<Arc<TableView>>;
}
