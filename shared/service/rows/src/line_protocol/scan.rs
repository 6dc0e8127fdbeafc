//! Finds lines in a body, and tokens and escapes in a line.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};
use neap_schema::MAX_TABLE_NAME_BYTES;

use crate::line_protocol::error::LineRefusal;

/// Maximum length of a name, tag value or string without its escapes, in bytes (as in InfluxDB 3).
pub const MAX_STRING_BYTES: usize = MAX_TABLE_NAME_BYTES;

/// The byte order mark in UTF-8, which editors of Windows put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Returns the bytes from `at` on; empty if `at` is beyond the end.
#[inline]
pub(crate) fn bytes_from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// A piece of the body as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) raw: &'a [u8],
    /// Whether it contains a backslash.
    pub(crate) escaped: bool,
    /// Whether a backslash before a newline or a carriage return is dropped (QuestDB only).
    pub(crate) escapes_newlines: bool,
}

/// The kinds of tokens. They differ in the bytes that end them and in the effect of a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Measurement,
    /// The key of a tag or field.
    Key,
    TagValue,
    /// The content of a string.
    Text,
}

impl TokenKind {
    /// Returns whether an unescaped byte ends a token outside quotes.
    fn ends_at(self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t' | b'\n' | b',' => true,
            b'=' => self == Self::Key,
            b'\0' => self == Self::Measurement,
            _ => false,
        }
    }

    /// Returns whether a backslash before this byte is dropped. Before other bytes it is kept.
    fn escapes(self, byte: u8) -> bool {
        match byte {
            b'\\' => true,
            b',' | b' ' => self != Self::Text,
            b'=' => matches!(self, Self::Key | Self::TagValue),
            b'"' => self == Self::Text,
            _ => false,
        }
    }
}

impl<'a> Token<'a> {
    /// Scans the token at the start of `input`. The token may be empty.
    pub(crate) fn scan(input: &'a [u8], kind: TokenKind) -> Result<Self, LineRefusal> {
        let mut end = 0;
        let mut escaped = false;
        while let Some(&byte) = input.get(end) {
            if byte == b'\\' {
                escaped = true;
                end += 2;
            } else if kind.ends_at(byte) {
                break;
            } else {
                end += 1;
            }
        }
        let raw = input.get(..end).unwrap_or(input);
        if raw.ends_with(b"\\") {
            return Err(LineRefusal::EndsWithBackslash);
        }
        Self { raw, escaped, escapes_newlines: false }.check_length(kind)
    }

    /// Scans the content of a string; `input` starts after the opening quote. Returns `None` if the string is not
    /// closed.
    pub(crate) fn scan_text(input: &'a [u8]) -> Result<Option<Self>, LineRefusal> {
        let Some(raw) = string_end(input).and_then(|end| input.get(..end)) else {
            return Ok(None);
        };
        let escaped = memchr(b'\\', raw).is_some();
        Self { raw, escaped, escapes_newlines: false }
            .check_length(TokenKind::Text)
            .map(Some)
    }

    fn check_length(self, kind: TokenKind) -> Result<Self, LineRefusal> {
        if self.raw.len() > MAX_STRING_BYTES && self.unescape(kind).len() > MAX_STRING_BYTES {
            return Err(LineRefusal::StringTooLong);
        }
        Ok(self)
    }

    /// Returns the token without escapes.
    pub(crate) fn unescape(self, kind: TokenKind) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut bytes = Vec::with_capacity(self.raw.len());
        self.unescape_into(kind, &mut bytes);
        Cow::Owned(bytes)
    }

    /// Appends the token without escapes.
    pub(crate) fn unescape_into(self, kind: TokenKind, bytes: &mut Vec<u8>) {
        let mut rest = self.raw;
        while let Some(at) = if self.escaped {
            memchr(b'\\', rest)
        } else {
            None
        } {
            bytes.extend_from_slice(rest.get(..at).unwrap_or_default());
            let next = rest.get(at + 1).copied();
            let is_dropped = |byte| {
                kind.escapes(byte) || (self.escapes_newlines && matches!(byte, b'\n' | b'\r'))
            };
            if !next.is_some_and(is_dropped) {
                bytes.push(b'\\');
            }
            bytes.extend(next);
            rest = bytes_from(rest, at + 2);
        }
        bytes.extend_from_slice(rest);
    }
}

