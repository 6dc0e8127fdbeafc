//! Prints results while they arrive from the server, chunk by chunk, and counts their rows.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use clap::ValueEnum;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

/// The table of a result without columns, which is not printed; a result without rows may have this form.
pub(crate) const NO_TABLE: &str = "++\n++\n";
/// Maximum size in bytes of a row in vertical format.
const MAX_ROW_BYTES: usize = 64 << 20;

/// Result formats for terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum TerminalFormat {
    Pretty,
    Json,
    #[value(alias = "json_lines")]
    Jsonl,
    Csv,
}

impl TerminalFormat {
    /// Returns the format's name in requests.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What was printed of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrintedResult {
    /// Number of rows.
    pub(crate) rows: u64,
    /// Whether the result has columns. The results of statements that change something have none.
    pub(crate) has_columns: bool,
}

/// Prints one result.
#[derive(Debug)]
pub(crate) struct ResultPrinter {
    counter: RowCounter,
    vertical: Option<VerticalPrinter>,
    /// The start of a table, held back while it may equal [`NO_TABLE`].
    held: Vec<u8>,
    last: Option<u8>,
}

impl ResultPrinter {
    /// Creates a printer for a result in this format.
    pub(crate) fn new(form: TerminalFormat) -> Self {
        Self {
            counter: RowCounter::new(form),
            vertical: None,
            held: Vec::new(),
            last: None,
        }
    }

    /// Creates a printer that shows each value of a JSON Lines result on a separate line.
    pub(super) fn vertical() -> Self {
        Self {
            vertical: Some(VerticalPrinter::default()),
            ..Self::new(TerminalFormat::Jsonl)
        }
    }

    /// Prints the next bytes of the result.
    pub(crate) fn print(&mut self, bytes: &[u8], into: &mut dyn Write) -> io::Result<()> {
        self.counter.count(bytes);
        if let Some(vertical) = &mut self.vertical {
            return vertical.print(bytes, into);
        }
        if self.counter.form == TerminalFormat::Pretty && self.last.is_none() {
            self.held.extend_from_slice(bytes);
            if NO_TABLE.as_bytes().starts_with(&self.held) {
                return Ok(());
            }
            let held = std::mem::take(&mut self.held);
            self.last = held.last().copied();
            return into.write_all(&held);
        }
        self.last = bytes.last().copied().or(self.last);
        into.write_all(bytes)
    }

    /// Prints the rest.
    pub(crate) fn finish(mut self, into: &mut dyn Write) -> io::Result<PrintedResult> {
        if let Some(vertical) = &mut self.vertical {
            vertical.print_row(into)?;
        } else if self.last.is_some_and(|last| last != b'\n') {
            into.write_all(b"\n")?;
        }
        into.flush()?;
        Ok(PrintedResult { rows: self.counter.rows(), has_columns: self.held.is_empty() })
    }
}

/// Counts the rows of a result without buffering.
#[derive(Debug)]
struct RowCounter {
    form: TerminalFormat,
    /// Number of ended lines or records, or of started table lines and JSON objects.
    count: u64,
    at_line_start: bool,
    in_quotes: bool,
    after_backslash: bool,
    depth: usize,
}

impl RowCounter {
    fn new(form: TerminalFormat) -> Self {
        Self {
            form,
            count: 0,
            at_line_start: true,
            in_quotes: false,
            after_backslash: false,
            depth: 0,
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.form {
                // A row whose value contains a line break counts twice, because its lines can't be told apart.
                TerminalFormat::Pretty => {
                    self.count += u64::from(self.at_line_start && byte == b'|')
                }
                TerminalFormat::Jsonl => {
                    self.count += u64::from(byte == b'\n' && !self.at_line_start)
                }
                TerminalFormat::Csv => {
                    self.in_quotes ^= byte == b'"';
                    let ends = byte == b'\n' && !self.in_quotes;
                    self.count += u64::from(ends);
                }
                TerminalFormat::Json => self.count_objects(byte),
            }
            self.at_line_start = byte == b'\n';
        }
    }

