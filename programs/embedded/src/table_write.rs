//! Record batches as rows of a table.
//!
//! Rows are stored in parts, in their order. Each part is validated and acknowledged on its own, as a write of line
//! protocol.

use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use neap_bucket::Stamp;
use neap_rows::{
    columnar::{ColumnMapping, ColumnarRows, NumberedBatch, TablePart, TagColumns, batch_bytes},
    line_protocol::RowSource,
};
use neap_write::{
    DuplicateCheck, DuplicateRows, Precision, WriteFailure, WriteOptions, WriteService,
};

use crate::Error;

/// Maximum time for which a write is repeated that stored nothing, because of load for example.
pub(crate) const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// The size from which rows are stored as a part, in bytes.
const PART_BYTES: usize = 8 << 20;

/// The number of values from which rows are stored as a part: booleans have few bytes, and a request is limited to four
/// times as many values.
const PART_VALUES: usize = 4 << 20;

/// The table that record batches are written to.
#[derive(Clone, Debug, Default)]
pub struct TableWrite {
    /// The table and the roles of its columns. Without named tags, dictionaries of texts are tags.
    pub mapping: ColumnMapping,
    /// Whether a new table is created although many rows replace each other, because no column is a tag.
    pub allow_duplicates: bool,
}

impl TableWrite {
    /// Creates a write to a table whose time column is `time`.
    pub fn new(table: &str) -> Self {
        Self {
            mapping: ColumnMapping::for_table(table),
            allow_duplicates: false,
        }
    }

    /// Sets the columns that are tags, in the order of a new table. Other columns are fields.
    #[must_use]
    pub fn with_tags<'a>(mut self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        self.mapping.tags = TagColumns::Named(tags.into_iter().map(str::to_owned).collect());
        self
    }

    /// Sets the name of the time column.
    #[must_use]
    pub fn with_time_column(mut self, name: &str) -> Self {
        self.mapping.time.name = Some(name.to_owned());
        self
    }
}

/// The rows that a write has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenRows {
    /// The number of rows.
    pub rows: usize,
    /// The position of the last part in the order of all writes; `None` if there are no rows.
    pub stamp: Option<Stamp>,
    /// Rows that replaced each other, because the table has no tags.
    pub duplicates: Option<DuplicateRows>,
}

/// Stores all batches.
pub(crate) async fn write_table(
    writes: &WriteService,
    database: &str,
    write: &TableWrite,
    batches: impl IntoIterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<WrittenRows, Error> {
    let mut parts = PartWriter::new(writes, database, write);
    for batch in batches {
        let batch =
            batch.map_err(|error| Error::Batches { stored_rows: parts.written.rows, error })?;
        for piece in pieces(&batch) {
            parts.add(piece).await?;
        }
    }
    parts.store().await?;
    Ok(parts.written)
}

/// Splits a batch into pieces that are a part each, except the last one.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let by_bytes = rows.saturating_mul(PART_BYTES).div_ceil(batch_bytes(batch).max(1));
    let by_values = PART_VALUES.div_ceil(batch.num_columns().max(1));
    let step = by_bytes.min(by_values).max(1);
    (0..rows)
        .step_by(step)
        .map(move |start| batch.slice(start, step.min(rows - start)))
}

/// Collects pieces until they are a part, and stores it.
struct PartWriter<'a> {
    writes: &'a WriteService,
    database: &'a str,
    mapping: &'a ColumnMapping,
    options: WriteOptions,
    /// The number of the next row, from 1.
    next_row: usize,
    part: Vec<NumberedBatch>,
    part_bytes: usize,
    part_values: usize,
    written: WrittenRows,
}

impl<'a> PartWriter<'a> {
    fn new(writes: &'a WriteService, database: &'a str, write: &'a TableWrite) -> Self {
        let duplicates = if write.allow_duplicates {
            DuplicateCheck::Off
        } else {
            DuplicateCheck::On
        };
        Self {
            writes,
            database,
            mapping: &write.mapping,
            options: WriteOptions {
                precision: Precision::Nanosecond,
                accept_partial: false,
                duplicates,
                ..WriteOptions::default()
            },
            next_row: 1,
            part: Vec::new(),
            part_bytes: 0,
            part_values: 0,
            written: WrittenRows::default(),
        }
    }

    async fn add(&mut self, batch: RecordBatch) -> Result<(), Error> {
        let rows = batch.num_rows();
        self.part_bytes += batch_bytes(&batch);
        self.part_values += rows.saturating_mul(batch.num_columns());
        self.part.push(NumberedBatch {
            first_row: self.next_row,
            batch,
            refused: Vec::new(),
            has_tag_dictionaries: false,
        });
        self.next_row += rows;
        if self.part_bytes >= PART_BYTES || self.part_values >= PART_VALUES {
            self.store().await?;
        }
        Ok(())
    }

    /// Stores the collected pieces, if any.
    async fn store(&mut self) -> Result<(), Error> {
        if self.part.is_empty() {
            return Ok(());
        }
        (self.part_bytes, self.part_values) = (0, 0);
        let part = TablePart {
            mapping: self.mapping.clone(),
            batches: std::mem::take(&mut self.part),
        };
        let rows = ColumnarRows::from_parts(vec![part])
            .map_err(|error| Error::Columns { stored_rows: self.written.rows, error })?;
        let reservation = self
            .writes
            .reserve(rows.size_bytes())
            .await
            .map_err(|failure| self.failed(failure))?;
        let accepted = self
            .writes
            .write_with_retries(reservation, self.database, &rows, self.options, RETRY_LIMIT)
            .await
            .map_err(|failure| self.failed(failure))?;
        // Later parts are ordered after this one, because their rows may overwrite its rows.
        self.options.after = self.options.after.max(accepted.stamp);
        self.written = WrittenRows {
            rows: self.written.rows + accepted.rows,
            stamp: self.written.stamp.max(accepted.stamp),
            duplicates: self.written.duplicates.or(accepted.duplicates),
        };
        Ok(())
    }

    fn failed(&self, failure: WriteFailure) -> Error {
        Error::Rows { stored_rows: self.written.rows, failure: Box::new(failure) }
    }
}
