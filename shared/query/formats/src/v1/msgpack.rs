//! MessagePack with the objects and lists of the JSON answer. The answer is buffered in memory until it is complete,
//! because lists begin with their lengths.

use std::ops::Range;

use super::{
    cell::{InfiniteFloatError, Rfc3339Formatter, SeriesValue},
    encoder::{SeriesEncoder, SeriesKey},
    epoch::Epoch,
    rows::AnswerRows,
};

/// The maximum size of an answer, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// A list with a 32-bit length that is written at its end.
#[derive(Clone, Copy, Debug)]
struct OpenList {
    at: usize,
    length: u32,
}

impl OpenList {
    fn begin(out: &mut Vec<u8>) -> Self {
        out.push(0xdd);
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        Self { at, length: 0 }
    }

    fn end(self, out: &mut [u8]) {
        if let Some(place) = out.get_mut(self.at..self.at + 4) {
            place.copy_from_slice(&self.length.to_be_bytes());
        }
    }
}

/// Encodes answers as MessagePack.
#[derive(Debug)]
pub(super) struct MessagePackEncoder {
    epoch: Option<Epoch>,
    times: Rfc3339Formatter,
    answer: Vec<u8>,
    columns: Vec<String>,
    results: OpenList,
    /// The start of the statement's object. Its size is written at its end.
    result: usize,
    statement: usize,
    series: Option<OpenList>,
    values: Option<OpenList>,
    is_full: bool,
}

impl MessagePackEncoder {
    pub(super) fn new(epoch: Option<Epoch>) -> Self {
        let mut answer = vec![0x81];
        push_text("results", &mut answer);
        let results = OpenList::begin(&mut answer);
        Self {
            epoch,
            times: Rfc3339Formatter::new(),
            answer,
            columns: Vec::new(),
            results,
            result: 0,
            statement: 0,
            series: None,
            values: None,
            is_full: false,
        }
    }

    fn end_values(&mut self) {
        if let Some(values) = self.values.take() {
            values.end(&mut self.answer);
        }
    }

    fn row<'a>(&mut self, cells: impl Iterator<Item = SeriesValue<'a>>) {
        if self.answer.len() > MAX_BYTES {
            self.is_full = true;
        }
        if self.is_full {
            return;
        }
        if let Some(values) = &mut self.values {
            values.length += 1;
        }
        push_length(0x90, 0xdc, self.columns.len(), &mut self.answer);
        for cell in cells {
            push_cell(cell, &mut self.times, &mut self.answer);
        }
    }
}

impl SeriesEncoder for MessagePackEncoder {
    fn begin(&mut self, statement: usize, columns: &[String], _: &mut Vec<u8>) {
        self.results.length += 1;
        self.result = self.answer.len();
        self.statement = statement;
        self.columns = columns.to_vec();
        self.is_full = false;
        // A map whose size is written at its end.
        self.answer.push(0x80);
        push_text("statement_id", &mut self.answer);
        push_unsigned(statement as u64, &mut self.answer);
    }

    fn series(&mut self, key: &SeriesKey, _: &mut Vec<u8>) {
        self.end_values();
        let out = &mut self.answer;
        let series = self.series.get_or_insert_with(|| {
            push_text("series", out);
            OpenList::begin(out)
        });
        series.length += 1;
        let members = 2 + u8::from(key.name.is_some()) + u8::from(!key.tags.is_empty());
        out.push(0x80 | members);
        if let Some(name) = &key.name {
            push_text("name", out);
            push_text(name, out);
        }
        if !key.tags.is_empty() {
            push_text("tags", out);
            push_length(0x80, 0xde, key.tags.len(), out);
            for (tag, value) in &key.tags {
                push_text(tag, out);
                push_text(value, out);
            }
        }
        push_text("columns", out);
        push_length(0x90, 0xdc, self.columns.len(), out);
        for column in &self.columns {
            push_text(column, out);
        }
        push_text("values", out);
        self.values = Some(OpenList::begin(out));
    }

    fn rows(
        &mut self,
        rows: &mut AnswerRows<'_>,
        range: Range<usize>,
        _: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError> {
        for row in range {
            self.row(rows.cells(row, self.epoch));
        }
        Ok(())
    }

    fn end(&mut self, error: Option<&str>, _: &mut Vec<u8>) {
        self.end_values();
        let mut members = 1;
        if let Some(series) = self.series.take() {
            series.end(&mut self.answer);
            members += 1;
        }
        let too_large =
            format!("the answer has more than {MAX_BYTES} bytes; request JSON or fewer rows");
        let error = error.or(self.is_full.then_some(too_large.as_str()));
        if let Some(error) = error {
            members += 1;
            push_text("error", &mut self.answer);
            push_text(error, &mut self.answer);
        }
        if let Some(map) = self.answer.get_mut(self.result) {
            *map = 0x80 | members;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.results.end(&mut self.answer);
        out.append(&mut self.answer);
    }
}

/// Appends the length of a map or a list: in the type byte if it is below 16, else in 16 or 32 bits.
fn push_length(short: u8, medium: u8, length: usize, out: &mut Vec<u8>) {
    if let Some(length) = u8::try_from(length).ok().filter(|length| *length < 16) {
        out.push(short | length);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(medium);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(medium + 1);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    let length = text.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 32 => out.push(0xa0 | length),
        (Ok(length), _) => out.extend_from_slice(&[0xd9, length]),
        (_, Ok(length)) => {
            out.push(0xda);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn push_unsigned(number: u64, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(number) if number < 0x80 => out.push(number),
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn push_cell(cell: SeriesValue<'_>, times: &mut Rfc3339Formatter, out: &mut Vec<u8>) {
    match cell {
        SeriesValue::Null => out.push(0xc0),
        SeriesValue::Boolean(false) => out.push(0xc2),
        SeriesValue::Boolean(true) => out.push(0xc3),
        SeriesValue::Integer(number) => match u64::try_from(number) {
            Ok(number) => push_unsigned(number, out),
            Err(_) => {
                out.push(0xd3);
                out.extend_from_slice(&number.to_be_bytes());
            }
        },
        SeriesValue::Unsigned(number) => push_unsigned(number, out),
        SeriesValue::Float(number) => {
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
        }
        SeriesValue::Text(text) => push_text(text, out),
        SeriesValue::Time(nanos, zone) => {
            let mut text = Vec::with_capacity(35);
            times.push(nanos, zone, &mut text);
            push_text(&String::from_utf8_lossy(&text), out);
        }
    }
}
