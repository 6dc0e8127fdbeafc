//! Encodes the rows of a request.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, FieldRef, Schema};
use neap_catalog::{DatabaseCatalog, Table};
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
    /// Encodes the rows of all tables, which need not exist, with the stored names that their columns have or will get.
    pub(crate) fn encode(
        catalog: &DatabaseCatalog,
        tables: Vec<TableRows>,
    ) -> Result<Self, EncodeError> {
        let mut encoded = Self {
            names: Vec::with_capacity(tables.len()),
            rows: Vec::with_capacity(tables.len()),
        };
        for table in tables {
            let batch = match catalog.table(&table.name) {
                Some(known) => with_stored_names(known, table.batch).map_err(|source| {
                    let table = NO_TABLE;
                    EncodeError::Arrow { table, source }
                })?,
                None => table.batch,
            };
            encoded.rows.push(EncodedRows::encode(NO_TABLE, &batch)?);
            encoded.names.push(table.name);
        }
        Ok(encoded)
    }

    pub(crate) fn rows(&self) -> &[EncodedRows] {
        &self.rows
    }

    /// Returns the rows with the ids of their tables.
    /// Fails with `Contended` if a table is not in the catalog.
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

/// Returns rows of a table with the stored names of its columns, some of which may be new.
fn with_stored_names(table: &Table, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema_ref();
    let is_stored = |field: &FieldRef| table.expected_stored_name(field.name()) == *field.name();
    if table.has_stored_names() && table.dropped_columns().is_empty()
        || schema.fields().iter().all(is_stored)
    {
        return Ok(rows);
    }
    let renamed = schema.fields().iter().map(|field| -> FieldRef {
        let name = table.expected_stored_name(field.name());
        Arc::new(field.as_ref().clone().with_name(name))
    });
    let stored = Schema::new_with_metadata(renamed.collect::<Vec<_>>(), schema.metadata().clone());
    RecordBatch::try_new(Arc::new(stored), rows.columns().to_vec())
}
