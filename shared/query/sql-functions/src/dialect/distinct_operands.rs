//! The right side of `IS [NOT] DISTINCT FROM`.
//!
//! `sqlparser` 0.62 reads it up to the end of the whole condition: `a IS DISTINCT FROM b AND c` would be `a IS DISTINCT FROM (b AND c)`.
//! So it gets parentheses before the statement is parsed. The parser itself tells where it ends.

use datafusion::sql::sqlparser::{
    dialect::{Dialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use crate::sql_tokens::{keyword, sign};

/// Returns tokens without whitespace, and with parentheses around the right side of each `IS [NOT] DISTINCT FROM`. Text that is no
/// SQL gets none: its parser gives the reason.
pub(super) fn in_parentheses(
    mut tokens: Vec<TokenWithSpan>,
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Vec<TokenWithSpan> {
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    enclose(&tokens, dialect, recursion_limit).unwrap_or(tokens)
}

fn enclose(
    tokens: &[TokenWithSpan],
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Result<Vec<TokenWithSpan>, ParserError> {
    if !(1..=tokens.len()).any(|at| is_operand(tokens, at)) {
        return Ok(tokens.to_vec());
    }
    let mut parser = Parser::new(dialect)
        .with_recursion_limit(recursion_limit)
        .with_tokens_with_locations(tokens.to_vec());
    let mut written = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        written.push(token.clone());
        at += 1;
        if !is_operand(tokens, at) {
            continue;
        }
        while parser.index() < at {
            parser.advance_token();
        }
        parser.parse_subexpr(dialect.prec_value(Precedence::Is))?;
        let end = parser.index().min(tokens.len());
        let operand = tokens.get(at..end).unwrap_or_default();
        written.push(sign(Token::LParen));
        // It can contain a subquery with further ones. The parser bounds how deep they are.
        written.extend(enclose(operand, dialect, recursion_limit)?);
        written.push(sign(Token::RParen));
        at = end;
    }
    Ok(written)
}

/// Whether the tokens before a position are `IS [NOT] DISTINCT FROM`.
fn is_operand(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before =
        |distance: usize| keyword(at.checked_sub(distance).and_then(|place| tokens.get(place)));
    before(1) == Keyword::FROM
        && before(2) == Keyword::DISTINCT
        && (before(3) == Keyword::IS || before(3) == Keyword::NOT && before(4) == Keyword::IS)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, tokenizer::Tokenizer};

    use super::*;

    fn written(sql: &str) -> String {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        let enclosed = in_parentheses(tokens, &GenericDialect {}, 50);
        let texts: Vec<String> = enclosed.iter().map(|token| token.token.to_string()).collect();
        texts.join(" ")
    }

    #[test]
    fn the_right_side_ends_before_weaker_operators() {
        for (sql, expected) in [
            (
                "a IS DISTINCT FROM b AND c",
                "a IS DISTINCT FROM ( b ) AND c",
            ),
            (
                "a IS NOT DISTINCT FROM b + 1 OR c",
                "a IS NOT DISTINCT FROM ( b + 1 ) OR c",
            ),
            (
                "a IS DISTINCT FROM b IS NULL",
                "a IS DISTINCT FROM ( b ) IS NULL",
            ),
            (
                "a IS DISTINCT FROM b = c AND d IS DISTINCT FROM e OR f",
                "a IS DISTINCT FROM ( b = c ) AND d IS DISTINCT FROM ( e ) OR f",
            ),
            (
                "a IS DISTINCT FROM b BETWEEN 1 AND 2 AND c",
                "a IS DISTINCT FROM ( b BETWEEN 1 AND 2 ) AND c",
            ),
            (
                "SELECT a IS DISTINCT FROM b c FROM t WHERE d AND e",
                "SELECT a IS DISTINCT FROM ( b ) c FROM t WHERE d AND e",
            ),
            (
                "a IS DISTINCT FROM (SELECT b FROM t WHERE c IS DISTINCT FROM 1 AND d) AND e",
                "a IS DISTINCT FROM ( ( SELECT b FROM t WHERE c IS DISTINCT FROM ( 1 ) AND d ) ) AND e",
            ),
            (
                "CASE WHEN a IS DISTINCT FROM b AND c THEN 1 END",
                "CASE WHEN a IS DISTINCT FROM ( b ) AND c THEN 1 END",
            ),
        ] {
            assert_eq!(written(sql), expected, "{sql}");
        }
    }

    #[test]
    fn other_tokens_stay_as_they_are() {
        for sql in [
            "SELECT DISTINCT FROM t",
            "SELECT \"is\" DISTINCT FROM b AND c",
            "a IS DISTINCT FROM",
            "a IS DISTINCT FROM )",
        ] {
            assert_eq!(written(sql), sql, "{sql}");
        }
    }
}
