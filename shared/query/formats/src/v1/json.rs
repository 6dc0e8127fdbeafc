//! JSON: the answer in one piece, or in chunks of rows of one series, each of them a complete answer.

use std::ops::Range;

use super::{
    cell::{InfiniteFloatError, Rfc3339Formatter, SeriesValue, push_float, push_integer},
    encoder::{SeriesEncoder, SeriesKey},
    epoch::Epoch,
    rows::{AnswerRows, SeriesColumn},
};
use crate::text::{Dialect, push_text};

/// Writes JSON token by token, on one line or indented.
#[derive(Clone, Copy, Debug)]
struct JsonWriter {
    is_pretty: bool,
    depth: usize,
    /// Whether the innermost object or list is still empty.
    is_first: bool,
}

impl JsonWriter {
    fn new(is_pretty: bool) -> Self {
        Self { is_pretty, depth: 0, is_first: true }
    }

    fn line(&self, out: &mut Vec<u8>) {
        if self.is_pretty {
            out.push(b'\n');
            out.resize(out.len() + 2 * self.depth, b' ');
        }
    }

    /// Writes the separator before the next element.
    fn element(&mut self, out: &mut Vec<u8>) {
        if self.depth == 0 {
            return;
        }
        if !self.is_first {
            out.push(b',');
        }
        self.line(out);
        self.is_first = false;
    }

    /// Begins an object or a list as the next element.
    fn open(&mut self, bracket: u8, out: &mut Vec<u8>) {
        self.element(out);
        self.open_here(bracket, out);
    }

    fn open_here(&mut self, bracket: u8, out: &mut Vec<u8>) {
        out.push(bracket);
        self.depth += 1;
        self.is_first = true;
    }

    fn close(&mut self, bracket: u8, out: &mut Vec<u8>) {
        self.depth -= 1;
        if !self.is_first {
            self.line(out);
        }
        out.push(bracket);
        self.is_first = false;
    }

    /// Writes the name of a member. Its value follows.
    fn key(&mut self, name: &str, out: &mut Vec<u8>) {
        self.element(out);
        push_json(name, out);
        out.push(b':');
        if self.is_pretty {
            out.push(b' ');
        }
    }

    /// Begins a list as the value of a member.
    fn list(&mut self, name: &str, out: &mut Vec<u8>) {
        self.key(name, out);
        self.open_here(b'[', out);
    }

    /// Begins a result: the object of a statement.
    fn result(&mut self, statement: usize, out: &mut Vec<u8>) {
        self.open(b'{', out);
        self.key("statement_id", out);
        push_integer(statement, out);
    }

    /// Writes a series up to its rows.
    fn series(&mut self, key: &SeriesKey, columns: &[String], out: &mut Vec<u8>) {
        self.open(b'{', out);
        if let Some(name) = &key.name {
            self.key("name", out);
            push_json(name, out);
        }
        if !key.tags.is_empty() {
            self.key("tags", out);
            self.open_here(b'{', out);
            for (tag, value) in &key.tags {
                self.key(tag, out);
                push_json(value, out);
            }
            self.close(b'}', out);
        }
        self.list("columns", out);
        for column in columns {
            self.element(out);
            push_json(column, out);
        }
        self.close(b']', out);
        self.list("values", out);
    }

