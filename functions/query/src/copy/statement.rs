//! Parses and plans `COPY` statements.

use datafusion::{
    common::{Result, plan_err},
    config::Dialect,
    execution::SessionState,
    logical_expr::LogicalPlan,
    sql::{
        parser::{CopyToSource, Statement as SqlStatement},
        sqlparser::{ast::Statement, keywords::Keyword, tokenizer::Token},
    },
};

use neap_tables::QueryContext;

use super::CopyTarget;
use crate::{dialect::parse_statement, hidden_aliases::hide_aliases};

/// Whether a statement begins with `COPY`.
pub(crate) fn is_copy(tokens: &[Token]) -> bool {
    let first = tokens.iter().find(|token| !matches!(token, Token::Whitespace(_)));
    let Some(Token::Word(word)) = first else {
        return false;
    };
    word.keyword == Keyword::COPY && word.quote_style.is_none()
}

/// Plans the query of a `COPY` statement.
/// Fails if the statement or its query is invalid.
pub(crate) async fn plan_copy(
    context: &QueryContext,
    state: &SessionState,
    sql: &str,
    dialect: Dialect,
) -> Result<(LogicalPlan, CopyTarget)> {
    let SqlStatement::CopyTo(copy) = parse_statement(sql, dialect)? else {
        return plan_err!("COPY is written as COPY (query) TO 'name' or COPY table TO 'name'");
    };
    let target = CopyTarget::from_statement(&copy)?;
    let mut query = match copy.source {
        CopyToSource::Query(query) => SqlStatement::Statement(Box::new(Statement::Query(query))),
        CopyToSource::Relation(table) => {
            parse_statement(&format!("SELECT * FROM {table}"), dialect)?
        }
    };
    hide_aliases(context, &mut query);
    Ok((state.statement_to_plan(query).await?, target))
}
