//! Encodes the rows of `COPY ... TO STDOUT`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pgwire::{api::results::FieldInfo, messages::data::DataRow};

use crate::copy_options::{CopyLayout, CopyOptions};

/// The start of rows in binary: a signature, flags, and the length of an extension.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The end of rows in binary: the number of fields of no row.
const BINARY_END: &[u8] = b"\xff\xff";

/// Encodes rows one by one.
#[derive(Debug)]
pub(crate) struct CopyEncoder {
    options: CopyOptions,
    /// Whether the header of rows in binary has been encoded.
    is_started: bool,
}

impl CopyEncoder {
    pub(crate) fn new(options: CopyOptions) -> Self {
        Self {
            options,
            is_started: false,
        }
    }

    /// Returns the line with the names of the columns.
    pub(crate) fn titles(&self, columns: &[FieldInfo]) -> Option<Bytes> {
        match self.options.layout {
            CopyLayout::Text | CopyLayout::Csv if self.options.has_header => {
                let names = columns.iter().map(|column| Some(column.name().as_bytes()));
                Some(self.line(names))
            }
            CopyLayout::Text | CopyLayout::Csv | CopyLayout::Binary => None,
        }
    }

    /// Returns the bytes before the next row in binary. They share its message: clients take each message for a row.
    fn binary_header(&mut self) -> &'static [u8] {
        if std::mem::replace(&mut self.is_started, true) {
            &[]
        } else {
            BINARY_HEADER
        }
    }

    /// Returns the bytes of a row. Its values are binary if the copy is.
    pub(crate) fn row(&mut self, row: &DataRow) -> Bytes {
        if !self.options.is_binary() {
            return self.line(values(row));
        }
        let header = self.binary_header();
        let mut bytes = BytesMut::with_capacity(header.len() + 2 + row.data.len());
        bytes.extend_from_slice(header);
        bytes.put_i16(row.field_count);
        bytes.extend_from_slice(&row.data);
        bytes.freeze()
    }

    /// Returns the bytes after the last row.
    pub(crate) fn end(&mut self) -> Option<Bytes> {
        let is_binary = self.options.is_binary();
        is_binary.then(|| Bytes::from([self.binary_header(), BINARY_END].concat()))
    }

    fn line<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Bytes {
        let mut line = BytesMut::new();
        for (index, value) in values.enumerate() {
            if index > 0 {
                line.put_u8(self.options.delimiter);
            }
            match value {
                None => line.extend_from_slice(self.options.null.as_bytes()),
                Some(value) if self.options.layout == CopyLayout::Csv => {
                    self.put_csv(&mut line, value);
                }
                Some(value) => self.put_text(&mut line, value),
            }
        }
        line.put_u8(b'\n');
        line.freeze()
    }

    fn put_text(&self, line: &mut BytesMut, value: &[u8]) {
        for byte in value {
            let escaped = match byte {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                b'\\' => b'\\',
                byte if *byte == self.options.delimiter => *byte,
                byte => {
                    line.put_u8(*byte);
                    continue;
                }
            };
            line.put_u8(b'\\');
            line.put_u8(escaped);
        }
    }

    /// A value that could be read as null, or whose bytes have a meaning, is in quotes.
    fn put_csv(&self, line: &mut BytesMut, value: &[u8]) {
        let is_special =
            |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || *byte == self.options.delimiter;
        let is_end_of_data = value == b"\\.";
        if value != self.options.null.as_bytes() && !is_end_of_data && !value.iter().any(is_special)
        {
            line.extend_from_slice(value);
            return;
        }
        line.put_u8(b'"');
        for byte in value {
            if *byte == b'"' {
                line.put_u8(b'"');
            }
            line.put_u8(*byte);
        }
        line.put_u8(b'"');
    }
}

/// Returns the values of a row; `None` is null.
pub(crate) fn values(row: &DataRow) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest: &[u8] = &row.data;
    std::iter::from_fn(move || {
        let length = rest.try_get_i32().ok()?;
        let Ok(length) = usize::try_from(length) else {
            return Some(None);
        };
        let (value, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> DataRow {
        let mut data = BytesMut::new();
        for value in values {
            match value {
                None => data.put_i32(-1),
                Some(text) => {
                    data.put_i32(i32::try_from(text.len()).unwrap());
                    data.extend_from_slice(text.as_bytes());
                }
            }
        }
        DataRow::new(data, i16::try_from(values.len()).unwrap())
    }

    fn encoder(layout: CopyLayout) -> CopyEncoder {
        CopyEncoder::new(CopyOptions::new(layout))
    }

    #[test]
    fn text_and_csv_tell_null_from_empty_text() {
        let row = row(&[
            Some("a,\"b\"\n"),
            None,
            Some(""),
            Some("t\\\t"),
            Some("\\."),
        ]);
        assert_eq!(
            encoder(CopyLayout::Text).row(&row),
            "a,\"b\"\\n\t\\N\t\tt\\\\\\t\t\\\\.\n"
        );
        assert_eq!(
            encoder(CopyLayout::Csv).row(&row),
            "\"a,\"\"b\"\"\n\",,\"\",t\\\t,\"\\.\"\n"
        );
    }

    #[test]
    fn the_header_of_binary_rows_is_in_the_message_of_the_first_row() {
        let mut rows = encoder(CopyLayout::Binary);
        let values = row(&[Some("ab"), None]);
        let encoded = b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff";
        assert_eq!(rows.titles(&[]), None);
        assert_eq!(rows.row(&values), [BINARY_HEADER, encoded].concat());
        assert_eq!(rows.row(&values).as_ref(), encoded);
        assert_eq!(rows.end().unwrap(), BINARY_END);
        let empty = encoder(CopyLayout::Binary).end().unwrap();
        assert_eq!(empty, [BINARY_HEADER, BINARY_END].concat());
        assert_eq!(encoder(CopyLayout::Csv).end(), None);
    }
}
