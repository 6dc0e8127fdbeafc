//! CSV of the v1 interface: the name of a series, its tags in one column, and the values. Times are always counts.

use std::ops::Range;

use super::{
    cell::{InfiniteFloatError, SeriesValue, push_float, push_integer},
    encoder::{SeriesEncoder, SeriesKey},
    epoch::Epoch,
    rows::AnswerRows,
};

/// Encodes answers as CSV, with a header for each statement that has rows and an empty line between statements.
#[derive(Debug)]
pub(super) struct CsvEncoder {
    epoch: Epoch,
    columns: Vec<String>,
    /// The first two columns of the rows of the current series.
    prefix: Vec<u8>,
    /// Whether the header of the statement is written.
    has_head: bool,
    is_first: bool,
}

impl CsvEncoder {
    pub(super) fn new(epoch: Option<Epoch>) -> Self {
        Self {
            epoch: epoch.unwrap_or(Epoch::NANOS),
            columns: Vec::new(),
            prefix: Vec::new(),
            has_head: false,
            is_first: true,
        }
    }

    fn head(&mut self, columns: impl Iterator<Item = impl AsRef<str>>, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_first) {
            out.push(b'\n');
        }
        for (index, column) in columns.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_text(column.as_ref(), out);
        }
        out.push(b'\n');
    }

    fn row<'a>(&self, cells: impl Iterator<Item = SeriesValue<'a>>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        for cell in cells {
            out.push(b',');
            match cell {
                SeriesValue::Null => {}
                SeriesValue::Boolean(value) => out.extend_from_slice(value.to_string().as_bytes()),
                SeriesValue::Integer(number) => push_integer(number, out),
                SeriesValue::Unsigned(number) => push_integer(number, out),
                SeriesValue::Float(number) if number.is_finite() => push_float(number, out),
                // As Go formats them.
                SeriesValue::Float(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
                SeriesValue::Float(number) if number > 0.0 => out.extend_from_slice(b"+Inf"),
                SeriesValue::Float(_) => out.extend_from_slice(b"-Inf"),
                SeriesValue::Text(text) => push_text(text, out),
                SeriesValue::Time(nanos, _) => push_integer(self.epoch.count(nanos), out),
            }
        }
        out.push(b'\n');
    }
}

impl SeriesEncoder for CsvEncoder {
    fn begin(&mut self, _: usize, columns: &[String], _: &mut Vec<u8>) {
        self.columns = columns.to_vec();
        self.has_head = false;
    }

    fn series(&mut self, key: &SeriesKey, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_head, true) {
            let column_names = std::mem::take(&mut self.columns);
            let columns = column_names.iter().map(String::as_str);
            self.head(["name", "tags"].into_iter().chain(columns), out);
        }
        let tags: Vec<_> = key.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
        self.prefix.clear();
        push_text(key.name.as_deref().unwrap_or_default(), &mut self.prefix);
        self.prefix.push(b',');
        push_text(&tags.join(","), &mut self.prefix);
    }

    fn rows(
        &mut self,
        rows: &mut AnswerRows<'_>,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError> {
        for row in range {
            self.row(rows.cells(row, None), out);
        }
        Ok(())
    }

    fn end(&mut self, error: Option<&str>, out: &mut Vec<u8>) {
        if let Some(error) = error {
            self.head(["error"].into_iter(), out);
            push_text(error, out);
            out.push(b'\n');
        }
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

/// Appends text, quoted if RFC 4180 requires it.
fn push_text(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}
