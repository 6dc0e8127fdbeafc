//! Placeholders without a number.

use std::borrow::Cow;

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

/// Replaces the placeholders `?` of an SQL statement by `$1`, `$2` and so on, because ODBC, JDBC and Python's database
/// interface write `?`, and DataFusion does not know it. Text that is not SQL is returned unchanged; planning reports
/// its error.
pub fn number_placeholders(sql: &str) -> Cow<'_, str> {
    if !sql.contains('?') {
        return Cow::Borrowed(sql);
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else {
        return Cow::Borrowed(sql);
    };
    let is_unnumbered =
        |token: &&TokenWithSpan| matches!(&token.token, Token::Placeholder(text) if text == "?");
    let mut positions = tokens
        .iter()
        .filter(is_unnumbered)
        .map(|token| (token.span.start.line, token.span.start.column))
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
            ("SELECT '?", "SELECT '?"),
        ] {
            assert_eq!(number_placeholders(sql), numbered);
        }
    }
}
