//! The lexer: text to tokens. The meaning of a slash depends on the context, so the parser asks for a regular
//! expression explicitly where one is allowed.

use crate::ParseError;

/// The units of durations and their lengths in nanoseconds. Longer unit names come first.
const UNITS: [(&str, u64); 9] = [
    ("ns", 1),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("u", 1_000),
    ("µ", 1_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Nanoseconds per week. No other unit name begins with `w`.
const WEEK: u64 = 7 * 86_400_000_000_000;

/// The units of calendar durations and their lengths in months.
const CALENDAR_UNITS: [(&str, u32); 2] = [("mo", 1), ("y", 12)];

/// Maximum months of a calendar duration: 1,000 years.
const MAX_MONTHS: u32 = 12_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// The end of the text.
    End,
    /// A keyword or an unquoted name.
    Word(&'a str),
    /// A name in double quotes.
    Quoted(String),
    /// A string in single quotes.
    String(String),
    /// A decimal integer.
    Integer(u64),
    /// A decimal number with a point.
    Float(f64),
    /// A duration in nanoseconds.
    Duration(u64),
    /// A calendar duration in months.
    Months(u32),
    /// `$name`
    Parameter(String),
    /// Punctuation and operators.
    Symbol(&'static str),
}

/// The symbols. A symbol comes before its own prefixes.
const SYMBOLS: [&str; 24] = [
    "::", "=~", "!~", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ";", ".", "+", "-",
    "*", "/", "%", "&", "|", "^", ":",
];

/// A token and its position in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpannedToken<'a> {
    pub(crate) token: Token<'a>,
    /// The offset of its first byte.
    pub(crate) start: usize,
    /// The offset of the byte after it.
    pub(crate) end: usize,
}

/// Returns the next token at or after a byte offset.
pub(crate) fn next(text: &str, from: usize) -> Result<SpannedToken<'_>, ParseError> {
    let start = after_space(text, from)?;
    let rest = text.get(start..).unwrap_or_default();
    let Some(first) = rest.chars().next() else {
        return Ok(SpannedToken { token: Token::End, start, end: start });
    };
    let (token, length) = match first {
        '\'' => {
            let (value, length) = quoted(rest, '\'', start)?;
            (Token::String(value), length)
        }
        '"' => {
            let (value, length) = quoted(rest, '"', start)?;
            (Token::Quoted(value), length)
        }
        '$' => parameter(rest, start)?,
        '0'..='9' => number(rest, start)?,
        '.' if rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit()) => {
            number(rest, start)?
        }
        first if first.is_ascii_alphabetic() || first == '_' => {
            let word = word(rest);
            (Token::Word(word), word.len())
        }
        _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => (Token::Symbol(symbol), symbol.len()),
            None => {
                let text = format!("unexpected character '{}'", first.escape_debug());
                return Err(ParseError::new(text, start));
            }
        },
    };
    Ok(SpannedToken { token, start, end: start + length })
}

/// Returns the regular expression at or after a byte offset, if there is one, and the offset after it.
pub(crate) fn regex(text: &str, from: usize) -> Result<Option<(String, usize)>, ParseError> {
    let start = after_space(text, from)?;
    let Some(body) = text.get(start..).and_then(|rest| rest.strip_prefix('/')) else {
        return Ok(None);
    };
    let mut pattern = String::new();
    let mut chars = body.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '/' => return Ok(Some((pattern, start + 1 + at + 1))),
            '\\' if chars.next_if(|(_, next)| *next == '/').is_some() => pattern.push('/'),
            // The character after a backslash belongs to the escape, even if it is a backslash.
            '\\' => {
                pattern.push(char);
                match chars.next_if(|(_, next)| *next != '\n') {
                    Some((_, next)) => pattern.push(next),
                    None => break,
                }
            }
            '\n' => break,
            _ => pattern.push(char),
        }
    }
    Err(ParseError::new("unterminated regex literal", start))
}

/// Returns the offset of the next byte that is neither whitespace nor part of a comment.
fn after_space(text: &str, from: usize) -> Result<usize, ParseError> {
    let mut at = from;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        at += rest.len() - trimmed.len();
        if trimmed.starts_with("--") {
            at += trimmed.find('\n').unwrap_or(trimmed.len());
        } else if let Some(comment) = trimmed.strip_prefix("/*") {
            let Some(length) = comment.find("*/") else {
                let text = "invalid block comment, missing closing '*/'";
                return Err(ParseError::new(text, at));
            };
            at += length + 4;
        } else {
            return Ok(at);
        }
    }
}

