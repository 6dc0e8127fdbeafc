//! Parses the rows of `COPY ... FROM STDIN`, as they arrive.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use neap_sql_changes::{SqlError, SqlState};

use crate::copy_options::{CopyLayout, CopyOptions};

/// Collects rows into columns of texts.
#[derive(Debug)]
pub(crate) struct CopyParser {
    options: CopyOptions,
    /// The name of the table, for errors.
    table: String,
    /// Maximum bytes of a row.
    max_row_bytes: usize,
    /// Received bytes of an incomplete row.
    input: Vec<u8>,
    /// The number of bytes of `input` that are known to have no end of a row.
    scanned: usize,
    /// Whether `scanned` is within quotes.
    is_quoted: bool,
    /// Whether the end of the data was received. Later bytes are ignored.
    has_ended: bool,
    /// The number of received lines, with the header, and with those within quotes.
    lines: usize,
    columns: Vec<StringBuilder>,
    /// The lines on which the collected rows end.
    row_lines: Vec<usize>,
    bytes: usize,
}

/// Rows with the lines on which they end, from 1.
#[derive(Debug)]
pub(crate) struct CopiedRows {
    /// The columns, as texts.
    pub(crate) columns: Vec<ArrayRef>,
    /// The line of each row.
    pub(crate) lines: Vec<usize>,
}

impl CopyParser {
    pub(crate) fn new(
        options: CopyOptions,
        table: &str,
        columns: usize,
        max_row_bytes: usize,
    ) -> Self {
        Self {
            options,
            table: table.to_owned(),
            max_row_bytes,
            input: Vec::new(),
            scanned: 0,
            is_quoted: false,
            has_ended: false,
            lines: 0,
            columns: (0..columns).map(|_| StringBuilder::new()).collect(),
            row_lines: Vec::new(),
            bytes: 0,
        }
    }

    /// Returns an error on a line, as PostgreSQL shows its place.
    pub(crate) fn at_line(&self, error: SqlError, line: usize, column: Option<&str>) -> SqlError {
        let place = column.map(|name| format!(", column {name}")).unwrap_or_default();
        error.in_context(format!("COPY {}, line {line}{place}", self.table))
    }

    /// Returns the number of the line that is being received.
    pub(crate) fn next_line(&self) -> usize {
        self.lines + 1
    }

    /// Returns the bytes of the collected rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the collected rows; `None` if there are none.
    pub(crate) fn take(&mut self) -> Option<CopiedRows> {
        if self.row_lines.is_empty() {
            return None;
        }
        self.bytes = 0;
        let columns = self.columns.iter_mut();
        Some(CopiedRows {
            columns: columns.map(|column| Arc::new(column.finish()) as ArrayRef).collect(),
            lines: std::mem::take(&mut self.row_lines),
        })
    }

