//! The words of a text. What a slash means depends on the place, so that the parser asks for regular
//! expressions where there can be one.

use crate::ParseError;

/// The units of durations, and their nanoseconds. Longer names come first.
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

/// The nanoseconds of a week, whose unit no other begins with.
const WEEK: u64 = 7 * 86_400_000_000_000;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// The end of the text.
    End,
    /// A keyword, or a name without quotes.
    Word(&'a str),
    /// A name in double quotes.
    Quoted(String),
    /// A string in single quotes.
    String(String),
    /// Digits.
    Integer(u64),
    /// Digits with a point.
    Float(f64),
    /// Nanoseconds.
    Duration(u64),
    /// `$name`
    Parameter(String),
    /// Punctuation and operators.
    Symbol(&'static str),
}

/// The symbols, where one begins with another the longer first.
const SYMBOLS: [&str; 23] = [
    "::", "=~", "!~", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ";", ".", "+", "-",
    "*", "/", "%", "&", "|", "^",
];

/// A word and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spanned<'a> {
    /// The word.
    pub(crate) token: Token<'a>,
    /// Its first byte.
    pub(crate) start: usize,
    /// The byte after it.
    pub(crate) end: usize,
}

/// The word at or after a byte of a text.
pub(crate) fn next(text: &str, from: usize) -> Result<Spanned<'_>, ParseError> {
    let start = after_space(text, from)?;
    let rest = text.get(start..).unwrap_or_default();
    let Some(first) = rest.chars().next() else {
        return Ok(Spanned {
            token: Token::End,
            start,
            end: start,
        });
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
        '.' if rest
            .chars()
            .nth(1)
            .is_some_and(|next| next.is_ascii_digit()) =>
        {
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
    Ok(Spanned {
        token,
        start,
        end: start + length,
    })
}

/// The regular expression at or after a byte of a text, if there is one, and the byte after it.
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
            // Whatever is escaped, be it a backslash, belongs to the escape.
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

/// The next byte that is neither space nor comment.
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

/// The letters, digits and underscores that a text begins with.
fn word(text: &str) -> &str {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// What is in quotes, and its length with them. A backslash escapes a quote, itself, and `n` for a new line;
/// before anything else it stands for itself.
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

/// The digits that a text begins with.
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
            let number = format!("{whole}.{fraction}").parse::<f64>();
            let number = number.ok().filter(|number| number.is_finite());
            let number = number.ok_or_else(|| ParseError::new("unable to parse float", start))?;
            return Ok((Token::Float(number), length));
        }
    }
    if let Some(duration) = duration(text, start)? {
        return Ok(duration);
    }
    let number = whole.parse::<u64>();
    let number = number.map_err(|_| ParseError::new("unable to parse integer", start))?;
    Ok((Token::Integer(number), whole.len()))
}

/// Numbers with units, at least one.
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
        let part = whole.parse::<u64>().map_err(|_| overflow())?;
        let part = part.checked_mul(nanos);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(overflow)?;
        length += whole.len() + unit;
    }
    if length == 0 {
        return Ok(None);
    }
    let total = i64::try_from(total).map_err(|_| overflow())?;
    Ok(Some((Token::Duration(total.unsigned_abs()), length)))
}

/// The unit that a text begins with: its length and its nanoseconds.
fn unit(text: &str) -> Option<(usize, u64)> {
    let units = UNITS.iter().copied().chain([("w", WEEK)]);
    let mut units = units.filter(|(name, _)| text.starts_with(name));
    units.next().map(|(name, nanos)| (name.len(), nanos))
}
