//! The names of the tables of a database.

use serde::Deserialize;

/// Lists the tables of the database, by name.
pub(crate) const TABLES: &str = "SELECT table_name FROM information_schema.tables \
    WHERE table_schema = 'iox' ORDER BY table_name";

/// A row of [`TABLES`].
#[derive(Debug, Deserialize)]
pub(crate) struct TableRow {
    pub(crate) table_name: String,
}