/// Returns the letters, digits and underscores at the start of a text.
fn word(text: &str) -> &str {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Returns the content of a quoted text and its length in bytes including the quotes. A backslash escapes a quote,
/// another backslash, and `n` (a newline); before any other character it is literal.
fn quoted(text: &str, quote: char, start: usize) -> Result<(String, usize), ParseError> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == quote {
            return Ok((value, at + 1));
        }
        let escaped = match char {
            '\\' => chars.next_if(|(_, next)| matches!(next, '\\' | 'n' | '\'' | '"')),
            _ => None,
        };
        value.push(match escaped {
            Some((_, 'n')) => '\n',
            Some((_, escaped)) => escaped,
            None => char,
        });
    }
    let what = match quote {
        '\'' => "unterminated string literal",
        _ => "unterminated quoted identifier",
    };
    Err(ParseError::new(what, start))
}

fn parameter(text: &str, start: usize) -> Result<(Token<'_>, usize), ParseError> {
    let name = text.get(1..).unwrap_or_default();
    if name.starts_with('"') {
        let (name, length) = quoted(name, '"', start + 1)?;
        return Ok((Token::Parameter(name), 1 + length));
    }
    let name = word(name);
    if name.is_empty() {
        let text = "invalid bind parameter, expected a name after '$'";
        return Err(ParseError::new(text, start + 1));
    }
    Ok((Token::Parameter(name.to_owned()), 1 + name.len()))
}

/// Returns the digits at the start of a text.
fn digits(text: &str) -> &str {
    let end = text.find(|char: char| !char.is_ascii_digit());
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

fn number(text: &str, start: usize) -> Result<(Token<'_>, usize), ParseError> {
    let whole = digits(text);
    let rest = text.get(whole.len()..).unwrap_or_default();
    if let Some(rest) = rest.strip_prefix('.') {
        let fraction = digits(rest);
        if !fraction.is_empty() {
            let length = whole.len() + 1 + fraction.len();
            let number = format!("{whole}.{fraction}")
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .ok_or_else(|| ParseError::new("unable to parse float", start))?;
            return Ok((Token::Float(number), length));
        }
    }
    if let Some(months) = months(text, start)? {
        return Ok(months);
    }
    if let Some(duration) = duration(text, start)? {
        return Ok(duration);
    }
    let number = whole
        .parse::<u64>()
        .map_err(|_| ParseError::new("unable to parse integer", start))?;
    Ok((Token::Integer(number), whole.len()))
}

/// Parses one or more numbers with calendar units.
fn months(text: &str, start: usize) -> Result<Option<(Token<'_>, usize)>, ParseError> {
    let overflow = || ParseError::new("overflow in duration literal", start);
    let (mut total, mut length) = (0_u32, 0);
    loop {
        let rest = text.get(length..).unwrap_or_default();
        let whole = digits(rest);
        let after = rest.get(whole.len()..).unwrap_or_default();
        let mut units = CALENDAR_UNITS.iter().filter(|(name, _)| after.starts_with(name));
        let Some((unit, months)) = units.next().filter(|_| !whole.is_empty()) else {
            break;
        };
        let part = whole.parse::<u32>().map_err(|_| overflow())?.checked_mul(*months);
        let sum = part.and_then(|part| total.checked_add(part));
        total = sum.filter(|sum| *sum <= MAX_MONTHS).ok_or_else(overflow)?;
        length += whole.len() + unit.len();
    }
    Ok((length > 0).then_some((Token::Months(total), length)))
}

/// Parses one or more numbers with units.
fn duration(text: &str, start: usize) -> Result<Option<(Token<'_>, usize)>, ParseError> {
    let overflow = || ParseError::new("overflow in duration literal", start);
    let (mut total, mut length) = (0_u64, 0);
    loop {
        let rest = text.get(length..).unwrap_or_default();
        let whole = digits(rest);
        let Some((unit, nanos)) = unit(rest.get(whole.len()..).unwrap_or_default()) else {
            break;
        };
        if whole.is_empty() {
            break;
        }
        let part = whole.parse::<u64>().map_err(|_| overflow())?.checked_mul(nanos);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(overflow)?;
        length += whole.len() + unit;
    }
    if length == 0 {
        return Ok(None);
    }
    let total = i64::try_from(total).map_err(|_| overflow())?;
    Ok(Some((Token::Duration(total.unsigned_abs()), length)))
}

/// Returns the unit at the start of a text: its length in bytes, and its nanoseconds.
fn unit(text: &str) -> Option<(usize, u64)> {
    let mut units = UNITS
        .iter()
        .copied()
        .chain([("w", WEEK)])
        .filter(|(name, _)| text.starts_with(name));
    units.next().map(|(name, nanos)| (name.len(), nanos))
}
