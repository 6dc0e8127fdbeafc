//! The incremental writer of all formats.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::arrow_stream::ArrowStreamWriter;
use super::error::FormatError;
use super::format::Format;
use super::parquet::ParquetWriter;
use super::rows::{Framing, RowWriter};
use super::table::TableWriter;

/// Memory limits of the formats that can't be streamed row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatLimits {
    /// The maximum size of a table (`pretty`), in bytes. Cells and lines are both held, so memory is at most twice
    /// this.
    pub table_bytes: usize,
    /// The size at which a row group of a Parquet file is emitted, in encoded bytes.
    pub row_group_bytes: usize,
}

impl Default for FormatLimits {
    /// 64 MiB for tables, 32 MiB for row groups.
    fn default() -> Self {
        Self { table_bytes: 64 << 20, row_group_bytes: 32 << 20 }
    }
}

/// Encodes record batches in a [`Format`] and appends them to the caller's buffer.
///
/// Call [`Encoder::write`] for every batch and [`Encoder::finish`] once. After an error the answer can't be completed.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use neap_formats::{Encoder, Format, FormatLimits};
///
/// let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
/// let batch = RecordBatch::try_from_iter([("count", counts)])?;
/// let mut encoder = Encoder::new(Format::Csv, batch.schema(), FormatLimits::default());
/// let mut answer = Vec::new();
/// encoder.write(&batch, &mut answer)?;
/// encoder.finish(&mut answer)?;
/// assert_eq!(answer, b"count\n1\n2\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    columns: usize,
    writer: FormatWriter,
}

#[derive(Debug)]
enum FormatWriter {
    Rows(RowWriter),
    Table(TableWriter),
    Parquet(Box<ParquetWriter>),
    Arrow(Box<ArrowStreamWriter>),
}

impl Encoder {
    /// Creates an encoder for a result with the columns of `schema`.
    pub fn new(format: Format, schema: SchemaRef, limits: FormatLimits) -> Self {
        let writer = match format {
            Format::Json => FormatWriter::Rows(RowWriter::new(Framing::JsonArray, &schema)),
            Format::JsonLines => FormatWriter::Rows(RowWriter::new(Framing::JsonLines, &schema)),
            Format::Csv => FormatWriter::Rows(RowWriter::new(Framing::Csv, &schema)),
            Format::Pretty => FormatWriter::Table(TableWriter::new(&schema, limits.table_bytes)),
            Format::Parquet => {
                FormatWriter::Parquet(Box::new(ParquetWriter::new(limits.row_group_bytes)))
            }
            Format::Arrow => FormatWriter::Arrow(Box::new(ArrowStreamWriter::new(&schema))),
        };
        Self { columns: schema.fields().len(), writer }
    }

    /// Appends to `out` the part of `batch` that can be written now: its rows, a row group, or nothing yet.
    ///
    /// # Errors
    /// A type that can't be encoded, or a batch with other columns.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if batch.num_columns() != self.columns {
            return Err(FormatError::Columns {
                expected: self.columns,
                found: batch.num_columns(),
            });
        }
        match &mut self.writer {
            FormatWriter::Rows(rows) => Ok(rows.write(batch, out)?),
            FormatWriter::Table(table) => table.write(batch),
            FormatWriter::Parquet(file) => Ok(file.write(batch, out)?),
            FormatWriter::Arrow(stream) => Ok(stream.write(batch, out)?),
        }
    }

    /// Appends the rest of the answer to `out`.
    ///
    /// # Errors
    ///
    /// A failure to encode the last row group.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), FormatError> {
        match &mut self.writer {
            FormatWriter::Rows(rows) => {
                rows.finish(out);
                Ok(())
            }
            FormatWriter::Table(table) => {
                table.finish(out);
                Ok(())
            }
            FormatWriter::Parquet(file) => Ok(file.finish(out)?),
            FormatWriter::Arrow(stream) => Ok(stream.finish(out)?),
        }
    }
}
