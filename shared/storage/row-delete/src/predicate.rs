//! The text form of deletes: the delete predicates of InfluxDB 2, with extensions.
//!
//! ```text
//! predicate   nothing | or
//! or          and { OR and }
//! and         term { AND term }
//! term        ( or ) | name = value
//! ```
//!
//! Names and values are single words, or quoted with either quote. `_measurement` is the name of the table. OR and
//! parentheses are extensions. Every predicate of InfluxDB 2 has the same meaning here.

use std::collections::BTreeSet;

use neap_schema::TIME_COLUMN;

use crate::{
    Condition, MAX_DEPTH, MAX_TERMS, MAX_TEXT_BYTES, PredicateError,
    tokens::{PositionedToken, PredicateToken, tokens},
};

/// Maximum nesting of parentheses: each can be an OR of ANDs, and the condition must be within its limits together with
/// a time range.
const MAX_PARENTHESES: usize = MAX_DEPTH / 2 - 2;

/// The tables for which a predicate can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PredicateTables {
    /// Any table.
    All,
    /// The tables with these names; may be empty.
    Named(BTreeSet<String>),
}

/// A condition on rows and tables.
///
/// # Examples
///
/// ```
/// use neap_row_delete::{Condition, Predicate};
///
/// let predicate = Predicate::parse(r#"_measurement="cpu" AND host="a""#)?;
/// let of_cpu = predicate.condition(&|name| name == "cpu");
/// assert_eq!(of_cpu.to_string(), r#""host" = 'a'"#);
/// assert_eq!(predicate.condition(&|name| name == "memory"), Condition::NOTHING);
/// # Ok::<(), neap_row_delete::PredicateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    root: PredicateExpression,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PredicateExpression {
    Measurement(String),
    Tag(String, String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Predicate {
    /// Parses a predicate. An empty one holds for every row of every table.
    ///
    /// # Errors
    /// The first error, with its position.
    pub fn parse(text: &str) -> Result<Self, PredicateError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(PredicateError::TooLong { bytes: text.len() });
        }
        let mut parser = PredicateParser {
            tokens: tokens(text)?.into_iter().peekable(),
            end: text.chars().count() + 1,
            terms: 0,
        };
        if parser.tokens.peek().is_none() {
            return Ok(Self { root: PredicateExpression::All(Vec::new()) });
        }
        let root = parser.any(0)?;
        match parser.tokens.next() {
            None => Ok(Self { root }),
            Some(PositionedToken { token, position }) => {
                let message =
                    format!("expected AND, OR or the end, found {}", describe_token(&token));
                Err(PredicateError::syntax(position, message))
            }
        }
    }

    /// Returns the tables for which the predicate can hold.
    pub fn tables(&self) -> PredicateTables {
        self.root.tables()
    }

    /// Returns the condition on the rows of a table. `is_named` tells whether it has a name, which may be an alias.
    pub fn condition(&self, is_named: &impl Fn(&str) -> bool) -> Condition {
        self.root.condition(is_named)
    }
}

impl PredicateExpression {
    fn tables(&self) -> PredicateTables {
        match self {
            Self::Measurement(name) => PredicateTables::Named(BTreeSet::from([name.clone()])),
            Self::Tag(..) => PredicateTables::All,
            Self::All(parts) => parts.iter().fold(PredicateTables::All, |tables, part| {
                match (tables, part.tables()) {
                    (PredicateTables::All, tables) | (tables, PredicateTables::All) => tables,
                    (PredicateTables::Named(one), PredicateTables::Named(other)) => {
                        PredicateTables::Named(&one & &other)
                    }
                }
            }),
            Self::Any(parts) => {
                let none = PredicateTables::Named(BTreeSet::new());
                parts.iter().fold(none, |tables, part| match (tables, part.tables()) {
                    (PredicateTables::Named(one), PredicateTables::Named(other)) => {
                        PredicateTables::Named(&one | &other)
                    }
                    _ => PredicateTables::All,
                })
            }
        }
    }

    fn condition(&self, is_named: &impl Fn(&str) -> bool) -> Condition {
        match self {
            Self::Measurement(name) if is_named(name) => Condition::EVERYTHING,
            Self::Measurement(_) => Condition::NOTHING,
            Self::Tag(name, value) => Condition::Tag {
                name: name.clone(),
                value: Some(value.clone()).filter(|value| !value.is_empty()),
            },
            Self::All(parts) => parts
                .iter()
                .map(|part| part.condition(is_named))
                .fold(Condition::EVERYTHING, Condition::and),
            Self::Any(parts) => parts
                .iter()
                .map(|part| part.condition(is_named))
                .fold(Condition::NOTHING, Condition::or),
        }
    }
}

struct PredicateParser {
    tokens: std::iter::Peekable<std::vec::IntoIter<PositionedToken>>,
    /// The position after the last character.
    end: usize,
    terms: usize,
}

