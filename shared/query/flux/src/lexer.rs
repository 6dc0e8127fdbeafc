//! The lexer: text to tokens. A slash begins a regular expression or divides; the parser knows which, and asks for a regular
//! expression.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::{FluxDuration, FluxError, Position, Span};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// The end of the text.
    End,
    /// A keyword or a name.
    Word(&'a str),
    Integer(i64),
    Float(f64),
    Duration(FluxDuration),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
    Text(String),
    Symbol(&'static str),
}

/// A token and its position.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpannedToken<'a> {
    pub(crate) token: Token<'a>,
    pub(crate) span: Span,
}

/// The symbols. A symbol comes before its own prefixes.
const SYMBOLS: [&str; 27] = [
    "|>", "=>", "<-", "==", "=~", "!=", "!~", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", "{",
    "}", ",", ":", ".", "+", "-", "*", "/", "%", "^",
];

/// The format of times without a zone, which are in UTC.
const LOCAL_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// Reads the tokens of a text, one after the other.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    /// The offset of the next byte.
    at: usize,
    line_starts: Vec<usize>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let after_ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            at: 0,
            line_starts: std::iter::once(0).chain(after_ends).collect(),
        }
    }

    /// The offset of the next byte, to which [`Self::rewind`] returns.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Continues at an offset where a token ends.
    pub(crate) fn rewind(&mut self, offset: usize) {
        self.at = offset;
    }

    /// Reads the next token.
    pub(crate) fn token(&mut self) -> Result<SpannedToken<'a>, FluxError> {
        self.skip_space();
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let Some(first) = rest.chars().next() else {
            let span = self.span(start, start);
            let token = Token::End;
            return Ok(SpannedToken { token, span });
        };
        let (token, length) = match first {
            '"' => self.string(rest)?,
            '0'..='9' => self.number(rest)?,
            '.' if rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit()) => {
                self.number(rest)?
            }
            first if first.is_alphabetic() || first == '_' => {
                let is_part = |char: char| char.is_alphanumeric() || char == '_';
                let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
                (Token::Word(rest.get(..end).unwrap_or_default()), end)
            }
            _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => (Token::Symbol(symbol), symbol.len()),
                None => {
                    let text = format!("unexpected character '{}'", first.escape_debug());
                    return Err(FluxError::new(self.span(start, start + first.len_utf8()), text));
                }
            },
        };
        self.at = start + length;
        let span = self.span(start, self.at);
        Ok(SpannedToken { token, span })
    }

    /// Reads a regular expression whose first slash was the last token.
    pub(crate) fn regex(&mut self, slash: Span) -> Result<(String, Span), FluxError> {
        let mut pattern = String::new();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut chars = rest.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '/' => {
                    let from = self.at;
                    self.at += at + 1;
                    return Ok((pattern, slash.to(self.span(from, self.at))));
                }
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
        Err(FluxError::new(slash, "unterminated regular expression"))
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn position(&self, at: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Position {
            line: number(line),
            column: number(at.saturating_sub(start) + 1),
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { start: self.position(start), end: self.position(end) }
    }

    /// Returns an error at the next bytes of the text.
    fn error(&self, length: usize, message: &str) -> FluxError {
        FluxError::new(self.span(self.at, self.at + length), message)
    }

    /// Reads a string in quotes, and returns its length.
    fn string(&self, text: &str) -> Result<(Token<'a>, usize), FluxError> {
        let mut value = Vec::new();
        let mut bytes = text.bytes().enumerate().skip(1).peekable();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    return match String::from_utf8(value) {
                        Ok(text) => Ok((Token::Text(text), at + 1)),
                        Err(_) => Err(self.error(at + 1, "the string is not valid UTF-8")),
                    };
                }
                b'$' if bytes.peek().is_some_and(|(_, next)| *next == b'{') => {
                    let text = "string interpolation (\"${…}\") is not supported; write + between \
                                strings";
                    return Err(self.error(at, text));
                }
                b'\\' => {
                    let escaped = bytes.next().map(|(_, escaped)| escaped);
                    value.push(match escaped {
                        Some(b'n') => b'\n',
                        Some(b'r') => b'\r',
                        Some(b't') => b'\t',
                        Some(literal @ (b'\\' | b'"' | b'$')) => literal,
                        Some(b'x') => {
                            let digits = text.get(at + 2..at + 4).unwrap_or_default();
                            bytes.nth(1);
                            match u8::from_str_radix(digits, 16) {
                                Ok(byte) => byte,
                                Err(_) => return Err(self.error(at, "invalid escape sequence")),
                            }
                        }
                        _ => return Err(self.error(at, "invalid escape sequence")),
                    });
                }
                byte => value.push(byte),
            }
        }
        Err(self.error(text.len(), "unterminated string"))
    }

    /// Reads a time, a duration or a number, and returns its length.
    fn number(&self, text: &str) -> Result<(Token<'a>, usize), FluxError> {
        if let Some(length) = time_length(text) {
            let written = text.get(..length).unwrap_or_default();
            return match parse_time(written) {
                Some(nanos) => Ok((Token::Time(nanos), length)),
                None => Err(self.error(length, "the time is invalid or out of range")),
            };
        }
        let whole = digits(text);
        let after = text.get(whole.len()..).unwrap_or_default();
        if let Some(fraction) = after.strip_prefix('.') {
            let length = whole.len() + 1 + digits(fraction).len();
            let number = text.get(..length).unwrap_or_default().parse::<f64>();
            return match number {
                Ok(number) => Ok((Token::Float(number), length)),
                Err(_) => Err(self.error(length, "invalid number")),
            };
        }
        if FluxDuration::unit_prefix(after).is_some() {
            return self.duration(text);
        }
        match whole.parse::<i64>() {
            Ok(number) => Ok((Token::Integer(number), whole.len())),
            Err(_) => Err(self.error(whole.len(), "the integer is out of range")),
        }
    }

    /// Reads one or more numbers with units.
    fn duration(&self, text: &str) -> Result<(Token<'a>, usize), FluxError> {
        let (mut total, mut length) = (FluxDuration::default(), 0);
        loop {
            let rest = text.get(length..).unwrap_or_default();
            let whole = digits(rest);
            let after = rest.get(whole.len()..).unwrap_or_default();
            let (Some(unit), false) = (FluxDuration::unit_prefix(after), whole.is_empty()) else {
                return Ok((Token::Duration(total), length));
            };
            length += whole.len() + unit.len();
            let part = whole.parse().ok().and_then(|it| FluxDuration::from_unit(it, unit));
            total = part
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| self.error(length, "the duration is out of range"))?;
        }
    }
}

