//! Rows as line protocol, for clients.

use std::fmt::Write;

use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array, cast::AsArray,
    types::Int32Type,
};
use neap_schema::ColumnType;

use crate::{
    columnar::{
        batch::{BatchColumn, BatchColumns, RequestTime},
        error::{EncodeError, RowRefusal},
        mapping::ColumnMapping,
        numbered_batch::NumberedBatch,
        render::render_row,
        rows::{check_columns, check_size},
        size::batch_bytes,
    },
    line_protocol::{LineError, Precision},
};

/// Writes the rows of a batch as line protocol with timestamps in nanoseconds.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampNanosecondArray};
/// use neap_rows::{
///     columnar::{ColumnMapping, LineEncoder, LineRows, NumberedBatch},
///     line_protocol::Precision,
/// };
///
/// let loads: ArrayRef = Arc::new(Float64Array::from(vec![0.25]));
/// let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![10]));
/// let numbered = NumberedBatch {
///     first_row: 1,
///     batch: RecordBatch::try_from_iter([("load", loads), ("time", times)])?,
///     refused: Vec::new(),
///     has_tag_dictionaries: false,
/// };
/// let mapping = ColumnMapping {
///     table: "cpu".to_owned(),
///     ..ColumnMapping::default()
/// };
/// let mut encoder = LineEncoder::new(&numbered, &mapping, Precision::Nanosecond)?;
/// let mut lines = LineRows::default();
/// assert!(!encoder.encode(&mut lines, 1_000));
/// assert_eq!(lines.text, "cpu load=0.25 10\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LineEncoder<'a> {
    numbered: &'a NumberedBatch,
    columns: BatchColumns,
    measurement: String,
    /// The name of each column with its escapes.
    keys: Vec<String>,
    next_row: usize,
}

/// Lines of a batch.
#[derive(Debug, Default)]
pub struct LineRows {
    /// The lines, each with a newline at its end.
    pub text: String,
    /// The number of the row of each line.
    pub rows: Vec<usize>,
    /// The rows that cannot be written as lines.
    pub errors: Vec<LineError>,
}

impl<'a> LineEncoder<'a> {
    /// Creates an encoder. Times that are integers without a unit are in `precision`.
    ///
    /// # Errors
    /// The mapping does not fit the batch, or Arrow cannot convert a column.
    pub fn new(
        numbered: &'a NumberedBatch,
        mapping: &ColumnMapping,
        precision: Precision,
    ) -> Result<Self, EncodeError> {
        mapping.check()?;
        check_columns(mapping, &numbered.batch)?;
        check_size(batch_bytes(&numbered.batch))?;
        let time = RequestTime { precision, default_time: 0 };
        let columns = BatchColumns::new(numbered, mapping, time, |_| None)?;
        let mut measurement = String::new();
        escape(&mut measurement, &mapping.table, ", ");
        let key = |column: &BatchColumn| {
            let mut key = String::new();
            escape(&mut key, column.name(), ",= ");
            key
        };
        Ok(Self {
            numbered,
            keys: columns.columns.iter().map(key).collect(),
            columns,
            measurement,
            next_row: 0,
        })
    }

    /// Adds the next rows to `lines` until their text has `max_bytes`, and at least one row. Returns whether rows are
    /// left.
    pub fn encode(&mut self, lines: &mut LineRows, max_bytes: usize) -> bool {
        while self.next_row < self.columns.rows {
            let row = self.next_row;
            let start = lines.text.len();
            let encoded = self.encode_row(row, &mut lines.text);
            if encoded.is_ok() && lines.text.len() > max_bytes && start > 0 {
                lines.text.truncate(start);
                return true;
            }
            self.next_row += 1;
            match encoded {
                Ok(()) => lines.rows.push(self.numbered.first_row + row),
                Err(refusal) => {
                    lines.text.truncate(start);
                    lines.errors.push(LineError {
                        line_number: self.numbered.first_row + row,
                        original_line: render_row(&self.numbered.batch, row),
                        error_message: refusal.to_string(),
                        kind: refusal.kind(),
                        conflict: None,
                    });
                }
            }
        }
        false
    }

