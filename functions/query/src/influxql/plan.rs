//! Statements over the tables of a database, planned over a snapshot.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::TableProvider,
    common::{Result, TableReference, not_impl_err},
    datasource::provider_as_source,
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::{DmlStatement, LogicalPlan, LogicalPlanBuilder, WriteOp},
    physical_plan::execute_stream,
};
use neap_catalog::Table;
use neap_influxql::{Condition, Explain, Statement};

use super::{
    group_key::GroupKey,
    select::{self, SelectPlan},
    series::{Dialect, Series},
    show,
};
use crate::{
    QueryRequest,
    interrupt::interruptible,
    request::{Language, Planner},
    session::Scope,
    statement::Planned,
};

/// Rows that tell about tables, and their series.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) rows: RecordBatch,
    pub(super) series: Series,
}

/// A statement that asks for rows.
#[derive(Debug)]
pub(super) struct RowsPlanner {
    statement: Statement,
    dialect: Dialect,
    /// Of the plan that was made last.
    series: Mutex<Series>,
}

impl RowsPlanner {
    pub(super) fn new(statement: Statement, dialect: Dialect) -> Self {
        Self {
            statement,
            dialect,
            series: Mutex::new(Series::One(None)),
        }
    }

    /// The series of the rows, once the statement is planned.
    pub(super) fn series(&self) -> Series {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.clone()
    }

    fn planned(&self, planned: Planned, series: Series) -> Planned {
        let mut kept = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = series;
        planned
    }

    fn shown(&self, shown: Shown) -> Planned {
        self.planned(Planned::Rows(shown.rows), shown.series)
    }
}

#[async_trait]
impl Planner for RowsPlanner {
    fn language(&self) -> Language {
        Language::InfluxQl
    }

    async fn plan(&self, scope: &Arc<Scope>, _: &QueryRequest) -> Result<Planned> {
        let dialect = self.dialect;
        let shown = match &self.statement {
            Statement::Select(select) => {
                let SelectPlan {
                    state,
                    plan,
                    group_key,
                } = select::plan_select(scope, select).await?;
                return Ok(self.planned(Planned::Query(state, plan), Series::Of(group_key)));
            }
            Statement::Explain(explain) => {
                let (state, plan) = explained(scope, explain).await?;
                // The kind of plan is the name of a series.
                let series = Series::Of(GroupKey::default());
                return Ok(self.planned(Planned::Query(state, plan), series));
            }
            Statement::ShowMeasurements(statement) => show::measurements(scope, statement).await,
            Statement::ShowTagKeys(statement) => show::tag_keys(scope, statement).await,
            Statement::ShowFieldKeys(statement) => show::field_keys(scope, statement),
            Statement::ShowTagValues(statement) => show::tag_values(scope, statement).await,
            Statement::ShowSeries(statement) => show::series(scope, statement, dialect).await,
            Statement::ShowCardinality(statement) => {
                show::cardinality(scope, statement, dialect).await
            }
            other => return not_impl_err!("{other}"),
        };
        Ok(self.shown(shown?))
    }
}

async fn explained(scope: &Arc<Scope>, explain: &Explain) -> Result<(SessionState, LogicalPlan)> {
    let SelectPlan { state, plan, .. } = select::plan_select(scope, &explain.select).await?;
    let plan = LogicalPlanBuilder::from(plan).explain(explain.verbose, explain.analyze)?;
    Ok((state, plan.build()?))
}

/// A statement that deletes rows of one table.
#[derive(Debug)]
pub(super) struct DeletePlanner {
    pub(super) table: String,
    pub(super) condition: Option<Condition>,
}

#[async_trait]
impl Planner for DeletePlanner {
    fn language(&self) -> Language {
        Language::InfluxQl
    }

    async fn plan(&self, scope: &Arc<Scope>, _: &QueryRequest) -> Result<Planned> {
        let Some(table) = scope.snapshot.catalog.value.table(&self.table) else {
            // It was dropped since it was looked up: there is nothing to delete.
            return not_impl_err!("DELETE from '{}', which is dropped", self.table);
        };
        let provider = provider(scope, table);
        let input = filtered(scope, table, self.condition.as_ref())?.build()?;
        let statement = DmlStatement::new(
            TableReference::bare(table.name().to_owned()),
            provider_as_source(provider),
            WriteOp::Delete,
            Arc::new(input),
        );
        Ok(Planned::Delete(scope.full_session(), statement))
    }
}

fn provider(scope: &Arc<Scope>, table: &Arc<Table>) -> Arc<dyn TableProvider> {
    let rows = scope.table(table);
    match scope.uses_caches {
        true => Arc::new(rows.helped_by_caches(scope)),
        false => Arc::new(rows),
    }
}

/// The rows of a table that satisfy a condition.
pub(super) fn filtered(
    scope: &Arc<Scope>,
    table: &Arc<Table>,
    condition: Option<&Condition>,
) -> Result<LogicalPlanBuilder> {
    let name = TableReference::bare(table.name().to_owned());
    let source = provider_as_source(provider(scope, table));
    let rows = LogicalPlanBuilder::scan(name, source, None)?;
    let Some(condition) = condition else {
        return Ok(rows);
    };
    let schema: SchemaRef = table.arrow_schema();
    let now = scope.times.now.saturating_mul(1_000);
    rows.filter(select::row_predicate(&schema, condition, now)?)
}

/// The rows of a plan over a scope as they come.
pub(super) async fn run(
    scope: &Arc<Scope>,
    plan: &LogicalPlan,
) -> Result<SendableRecordBatchStream> {
    let state = scope.full_session();
    let plan = state.create_physical_plan(plan).await?;
    let plan = interruptible(plan, &scope.interrupt)?;
    execute_stream(plan, state.task_ctx())
}
