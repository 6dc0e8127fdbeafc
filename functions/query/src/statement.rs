//! Parses and plans SQL statements.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use datafusion::{
    common::{
        ParamValues, Result, not_impl_err, plan_err,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    config::Dialect,
    datasource::source_as_provider,
    execution::{SessionState, context::SQLOptions},
    logical_expr::{DmlStatement, Expr, LogicalPlan, Statement, WriteOp},
    sql::{
        parser::Statement as SqlStatement,
        sqlparser::{
            dialect::PostgreSqlDialect,
            keywords::Keyword,
            tokenizer::{Token, Tokenizer},
        },
    },
};

use neap_tables::{CacheTable, QueryContext};

use crate::{
    Parameters, SessionExtension, TextPieces,
    copy::{CopyTarget, is_copy, plan_copy},
    dialect::{parse_statement, tokenize},
    former_column::{hide_former_column, names_former_column},
    hidden_aliases::{hide_aliases, names_aliases},
    statement_size::added_in_dialect,
    unsupported,
};

/// The maximum number of operators in a statement. Parsing, planning and dropping a chain of operators needs a few
/// kilobytes of stack for each of them.
const MAX_OPERATORS: usize = 5_000;

/// The maximum number of `AND` in a statement. The time to plan a conjunction grows with the cube of its length and
/// can't be interrupted.
const MAX_ANDS: usize = 500;

/// Rejects statements whose length would overflow a stack or block planning for too long.
pub(crate) fn check_length(tokens: &[Token]) -> Result<()> {
    let is_operator = |token: &Token| match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::LIKE
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen => false,
        _ => true,
    };
    let operators = tokens.iter().filter(|token| is_operator(token)).count();
    if operators > MAX_OPERATORS {
        return plan_err!("the statement has {operators} operators, more than {MAX_OPERATORS}");
    }
    let is_and =
        |token: &&Token| matches!(token, Token::Word(word) if word.keyword == Keyword::AND);
    let ands = tokens.iter().filter(is_and).count();
    if ands > MAX_ANDS {
        return plan_err!("the statement has {ands} AND operators, more than {MAX_ANDS}");
    }
    Ok(())
}

/// A planned statement and its session.
#[derive(Debug)]
pub(crate) enum PlannedStatement {
    Query(SessionState, LogicalPlan),
    /// A query plan that was optimized. Materialized views don't answer it.
    Optimized(SessionState, LogicalPlan),
    /// Rows that are already known.
    Rows(RecordBatch),
    /// A result as a text.
    Text(TextPieces),
    Delete(SessionState, DmlStatement),
    /// A query whose rows become a file.
    Copy(SessionState, LogicalPlan, CopyTarget),
}

/// Plans a statement and fills its placeholders.
pub(crate) async fn plan(
    context: &QueryContext,
    sql: &str,
    parameters: Parameters,
) -> Result<PlannedStatement> {
    // Text that can't be tokenized is rejected by the parser, which gives the reason.
    let (dialect, tokens) = tokenize(sql).unwrap_or_default();
    check_length(&tokens)?;
    unsupported::check(&tokens)?;
    let has_former_column = names_former_column(&tokens);
    let has_aliases = names_aliases(context, &tokens);
    let context = &shown_columns(context, has_former_column, has_aliases);
    if is_copy(&tokens) {
        let state = context.full_session();
        let (query, target) = plan_copy(context, &state, sql, dialect).await?;
        only_queries().verify_plan(&query)?;
        let query = bind_parameters(query, parameters)?;
        return Ok(PlannedStatement::Copy(state, query, target));
    }
    if sql.contains("_cache")
        && let Some(planned) = plan_simple(context, sql, dialect, &parameters).await
    {
        return Ok(planned);
    }
    let state = context.full_session();
    let mut statement = parse_statement(sql, dialect)?;
    if has_former_column {
        hide_former_column(&mut statement);
    }
    if has_aliases {
        hide_aliases(context, &mut statement);
    }
    let plan = logical_plan(&state, statement).await?;
    let is_delete = matches!(&plan, LogicalPlan::Dml(dml) if dml.op == WriteOp::Delete);
    only_queries().with_allow_dml(is_delete).verify_plan(&plan)?;
    Ok(match bind_parameters(plan, parameters)? {
        LogicalPlan::Dml(delete) if is_delete => PlannedStatement::Delete(state, delete),
        query => PlannedStatement::Query(state, query),
    })
}

