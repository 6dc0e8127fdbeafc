//! Statements that differ only in texts that they compare with columns.

use datafusion::{
    common::ScalarValue,
    sql::sqlparser::{
        dialect::GenericDialect,
        keywords::Keyword,
        tokenizer::{Token, Tokenizer},
    },
};

use super::placeholder;

/// Maximum length of a statement whose plan is kept, in bytes.
const MAX_STATEMENT_BYTES: usize = 4 << 10;

/// A query whose texts that are compared with columns were taken out: `time >= '...'`, `host = '...'`, `host IN ('...')`
/// and `BETWEEN`.
#[derive(Debug)]
pub(super) struct LiftedStatement {
    tokens: Vec<Token>,
    /// The positions of the texts in `tokens`.
    texts: Vec<usize>,
}

impl LiftedStatement {
    /// Returns `None` for statements that are not queries, or that are long.
    pub(super) fn of(sql: &str) -> Option<Self> {
        if sql.len() > MAX_STATEMENT_BYTES {
            return None;
        }
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().ok()?;
        let is_space = |token: &Token| matches!(token, Token::Whitespace(_));
        let tokens: Vec<Token> = tokens
            .into_iter()
            .filter(|token| !is_space(token))
            .collect();
        let first = tokens.first()?;
        if !is_word(first, Keyword::SELECT) && !is_word(first, Keyword::WITH) {
            return None;
        }
        let texts = compared_texts(&tokens);
        Some(Self { tokens, texts })
    }

    /// Returns what is the same in all statements that differ only in the texts.
    pub(super) fn shape(&self) -> String {
        self.write(|_| None)
    }

    /// Returns the same statement with placeholders, and the placeholders.
    pub(super) fn with_placeholders(&self) -> (String, Vec<ScalarValue>) {
        let placeholders: Vec<String> = (0..self.texts.len()).map(placeholder).collect();
        let sql = self.write(|number| placeholders.get(number).map(String::as_str));
        let placeholders = placeholders.into_iter().map(ScalarValue::from);
        (sql, placeholders.collect())
    }

    /// The texts in the order of the statement.
    pub(super) fn texts(&self) -> Vec<ScalarValue> {
        let tokens = self.texts.iter().filter_map(|at| self.tokens.get(*at));
        tokens
            .filter_map(|token| match token {
                Token::SingleQuotedString(text) => Some(ScalarValue::from(text.as_str())),
                _ => None,
            })
            .collect()
    }

    /// Writes the tokens, with the text of this number in the place of each lifted one.
    fn write<'a>(&self, text: impl Fn(usize) -> Option<&'a str>) -> String {
        let mut written = String::new();
        let mut number = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            if !written.is_empty() {
                written.push(' ');
            }
            if self.texts.get(number) == Some(&at) {
                match text(number) {
                    Some(text) => push_quoted(&mut written, text),
                    // No token of a statement is written like that.
                    None => written.push('\0'),
                }
                number += 1;
            } else if let Token::SingleQuotedString(text) = token {
                push_quoted(&mut written, text);
            } else {
                written.push_str(&token.to_string());
            }
        }
        written
    }
}

fn push_quoted(written: &mut String, text: &str) {
    written.push('\'');
    written.push_str(&text.replace('\'', "''"));
    written.push('\'');
}

fn is_word(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword)
}