/// Skips blanks, blank lines and comments, and byte order marks before lines: that of a file may be anywhere in a stream.
/// Returns the start of the next line with its leading blanks, and the position of its first other character.
pub(crate) fn skip_blank_lines(body: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut begin = at;
    loop {
        match body.get(at)? {
            b' ' | b'\t' => at += 1,
            b'\r' if matches!(body.get(at + 1), Some(b'\n') | None) => at += 1,
            b'\n' => {
                at += 1;
                begin = at;
            }
            b'#' => at += memchr(b'\n', bytes_from(body, at))?,
            _ if bytes_from(body, at).starts_with(BYTE_ORDER_MARK) => at += BYTE_ORDER_MARK.len(),
            _ => return Some((begin, at)),
        }
    }
}

/// Returns the length of the line at the start of `input`: up to a newline that is neither escaped nor inside a string.
///
/// A string that is not closed before the end of the body ends with its line, so that one stray quote does not consume
/// all following lines.
pub(crate) fn line_length(input: &[u8]) -> usize {
    let mut at = 0;
    let mut series_end = None;
    loop {
        let rest = bytes_from(input, at);
        let Some(found) = memchr3(b'\n', b'"', b'\\', rest) else {
            return input.len();
        };
        match rest.get(found) {
            Some(b'\n') => return at + found,
            Some(b'\\') => at += found + 2,
            _ => {
                let quote = at + found;
                at = quote + 1;
                // A string follows an equals sign, and only in the fields: in tags and names a quote
                // is an ordinary character. An escaped equals sign is before `rest`.
                let follows_equals =
                    found.checked_sub(1).and_then(|before| rest.get(before)) == Some(&b'=');
                if follows_equals && *series_end.get_or_insert_with(|| series_length(input)) < quote
                {
                    match string_end(bytes_from(input, at)) {
                        Some(length) => at += length + 1,
                        None => return first_newline(input, quote),
                    }
                }
            }
        }
    }
}

fn first_newline(input: &[u8], at: usize) -> usize {
    memchr(b'\n', bytes_from(input, at)).map_or(input.len(), |found| at + found)
}

/// Returns the length of measurement and tags, up to an unescaped space, newline or the end.
pub(crate) fn series_length(line: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes_from(line, at);
        match memchr3(b' ', b'\n', b'\\', rest) {
            None => return line.len(),
            Some(found) if rest.get(found) == Some(&b'\\') => at += found + 2,
            Some(found) => return at + found,
        }
    }
}

