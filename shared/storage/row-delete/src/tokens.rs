//! The tokens of a predicate.

use crate::PredicateError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PredicateToken {
    /// A word without quotes: a name, a value, `AND` or `OR`.
    Word(String),
    /// A name or a value in quotes of either kind.
    Quoted(String),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `=`
    Equals,
    /// An operator that delete predicates do not support.
    Operator(String),
}

/// A token, and the 1-based position of its first character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PositionedToken {
    pub(crate) token: PredicateToken,
    pub(crate) position: usize,
}

/// Returns whether a character ends an unquoted word.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || "\"'()=!<>~,;&|+*%^`".contains(c)
}

fn is_operator(c: char) -> bool {
    "=!<>~,;&|+*%^`".contains(c)
}

/// Splits a text into tokens.
/// Fails for an unterminated quote, or an unknown escape in quotes.
pub(crate) fn tokens(text: &str) -> Result<Vec<PositionedToken>, PredicateError> {
    let mut rest = (1..).zip(text.chars()).peekable();
    let mut tokens = Vec::new();
    while let Some((position, c)) = rest.next() {
        let mut run = |first: char, goes_on: fn(char) -> bool| {
            let mut word = String::from(first);
            while let Some((_, c)) = rest.next_if(|(_, c)| goes_on(*c)) {
                word.push(c);
            }
            word
        };
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' => PredicateToken::Open,
            ')' => PredicateToken::Close,
            '"' | '\'' => PredicateToken::Quoted(quoted(&mut rest, position, c)?),
            c if is_operator(c) => match run(c, is_operator) {
                operator if operator == "=" => PredicateToken::Equals,
                operator => PredicateToken::Operator(operator),
            },
            c => PredicateToken::Word(run(c, |c| !ends_word(c))),
        };
        tokens.push(PositionedToken { token, position });
    }
    Ok(tokens)
}

/// Reads the text up to the closing quote, with the escapes of InfluxQL.
fn quoted(
    rest: &mut impl Iterator<Item = (usize, char)>,
    position: usize,
    quote: char,
) -> Result<String, PredicateError> {
    let mut text = String::new();
    while let Some((at, c)) = rest.next() {
        match c {
            c if c == quote => return Ok(text),
            '\\' => match rest.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                Some((_, c)) => {
                    let message = format!("unknown escape \\{c}");
                    return Err(PredicateError::syntax(at, message));
                }
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(PredicateError::syntax(position, format!("the quote {quote} is not closed")))
}
