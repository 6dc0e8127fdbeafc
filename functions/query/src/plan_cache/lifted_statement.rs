//! Statements that differ only in texts that they compare with columns.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::DateTime;
use datafusion::{
    common::ScalarValue,
    sql::sqlparser::{keywords::Keyword, tokenizer::Token},
};

use super::placeholder_times::placeholder;
use crate::{Parameters, dialect::tokenize};

/// Maximum length of a statement whose plan is kept, in bytes. In InfluxQL, that of the shape.
pub(super) const MAX_STATEMENT_BYTES: usize = 4 << 10;

/// Maximum length of a text for a placeholder of such a statement, in bytes.
const MAX_PARAMETER_BYTES: usize = 256;

/// A query whose texts that are compared with columns were taken out: `time >= '...'`, `host = '...'`, `host IN ('...')`
/// and `BETWEEN`.
#[derive(Debug)]
pub(super) struct LiftedStatement {
    tokens: Vec<Token>,
    /// The positions of the texts in `tokens`.
    texts: Vec<usize>,
}

impl LiftedStatement {
    /// Takes the texts out of a statement with these values for its placeholders. Returns `None` for statements that are not queries,
    /// or that are long, and if a value is neither a text nor a time.
    pub(super) fn from_sql(sql: &str, parameters: &Parameters) -> Option<Self> {
        if sql.len() > MAX_STATEMENT_BYTES {
            return None;
        }
        let (_, tokens) = tokenize(sql).ok()?;
        let is_space = |token: &Token| matches!(token, Token::Whitespace(_));
        let tokens: Vec<Token> = tokens.into_iter().filter(|token| !is_space(token)).collect();
        let first = tokens.first()?;
        if !is_word(first, Keyword::SELECT) && !is_word(first, Keyword::WITH) {
            return None;
        }
        let tokens = with_values(tokens, parameters)?;
        if !tokens.iter().all(is_plain) {
            return None;
        }
        let texts = compared_texts(&tokens);
        Some(Self { tokens, texts })
    }

    /// Returns what is the same in all statements that differ only in the texts: the tokens, with [`Token::EOF`] in the
    /// place of each text.
    pub(super) fn shape(&self) -> Vec<Token> {
        let mut shape = self.tokens.clone();
        for at in &self.texts {
            if let Some(token) = shape.get_mut(*at) {
                *token = Token::EOF;
            }
        }
        shape
    }

