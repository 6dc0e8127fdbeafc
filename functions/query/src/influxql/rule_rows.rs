//! The rows of a rule.

use std::sync::Arc;

use neap_formats::series::AnswerInterface;
use neap_influxql::Statement;
use neap_schema::DatabaseId;

use super::{
    error::InfluxqlError,
    planners::RowsPlanner,
    prepared_statement::{PreparedStatement, RequestedDatabase, prepare_statements},
};
use crate::{Parameters, QueryEngine, QueryRequest, Rows};

/// Checks that a text is a `SELECT` over one database, as rules are: it needs no permission for others.
/// Fails if the text is not InfluxQL, is another statement, or names another database.
pub(crate) fn check_rule(database: &str, text: &str) -> Result<(), InfluxqlError> {
    prepare(database, text).map(|_| ())
}

fn prepare(database: &str, text: &str) -> Result<PreparedStatement, InfluxqlError> {
    let named = RequestedDatabase { database: Some(database), ..RequestedDatabase::default() };
    let mut statements = prepare_statements(text, &Parameters::default(), named)?;
    let prepared = statements.pop().filter(|_| statements.is_empty());
    let prepared_statement = prepared.ok_or(InfluxqlError::NotOneStatement)?;
    let is_select = matches!(prepared_statement.statement, Statement::Select(_));
    if !is_select || prepared_statement.databases != [database] {
        let text = "the expression of a rule is a SELECT over its database".to_owned();
        return Err(InfluxqlError::Invalid(text));
    }
    Ok(prepared_statement)
}

/// Returns the rows of a rule over a database of this name. The text may name it by an alias.
/// Errors: as of [`check_rule`], or the query failed.
pub(crate) async fn rule_rows(
    engine: &QueryEngine,
    name: &str,
    database: DatabaseId,
    request: QueryRequest,
) -> Result<Rows, InfluxqlError> {
    let prepared = match prepare(name, &request.text) {
        Err(InfluxqlError::DatabaseMismatch { parameter, statement }) => {
            let root = engine.catalog().root(engine.catalog().max_age()).await?.value;
            if root.database(&statement) != Some(database) {
                return Err(InfluxqlError::DatabaseMismatch { parameter, statement });
            }
            prepare(&statement, &request.text)?
        }
        prepared => prepared?,
    };
    let planner = RowsPlanner::new(prepared.statement, AnswerInterface::V3);
    Ok(engine.run(database, request, Arc::new(planner)).await?)
}
