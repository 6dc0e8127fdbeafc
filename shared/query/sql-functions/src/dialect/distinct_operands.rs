//! The right side of `IS [NOT] DISTINCT FROM`.
//!
//! `sqlparser` 0.62 reads it up to the end of the whole condition: `a IS DISTINCT FROM b AND c` would be `a IS DISTINCT FROM (b AND c)`.
//! So the words are replaced by an operator of PostgreSQL's form, `a IS UNKNOWN OPERATOR(name) (b) AND c`, which is replaced by the
//! comparison once the statement is parsed. The parser itself tells where the right side ends. The left side ends with `IS UNKNOWN`,
//! because the operator is stronger than `IS`: `a LIKE b OPERATOR(name) (c)` would be `a LIKE (b OPERATOR(name) (c))`.

use std::mem;

use datafusion::sql::sqlparser::{
    ast::{BinaryOperator, Expr, Value},
    dialect::{Dialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use crate::sql_tokens::{keyword, sign, words};

/// The name of the operator for `IS DISTINCT FROM`.
const DISTINCT: &str = "neap_is_distinct_from";

/// The name of the operator for `IS NOT DISTINCT FROM`.
const NOT_DISTINCT: &str = "neap_is_not_distinct_from";

/// Returns tokens without whitespace, and with an operator for each `IS [NOT] DISTINCT FROM`. Text that is no SQL stays: its
/// parser gives the reason.
pub(super) fn as_operators(
    mut tokens: Vec<TokenWithSpan>,
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Vec<TokenWithSpan> {
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    replace_words(&tokens, dialect, recursion_limit).unwrap_or(tokens)
}

fn replace_words(
    tokens: &[TokenWithSpan],
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Result<Vec<TokenWithSpan>, ParserError> {
    if !(1..=tokens.len()).any(|at| operator_before(tokens, at).is_some()) {
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
        let Some((operator, length)) = operator_before(tokens, at) else {
            continue;
        };
        while parser.index() < at {
            parser.advance_token();
        }
        let mut operand = parser.parse_subexpr(dialect.prec_value(Precedence::Is))?;
        // Operators such as `@>` are weaker than `IS` only in the generic dialect.
        while parser.get_next_precedence()? == dialect.prec_value(Precedence::PgOther) {
            operand = parser.parse_infix(operand, dialect.prec_value(Precedence::PgOther))?;
        }
        let end = parser.index().min(tokens.len());
        let right = tokens.get(at..end).unwrap_or_default();
        written.truncate(written.len().saturating_sub(length));
        written.extend(words(&["IS", "UNKNOWN", "OPERATOR"]));
        written.push(sign(Token::LParen));
        written.extend(words(&[operator]));
        written.extend([sign(Token::RParen), sign(Token::LParen)]);
        // It can contain a subquery with further ones. The parser bounds how deep they are.
        written.extend(replace_words(right, dialect, recursion_limit)?);
        written.push(sign(Token::RParen));
        at = end;
    }
    Ok(written)
}

/// Returns the operator for the words before a position, and their number, if they are `IS [NOT] DISTINCT FROM`.
fn operator_before(tokens: &[TokenWithSpan], at: usize) -> Option<(&'static str, usize)> {
    let before =
        |distance: usize| keyword(at.checked_sub(distance).and_then(|place| tokens.get(place)));
    if before(1) != Keyword::FROM || before(2) != Keyword::DISTINCT {
        return None;
    }
    match (before(3), before(4)) {
        (Keyword::IS, _) => Some((DISTINCT, 3)),
        (Keyword::NOT, Keyword::IS) => Some((NOT_DISTINCT, 4)),
        _ => None,
    }
}

/// Replaces an operator by its comparison.
pub(super) fn restore(expr: &mut Expr) {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::PGCustomBinaryOperator(name),
        right,
    } = expr
    else {
        return;
    };
    let comparison = match name.as_slice() {
        [name] if name == DISTINCT => Expr::IsDistinctFrom,
        [name] if name == NOT_DISTINCT => Expr::IsNotDistinctFrom,
        _ => return,
    };
    let Expr::IsUnknown(compared) = left.as_mut() else {
        return;
    };
    let take = |side: &mut Box<Expr>| mem::replace(side, Box::new(Expr::value(Value::Null)));
    let (of_left, of_right) = (take(compared), take(right));
    *expr = comparison(of_left, of_right);
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use datafusion::sql::{
        parser::Statement,
        sqlparser::{
            ast::visit_expressions,
            dialect::{GenericDialect, PostgreSqlDialect},
            tokenizer::Tokenizer,
        },
    };

    use super::*;
    use crate::{
        parse_sql,
        testing::{session, table},
    };

    fn written(sql: &str) -> String {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        let replaced = as_operators(tokens, &GenericDialect {}, 50);
        let texts: Vec<String> = replaced.iter().map(|token| token.token.to_string()).collect();
        texts.join(" ")
    }

    /// Returns the sides of the comparisons of a statement.
    fn compared_sides(sql: &str, dialect: &dyn Dialect) -> Vec<(String, String)> {
        let Some(Statement::Statement(statement)) =
            parse_sql(sql, dialect, 50).unwrap().pop_front()
        else {
            panic!("{sql}");
        };
        let mut sides = Vec::new();
        let flow = visit_expressions(statement.as_ref(), |expr| {
            if let Expr::IsDistinctFrom(left, right) = expr {
                sides.push((left.to_string(), right.to_string()));
            }
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.is_continue());
        sides
    }

    #[test]
    fn the_right_side_ends_before_weaker_operators() {
        let pairs = "
            a IS DISTINCT FROM b AND c ==> a <> ( b ) AND c
            a IS NOT DISTINCT FROM b + 1 OR c ==> a == ( b + 1 ) OR c
            a IS DISTINCT FROM b IS NULL ==> a <> ( b ) IS NULL
            a IS DISTINCT FROM b = c AND d IS NOT DISTINCT FROM e OR f ==> a <> ( b = c ) AND d == ( e ) OR f
            a IS DISTINCT FROM b BETWEEN 1 AND 2 AND c ==> a <> ( b BETWEEN 1 AND 2 ) AND c
            SELECT a IS DISTINCT FROM b c FROM t WHERE d AND e ==> SELECT a <> ( b ) c FROM t WHERE d AND e
            a IS DISTINCT FROM (SELECT b FROM t WHERE c IS DISTINCT FROM 1 AND d) AND e ==> a <> ( ( SELECT b FROM t WHERE c <> ( 1 ) AND d ) ) AND e
            CASE WHEN a IS DISTINCT FROM b AND c THEN 1 END ==> CASE WHEN a <> ( b ) AND c THEN 1 END
        ";
        for (sql, expected) in neap_test_inputs::text_pairs(pairs) {
            let found = written(sql)
                .replace("IS UNKNOWN OPERATOR ( neap_is_distinct_from )", "<>")
                .replace("IS UNKNOWN OPERATOR ( neap_is_not_distinct_from )", "==");
            assert_eq!(found, expected, "{sql}");
        }
    }

    #[test]
    fn the_left_side_begins_after_weaker_operators() {
        let dialects: [&dyn Dialect; 2] = [&GenericDialect {}, &PostgreSqlDialect {}];
        for (before, left) in [
            ("", "a = b"),
            ("", "a LIKE b"),
            ("", "a NOT ILIKE b"),
            ("", "a BETWEEN b AND c"),
            ("", "a IN (b)"),
            ("", "a IS NULL"),
            ("", "a + b"),
            ("NOT ", "a"),
            ("c AND NOT ", "a < b"),
            ("c OR ", "a LIKE b"),
        ] {
            for dialect in dialects {
                let sql = format!("SELECT {before}{left} IS DISTINCT FROM d AND e");
                let sides = [(left.to_owned(), "(d)".to_owned())];
                assert_eq!(compared_sides(&sql, dialect), sides, "{sql}");
            }
        }
    }

    #[test]
    fn the_right_side_has_operators_of_arrays() {
        let sql = "SELECT a IS DISTINCT FROM b @> c AND d";
        let sides = [("a".to_owned(), "(b @> c)".to_owned())];
        assert_eq!(compared_sides(sql, &GenericDialect {}), sides);
        assert_eq!(compared_sides(sql, &PostgreSqlDialect {}), sides);
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

    #[tokio::test]
    async fn a_comparison_is_stronger_than_and_and_or() {
        let sql = "SELECT true IS DISTINCT FROM true AND false AS a, false IS NOT DISTINCT FROM true OR true AS b, \
                   NOT 2 IS NOT DISTINCT FROM 2 AND true AS c";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | a     | b    | c     |
        | false | true | false |
        ");
    }
}
