//! Writes statements as text that [`parse`](crate::parse) reads back as the same statement.

mod expr;
mod select;
mod statement;

use std::fmt::{self, Display, Formatter, Write};

use crate::parser::is_keyword;

/// Writes a name as an InfluxQL identifier: in double quotes unless it is a plain word.
pub fn quoted_if_needed(name: &str) -> impl Display + '_ {
    Identifier(name)
}

/// An identifier, quoted if needed.
pub(crate) struct Identifier<'a>(pub(crate) &'a str);

impl Display for Identifier<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_plain(self.0) {
            f.write_str(self.0)
        } else {
            quoted(f, '"', self.0)
        }
    }
}

/// A string literal in single quotes.
pub(crate) struct StringLiteral<'a>(pub(crate) &'a str);

impl Display for StringLiteral<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        quoted(f, '\'', self.0)
    }
}

fn quoted(f: &mut Formatter<'_>, quote: char, text: &str) -> fmt::Result {
    f.write_char(quote)?;
    for char in text.chars() {
        match char {
            '\n' => f.write_str("\\n")?,
            '\\' => f.write_str("\\\\")?,
            char if char == quote => write!(f, "\\{quote}")?,
            char => f.write_char(char)?,
        }
    }
    f.write_char(quote)
}

fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    let begins = |char: char| char.is_ascii_alphabetic() || char == '_';
    chars.next().is_some_and(begins)
        && chars.all(|char| begins(char) || char.is_ascii_digit())
        && !is_keyword(name)
}

/// Writes elements with a separator between them.
pub(super) fn write_separated<T: Display>(
    f: &mut Formatter<'_>,
    elements: impl IntoIterator<Item = T>,
    between: &str,
) -> fmt::Result {
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{element}")?;
    }
    Ok(())
}

/// A duration literal in nanoseconds, written in the longest units that divide it.
pub(crate) struct DurationLiteral(pub(crate) i64);

impl Display for DurationLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 8] = [
            ("w", 604_800_000_000_000),
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("u", 1_000),
            ("ns", 1),
        ];
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut left = self.0.unsigned_abs();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, nanos) in UNITS {
            if left >= nanos {
                write!(f, "{}{unit}", left / nanos)?;
                left %= nanos;
            }
        }
        Ok(())
    }
}
