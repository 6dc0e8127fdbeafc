//! Writes rows as line protocol, and sends them in requests of bounded size.

use std::sync::Arc;

use neap_tsm::ValueType;

use crate::{
    client::RefusedLines,
    import::{
        BodySender, ImportError, ImportSummary,
        body::{BodyContent, ImportBody, LinePlaces},
    },
};

/// A value of a field as text, without the marks of line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldText<'a> {
    pub(super) text: &'a str,
    /// The type of the field that is written.
    pub(super) value_type: ValueType,
}

/// Collects lines and sends them.
pub(super) struct LineWriter<'a> {
    sender: Option<&'a BodySender>,
    database: Arc<str>,
    origin: Arc<str>,
    max_bytes: usize,
    text: String,
    lines: u64,
    /// Rows that were refused.
    pub(super) summary: ImportSummary,
}

impl<'a> LineWriter<'a> {
    /// Creates a writer. Without a sender, lines are dropped.
    pub(super) fn new(
        sender: Option<&'a BodySender>,
        database: &str,
        origin: &str,
        max_bytes: usize,
    ) -> Self {
        Self {
            sender,
            database: database.into(),
            origin: origin.into(),
            max_bytes,
            text: String::new(),
            lines: 0,
            summary: ImportSummary::default(),
        }
    }

    /// Adds lines, each with a line break at its end, and sends them if they are enough.
    pub(super) async fn push(&mut self, text: &str, lines: u64) -> Result<(), ImportError> {
        if self.text.len() + text.len() > self.max_bytes {
            self.flush().await?;
        }
        self.text.push_str(text);
        self.lines += lines;
        Ok(())
    }

    /// Adds rows that cannot be written as lines.
    pub(super) fn refuse(&mut self, refused: Option<RefusedLines>) {
        if let Some(refused) = refused {
            self.summary.add_refused(&self.database, refused);
        }
    }

    /// Sends the lines.
    pub(super) async fn flush(&mut self) -> Result<(), ImportError> {
        let (text, lines) = (std::mem::take(&mut self.text), std::mem::take(&mut self.lines));
        let Some(sender) = self.sender.filter(|_| !text.is_empty()) else {
            return Ok(());
        };
        let body = ImportBody {
            database: Arc::clone(&self.database),
            content: BodyContent::Lines {
                bytes: text.into(),
                places: LinePlaces::After(0),
                precision: "ns",
            },
            origin: Arc::clone(&self.origin),
            rows: lines,
        };
        if let Some(refused) = sender.send(&body).await? {
            self.summary.add_refused(&body.database, refused);
        }
        Ok(())
    }
}

/// Appends a name, a tag value or a string with the escapes of line protocol: before special characters, and before a
/// backslash that would be read as an escape or that ends the text.
pub(super) fn push_escaped(line: &mut String, text: &str, special: &str) {
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let is_escaped = match (char, chars.peek()) {
            ('\\', None | Some('\\' | ',' | '=' | ' ' | '"')) => true,
            ('\\', Some(_)) => false,
            _ => special.contains(char),
        };
        if is_escaped {
            line.push('\\');
        }
        line.push(char);
    }
}

/// Appends a field.
pub(super) fn push_field(line: &mut String, name: &str, value: FieldText<'_>) {
    push_escaped(line, name, ",= ");
    line.push('=');
    match value.value_type {
        ValueType::String => {
            line.push('"');
            push_escaped(line, value.text, "\"");
            line.push('"');
        }
        ValueType::Integer => {
            line.push_str(value.text);
            line.push('i');
        }
        ValueType::Unsigned => {
            line.push_str(value.text);
            line.push('u');
        }
        ValueType::Float | ValueType::Boolean => line.push_str(value.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_escaped() {
        let mut line = String::new();
        push_escaped(&mut line, "my, m=x", ", ");
        line.push(' ');
        let field = |text, value_type| FieldText { text, value_type };
        push_field(&mut line, "a b", field("x\"y\\", ValueType::String));
        line.push(',');
        push_field(&mut line, "i", field("-1", ValueType::Integer));
        line.push(',');
        push_field(&mut line, "u", field("1", ValueType::Unsigned));
        line.push(',');
        push_field(&mut line, "f", field("1e300", ValueType::Float));
        assert_eq!(line, r#"my\,\ m=x a\ b="x\"y\\",i=-1i,u=1u,f=1e300"#);
    }

    #[test]
    fn backslashes_are_doubled_where_the_server_would_read_an_escape() {
        for (value, expected) in [
            (r"a\b", r"a\b"),
            (r"a\\b", r"a\\\b"),
            (r"C:\", r"C:\\"),
            (r"a\,b", r"a\\\,b"),
            (r"a\ b", r"a\\\ b"),
        ] {
            let mut line = String::new();
            push_escaped(&mut line, value, ",= ");
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn refused_rows_are_counted() {
        let error = neap_rows::line_protocol::LineError {
            line_number: 1,
            original_line: String::new(),
            error_message: "refused".to_owned(),
            kind: neap_rows::line_protocol::LineErrorKind::Parse,
            conflict: None,
        };
        let mut writer = LineWriter::new(None, "home", "cpu", 1_000);
        writer.refuse(RefusedLines::of_rows(0, Some("cpu"), &[error]));
        assert_eq!(writer.summary.refused_count(), 1);
    }
}
