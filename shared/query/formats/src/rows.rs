//! JSON, JSON lines and CSV: formats that are written row by row.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::column::{ColumnState, ColumnWriter};
use super::text::{Dialect, push_text};

/// The text around the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `[{…},{…}]`
    JsonArray,
    /// `{…}` and a line end per row.
    JsonLines,
    /// A header line, and a line per row. Empty if there are no rows.
    Csv,
}

/// Writes rows in one of the framings.
#[derive(Debug)]
pub(crate) struct RowWriter {
    framing: Framing,
    columns: Vec<ColumnState>,
    header: Vec<u8>,
    has_started: bool,
}

impl RowWriter {
    /// Creates a writer of rows with the fields of `schema`.
    pub(crate) fn new(framing: Framing, schema: &Schema) -> Self {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let (columns, header) = match framing {
            Framing::JsonArray => (names.map(json_column).collect(), b"[".to_vec()),
            Framing::JsonLines => (names.map(json_column).collect(), Vec::new()),
            Framing::Csv => (csv_columns(schema.fields().len()), csv_header(names)),
        };
        Self { framing, columns, header, has_started: false }
    }

    /// Appends the rows of `batch`, which has the columns of the schema.
    ///
    /// # Errors
    ///
    /// The type of a column has no text form; nothing was appended.
    pub(crate) fn write(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<(), ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let dialect = match self.framing {
            Framing::JsonArray | Framing::JsonLines => Dialect::Json,
            Framing::Csv => Dialect::Csv,
        };
        let schema = batch.schema_ref();
        let mut columns = self
            .columns
            .iter_mut()
            .zip(schema.fields())
            .zip(batch.columns())
            .map(|((state, field), array)| ColumnWriter::new(state, field, array, dialect))
            .collect::<Result<Vec<_>, _>>()?;
        let first = !self.has_started;
        if first {
            out.extend_from_slice(&self.header);
        }
        for row in 0..batch.num_rows() {
            match self.framing {
                Framing::JsonArray => {
                    if !(first && row == 0) {
                        out.push(b',');
                    }
                    write_object(&mut columns, row, out);
                }
                Framing::JsonLines => {
                    write_object(&mut columns, row, out);
                    out.push(b'\n');
                }
                Framing::Csv => write_record(&mut columns, row, out),
            }
        }
        self.has_started = true;
        Ok(())
    }

    /// Appends the text after the last row.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.framing == Framing::JsonArray {
            if !self.has_started {
                out.extend_from_slice(&self.header);
            }
            out.push(b']');
        }
    }
}

/// Appends a row as a JSON object, without the keys of nulls.
fn write_object(columns: &mut [ColumnWriter<'_>], row: usize, out: &mut Vec<u8>) {
    let start = out.len();
    for column in columns {
        if !column.is_null(row) {
            column.write(row, out);
        }
    }
    // Every key is preceded by a comma; the brace replaces the first one.
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Appends a row as a CSV record with its line end.
fn write_record(columns: &mut [ColumnWriter<'_>], row: usize, out: &mut Vec<u8>) {
    let start = out.len();
    for column in columns {
        if column.is_null(row) {
            column.write_prefix(out);
        } else {
            column.write(row, out);
        }
    }
    end_record(start, out);
}

/// Ends the CSV record that began at `start`. If its only field is empty, the field is quoted, because an empty line
/// would not be read as a record.
fn end_record(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

fn json_column(name: &str) -> ColumnState {
    let mut prefix = b",".to_vec();
    push_text(name, Dialect::Json, &mut prefix);
    prefix.push(b':');
    ColumnState::new(prefix)
}

fn csv_columns(count: usize) -> Vec<ColumnState> {
    (0..count)
        .map(|index| {
            ColumnState::new(if index == 0 {
                Vec::new()
            } else {
                b",".to_vec()
            })
        })
        .collect()
}

fn csv_header<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut header = Vec::new();
    for (index, name) in names.enumerate() {
        if index > 0 {
            header.push(b',');
        }
        push_text(name, Dialect::Csv, &mut header);
    }
    end_record(0, &mut header);
    header
}