    fn encode_row(&self, row: usize, text: &mut String) -> Result<(), RowRefusal> {
        let is_refused = |rows: &arrow_buffer::BooleanBuffer| rows.value(row);
        if self.columns.refused.as_ref().is_some_and(is_refused) {
            self.check(row)?;
        }
        check_newline("the table", &self.measurement)?;
        text.push_str(&self.measurement);
        let mut separator = ' ';
        for (column, key) in self.columns.columns.iter().zip(&self.keys) {
            if !column.has_value(row) {
                continue;
            }
            check_newline(column.name(), key)?;
            if column.column_type == ColumnType::Tag {
                let value = tag_value(column.converted.values.as_ref(), row);
                check_newline(column.name(), value)?;
                text.push(',');
                text.push_str(key);
                text.push('=');
                escape(text, value, ",= ");
            } else {
                text.push(separator);
                separator = ',';
                text.push_str(key);
                text.push('=');
                push_field(text, column.converted.values.as_ref(), row);
            }
        }
        if self.columns.has_time(row) {
            let time = self.columns.times.get(row).copied().unwrap_or_default();
            // Writing to memory does not fail.
            write!(text, " {time}").ok();
        }
        text.push('\n');
        Ok(())
    }

    /// Returns the error of a row that cannot be written.
    fn check(&self, row: usize) -> Result<(), RowRefusal> {
        let time = self.columns.time_refusal(row);
        self.columns.check_syntax(row, time.as_ref())?;
        let columns = self.columns.columns.iter();
        let mut refusals = columns.filter(|column| column.has_value(row));
        let refusal =
            refusals.find_map(|column| column.type_refusal().or_else(|| column.value_refusal(row)));
        refusal.or(time).map_or(Ok(()), Err)
    }
}

fn check_newline(column: &str, value: &str) -> Result<(), RowRefusal> {
    if value.contains('\n') {
        Err(RowRefusal::NewlineInName(column.to_owned()))
    } else {
        Ok(())
    }
}

fn tag_value(values: &dyn Array, row: usize) -> &str {
    if let Some(dictionary) = values.as_dictionary_opt::<Int32Type>() {
        let key = dictionary.key(row).unwrap_or_default();
        let texts = dictionary.values().as_string_opt::<i32>();
        return texts.filter(|texts| key < texts.len()).map_or("", |texts| texts.value(key));
    }
    values.as_string_opt::<i32>().map_or("", |texts| texts.value(row))
}

fn push_field(text: &mut String, values: &dyn Array, row: usize) {
    let values = values.as_any();
    // Writing to memory does not fail.
    if let Some(values) = values.downcast_ref::<Float64Array>() {
        write!(text, "{}", values.value(row)).ok();
    } else if let Some(values) = values.downcast_ref::<Int64Array>() {
        write!(text, "{}i", values.value(row)).ok();
    } else if let Some(values) = values.downcast_ref::<UInt64Array>() {
        write!(text, "{}u", values.value(row)).ok();
    } else if let Some(values) = values.downcast_ref::<BooleanArray>() {
        text.push_str(if values.value(row) { "true" } else { "false" });
    } else if let Some(values) = values.downcast_ref::<StringArray>() {
        text.push('"');
        escape(text, values.value(row), "\"");
        text.push('"');
    }
}

/// Appends a text with a backslash before each special character, and before a backslash that would be read as an
/// escape or that ends the text.
fn escape(line: &mut String, text: &str, special: &str) {
    let needs_escapes = |character: char| character == '\\' || special.contains(character);
    if !text.contains(needs_escapes) {
        line.push_str(text);
        return;
    }
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escaped = match (character, characters.peek()) {
            ('\\', None | Some('\\' | ',' | '=' | ' ' | '"')) => true,
            ('\\', Some(_)) => false,
            _ => special.contains(character),
        };
        if is_escaped {
            line.push('\\');
        }
        line.push(character);
    }
}