/// Plans a query that an extension rewrites, in a session with the extension, and fills its placeholders.
pub(crate) async fn plan_extended(
    context: &QueryContext,
    extension: &dyn SessionExtension,
    sql: &str,
    parameters: Parameters,
) -> Result<PlannedStatement> {
    // Other dialects have other strings and names, which could hide operators. Text that can't be tokenized is rejected by the
    // parser of the extension, which gives the reason.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap_or_default();
    check_length(&tokens)?;
    unsupported::check(&tokens)?;
    let rewritten = extension.rewrite(sql)?;
    // The text of the client was not measured if only the extension understands it.
    added_in_dialect(&rewritten, Dialect::PostgreSQL)?;
    let has_aliases = names_aliases(context, &tokens);
    let context = &shown_columns(context, false, has_aliases);
    let state = extension.extend(context.full_session())?;
    let mut statement = parse_statement(&rewritten, Dialect::PostgreSQL)?;
    if has_aliases {
        hide_aliases(context, &mut statement);
    }
    let plan = logical_plan(&state, statement).await?;
    only_queries().verify_plan(&plan)?;
    let query = bind_parameters(plan, parameters)?;
    Ok(PlannedStatement::Query(state, query))
}

/// Returns the view of a statement with the columns that it may see: aliases only if it has one, and names the table. Others, such as
/// one about `information_schema.columns`, see the columns of tables.
fn shown_columns(
    context: &QueryContext,
    has_former_column: bool,
    has_aliases: bool,
) -> Cow<'_, QueryContext> {
    match (has_former_column, has_aliases) {
        (false, true) => Cow::Borrowed(context),
        (false, false) => Cow::Owned(context.without_aliases()),
        (true, true) => Cow::Owned(context.with_former_columns()),
        (true, false) => Cow::Owned(context.with_former_columns().without_aliases()),
    }
}

/// Allows queries and nothing else.
fn only_queries() -> SQLOptions {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
}

/// Plans a statement that does little more than read a cache. Returns `None` for any other one. A full session then
/// plans it and reports errors.
async fn plan_simple(
    context: &QueryContext,
    sql: &str,
    dialect: Dialect,
    parameters: &Parameters,
) -> Option<PlannedStatement> {
    let state = context.simple_session();
    let plan = logical_plan(&state, parse_statement(sql, dialect).ok()?).await.ok()?;
    let plan = bind_parameters(plan, parameters.clone()).ok()?;
    is_simple(&plan).then_some(PlannedStatement::Query(state, plan))
}

/// Whether a plan only filters, sorts and limits the rows of a cache. A simple session plans these correctly.
fn is_simple(plan: &LogicalPlan) -> bool {
    let mut is_simple = true;
    let visited = plan.apply(|node| {
        is_simple &= match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_) => true,
            LogicalPlan::TableScan(scan) => {
                source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<CacheTable>())
            }
            _ => false,
        };
        let mut with_subquery = false;
        node.apply_expressions(|expr| {
            with_subquery |= expr.exists(|expr| Ok(is_subquery(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        is_simple &= !with_subquery;
        Ok(if is_simple {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    visited.is_ok() && is_simple
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
    )
}

async fn logical_plan(state: &SessionState, statement: SqlStatement) -> Result<LogicalPlan> {
    let plan = state.statement_to_plan(statement).await?;
    if let LogicalPlan::Statement(statement) = &plan
        && !matches!(statement, Statement::SetVariable(_) | Statement::ResetVariable(_))
    {
        return not_impl_err!("Unsupported SQL statement: {}", statement.name());
    }
    Ok(plan)
}

/// Replaces the placeholders of the plan by values.
fn bind_parameters(plan: LogicalPlan, Parameters(parameters): Parameters) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    let values = parameters.into_iter().map(|(name, value)| (name, value.into())).collect();
    plan.with_param_values(ParamValues::Map(values))
}
