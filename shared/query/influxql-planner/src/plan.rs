//! Plans InfluxQL statements.

use std::sync::Arc;

use datafusion::{
    common::{Result, TableReference, not_impl_err},
    datasource::provider_as_source,
    execution::SessionState,
    logical_expr::{DmlStatement, LogicalPlan, LogicalPlanBuilder, WriteOp},
};
use neap_formats::series::{AnswerInterface, GroupKey, SeriesLayout};
use neap_influxql::{Condition, Explain, Statement};
use neap_tables::QueryContext;

use crate::{
    select::{self, SelectPlan},
    show,
    table_rows::{ShowRows, filtered},
};

/// The plan of a statement that returns rows.
#[derive(Debug)]
pub enum InfluxqlPlan {
    /// Rows computed by a plan.
    Query {
        /// The session that executes the plan.
        state: Box<SessionState>,
        /// The plan. Rows come sorted by series.
        plan: LogicalPlan,
        /// The series layout of the rows.
        series: SeriesLayout,
    },
    /// Rows that are already known.
    Rows(ShowRows),
}

/// Plans a statement without placeholders.
///
/// # Errors
/// `DataFusionError::Plan` if the statement is wrong, `NotImplemented` if it does not return rows or is not supported;
/// for `SHOW` also errors of execution.
pub async fn plan_statement(
    context: &QueryContext,
    statement: &Statement,
    interface: AnswerInterface,
) -> Result<InfluxqlPlan> {
    let rows = match statement {
        Statement::Select(select) => {
            let SelectPlan { state, plan, group_key } =
                select::plan_select(context, select, interface)?;
            return Ok(InfluxqlPlan::Query {
                state: Box::new(state),
                plan,
                series: SeriesLayout::Columns(group_key),
            });
        }
        Statement::Explain(explain) => return plan_explain(context, explain, interface),
        Statement::ShowMeasurements(statement) => show::measurements(context, statement).await,
        Statement::ShowTagKeys(statement) => show::tag_keys(context, statement).await,
        Statement::ShowFieldKeys(statement) => show::field_keys(context, statement),
        Statement::ShowTagValues(statement) => show::tag_values(context, statement).await,
        Statement::ShowSeries(statement) => show::series(context, statement, interface).await,
        Statement::ShowCardinality(statement) => {
            show::cardinality(context, statement, interface).await
        }
        other => return not_impl_err!("{other}"),
    };
    rows.map(InfluxqlPlan::Rows)
}

fn plan_explain(
    context: &QueryContext,
    explain: &Explain,
    interface: AnswerInterface,
) -> Result<InfluxqlPlan> {
    let planned = select::plan_select(context, &explain.select, interface)?;
    let SelectPlan { state, plan, .. } = planned;
    let plan = LogicalPlanBuilder::from(plan).explain(explain.verbose, explain.analyze)?;
    Ok(InfluxqlPlan::Query {
        state: Box::new(state),
        plan: plan.build()?,
        // The first column, the type of the plan, names the series.
        series: SeriesLayout::Columns(GroupKey::default()),
    })
}

/// Plans the deletion of the rows of a table that satisfy a condition.
///
/// # Errors
/// `NotImplemented` if the table does not exist, `DataFusionError::Plan` if the condition is wrong.
pub fn plan_delete(
    context: &QueryContext,
    table: &str,
    condition: Option<&Condition>,
) -> Result<(SessionState, DmlStatement)> {
    let Some(definition) = context.snapshot.catalog.value.table(table) else {
        // The table was dropped after the statement was resolved, so there is nothing to delete.
        return not_impl_err!("DELETE from '{table}', which was dropped");
    };
    let provider = context.table_provider(definition);
    let input = filtered(context, definition, condition)?.build()?;
    let statement = DmlStatement::new(
        TableReference::bare(definition.name().to_owned()),
        provider_as_source(provider),
        WriteOp::Delete,
        Arc::new(input),
    );
    Ok((context.full_session(), statement))
}
