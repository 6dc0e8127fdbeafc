//! Annotated CSV, the answer format of InfluxDB 2.
//!
//! ```text
//!   #datatype,string,long,dateTime:RFC3339,double,string     annotations and header: for each set of columns
//!   #group,false,false,false,false,true
//!   #default,mean,,,,
//!   ,result,table,_time,_value,host
//!   ,,0,2024-01-01T00:00:00Z,1.5,a                           rows, with the number of their table
//!   ,,1,2024-01-01T00:00:00Z,2.5,b
//! ```
//!
//! Rows with the same values of the columns of the group key are a table. A text of the group key that is null is a column that
//! the table does not have. An empty line follows each result. Lines end with a carriage return and a line feed.

use std::{io::Write, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::partition,
    error::ArrowError,
};

use crate::{
    rendered::RenderedValues,
    v1::{AnswerRows, Rfc3339Formatter, SeriesValue, push_float, push_integer},
};

const LINE_END: &[u8] = b"\r\n";

/// Options of the format, as a request has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotatedCsvDialect {
    /// Whether there is a line with the names of the columns.
    pub has_header: bool,
    /// The character between cells.
    pub delimiter: u8,
    /// The lines before the header, in their order.
    pub annotations: Vec<Annotation>,
    /// The text before the name of an annotation.
    pub comment_prefix: String,
}

impl Default for AnnotatedCsvDialect {
    fn default() -> Self {
        Self {
            has_header: true,
            delimiter: b',',
            annotations: Vec::new(),
            comment_prefix: "#".to_owned(),
        }
    }
}

/// A line that describes the columns below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotation {
    /// The types.
    Datatype,
    /// Whether the columns are in the group key.
    Group,
    /// The values of empty cells. Rows leave the name of the result out.
    Default,
}

impl Annotation {
    /// Returns the annotation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "datatype" => Self::Datatype,
            "group" => Self::Group,
            "default" => Self::Default,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Datatype => "datatype",
            Self::Group => "group",
            Self::Default => "default",
        }
    }
}

