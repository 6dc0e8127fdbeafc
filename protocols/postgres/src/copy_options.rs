//! The options of `COPY`.

use datafusion::sql::sqlparser::tokenizer::Token;
use neap_sql_changes::{SqlError, TokenCursor};

/// The format of the rows of a `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    pub(crate) layout: CopyLayout,
    pub(crate) delimiter: u8,
    /// The text that means null.
    pub(crate) null: String,
    /// Whether the first row has the names of the columns.
    pub(crate) has_header: bool,
}

/// The layout of the rows of a `COPY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyLayout {
    /// Fields with escapes after backslashes.
    Text,
    /// Fields in double quotes where needed.
    Csv,
    /// Fields with their lengths.
    Binary,
}

impl CopyOptions {
    /// Returns the default options of a layout.
    pub(crate) fn new(layout: CopyLayout) -> Self {
        let (delimiter, null) = match layout {
            CopyLayout::Csv => (b',', ""),
            CopyLayout::Text | CopyLayout::Binary => (b'\t', "\\N"),
        };
        Self { layout, delimiter, null: null.to_owned(), has_header: false }
    }

    /// Returns whether rows are bytes instead of text.
    pub(crate) fn is_binary(&self) -> bool {
        self.layout == CopyLayout::Binary
    }

    /// Reads the options after `STDIN` or `STDOUT`: `WITH (FORMAT csv, HEADER)`, or the older `CSV HEADER`.
    pub(crate) fn parse(cursor: &mut TokenCursor<'_>) -> Result<Self, SqlError> {
        let mut options = CopyOptionsBuilder::default();
        cursor.eat("WITH");
        cursor.eat_token(&Token::LParen);
        while !cursor.is_at_end() {
            if cursor.eat_token(&Token::Comma) || cursor.eat_token(&Token::RParen) {
                continue;
            }
            options.take(cursor)?;
        }
        Ok(options.build())
    }
}

/// The options that a statement sets, in any order. The defaults of the others depend on the layout.
#[derive(Debug, Default)]
struct CopyOptionsBuilder {
    layout: Option<CopyLayout>,
    delimiter: Option<u8>,
    null: Option<String>,
    has_header: bool,
}

impl CopyOptionsBuilder {
    fn take(&mut self, cursor: &mut TokenCursor<'_>) -> Result<(), SqlError> {
        let option = cursor.name().ok_or_else(|| cursor.malformed("malformed option of COPY"))?;
        match option.as_str() {
            "format" => {
                let name = cursor.name().or_else(|| cursor.string()).unwrap_or_default();
                self.layout = Some(layout(&name)?);
            }
            "csv" | "binary" | "text" => self.layout = Some(layout(&option)?),
            "header" => {
                let is_off = cursor.eat("false") || cursor.eat("off");
                self.has_header = !is_off;
                if !is_off && !cursor.eat("true") {
                    cursor.eat("on");
                }
            }
            "delimiter" => self.delimiter = Some(one_byte(&option, cursor)?),
            "null" => {
                cursor.eat("as");
                let text = cursor.string();
                self.null = Some(text.ok_or_else(|| cursor.malformed("NULL needs a string"))?);
            }
            "quote" | "escape" if one_byte(&option, cursor)? == b'"' => {}
            "encoding" if cursor.string().is_some_and(|name| is_utf8(&name)) => {}
            _ => {
                let message =
                    format!("the option {option} of COPY, or its value, is not supported");
                return Err(SqlError::unsupported(message));
            }
        }
        Ok(())
    }

    fn build(self) -> CopyOptions {
        let default = CopyOptions::new(self.layout.unwrap_or(CopyLayout::Text));
        CopyOptions {
            delimiter: self.delimiter.unwrap_or(default.delimiter),
            null: self.null.unwrap_or(default.null),
            has_header: self.has_header,
            ..default
        }
    }
}

fn layout(name: &str) -> Result<CopyLayout, SqlError> {
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(CopyLayout::Text),
        "csv" => Ok(CopyLayout::Csv),
        "binary" => Ok(CopyLayout::Binary),
        _ => Err(SqlError::unsupported(format!(
            "COPY format \"{name}\" not recognized: it is text, csv or binary"
        ))),
    }
}

fn one_byte(option: &str, cursor: &mut TokenCursor<'_>) -> Result<u8, SqlError> {
    cursor.eat("as");
    let text = cursor.string().unwrap_or_default();
    match text.as_bytes() {
        [byte] if !matches!(byte, b'\n' | b'\r' | b'\\') => Ok(*byte),
        // The escape of a tabulator in a string without escapes.
        b"\\t" => Ok(b'\t'),
        _ => Err(SqlError::unsupported(format!(
            "COPY {option} must be a single one-byte character"
        ))),
    }
}

fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8")
}

#[cfg(test)]
mod tests {
    use neap_sql_changes::{SqlState, StatementText};

    use super::*;

    fn options(text: &str) -> Result<CopyOptions, SqlError> {
        let statement = &StatementText::split(text).unwrap()[0];
        let mut cursor = statement.cursor();
        assert!(cursor.eat("STDOUT"));
        CopyOptions::parse(&mut cursor)
    }

    #[test]
    fn the_options_of_both_forms_are_read() {
        let csv = CopyOptions {
            layout: CopyLayout::Csv,
            delimiter: b';',
            null: "-".to_owned(),
            has_header: true,
        };
        for text in [
            "STDOUT WITH (FORMAT csv, HEADER true, DELIMITER ';', NULL '-')",
            "STDOUT (FORMAT 'csv', HEADER, DELIMITER ';', NULL '-', QUOTE '\"', ENCODING 'UTF8')",
            "STDOUT WITH CSV HEADER DELIMITER AS ';' NULL AS '-'",
        ] {
            assert_eq!(options(text), Ok(csv.clone()), "{text}");
        }
        assert!(options("STDOUT (FORMAT binary)").unwrap().is_binary());
        assert_eq!(options("STDOUT").unwrap().null, "\\N");
        assert!(!options("STDOUT (FORMAT csv, HEADER off)").unwrap().has_header);
    }

    #[test]
    fn unknown_options_are_refused() {
        for text in [
            "STDOUT (FORMAT parquet)",
            "STDOUT (DELIMITER '::')",
            "STDOUT (FREEZE)",
            "STDOUT (QUOTE 'x')",
            "STDOUT (ENCODING 'LATIN1')",
        ] {
            let error = options(text).unwrap_err();
            assert_eq!(error.state, SqlState::FEATURE_NOT_SUPPORTED, "{text}");
        }
    }
}