    fn count_objects(&mut self, byte: u8) {
        match byte {
            _ if self.after_backslash => self.after_backslash = false,
            b'\\' if self.in_quotes => self.after_backslash = true,
            b'"' => self.in_quotes = !self.in_quotes,
            _ if self.in_quotes => {}
            b'{' | b'[' => {
                self.count += u64::from(byte == b'{' && self.depth == 1);
                self.depth += 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn rows(&self) -> u64 {
        let unended = u64::from(!self.at_line_start);
        match self.form {
            TerminalFormat::Json => self.count,
            TerminalFormat::Jsonl => self.count + unended,
            // The header is not a row.
            TerminalFormat::Csv => (self.count + unended).saturating_sub(1),
            TerminalFormat::Pretty => self.count.saturating_sub(1),
        }
    }
}

/// Prints rows as `column | value` lines. Null values are omitted, as in JSON Lines.
#[derive(Debug, Default)]
struct VerticalPrinter {
    rows: u64,
    line: Vec<u8>,
}

impl VerticalPrinter {
    fn print(&mut self, bytes: &[u8], into: &mut dyn Write) -> io::Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > MAX_ROW_BYTES {
                let error = "a row is too long to be shown on lines of its own";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.print_row(into)?;
            }
        }
        Ok(())
    }

    fn print_row(&mut self, into: &mut dyn Write) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let OrderedFields(fields) = serde_json::from_slice(&line)?;
        self.rows += 1;
        let mut text = format!("-[ row {} ]-\n", self.rows);
        let widths = fields.iter().map(|(name, _)| name.chars().count());
        let width = widths.max().unwrap_or(0);
        for (name, value) in fields {
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            // Align further lines of a value below its first one.
            let value = value.replace('\n', &format!("\n{:width$} | ", ""));
            writeln!(text, "{name:width$} | {value}").ok();
        }
        into.write_all(text.as_bytes())
    }
}

/// The members of a JSON object in document order.
struct OrderedFields(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for OrderedFields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedFieldsVisitor;
        impl<'de> Visitor<'de> for OrderedFieldsVisitor {
            type Value = OrderedFields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedFields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(OrderedFields(fields))
            }
        }
        deserializer.deserialize_map(OrderedFieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the printed text and the number of rows, the same for every chunk size.
    fn printed(new: impl Fn() -> ResultPrinter, text: &str) -> (String, u64) {
        let with_chunks = |size| {
            let (mut printer, mut into) = (new(), Vec::new());
            for chunk in text.as_bytes().chunks(size) {
                printer.print(chunk, &mut into).unwrap();
            }
            let printed = printer.finish(&mut into).unwrap();
            assert_eq!(printed.has_columns, text.trim_end() != "++\n++");
            (String::from_utf8(into).unwrap(), printed.rows)
        };
        let whole = with_chunks(text.len().max(1));
        for size in 1..4 {
            assert_eq!(with_chunks(size), whole, "{size}");
        }
        whole
    }

    #[test]
    fn rows_are_counted_in_all_forms() {
        for (form, text, expected) in [
            (TerminalFormat::Pretty, "+---+\n| a |\n+---+\n| 1 |\n| 2 |\n+---+", 2),
            (TerminalFormat::Pretty, "+---+\n| a |\n+---+\n+---+", 0),
            (TerminalFormat::Json, r#"[{"a":"}{[\""},{"b":[{"c":1}]}]"#, 2),
            (TerminalFormat::Json, "[]", 0),
            (TerminalFormat::Jsonl, "{\"a\":1}\n{}\n", 2),
            (TerminalFormat::Jsonl, "{}", 1),
            (TerminalFormat::Jsonl, "", 0),
            (TerminalFormat::Csv, "a,b\n1,\"x\n\"\"y\"\n2,\n", 2),
            (TerminalFormat::Csv, "a\n1", 1),
            (TerminalFormat::Csv, "a\n", 0),
            (TerminalFormat::Csv, "", 0),
        ] {
            let (out, rows) = printed(|| ResultPrinter::new(form), text);
            assert_eq!(rows, expected, "{text}");
            assert_eq!(out.trim_end_matches('\n'), text.trim_end_matches('\n'));
            assert!(out.is_empty() || out.ends_with('\n'));
        }
    }

    #[test]
    fn a_table_without_columns_is_not_shown() {
        for text in ["++\n++", "++\n++\n"] {
            assert_eq!(
                printed(|| ResultPrinter::new(TerminalFormat::Pretty), text),
                (String::new(), 0)
            );
        }
    }

    #[test]
    fn rows_have_lines_of_their_own() {
        let lines = "{\"host\":\"a\",\"usage\":0.5,\"all\":[1,2]}\n{\"note\":\"x\\ny\"}\n";
        let (out, rows) = printed(ResultPrinter::vertical, lines);
        assert_eq!(rows, 2);
        insta::assert_snapshot!(out, @r"
        -[ row 1 ]-
        host  | a
        usage | 0.5
        all   | [1,2]
        -[ row 2 ]-
        note | x
             | y
        ");
        assert_eq!(printed(ResultPrinter::vertical, ""), (String::new(), 0));
    }
}