/// The columns of tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableLayout {
    /// The columns, in their order.
    pub columns: Vec<AnnotatedColumn>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotatedColumn {
    /// The name.
    pub name: String,
    /// The type in the annotation.
    pub datatype: &'static str,
    /// Whether it is in the group key.
    pub is_key: bool,
    /// Its values.
    pub source: ColumnSource,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSource {
    /// Those of the column of each batch with this index.
    Batch(usize),
    /// A text in all rows.
    Text(String),
    /// A time in all rows, in nanoseconds since the Unix epoch.
    Time(i64),
}

/// Encodes results as annotated CSV.
#[derive(Debug)]
pub struct AnnotatedCsvWriter {
    dialect: AnnotatedCsvDialect,
    result: String,
    /// The number of the next table of the result.
    next_table: u64,
    layout: TableLayout,
    /// The rendered values of the dictionaries of the layout's columns.
    rendered: Vec<RenderedValues>,
    /// The cells of the group key of the last table.
    key: Option<Vec<Vec<u8>>>,
    /// Which columns of the layout the last table has.
    shown: Vec<bool>,
    /// Whether something was written.
    has_started: bool,
    /// Whether tables of the current result were written.
    has_tables: bool,
}

impl AnnotatedCsvWriter {
    /// Creates a writer.
    pub fn new(dialect: AnnotatedCsvDialect) -> Self {
        Self {
            dialect,
            result: String::new(),
            next_table: 0,
            layout: TableLayout::default(),
            rendered: Vec::new(),
            key: None,
            shown: Vec::new(),
            has_started: false,
            has_tables: false,
        }
    }

    /// Begins a result.
    pub fn begin_result(&mut self, name: &str) {
        name.clone_into(&mut self.result);
        self.next_table = 0;
        self.has_tables = false;
    }

    /// Begins tables of the result with these columns.
    pub fn begin_tables(&mut self, layout: TableLayout) {
        self.rendered.clear();
        self.rendered.resize_with(layout.columns.len(), RenderedValues::default);
        self.layout = layout;
        self.key = None;
        self.shown.clear();
    }

    /// Appends rows. Rows of the same table are adjacent.
    ///
    /// # Errors
    /// A column has a type that has no text.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut rendered = std::mem::take(&mut self.rendered);
        let indexes: Vec<usize> = self.batch_columns().map(|(_, index)| index).collect();
        let rows = AnswerRows::new(batch, &indexes, &mut rendered)?;
        let mut times = Rfc3339Formatter::new();
        for range in self.tables(batch)? {
            self.begin_table(&rows, range.start, &mut times, out);
            for row in range {
                self.row(&rows, row, &mut times, out);
            }
        }
        drop(rows);
        self.rendered = rendered;
        Ok(())
    }

    /// Ends a result.
    pub fn end_result(&mut self, out: &mut Vec<u8>) {
        self.has_started = true;
        out.extend_from_slice(LINE_END);
    }

    /// Appends the error that ends the answer.
    pub fn write_error(&self, message: &str, out: &mut Vec<u8>) {
        if self.has_started {
            out.extend_from_slice(LINE_END);
        }
        for annotation in &self.dialect.annotations {
            self.annotation_name(*annotation, out);
            let cell: &[u8] = match annotation {
                Annotation::Datatype => b"string",
                Annotation::Group => b"true",
                Annotation::Default => b"",
            };
            self.cells([cell, cell], out);
        }
        self.cells(["error", "reference"], out);
        let mut text = Vec::new();
        self.push_text(message, &mut text);
        self.cells([text, Vec::new()], out);
    }

    /// The columns of the layout whose values are in batches, with their indexes there.
    fn batch_columns(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.layout
            .columns
            .iter()
            .enumerate()
            .filter_map(|(place, column)| match column.source {
                ColumnSource::Batch(index) => Some((place, index)),
                ColumnSource::Text(_) | ColumnSource::Time(_) => None,
            })
    }

    /// Returns the ranges of adjacent rows of one table.
    fn tables(&self, batch: &RecordBatch) -> Result<Vec<Range<usize>>, ArrowError> {
        let is_key = |place: usize| self.layout.columns.get(place).is_some_and(|it| it.is_key);
        let keys: Vec<ArrayRef> = self
            .batch_columns()
            .filter(|(place, _)| is_key(*place))
            .map(|(_, index)| Arc::clone(batch.column(index)))
            .collect();
        if keys.is_empty() {
            return Ok(std::iter::once(0..batch.num_rows()).collect());
        }
        Ok(partition(&keys)?.ranges())
    }

    /// Begins a table, unless the row belongs to the last one.
    fn begin_table(
        &mut self,
        rows: &AnswerRows<'_>,
        row: usize,
        times: &mut Rfc3339Formatter,
        out: &mut Vec<u8>,
    ) {
        let mut key = Vec::new();
        let mut shown = vec![true; self.layout.columns.len()];
        for ((place, _), value) in self.batch_columns().zip(rows.cells(row, None)) {
            let Some(column) = self.layout.columns.get(place).filter(|column| column.is_key) else {
                continue;
            };
            let is_missing = column.datatype == "string" && matches!(value, SeriesValue::Null);
            if let Some(is_shown) = shown.get_mut(place) {
                *is_shown = !is_missing;
            }
            let mut cell = Vec::new();
            self.push_value(value, times, &mut cell);
            key.push(cell);
        }
        let is_same = self.key.as_ref() == Some(&key) && self.shown == shown;
        if is_same {
            return;
        }
        let has_new_columns = self.key.is_none() || self.shown != shown;
        self.key = Some(key);
        self.shown = shown;
        if has_new_columns {
            if self.has_tables {
                out.extend_from_slice(LINE_END);
            }
            self.head(out);
        }
        self.next_table += 1;
        self.has_started = true;
        self.has_tables = true;
    }

    /// The columns that the current table has.
    fn shown_columns(&self) -> impl Iterator<Item = &AnnotatedColumn> {
        let columns = self.layout.columns.iter().zip(&self.shown);
        columns.filter(|(_, is_shown)| **is_shown).map(|(column, _)| column)
    }

    /// Appends the annotations and the names of the columns.
    fn head(&self, out: &mut Vec<u8>) {
        for annotation in &self.dialect.annotations {
            self.annotation_name(*annotation, out);
            let mut result = Vec::new();
            self.push_text(&self.result, &mut result);
            let of_result: [&[u8]; 2] = match annotation {
                Annotation::Datatype => [b"string", b"long"],
                Annotation::Group => [b"false", b"false"],
                Annotation::Default => [&result, b""],
            };
            let of_columns = self.shown_columns().map(|column| match annotation {
                Annotation::Datatype => column.datatype,
                Annotation::Group if column.is_key => "true",
                Annotation::Group => "false",
                Annotation::Default => "",
            });
            self.cells(of_result.into_iter().chain(of_columns.map(str::as_bytes)), out);
        }
        if self.dialect.has_header {
            let names = self.shown_columns().map(|column| {
                let mut name = Vec::new();
                self.push_text(&column.name, &mut name);
                name
            });
            let of_result = [b"result".to_vec(), b"table".to_vec()];
            self.cells(of_result.into_iter().chain(names), out);
        }
    }

    fn annotation_name(&self, annotation: Annotation, out: &mut Vec<u8>) {
        out.extend_from_slice(self.dialect.comment_prefix.as_bytes());
        out.extend_from_slice(annotation.name().as_bytes());
    }

    /// Appends cells, each after a delimiter, and ends the line.
    fn cells(&self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>, out: &mut Vec<u8>) {
        for cell in cells {
            out.push(self.dialect.delimiter);
            out.extend_from_slice(cell.as_ref());
        }
        out.extend_from_slice(LINE_END);
    }

    /// Appends a row of the current table.
    fn row(
        &self,
        rows: &AnswerRows<'_>,
        row: usize,
        times: &mut Rfc3339Formatter,
        out: &mut Vec<u8>,
    ) {
        out.push(self.dialect.delimiter);
        // The annotation has the name of the result.
        if !self.dialect.annotations.contains(&Annotation::Default) {
            self.push_text(&self.result, out);
        }
        out.push(self.dialect.delimiter);
        push_integer(self.next_table.saturating_sub(1), out);
        let mut values = rows.cells(row, None);
        for (column, is_shown) in self.layout.columns.iter().zip(&self.shown) {
            let value = match &column.source {
                ColumnSource::Batch(_) => values.next().unwrap_or(SeriesValue::Null),
                ColumnSource::Text(text) => SeriesValue::Text(text),
                ColumnSource::Time(nanos) => SeriesValue::Time(*nanos, None),
            };
            if *is_shown {
                out.push(self.dialect.delimiter);
                self.push_value(value, times, out);
            }
        }
        out.extend_from_slice(LINE_END);
    }

    fn push_value(&self, value: SeriesValue<'_>, times: &mut Rfc3339Formatter, out: &mut Vec<u8>) {
        match value {
            SeriesValue::Null => {}
            SeriesValue::Boolean(value) => {
                let text: &[u8] = if value { b"true" } else { b"false" };
                out.extend_from_slice(text);
            }
            SeriesValue::Integer(number) => push_integer(number, out),
            SeriesValue::Unsigned(number) => push_integer(number, out),
            SeriesValue::Float(number) => push_plain_float(number, out),
            SeriesValue::Text(text) => self.push_text(text, out),
            SeriesValue::Time(nanos, zone) => times.push(nanos, zone, out),
        }
    }

    /// Appends a text, in quotes where Go's writer of CSV uses them.
    fn push_text(&self, text: &str, out: &mut Vec<u8>) {
        let is_special =
            |byte: u8| matches!(byte, b'"' | b'\n' | b'\r') || byte == self.dialect.delimiter;
        let is_quoted =
            text == "\\." || text.starts_with(char::is_whitespace) || text.bytes().any(is_special);
        if !is_quoted {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(b'"');
        for byte in text.bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\"\""),
                // Line ends in texts are those of the format.
                b'\n' => out.extend_from_slice(LINE_END),
                b'\r' => {}
                byte => out.push(byte),
            }
        }
        out.push(b'"');
    }
}

/// Appends a float as Go does without an exponent.
fn push_plain_float(number: f64, out: &mut Vec<u8>) {
    let magnitude = number.abs();
    if (1e-6..1e21).contains(&magnitude) || magnitude == 0.0 {
        push_float(number, out);
    } else if number.is_finite() {
        // Writing to a vector cannot fail.
        _ = write!(out, "{number}");
    } else {
        let text: &[u8] = match number {
            _ if number.is_nan() => b"NaN",
            _ if number > 0.0 => b"+Inf",
            _ => b"-Inf",
        };
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests;