    /// Returns the same statement with placeholders, and the placeholders.
    pub(super) fn with_placeholders(&self) -> (String, Vec<ScalarValue>) {
        let placeholders: Vec<String> = (0..self.texts.len()).map(placeholder).collect();
        let sql = self.write(&placeholders);
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

    /// Writes the tokens, with these texts in the places of the lifted ones.
    fn write(&self, texts: &[String]) -> String {
        let mut written = String::new();
        let mut texts = texts.iter();
        for (at, token) in self.tokens.iter().enumerate() {
            if !written.is_empty() {
                written.push(' ');
            }
            match token {
                Token::SingleQuotedString(text) => {
                    let is_lifted = self.texts.binary_search(&at).is_ok();
                    let lifted = is_lifted.then(|| texts.next()).flatten();
                    push_quoted(&mut written, lifted.unwrap_or(text), '\'');
                }
                Token::Word(word) if word.quote_style.is_some() => {
                    push_quoted(&mut written, &word.value, '"');
                }
                token => written.push_str(&token.to_string()),
            }
        }
        written
    }
}

/// Returns tokens with literals in the places of parameters; `None` if a value has no literal, or is missing.
fn with_values(tokens: Vec<Token>, parameters: &Parameters) -> Option<Vec<Token>> {
    let literals: BTreeMap<&str, Vec<Token>> = parameters
        .0
        .iter()
        .map(|(name, value)| Some((name.as_str(), literal(value)?)))
        .collect::<Option<_>>()?;
    let mut written = Vec::with_capacity(tokens.len());
    for token in tokens {
        match &token {
            Token::Placeholder(name) => {
                written.extend(literals.get(name.strip_prefix('$')?)?.iter().cloned());
            }
            _ => written.push(token),
        }
    }
    Some(written)
}

/// Returns a text or a time as tokens; `None` for other values, and for long texts.
fn literal(value: &ScalarValue) -> Option<Vec<Token>> {
    if let Some(text) = value.try_as_str() {
        let text = text.filter(|text| text.len() <= MAX_PARAMETER_BYTES)?;
        return Some(vec![Token::SingleQuotedString(text.to_owned())]);
    }
    if !matches!(value.data_type(), DataType::Timestamp(_, None)) {
        return None;
    }
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let ScalarValue::TimestampNanosecond(Some(nanos), _) = value.cast_to(&nanos).ok()? else {
        return None;
    };
    let time = DateTime::from_timestamp_nanos(nanos).format("%Y-%m-%dT%H:%M:%S%.9f");
    Some(vec![
        Token::make_keyword("TIMESTAMP"),
        Token::SingleQuotedString(time.to_string()),
    ])
}

fn push_quoted(written: &mut String, text: &str, quote: char) {
    written.push(quote);
    for letter in text.chars() {
        written.push(letter);
        if letter == quote {
            written.push(quote);
        }
    }
    written.push(quote);
}

/// Whether a token can be written as text again. Rare kinds of quoted texts can't.
fn is_plain(token: &Token) -> bool {
    match token {
        Token::SingleQuotedString(_) => true,
        Token::Word(word) => matches!(word.quote_style, None | Some('"')),
        token => !token.to_string().contains(['\'', '"', '`', '$']),
    }
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
        let end = if is(before(at, 1), Keyword::TIMESTAMP) {
            at - 1
        } else {
            at
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
                let lower = end.checked_sub(2).filter(|at| texts.last() == Some(at)).map(|at| {
                    if is(before(at, 1), Keyword::TIMESTAMP) {
                        at - 1
                    } else {
                        at
                    }
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
        let statement = LiftedStatement::from_sql(sql, &Parameters::default()).unwrap();
        let texts = statement.texts().iter().map(ScalarValue::to_string).collect();
        let shape: Vec<String> = statement.shape().iter().map(Token::to_string).collect();
        (shape.join(" ").replace("EOF", "?"), texts)
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
        ] {
            assert_eq!(lifted(sql), (sql.to_owned(), Vec::new()));
        }
    }

    #[test]
    fn quoted_names_and_texts_are_those_of_the_statement() {
        let of = |sql| LiftedStatement::from_sql(sql, &Parameters::default()).unwrap();
        let one = of("SELECT \"a\"\" , \"\"b\", 'it''s' FROM cpu WHERE host = 'x'");
        assert_ne!(
            one.shape(),
            of("SELECT \"a\" , \"b\", 'it''s' FROM cpu WHERE host = 'x'").shape()
        );
        assert_eq!(
            one.with_placeholders().0,
            "SELECT \"a\"\" , \"\"b\" , 'it''s' FROM cpu WHERE host = '2261-07-19T23:17:41.000000000Z'"
        );
    }

    #[test]
    fn only_queries_have_shapes() {
        for sql in [
            "EXPLAIN SELECT 1",
            "DELETE FROM cpu WHERE host = 'a'",
            "COPY (SELECT 1) TO 'a'",
            "",
            "SELECT 'not closed",
            "SELECT E'a'' , ''b' FROM cpu",
            "SELECT $$a$$ FROM cpu",
        ] {
            assert!(LiftedStatement::from_sql(sql, &Parameters::default()).is_none(), "{sql}");
        }
        let long = format!("SELECT '{}'", "x".repeat(MAX_STATEMENT_BYTES));
        assert!(LiftedStatement::from_sql(&long, &Parameters::default()).is_none());
    }

    #[test]
    fn values_of_placeholders_are_texts_and_times_of_the_statement() {
        let given = |host: &str, time| {
            let values = [("1".to_owned(), ScalarValue::from(host)), ("t".to_owned(), time)];
            Parameters(values.into_iter().collect())
        };
        let of = |parameters: &Parameters| {
            let sql = "SELECT v FROM cpu WHERE host IN ('a', $1) AND time < $t";
            LiftedStatement::from_sql(sql, parameters)
        };
        let micros = ScalarValue::TimestampMicrosecond(Some(-1), None);
        let one = of(&given("it's", micros)).unwrap();
        let shape: Vec<String> = one.shape().iter().map(Token::to_string).collect();
        assert_eq!(
            shape.join(" "),
            "SELECT v FROM cpu WHERE host IN ( EOF , EOF ) AND time < TIMESTAMP EOF"
        );
        let texts: Vec<String> = one.texts().iter().map(ScalarValue::to_string).collect();
        assert_eq!(texts, ["a", "it's", "1969-12-31T23:59:59.999999000"]);
        for refused in [
            given("a", ScalarValue::Int64(Some(1))),
            given("a", ScalarValue::Utf8(None)),
            given("a", ScalarValue::TimestampSecond(Some(i64::MAX), None)),
            given(&"a".repeat(1_000), ScalarValue::from("b")),
            Parameters::default(),
        ] {
            assert!(of(&refused).is_none(), "{refused:?}");
        }
    }

    #[test]
    fn placeholders_are_different_times() {
        let statement = LiftedStatement::from_sql(
            "SELECT v FROM cpu WHERE a = 'x' AND b = 'y'",
            &Parameters::default(),
        )
        .unwrap();
        let (sql, placeholders) = statement.with_placeholders();
        assert_eq!(
            sql,
            "SELECT v FROM cpu WHERE a = '2261-07-19T23:17:41.000000000Z' \
             AND b = '2261-07-19T23:17:41.000000001Z'"
        );
        assert_eq!(placeholders.len(), 2);
    }
}