/// Returns the digits at the start of a text.
fn digits(text: &str) -> &str {
    let end = text.find(|char: char| !char.is_ascii_digit());
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// Returns the length of the date or time at the start of a text; `None` if there is none.
fn time_length(text: &str) -> Option<usize> {
    let has_form = |text: &str, form: &str| {
        let matches = |(byte, form): (u8, u8)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        };
        text.len() >= form.len() && text.bytes().zip(form.bytes()).all(matches)
    };
    const DATE: &str = "0000-00-00";
    const TIME: &str = "T00:00:00";
    const OFFSET: &str = "00:00";
    if !has_form(text, DATE) {
        return None;
    }
    let after_date = text.get(DATE.len()..)?;
    if !has_form(after_date, TIME) {
        return Some(DATE.len());
    }
    let mut length = DATE.len() + TIME.len();
    if let Some(fraction) = text.get(length..)?.strip_prefix('.') {
        length += 1 + digits(fraction).len();
    }
    let zone = text.get(length..)?;
    if zone.starts_with('Z') {
        length += 1;
    } else if let Some(offset) = zone.strip_prefix(['+', '-'])
        && has_form(offset, OFFSET)
    {
        length += 1 + OFFSET.len();
    }
    Some(length)
}

/// Returns a date or a time in nanoseconds since the Unix epoch; `None` if it is invalid or out of range. Without a zone, it is
/// in UTC.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return time.timestamp_nanos_opt();
    }
    let local = NaiveDateTime::parse_from_str(text, LOCAL_FORMAT).ok().or_else(|| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        date.and_hms_opt(0, 0, 0)
    })?;
    local.and_utc().timestamp_nanos_opt()
}
