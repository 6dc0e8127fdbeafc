//! The incremental writer of all formats.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::kind::Format;
use super::parquet::ParquetWriter;
use super::rows::{Framing, RowWriter};
use super::table::TableWriter;

/// How much of an answer is kept in memory by the formats that cannot leave row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a table (`pretty`) may have. Its cells and its lines are both kept, so twice as
    /// much is held at most.
    pub table_bytes: usize,
    /// Encoded bytes after which a row group of a Parquet file leaves.
    pub row_group_bytes: usize,
}

impl Default for Limits {
    /// Tables of 64 MiB, row groups of 32 MiB.
    fn default() -> Self {
        Self {
            table_bytes: 64 << 20,
            row_group_bytes: 32 << 20,
        }
    }
}

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A column's type has no text form.
    #[error("cannot write the result: {0}")]
    Arrow(#[from] ArrowError),
    /// A column's type has no Parquet form.
    #[error("cannot write the result as Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// A format that is kept in memory has more bytes than allowed.
    #[error(
        "the result has more than {limit} bytes in format {format}; ask for json, jsonl, csv or parquet, or add a LIMIT"
    )]
    TooLarge {
        /// The format asked for.
        format: Format,
        /// The bytes allowed.
        limit: usize,
    },
    /// A batch has not the columns of the result's schema.
    #[error("the result has {expected} columns, but a batch of {found} columns came")]
    Columns {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the batch.
        found: usize,
    },
}

/// Writes record batches in a [`Format`], appending to a buffer of the caller.
///
/// Call [`Encoder::write`] for every batch and [`Encoder::finish`] once. After an error the answer
/// cannot be completed.
#[derive(Debug)]
pub struct Encoder {
    columns: usize,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Rows(RowWriter),
    Table(TableWriter),
    Parquet(Box<ParquetWriter>),
}

impl Encoder {
    /// An encoder for a result with the columns of `schema`.
    pub fn new(format: Format, schema: SchemaRef, limits: Limits) -> Self {
        let writer = match format {
            Format::Json => Writer::Rows(RowWriter::new(Framing::JsonArray, &schema)),
            Format::JsonLines => Writer::Rows(RowWriter::new(Framing::JsonLines, &schema)),
            Format::Csv => Writer::Rows(RowWriter::new(Framing::Csv, &schema)),
            Format::Pretty => Writer::Table(TableWriter::new(&schema, limits.table_bytes)),
            Format::Parquet => {
                Writer::Parquet(Box::new(ParquetWriter::new(limits.row_group_bytes)))
            }
        };
        Self {
            columns: schema.fields().len(),
            writer,
        }
    }

    /// Appends to `out` what can be written of `batch`: its rows, or nothing yet, or a row group.
    ///
    /// # Errors
    ///
    /// A type that cannot be written, a table beyond its limit, or a batch with other columns.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if batch.num_columns() != self.columns {
            return Err(FormatError::Columns {
                expected: self.columns,
                found: batch.num_columns(),
            });
        }
        match &mut self.writer {
            Writer::Rows(rows) => Ok(rows.write(batch, out)?),
            Writer::Table(table) => table.write(batch),
            Writer::Parquet(file) => Ok(file.write(batch, out)?),
        }
    }

    /// Appends the rest of the answer to `out`.
    ///
    /// # Errors
    ///
    /// A table beyond its limit, or a failure to encode the last row group.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FormatError> {
        match &mut self.writer {
            Writer::Rows(rows) => {
                rows.finish(out);
                Ok(())
            }
            Writer::Table(table) => table.finish(out),
            Writer::Parquet(file) => Ok(file.finish(out)?),
        }
    }
}
