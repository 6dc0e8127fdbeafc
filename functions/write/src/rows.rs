//! Encodes the rows of a request in parts that fit a segment.

use arrow_array::RecordBatch;
use neap_catalog::DatabaseCatalog;
use neap_line_protocol::TableRows;
use neap_schema::TableId;
use neap_wal::{EncodeError, EncodedRows, MAX_SEGMENT_BYTES};

use crate::WriteFailure;

/// Maximum bytes of one part: a segment minus its other content.
const MAX_PART_BYTES: usize = MAX_SEGMENT_BYTES - 1024;

/// The id of all tables during encoding, because new tables have no id yet.
const NO_TABLE: TableId = TableId::new(0);

/// The encoded rows of a request.
#[derive(Debug)]
pub(crate) struct EncodedTables {
    /// The names of the tables, and the number of parts of each.
    tables: Vec<(String, usize)>,
    /// The parts of all tables, in the order of the tables.
    parts: Vec<EncodedRows>,
}

impl EncodedTables {
    /// Encodes the rows of all tables, which need not exist. Rows larger than a segment are split into several parts,
    /// in order.
    pub(crate) fn encode(tables: Vec<TableRows>) -> Result<Self, EncodeError> {
        let mut encoded = Self {
            tables: Vec::with_capacity(tables.len()),
            parts: Vec::with_capacity(tables.len()),
        };
        for rows in tables {
            let before = encoded.parts.len();
            encode_table(NO_TABLE, &rows.batch, MAX_PART_BYTES, &mut encoded.parts)?;
            encoded
                .tables
                .push((rows.name, encoded.parts.len() - before));
        }
        Ok(encoded)
    }

    pub(crate) fn parts(&self) -> &[EncodedRows] {
        &self.parts
    }

    /// Returns the parts with the ids of their tables.
    ///
    /// # Errors
    /// Returns `Contended` if a table is not in the catalog.
    pub(crate) fn into_parts(
        self,
        catalog: &DatabaseCatalog,
    ) -> Result<Vec<EncodedRows>, WriteFailure> {
        let mut parts = self.parts.into_iter();
        let mut placed = Vec::with_capacity(parts.len());
        for (name, count) in self.tables {
            let table = catalog.table(&name).ok_or(WriteFailure::Contended)?.id();
            placed.extend(parts.by_ref().take(count).map(|part| part.in_table(table)));
        }
        Ok(placed)
    }
}

fn encode_table(
    table: TableId,
    batch: &RecordBatch,
    limit: usize,
    parts: &mut Vec<EncodedRows>,
) -> Result<(), EncodeError> {
    let encoded = EncodedRows::encode(table, batch)?;
    let rows = batch.num_rows();
    // A single row is not split. If it is too large, the writer returns an error.
    if encoded.size_bytes() <= limit || rows == 1 {
        parts.push(encoded);
        return Ok(());
    }
    let half = rows / 2;
    encode_table(table, &batch.slice(0, half), limit, parts)?;
    encode_table(table, &batch.slice(half, rows - half), limit, parts)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_line_protocol::{Options, Precision, parse};

    use super::*;
    use crate::schema::CatalogView;

    #[test]
    fn rows_larger_than_a_part_are_split_in_order() {
        let body: String = (0..1_000)
            .map(|n| format!("m s=\"{n:x>64}\" {n}\n"))
            .collect();
        let options = Options {
            precision: Precision::Nanosecond,
            ..Options::default()
        };
        let catalog = Arc::new(DatabaseCatalog::default());
        let parsed = parse(body.as_bytes(), &CatalogView(&catalog), &options).unwrap();
        let batch = &parsed.tables[0].batch;
        let mut parts = Vec::new();
        encode_table(TableId::new(1), batch, 2_000, &mut parts).unwrap();
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.size_bytes() <= 2_000));
        let mut next = 0;
        for part in &parts {
            assert_eq!(part.min_time(), next);
            next = part.max_time() + 1;
        }
        assert_eq!(next, 1_000);
    }
}
