//! Placeholders without a number.

use std::borrow::Cow;

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

/// Replaces the placeholders `?` of an SQL statement by `$1`, `$2` and so on, because ODBC, JDBC and Python's database
/// interface write `?`, and DataFusion does not know it. After a column or a value, `?` is an operator of JSON. Text that is
/// not SQL is returned unchanged; planning reports its error.
pub fn number_placeholders(sql: &str) -> Cow<'_, str> {
    if !sql.contains('?') {
        return Cow::Borrowed(sql);
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else {
        return Cow::Borrowed(sql);
    };
    let is_spacing = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let visible: Vec<_> = tokens.iter().filter(|token| !is_spacing(token)).collect();
    let before = std::iter::once(None).chain(visible.iter().map(|token| Some(&token.token)));
    let mut positions = visible
        .iter()
        .zip(before)
        .filter(|(token, before)| is_placeholder(&token.token) && !before.is_some_and(is_value))
        .map(|(token, _)| (token.span.start.line, token.span.start.column))
        .peekable();
    let mut numbered = String::with_capacity(sql.len() + 16);
    let (mut line, mut column, mut count) = (1, 1, 0);
    for character in sql.chars() {
        if positions.peek() == Some(&(line, column)) {
            positions.next();
            count += 1;
            numbered.push_str(&format!("${count}"));
        } else {
            numbered.push(character);
        }
        match character {
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    Cow::Owned(numbered)
}

fn is_placeholder(token: &Token) -> bool {
    matches!(token, Token::Placeholder(text) if text == "?")
}

/// Whether a token is the end of a value. A name that is a keyword is not, unless it is in quotes.
fn is_value(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || word.keyword == Keyword::NoKeyword,
        Token::SingleQuotedString(_) | Token::Number(..) | Token::RParen | Token::RBracket => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_outside_of_strings_names_and_comments() {
        for (sql, numbered) in [
            ("SELECT 1", "SELECT 1"),
            (
                "SELECT ?,\n'?' AS \"ü?\" -- ?\n FROM t WHERE a=? AND b = $3",
                "SELECT $1,\n'?' AS \"ü?\" -- ?\n FROM t WHERE a=$2 AND b = $3",
            ),
            ("SELECT 'é', ?", "SELECT 'é', $1"),
            (
                "SELECT ? WHERE body ? 'a' AND (t.body) ? ? AND \"value\" ? ? AND b BETWEEN ? AND ? LIMIT ?",
                "SELECT $1 WHERE body ? 'a' AND (t.body) ? $2 AND \"value\" ? $3 AND b BETWEEN $4 AND $5 LIMIT $6",
            ),
            ("SELECT '?", "SELECT '?"),
        ] {
            assert_eq!(number_placeholders(sql), numbered);
        }
    }
}