    /// Writes an existing row. If a value can't be encoded, nothing is written.
    fn row(
        &mut self,
        columns: &mut [SeriesColumn<'_>],
        row: usize,
        cells: &mut CellWriter,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError> {
        let (before, length) = (*self, out.len());
        self.open(b'[', out);
        for column in columns {
            self.element(out);
            if let Err(error) = cells.push(column, row, out) {
                out.truncate(length);
                *self = before;
                return Err(error);
            }
        }
        self.close(b']', out);
        Ok(())
    }

    fn error(&mut self, error: Option<&str>, out: &mut Vec<u8>) {
        if let Some(error) = error {
            self.key("error", out);
            push_json(error, out);
        }
    }

    fn partial(&mut self, is_partial: bool, out: &mut Vec<u8>) {
        if is_partial {
            self.key("partial", out);
            out.extend_from_slice(b"true");
        }
    }
}

fn push_json(text: &str, out: &mut Vec<u8>) {
    push_text(text, Dialect::Json, out);
}

/// Writes values of columns.
#[derive(Debug)]
struct CellWriter {
    epoch: Option<Epoch>,
    times: Rfc3339Formatter,
}

impl CellWriter {
    fn new(epoch: Option<Epoch>) -> Self {
        Self { epoch, times: Rfc3339Formatter::new() }
    }

    /// Appends the value of an existing row.
    fn push(
        &mut self,
        column: &mut SeriesColumn<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError> {
        if column.push_rendered(row, out, push_json) {
            return Ok(());
        }
        match column.cell(row, self.epoch) {
            SeriesValue::Null => out.extend_from_slice(b"null"),
            SeriesValue::Boolean(true) => out.extend_from_slice(b"true"),
            SeriesValue::Boolean(false) => out.extend_from_slice(b"false"),
            SeriesValue::Integer(number) => push_integer(number, out),
            SeriesValue::Unsigned(number) => push_integer(number, out),
            SeriesValue::Float(number) if number.is_nan() => out.extend_from_slice(b"null"),
            SeriesValue::Float(number) if number.is_infinite() => {
                return Err(InfiniteFloatError(number));
            }
            SeriesValue::Float(number) => push_float(number, out),
            SeriesValue::Text(text) => push_json(text, out),
            SeriesValue::Time(nanos, zone) => {
                out.push(b'"');
                self.times.push(nanos, zone, out);
                out.push(b'"');
            }
        }
        Ok(())
    }
}

/// Encodes JSON in one piece.
#[derive(Debug)]
pub(super) struct JsonEncoder {
    cells: CellWriter,
    writer: JsonWriter,
    columns: Vec<String>,
    has_begun: bool,
    in_series: bool,
}

impl JsonEncoder {
    pub(super) fn new(epoch: Option<Epoch>, is_pretty: bool) -> Self {
        Self {
            cells: CellWriter::new(epoch),
            writer: JsonWriter::new(is_pretty),
            columns: Vec::new(),
            has_begun: false,
            in_series: false,
        }
    }

    fn head(&mut self, out: &mut Vec<u8>) {
        if !self.has_begun {
            self.has_begun = true;
            self.writer.open(b'{', out);
            self.writer.list("results", out);
        }
    }
}

impl SeriesEncoder for JsonEncoder {
    fn begin(&mut self, statement: usize, columns: &[String], out: &mut Vec<u8>) {
        self.head(out);
        self.columns = columns.to_vec();
        self.writer.result(statement, out);
    }

    fn series(&mut self, key: &SeriesKey, out: &mut Vec<u8>) {
        if self.in_series {
            self.writer.close(b']', out);
            self.writer.close(b'}', out);
        } else {
            self.writer.list("series", out);
        }
        self.in_series = true;
        self.writer.series(key, &self.columns, out);
    }

    fn rows(
        &mut self,
        rows: &mut AnswerRows<'_>,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError> {
        for row in range {
            let columns = rows.columns();
            self.writer.row(columns, row, &mut self.cells, out)?;
        }
        Ok(())
    }

    fn end(&mut self, error: Option<&str>, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.in_series) {
            self.writer.close(b']', out);
            self.writer.close(b'}', out);
            self.writer.close(b']', out);
        }
        self.writer.error(error, out);
        self.writer.close(b'}', out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.head(out);
        self.writer.close(b']', out);
        self.writer.close(b'}', out);
        out.push(b'\n');
    }
}

/// Encodes JSON in chunks, one per line unless indented. All but the last chunk of a statement are marked partial.
#[derive(Debug)]
pub(super) struct ChunkedJsonEncoder {
    cells: CellWriter,
    writer: JsonWriter,
    chunk_rows: usize,
    statement: usize,
    columns: Vec<String>,
    key: SeriesKey,
    /// The number of rows in the open chunk; `None` if no chunk is open.
    rows: Option<usize>,
    has_chunks: bool,
}

impl ChunkedJsonEncoder {
    pub(super) fn new(epoch: Option<Epoch>, is_pretty: bool, chunk_rows: usize) -> Self {
        Self {
            cells: CellWriter::new(epoch),
            writer: JsonWriter::new(is_pretty),
            chunk_rows,
            statement: 0,
            columns: Vec::new(),
            key: SeriesKey::default(),
            rows: None,
            has_chunks: false,
        }
    }

    fn open_result(&mut self, out: &mut Vec<u8>) {
        self.has_chunks = true;
        self.writer.open(b'{', out);
        self.writer.list("results", out);
        self.writer.result(self.statement, out);
    }

    fn close_result(&mut self, is_partial: bool, error: Option<&str>, out: &mut Vec<u8>) {
        self.writer.partial(is_partial, out);
        self.writer.error(error, out);
        self.writer.close(b'}', out);
        self.writer.close(b']', out);
        self.writer.close(b'}', out);
        self.writer.is_first = true;
        out.push(b'\n');
    }

    fn open_chunk(&mut self, out: &mut Vec<u8>) {
        self.open_result(out);
        self.writer.list("series", out);
        self.writer.series(&self.key, &self.columns, out);
        self.rows = Some(0);
    }

    /// Ends the open chunk, if there is one. The flags say whether more rows of its series and of its statement follow.
    fn close_chunk(&mut self, series_goes_on: bool, goes_on: bool, out: &mut Vec<u8>) {
        if self.rows.take().is_some() {
            self.writer.close(b']', out);
            self.writer.partial(series_goes_on, out);
            self.writer.close(b'}', out);
            self.writer.close(b']', out);
            self.close_result(goes_on, None, out);
        }
    }
}

impl SeriesEncoder for ChunkedJsonEncoder {
    fn begin(&mut self, statement: usize, columns: &[String], _: &mut Vec<u8>) {
        self.statement = statement;
        self.columns = columns.to_vec();
        self.has_chunks = false;
    }

    fn series(&mut self, key: &SeriesKey, out: &mut Vec<u8>) {
        self.close_chunk(false, true, out);
        self.key = key.clone();
        self.open_chunk(out);
    }

    fn rows(
        &mut self,
        rows: &mut AnswerRows<'_>,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError> {
        for row in range {
            if self.rows.is_some_and(|rows| rows >= self.chunk_rows) {
                self.close_chunk(true, true, out);
                self.open_chunk(out);
            }
            let columns = rows.columns();
            self.writer.row(columns, row, &mut self.cells, out)?;
            self.rows = self.rows.map(|rows| rows + 1);
        }
        Ok(())
    }

    fn end(&mut self, error: Option<&str>, out: &mut Vec<u8>) {
        self.close_chunk(false, error.is_some(), out);
        if error.is_some() || !self.has_chunks {
            self.open_result(out);
            self.close_result(false, error, out);
        }
    }

    fn finish(&mut self, _: &mut Vec<u8>) {}
}
