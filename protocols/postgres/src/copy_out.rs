//! Encodes the rows of `COPY ... TO STDOUT`.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pgwire::{api::results::FieldInfo, error::PgWireResult};

use crate::{
    column_encoder::{ColumnEncoder, put_row},
    copy_options::{CopyLayout, CopyOptions},
};

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
    /// The values of a row before they are text or CSV.
    values: BytesMut,
}

impl CopyEncoder {
    pub(crate) fn new(options: CopyOptions) -> Self {
        Self { options, is_started: false, values: BytesMut::new() }
    }

    /// Returns the line with the names of the columns.
    pub(crate) fn titles(&self, columns: &[FieldInfo]) -> Option<Bytes> {
        match self.options.layout {
            CopyLayout::Text | CopyLayout::Csv if self.options.has_header => {
                let names = columns.iter().map(|column| Some(column.name().as_bytes()));
                let mut line = BytesMut::new();
                self.put_line(names, &mut line);
                Some(line.freeze())
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

    /// Adds the bytes of a row. Its values are binary if the copy is.
    ///
    /// # Errors
    /// PostgreSQL's type does not have a value.
    pub(crate) fn put_row(
        &mut self,
        columns: &[ColumnEncoder<'_>],
        row: usize,
        output: &mut BytesMut,
    ) -> PgWireResult<()> {
        if self.options.is_binary() {
            output.extend_from_slice(self.binary_header());
            return put_row(columns, row, output);
        }
        self.values.clear();
        columns.iter().try_for_each(|column| column.put(row, &mut self.values))?;
        self.put_line(values(&self.values), output);
        Ok(())
    }

    /// Returns the bytes after the last row.
    pub(crate) fn end(&mut self) -> Option<Bytes> {
        let is_binary = self.options.is_binary();
        is_binary.then(|| Bytes::from([self.binary_header(), BINARY_END].concat()))
    }

    fn put_line<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>, line: &mut BytesMut) {
        for (index, value) in values.enumerate() {
            if index > 0 {
                line.put_u8(self.options.delimiter);
            }
            match value {
                None => line.extend_from_slice(self.options.null.as_bytes()),
                Some(value) if self.options.layout == CopyLayout::Csv => {
                    self.put_csv(line, value);
                }
                Some(value) => self.put_text(line, value),
            }
        }
        line.put_u8(b'\n');
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

/// Returns the values of an encoded row; `None` is null.
pub(crate) fn values(mut rest: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
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
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, StringArray},
        datatypes::{DataType, Field},
    };

    use super::*;
    use crate::columns::text_column;

    fn encoder(layout: CopyLayout) -> CopyEncoder {
        CopyEncoder::new(CopyOptions::new(layout))
    }

    /// Returns the bytes of a row of texts.
    fn row(encoder: &mut CopyEncoder, values: &[Option<&str>]) -> BytesMut {
        let (arrow_field, field) = (Field::new("t", DataType::Utf8, true), text_column("t"));
        let array = |text: &Option<&str>| Arc::new(StringArray::from(vec![*text])) as ArrayRef;
        let arrays: Vec<ArrayRef> = values.iter().map(array).collect();
        let columns: Vec<ColumnEncoder<'_>> = arrays
            .iter()
            .map(|array| ColumnEncoder::new(array, &arrow_field, &field))
            .collect();
        let mut output = BytesMut::new();
        encoder.put_row(&columns, 0, &mut output).unwrap();
        output
    }

    #[test]
    fn text_and_csv_tell_null_from_empty_text() {
        let values = [Some("a,\"b\"\n"), None, Some(""), Some("t\\\t"), Some("\\.")];
        assert_eq!(
            row(&mut encoder(CopyLayout::Text), &values),
            "a,\"b\"\\n\t\\N\t\tt\\\\\\t\t\\\\.\n"
        );
        assert_eq!(
            row(&mut encoder(CopyLayout::Csv), &values),
            "\"a,\"\"b\"\"\n\",,\"\",t\\\t,\"\\.\"\n"
        );
    }

    #[test]
    fn the_header_of_binary_rows_is_in_the_message_of_the_first_row() {
        let mut rows = encoder(CopyLayout::Binary);
        let values = [Some("ab"), None];
        let encoded = b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff";
        assert_eq!(rows.titles(&[]), None);
        assert_eq!(row(&mut rows, &values), [BINARY_HEADER, encoded].concat());
        assert_eq!(row(&mut rows, &values).as_ref(), encoded);
        assert_eq!(rows.end().unwrap(), BINARY_END);
        let empty = encoder(CopyLayout::Binary).end().unwrap();
        assert_eq!(empty, [BINARY_HEADER, BINARY_END].concat());
        assert_eq!(encoder(CopyLayout::Csv).end(), None);
    }
}