/// Returns the positions of the texts that are compared with a name.
fn compared_texts(tokens: &[Token]) -> Vec<usize> {
    let before = |at: usize, steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at));
    let is_name = |token: Option<&Token>| matches!(token, Some(Token::Word(_)));
    let is = |token: Option<&Token>, keyword| token.is_some_and(|token| is_word(token, keyword));
    let mut texts: Vec<usize> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if !matches!(token, Token::SingleQuotedString(_)) {
            continue;
        }
        // `TIMESTAMP '...'` is a text with a type.
        let end = match is(before(at, 1), Keyword::TIMESTAMP) {
            true => at - 1,
            false => at,
        };
        let is_compared = match before(end, 1) {
            Some(Token::Eq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq) => {
                is_name(before(end, 2))
            }
            Some(Token::LParen) => is(before(end, 2), Keyword::IN) && is_name(before(end, 3)),
            // A list continues if the text before the comma is in it.
            Some(Token::Comma) => end >= 2 && texts.last() == Some(&(end - 2)),
            Some(word) if is_word(word, Keyword::BETWEEN) => is_name(before(end, 2)),
            Some(word) if is_word(word, Keyword::AND) => {
                let lower = end.checked_sub(2).filter(|at| texts.last() == Some(at));
                let lower = lower.map(|at| match is(before(at, 1), Keyword::TIMESTAMP) {
                    true => at - 1,
                    false => at,
                });
                lower.is_some_and(|at| is(before(at, 1), Keyword::BETWEEN))
            }
            _ => false,
        };
        if is_compared {
            texts.push(at);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifted(sql: &str) -> (String, Vec<String>) {
        let statement = LiftedStatement::of(sql).unwrap();
        let texts = statement.texts();
        let texts = texts.iter().map(ScalarValue::to_string).collect();
        (statement.shape().replace('\0', "?"), texts)
    }

    #[test]
    fn texts_that_are_compared_with_columns_are_lifted() {
        for (sql, shape, texts) in [
            (
                "SELECT v FROM cpu\n WHERE host = 'it''s' AND time >= '2024-01-01' -- c",
                "SELECT v FROM cpu WHERE host = ? AND time >= ?",
                &["it's", "2024-01-01"][..],
            ),
            (
                "SELECT 1 FROM t WHERE \"a b\" IN ('x', 'y') AND t.time BETWEEN 'u' AND 'w'",
                "SELECT 1 FROM t WHERE \"a b\" IN ( ? , ? ) AND t . time BETWEEN ? AND ?",
                &["x", "y", "u", "w"],
            ),
            (
                "SELECT 1 FROM t WHERE time BETWEEN TIMESTAMP 'u' AND TIMESTAMP 'w'",
                "SELECT 1 FROM t WHERE time BETWEEN TIMESTAMP ? AND TIMESTAMP ?",
                &["u", "w"],
            ),
        ] {
            assert_eq!(lifted(sql).0, shape);
            assert_eq!(lifted(sql).1, texts);
        }
    }

    #[test]
    fn other_texts_remain_in_the_shape() {
        for sql in [
            "SELECT 'a' , v FROM cpu WHERE v > 5",
            "SELECT date_bin ( INTERVAL '1 hour' , time ) FROM cpu",
            "SELECT v FROM cpu WHERE host <> 'a' AND host LIKE 'b%' AND 'c' = host",
            "SELECT v FROM cpu WHERE lower ( host ) = 'a'",
            "SELECT v FROM cpu WHERE f ( host , 'a' ) AND x BETWEEN 1 AND 'b'",
            "SELECT v FROM cpu WHERE host = 'a''b\0c' OR x ~ 'c'",
        ] {
            let (shape, texts) = lifted(sql);
            let quoted = sql.replace("'a''b\0c'", "?");
            assert_eq!(
                (shape, texts.len()),
                (quoted, usize::from(sql.contains('\0')))
            );
        }
    }

    #[test]
    fn only_queries_have_shapes() {
        for sql in [
            "EXPLAIN SELECT 1",
            "DELETE FROM cpu WHERE host = 'a'",
            "COPY (SELECT 1) TO 'a'",
            "",
            "SELECT 'not closed",
        ] {
            assert!(LiftedStatement::of(sql).is_none(), "{sql}");
        }
        let long = format!("SELECT '{}'", "x".repeat(MAX_STATEMENT_BYTES));
        assert!(LiftedStatement::of(&long).is_none());
    }

    #[test]
    fn placeholders_are_different_times() {
        let statement = LiftedStatement::of("SELECT v FROM cpu WHERE a = 'x' AND b = 'y'").unwrap();
        let (sql, placeholders) = statement.with_placeholders();
        assert_eq!(
            sql,
            "SELECT v FROM cpu WHERE a = '2261-07-19T23:17:41.000000000Z' \
             AND b = '2261-07-19T23:17:41.000000001Z'"
        );
        assert_eq!(placeholders.len(), 2);
    }
}