impl PredicateParser {
    fn any(&mut self, depth: usize) -> Result<PredicateExpression, PredicateError> {
        let mut parts = vec![self.all(depth)?];
        while self.consume_keyword("or") {
            parts.push(self.all(depth)?);
        }
        Ok(joined(parts, PredicateExpression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<PredicateExpression, PredicateError> {
        let mut parts = vec![self.term(depth)?];
        while self.consume_keyword("and") {
            parts.push(self.term(depth)?);
        }
        Ok(joined(parts, PredicateExpression::All))
    }

    fn consume_keyword(&mut self, word: &str) -> bool {
        let is_it = |placed: &PositionedToken| matches!(&placed.token, PredicateToken::Word(found) if found.eq_ignore_ascii_case(word));
        self.tokens.next_if(is_it).is_some()
    }

    fn term(&mut self, depth: usize) -> Result<PredicateExpression, PredicateError> {
        let (name, position, is_quoted) = match self.tokens.next() {
            Some(PositionedToken { token: PredicateToken::Open, position }) => {
                if depth == MAX_PARENTHESES {
                    let message = "parentheses are nested too deeply";
                    return Err(PredicateError::syntax(position, message));
                }
                let inner = self.any(depth + 1)?;
                self.expect(&PredicateToken::Close)?;
                return Ok(inner);
            }
            Some(PositionedToken { token: PredicateToken::Quoted(name), position }) => {
                (name, position, true)
            }
            Some(PositionedToken { token: PredicateToken::Word(name), position })
                if !is_reserved(&name) =>
            {
                (name, position, false)
            }
            other => return Err(self.unexpected("the name of a tag", other)),
        };
        self.terms += 1;
        if self.terms > MAX_TERMS {
            let message = format!("more than {MAX_TERMS} terms");
            return Err(PredicateError::syntax(position, message));
        }
        if !is_quoted && name.eq_ignore_ascii_case("not") {
            let message = "NOT is not supported; quote it if it is the name of a tag";
            return Err(PredicateError::syntax(position, message));
        }
        self.expect(&PredicateToken::Equals)?;
        let value = match self.tokens.next() {
            Some(PositionedToken { token: PredicateToken::Quoted(value), .. }) => value,
            Some(PositionedToken { token: PredicateToken::Word(value), .. })
                if !is_reserved(&value) =>
            {
                value
            }
            other => return Err(self.unexpected("a value", other)),
        };
        comparison(name, value).map_err(|message| PredicateError::syntax(position, message))
    }

    fn expect(&mut self, wanted: &PredicateToken) -> Result<(), PredicateError> {
        match self.tokens.next() {
            Some(PositionedToken { token, .. }) if token == *wanted => Ok(()),
            Some(PositionedToken { token: PredicateToken::Operator(operator), position }) => {
                let message = format!("the operator {operator} is not supported, only = is");
                Err(PredicateError::syntax(position, message))
            }
            other => Err(self.unexpected(&describe_token(wanted), other)),
        }
    }

    fn unexpected(&self, wanted: &str, found: Option<PositionedToken>) -> PredicateError {
        match found {
            Some(PositionedToken { token, position }) => {
                let message = format!("expected {wanted}, found {}", describe_token(&token));
                PredicateError::syntax(position, message)
            }
            None => PredicateError::syntax(self.end, format!("expected {wanted}")),
        }
    }
}

fn is_reserved(word: &str) -> bool {
    word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or")
}

fn joined(
    mut parts: Vec<PredicateExpression>,
    join: fn(Vec<PredicateExpression>) -> PredicateExpression,
) -> PredicateExpression {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// Returns the expression for `name = value`. Some names have a special meaning (InfluxDB 2, limits of delete
/// predicates).
fn comparison(name: String, value: String) -> Result<PredicateExpression, String> {
    match name.as_str() {
        "_measurement" => Ok(PredicateExpression::Measurement(value)),
        "_field" | "_value" => {
            Err(format!("{name} can't be in a delete predicate: a delete removes whole points"))
        }
        "_time" | TIME_COLUMN => Err(format!(
            "{name} can't be in a delete predicate: the range of times is given by start and stop"
        )),
        _ => Ok(PredicateExpression::Tag(name, value)),
    }
}

fn describe_token(token: &PredicateToken) -> String {
    match token {
        PredicateToken::Word(text) | PredicateToken::Operator(text) => text.clone(),
        PredicateToken::Quoted(text) => format!("{text:?}"),
        PredicateToken::Open => "(".to_owned(),
        PredicateToken::Close => ")".to_owned(),
        PredicateToken::Equals => "=".to_owned(),
    }
}

#[cfg(test)]
#[path = "predicate_tests.rs"]
mod tests;