    /// Parses the rows that end in these bytes.
    ///
    /// # Errors
    /// A row is malformed or too long.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), SqlError> {
        self.input.extend_from_slice(data);
        let mut input = std::mem::take(&mut self.input);
        let mut start = 0;
        while let Some(end) = self.row_end(&input) {
            let line = input.get(start..end).unwrap_or_default();
            self.parse_line(line)?;
            start = end + 1;
        }
        input.drain(..start);
        if input.len() > self.max_row_bytes {
            let message = format!("a row is longer than {} bytes", self.max_row_bytes);
            let error = SqlError::new(SqlState::LIMIT_EXCEEDED, message);
            return Err(self.at_line(error, self.next_line(), None));
        }
        self.scanned -= start;
        self.input = input;
        Ok(())
    }

    /// Parses the last row, which may lack the end of its line.
    pub(crate) fn finish(&mut self) -> Result<(), SqlError> {
        let rest = std::mem::take(&mut self.input);
        if self.is_quoted {
            self.lines += 1 + self.lines_within(&rest);
            return Err(self.malformed("unterminated CSV quoted field"));
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.parse_line(&rest)
    }

    /// Returns the place of the newline that ends the next row.
    fn row_end(&mut self, input: &[u8]) -> Option<usize> {
        let is_csv = self.options.layout == CopyLayout::Csv;
        while let Some(byte) = input.get(self.scanned) {
            let at = self.scanned;
            self.scanned += 1;
            match byte {
                b'"' if is_csv => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => return Some(at),
                // The next byte is escaped, even if it has not arrived yet.
                b'\\' if !is_csv => {
                    if input.get(self.scanned).is_none() {
                        self.scanned = at;
                        return None;
                    }
                    self.scanned += 1;
                }
                _ => {}
            }
        }
        None
    }

    fn parse_line(&mut self, line: &[u8]) -> Result<(), SqlError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.has_ended |= line == b"\\.";
        if self.has_ended {
            return Ok(());
        }
        let is_header = self.lines == 0 && self.options.has_header;
        self.lines += 1 + self.lines_within(line);
        if is_header {
            return Ok(());
        }
        let values = match self.options.layout {
            CopyLayout::Csv => self.csv_values(line)?,
            CopyLayout::Text | CopyLayout::Binary => self.text_values(line)?,
        };
        if values.len() != self.columns.len() {
            let message = if values.len() > self.columns.len() {
                "extra data after last expected column"
            } else {
                "missing data for a column"
            };
            return Err(self.malformed(message));
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            self.bytes += value.as_ref().map_or(0, String::len) + size_of::<i32>();
            column.append_option(value);
        }
        self.bytes += size_of::<usize>();
        self.row_lines.push(self.lines);
        Ok(())
    }

    /// Returns the number of further lines that a row has within quotes.
    fn lines_within(&self, line: &[u8]) -> usize {
        match self.options.layout {
            CopyLayout::Csv => line.iter().filter(|byte| **byte == b'\n').count(),
            CopyLayout::Text | CopyLayout::Binary => 0,
        }
    }

    fn text_values(&self, line: &[u8]) -> Result<Vec<Option<String>>, SqlError> {
        let mut values = Vec::with_capacity(self.columns.len());
        let (mut raw, mut value) = (Vec::new(), Vec::new());
        let mut bytes = line.iter().copied();
        loop {
            let byte = bytes.next();
            if byte.is_none_or(|byte| byte == self.options.delimiter) {
                let is_null = raw == self.options.null.as_bytes();
                let text = std::mem::take(&mut value);
                values.push(if is_null {
                    None
                } else {
                    Some(self.utf8(text)?)
                });
                raw.clear();
                if byte.is_none() {
                    return Ok(values);
                }
                continue;
            }
            let Some(byte) = byte else { continue };
            raw.push(byte);
            if byte != b'\\' {
                value.push(byte);
                continue;
            }
            let Some(escaped) = bytes.next() else {
                value.push(byte);
                continue;
            };
            raw.push(escaped);
            value.push(match escaped {
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                other => other,
            });
        }
    }

    fn csv_values(&self, line: &[u8]) -> Result<Vec<Option<String>>, SqlError> {
        let mut values = Vec::with_capacity(self.columns.len());
        let (mut value, mut is_quoted, mut had_quotes) = (Vec::new(), false, false);
        let mut bytes = line.iter().copied().peekable();
        loop {
            let byte = bytes.next();
            match byte {
                Some(b'"') if is_quoted && bytes.peek() == Some(&b'"') => {
                    bytes.next();
                    value.push(b'"');
                }
                Some(b'"') => {
                    is_quoted = !is_quoted;
                    had_quotes = true;
                }
                Some(byte) if is_quoted || byte != self.options.delimiter => value.push(byte),
                Some(_) | None => {
                    let is_null = !had_quotes && value == self.options.null.as_bytes();
                    let text = std::mem::take(&mut value);
                    values.push(if is_null {
                        None
                    } else {
                        Some(self.utf8(text)?)
                    });
                    had_quotes = false;
                    if byte.is_none() {
                        return Ok(values);
                    }
                }
            }
        }
    }

    fn utf8(&self, bytes: Vec<u8>) -> Result<String, SqlError> {
        let text = String::from_utf8(bytes);
        text.map_err(|_| self.malformed("invalid byte sequence for encoding \"UTF8\""))
    }

    fn malformed(&self, message: &str) -> SqlError {
        let error = SqlError::new(SqlState::BAD_COPY_FILE, message);
        self.at_line(error, self.lines, None)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    fn parser(layout: CopyLayout, has_header: bool) -> CopyParser {
        let options = CopyOptions { has_header, ..CopyOptions::new(layout) };
        CopyParser::new(options, "t", 2, 1 << 10)
    }

    fn rows(parser: &mut CopyParser) -> Vec<[Option<String>; 2]> {
        let columns = parser.take().unwrap().columns;
        let value = |column: usize, row: usize| {
            let column = columns[column].as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        (0..columns[0].len()).map(|row| [value(0, row), value(1, row)]).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn rows_may_be_cut_at_every_byte() {
        let text = "a\\tb\t\\N\n\\\\\t\\\nx\nlast\té";
        let expected = [[some("a\tb"), None], [some("\\"), some("\nx")], [some("last"), some("é")]];
        for cut in 0..text.len() {
            let mut parser = parser(CopyLayout::Text, false);
            parser.push(&text.as_bytes()[..cut]).unwrap();
            parser.push(&text.as_bytes()[cut..]).unwrap();
            parser.finish().unwrap();
            assert_eq!(rows(&mut parser), expected, "{cut}");
        }
        let csv = "h1,h2\r\n\"a,\"\"\n\"\"\",\n\"\",x\n\\.\nignored";
        let expected = [[some("a,\"\n\""), None], [some(""), some("x")]];
        for cut in 0..csv.len() {
            let mut parser = parser(CopyLayout::Csv, true);
            parser.push(&csv.as_bytes()[..cut]).unwrap();
            parser.push(&csv.as_bytes()[cut..]).unwrap();
            parser.finish().unwrap();
            assert_eq!(rows(&mut parser), expected, "{cut}");
        }
    }

    #[test]
    fn malformed_and_long_rows_are_refused() {
        for data in [&b"one column\n"[..], b"1\t2\t3\n", b"1\t\xff\n"] {
            let error = parser(CopyLayout::Text, false).push(data).unwrap_err();
            assert_eq!(error.state, SqlState::BAD_COPY_FILE, "{error}");
        }
        let error = parser(CopyLayout::Text, false).push(&[b'x'; 2 << 10]).unwrap_err();
        assert_eq!(error.state, SqlState::LIMIT_EXCEEDED);
        let mut open = parser(CopyLayout::Csv, false);
        open.push(b"\"open,1\n").unwrap();
        assert!(open.finish().is_err());
    }

    #[test]
    fn errors_name_the_table_and_the_line() {
        let context = |layout, has_header, data: &[u8]| {
            let mut lines = parser(layout, has_header);
            let parsed = lines.push(data).and_then(|()| lines.finish());
            parsed.unwrap_err().context.unwrap()
        };
        let text = b"1\t2\n3\\\n4\t5\n6\n7\t8\n";
        assert_eq!(context(CopyLayout::Text, false, text), "COPY t, line 3");
        let csv = b"a,b\n\"1\n2\",3\n4\n";
        assert_eq!(context(CopyLayout::Csv, true, csv), "COPY t, line 4");
        let open = b"1,2\n\"3\n4";
        assert_eq!(context(CopyLayout::Csv, false, open), "COPY t, line 3");
        let long = [&b"1\t2\n"[..], &[b'x'; 2 << 10]].concat();
        assert_eq!(context(CopyLayout::Text, false, &long), "COPY t, line 2");
        let mut rows = parser(CopyLayout::Csv, true);
        rows.push(b"a,b\n1,2\n\"3\n4\",5\n6,7\n").unwrap();
        assert_eq!(rows.take().unwrap().lines, [2, 4, 5]);
        assert!(rows.take().is_none());
    }
}
