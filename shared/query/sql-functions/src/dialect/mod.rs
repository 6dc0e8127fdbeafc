//! The SQL that Neap answers beyond that of DataFusion's parser.
//!
//! ```text
//!   text ──► tokens ──► asof_join::syntax   conditions of ASOF JOIN     ──► parser ──► asof_join::syntax   tables of ASOF JOIN
//!                       latest_on           LATEST ON to QUALIFY                       sample_by           select list and groups
//!                       sample_by           SAMPLE BY to GROUP BY                      keyless_tables      tables below GROUP BY
//!                       distinct_operands   IS DISTINCT FROM to an operator                  distinct_operands   the comparison
//!                                                                                            negation            -x to an operator
//!                                                                                            grouping_elements   ROLLUP and CUBE
//! ```
//!
//! Only words outside of quotes and comments are examined, each with the words around it, so that tables and columns may have
//! the same names.

mod distinct_operands;
mod latest_on;
mod sample_by;

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    ops::ControlFlow,
    slice,
};

use datafusion::{
    common::{DataFusionError, Result},
    sql::{
        parser::{CopyToSource, DFParserBuilder, Statement},
        sqlparser::{
            ast::{Distinct, Expr, Ident, Select, VisitMut, VisitorMut, visit_expressions_mut},
            dialect::Dialect,
            parser::ParserError,
            tokenizer::{Token, TokenWithSpan, Tokenizer},
        },
    },
};

use crate::{
    asof_join::syntax::{nest_joins, with_match_conditions},
    grouping_elements::{self, ExpansionBudget},
    keyless_tables::mark_tables,
    negation,
    sql_tokens::plain_word,
};

/// The first words of the clauses that DataFusion's parser does not know.
const WORDS: [&str; 3] = ["asof", "latest", "sample"];

/// Parses the statements of a text.
///
/// # Errors
/// The text is no SQL.
pub fn parse_sql(
    sql: &str,
    dialect: &dyn Dialect,
    recursion_limit: usize,
) -> Result<VecDeque<Statement>> {
    let tokens = Tokenizer::new(dialect, sql)
        .tokenize_with_location()
        .map_err(ParserError::from)?;
    let has_word = |words: &[&str]| {
        tokens.iter().any(|token| {
            let word = plain_word(Some(token));
            word.is_some_and(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
        })
    };
    let is_extended = has_word(&WORDS);
    let is_grouped = has_word(&["group"]);
    let has_distinct = has_word(&["distinct"]);
    let has_minus = tokens.iter().any(|token| token.token == Token::Minus);
    let known = if is_extended {
        in_known_forms(tokens)?
    } else {
        tokens
    };
    let bounded = if has_distinct {
        distinct_operands::as_operators(known, dialect, recursion_limit)
    } else {
        known
    };
    let mut statements = DFParserBuilder::new(bounded)
        .with_dialect(dialect)
        .with_recursion_limit(recursion_limit)
        .build()?
        .parse_statements()?;
    if has_distinct || has_minus {
        for statement in &mut statements {
            rewrite(statement, &mut OperatorRewriter)?;
        }
    }
    if is_extended || is_grouped || has_distinct {
        let mut rewriter = SelectRewriter::default();
        for statement in &mut statements {
            rewrite(statement, &mut rewriter)?;
        }
    }
    Ok(statements)
}

/// Returns tokens that the parser knows.
fn in_known_forms(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut dense = tokens;
    dense.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let sampled = sample_by::as_groups(&latest_on::as_qualify(&dense))?;
    with_match_conditions(&sampled)
}

/// Replaces the stand-ins for clauses in the syntax tree.
fn rewrite<V>(statement: &mut Statement, visitor: &mut V) -> Result<()>
where
    V: VisitorMut<Break = DataFusionError>,
{
    let flow = match statement {
        Statement::Statement(statement) => statement.visit(visitor),
        Statement::Explain(explain) => return rewrite(&mut explain.statement, visitor),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(visitor),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Replaces the operators that stand for comparisons in a statement, and negations.
struct OperatorRewriter;

impl VisitorMut for OperatorRewriter {
    type Break = DataFusionError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        distinct_operands::restore(expr);
        negation::as_operator(expr);
        ControlFlow::Continue(())
    }
}

/// Rewrites each `SELECT` of the statements of a text.
#[derive(Default)]
struct SelectRewriter {
    budget: ExpansionBudget,
}

impl VisitorMut for SelectRewriter {
    type Break = DataFusionError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        nest_joins(select);
        if let Err(error) = sample_by::rewrite(select) {
            return ControlFlow::Break(error);
        }
        grouping_elements::expand(select, &mut self.budget);
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            let mut known = HashSet::new();
            keys.retain(|key| known.insert(with_plain_names(key)));
        }
        mark_tables(select);
        ControlFlow::Continue(())
    }
}

/// Returns the same expression with its names as the planner compares them: without quotes, and in lower case if they had none.
fn with_plain_names(expr: &Expr) -> Expr {
    let mut plain = expr.clone();
    let ControlFlow::Continue(()) = visit_expressions_mut(&mut plain, |part| {
        let names: &mut [Ident] = match part {
            Expr::Identifier(name) => slice::from_mut(name),
            Expr::CompoundIdentifier(names) => names,
            _ => &mut [],
        };
        for name in names {
            if name.quote_style.take().is_none() {
                name.value.make_ascii_lowercase();
            }
        }
        ControlFlow::<Infallible>::Continue(())
    });
    plain
}

#[cfg(test)]
mod tests;
