//! The SQL dialect of a statement.
//!
//! Statements have DataFusion's generic dialect, where `?` is a placeholder, and where the operators `->` and `->>` of JSON bind
//! weaker than comparisons: `body ->> 'user' = 'ada'` would be `body ->> ('user' = 'ada')`. A statement with one of these operators has
//! the dialect of PostgreSQL.

use std::collections::VecDeque;

use datafusion::{
    common::{Result, not_impl_err, plan_err},
    config::Dialect,
    sql::{
        parser::Statement,
        sqlparser::{
            dialect::{GenericDialect, PostgreSqlDialect},
            tokenizer::{Token, Tokenizer, TokenizerError},
        },
    },
};
use neap_sql_functions::parse_sql;

/// The depth of expressions and queries within others that a parser accepts. Deeper ones could overflow its stack.
const MAX_DEPTH: usize = 50;

/// Returns the dialect of a statement, and its tokens in this dialect.
/// Fails if the text can't be divided into tokens.
pub(crate) fn tokenize(sql: &str) -> Result<(Dialect, Vec<Token>), TokenizerError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize()?;
    if !tokens.iter().any(is_json_operator) {
        return Ok((Dialect::Generic, tokens));
    }
    let tokens_of_postgres = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize()?;
    Ok((Dialect::PostgreSQL, tokens_of_postgres))
}

/// Parses the statements of a text.
/// Fails if the text is no SQL.
pub(crate) fn parse_statements(sql: &str, dialect: Dialect) -> Result<VecDeque<Statement>> {
    match dialect {
        Dialect::PostgreSQL => parse_sql(sql, &PostgreSqlDialect {}, MAX_DEPTH),
        _ => parse_sql(sql, &GenericDialect {}, MAX_DEPTH),
    }
}

/// Parses a text with one statement.
/// Fails if the text is no SQL, or has another number of statements.
pub(crate) fn parse_statement(sql: &str, dialect: Dialect) -> Result<Statement> {
    let mut statements = parse_statements(sql, dialect)?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(_), false) => {
            not_impl_err!("The context currently only supports a single SQL statement")
        }
        (None, _) => plan_err!("No SQL statements were provided in the query string"),
    }
}

/// Whether a token of the generic dialect is an operator of JSON.
fn is_json_operator(token: &Token) -> bool {
    match token {
        Token::Arrow | Token::LongArrow => true,
        Token::Placeholder(text) => text == "?",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_of_json_choose_the_dialect() {
        for (sql, expected) in [
            ("SELECT a ->> 'b' FROM t", Dialect::PostgreSQL),
            ("SELECT a->'b' FROM t", Dialect::PostgreSQL),
            ("SELECT 1 FROM t WHERE a ? 'b'", Dialect::PostgreSQL),
            ("SELECT a FROM t WHERE b = $1 AND c = '->?'", Dialect::Generic),
            ("SELECT a -- ->> ?\n FROM t WHERE b <- 1", Dialect::Generic),
        ] {
            assert_eq!(tokenize(sql).unwrap().0, expected, "{sql}");
        }
        let (_, tokens) = tokenize("a ? 'b'").unwrap();
        assert!(tokens.contains(&Token::Question), "{tokens:?}");
        assert!(tokenize("SELECT 'a").is_err());
    }
}
