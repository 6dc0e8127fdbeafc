//! Encodes the rows of a request.

use neap_catalog::DatabaseCatalog;
use neap_rows::line_protocol::TableRows;
use neap_schema::TableId;
use neap_wal::{EncodeError, EncodedRows};

use crate::WriteFailure;

/// The id of all tables during encoding, because new tables have no id yet.
const NO_TABLE: TableId = TableId::new(0);

/// The encoded rows of a request.
#[derive(Debug)]
pub(crate) struct EncodedTables {
    /// The names of the tables of `rows`.
    names: Vec<String>,
    rows: Vec<EncodedRows>,
}

impl EncodedTables {
    /// Encodes the rows of all tables, which need not exist.
    pub(crate) fn encode(tables: Vec<TableRows>) -> Result<Self, EncodeError> {
        let mut encoded = Self {
            names: Vec::with_capacity(tables.len()),
            rows: Vec::with_capacity(tables.len()),
        };
        for table in tables {
            encoded.rows.push(EncodedRows::encode(NO_TABLE, &table.batch)?);
            encoded.names.push(table.name);
        }
        Ok(encoded)
    }

    pub(crate) fn rows(&self) -> &[EncodedRows] {
        &self.rows
    }

    /// Returns the rows with the ids of their tables.
    ///
    /// # Errors
    /// Returns `Contended` if a table is not in the catalog.
    pub(crate) fn in_tables(
        self,
        catalog: &DatabaseCatalog,
    ) -> Result<Vec<EncodedRows>, WriteFailure> {
        let tables = self.names.into_iter().zip(self.rows);
        let place = |(name, rows): (String, EncodedRows)| {
            let table = catalog.table(&name).ok_or(WriteFailure::Contended)?;
            Ok(rows.in_table(table.id()))
        };
        tables.map(place).collect()
    }
}