/// Returns the position of the quote that closes a string; `input` starts after the opening quote.
pub(crate) fn string_end(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes_from(input, at);
        let found = memchr2(b'"', b'\\', rest)?;
        if rest.get(found) == Some(&b'"') {
            return Some(at + found);
        }
        at += found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(input: &str, kind: TokenKind) -> String {
        let token = Token::scan(input.as_bytes(), kind).unwrap();
        String::from_utf8(token.unescape(kind).into_owned()).unwrap()
    }

    #[test]
    fn measurements_escape_comma_space_and_backslash() {
        for (input, expected) in [
            (r"a\,b", "a,b"),
            (r"a\ b", "a b"),
            (r"a\\b", r"a\b"),
            (r"a\=b", r"a\=b"),
            (r"a=b", "a=b"),
            (r"a\xb", r"a\xb"),
            ("a\0b", "a"),
            ("a\tb", "a"),
            (r"a\éb", r"a\éb"),
        ] {
            assert_eq!(unescaped(input, TokenKind::Measurement), expected, "{input}");
        }
    }

    #[test]
    fn keys_and_tag_values_also_escape_equals() {
        for kind in [TokenKind::Key, TokenKind::TagValue] {
            for (input, expected) in [
                (r"a\,b", "a,b"),
                (r"a\ b", "a b"),
                (r"a\=b", "a=b"),
                (r"a\\b", r"a\b"),
                (r"a\\\,b", r"a\,b"),
                (r"a\xb", r"a\xb"),
                (r#"a\"b"#, r#"a\"b"#),
                ("a\\\tb", "a\\\tb"),
                ("a\rb", "a\rb"),
                ("a\0b", "a\0b"),
            ] {
                assert_eq!(unescaped(input, kind), expected, "{input}");
            }
        }
        assert_eq!(unescaped("a=b", TokenKind::Key), "a");
        assert_eq!(unescaped("a=b", TokenKind::TagValue), "a=b");
        assert_eq!(unescaped("a,b", TokenKind::Key), "a");
    }

    #[test]
    fn strings_escape_quote_and_backslash_only() {
        let token = Token::scan_text(br#"a\"b\\c\nd\,e" 1"#).unwrap().unwrap();
        assert_eq!(&*token.unescape(TokenKind::Text), br#"a"b\c\nd\,e"#);
        assert_eq!(Token::scan_text(br#"abc\""#).unwrap(), None);
        assert_eq!(
            Token::scan_text(b"\"").unwrap(),
            Some(Token { raw: b"", escaped: false, escapes_newlines: false })
        );
    }

    #[test]
    fn no_name_ends_with_a_backslash() {
        for input in [r"a\", r"a\\", r"a\\ b"] {
            assert_eq!(
                Token::scan(input.as_bytes(), TokenKind::Key),
                Err(LineRefusal::EndsWithBackslash)
            );
        }
    }

    #[test]
    fn the_length_of_a_name_excludes_its_escapes() {
        let escaped = r"\ ".repeat(MAX_STRING_BYTES);
        assert!(Token::scan(escaped.as_bytes(), TokenKind::Key).is_ok());
        let long = "x".repeat(MAX_STRING_BYTES + 1);
        assert_eq!(Token::scan(long.as_bytes(), TokenKind::Key), Err(LineRefusal::StringTooLong));
    }

    fn lines(body: &str) -> Vec<&str> {
        let mut lines = Vec::new();
        let mut at = 0;
        while let Some((_, start)) = skip_blank_lines(body.as_bytes(), at) {
            let end = start + line_length(bytes_from(body.as_bytes(), start));
            lines.push(&body[start..end]);
            at = end;
        }
        lines
    }

    #[test]
    fn lines_end_at_newlines_outside_strings() {
        assert_eq!(lines("a v=1\nb v=1"), ["a v=1", "b v=1"]);
        assert_eq!(lines("a v=\"x\ny\" 1\nb v=1\n"), ["a v=\"x\ny\" 1", "b v=1"]);
        assert_eq!(lines("a v=\"x\\\"\ny\" 1\nb v=1"), ["a v=\"x\\\"\ny\" 1", "b v=1"]);
        assert_eq!(lines("a,t=x\\\ny v=1\nb v=1"), ["a,t=x\\\ny v=1", "b v=1"]);
        assert_eq!(lines("a v=1\r\nb v=1"), ["a v=1\r", "b v=1"]);
    }

    #[test]
    fn quotes_outside_field_values_open_no_string() {
        for first in
            ["m\"a f=1", "m,k\"x=1 f=1", "m,k=\"x f=1", "m f\"x=1", "m f=1\"", "m f\\=\"=1"]
        {
            assert_eq!(lines(&format!("{first}\nb v=1")), [first, "b v=1"]);
        }
    }

    #[test]
    fn an_unclosed_string_ends_with_its_line() {
        assert_eq!(lines("a v=\"x\nb v=1\nc v=1"), ["a v=\"x", "b v=1", "c v=1"]);
    }

    #[test]
    fn blank_lines_and_comments_are_skipped() {
        assert_eq!(lines("\n  # a=\"1\n\t \n  a v=1\n#x\n \n"), ["a v=1"]);
        assert_eq!(lines("# \\\na v=1"), ["a v=1"]);
        assert_eq!(lines("\r\n \r\n# c\r\na v=1\r\n \r"), ["a v=1\r"]);
        assert_eq!(lines("\ra v=1"), ["\ra v=1"]);
        assert_eq!(skip_blank_lines(b"\n  a", 0), Some((1, 3)));
    }

    #[test]
    fn byte_order_marks_before_lines_are_skipped() {
        let body = "\u{feff}a v=1\n\u{feff}# c\n \u{feff}b v=\"\u{feff}\"\n\u{feff}";
        assert_eq!(lines(body), ["a v=1", "b v=\"\u{feff}\""]);
        assert_eq!(lines("a\u{feff} v=1\n\u{fefe}b v=1"), ["a\u{feff} v=1", "\u{fefe}b v=1"]);
    }
}
