//! Adapts the InfluxQL planner to the query engine.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::Result;
use neap_formats::series::{AnswerInterface, SeriesLayout};
use neap_influxql::{Condition, Statement};
use neap_influxql_planner::{depends_on_now, plan_delete, plan_statement};
use neap_tables::QueryContext;

use crate::{
    QueryRequest,
    plan_cache::{PlanCache, PlannedInfluxql},
    request::{Planner, StatementLanguage},
    statement::PlannedStatement,
};

/// Plans a statement that returns rows.
#[derive(Debug)]
pub(super) struct RowsPlanner {
    statement: Statement,
    interface: AnswerInterface,
    /// The kept plans of other statements; `None`: the plan is not optimized.
    plans: Option<Arc<PlanCache>>,
    /// The series layout of the latest plan.
    series: Mutex<SeriesLayout>,
}

impl RowsPlanner {
    pub(super) fn new(statement: Statement, interface: AnswerInterface) -> Self {
        Self {
            statement,
            interface,
            plans: None,
            series: Mutex::new(SeriesLayout::Single(None)),
        }
    }

    /// Uses the kept plans of other statements.
    pub(super) fn with_plans(self, plans: &Arc<PlanCache>) -> Self {
        Self { plans: Some(Arc::clone(plans)), ..self }
    }

    /// Returns the series layout of the rows. Valid once the statement is planned.
    pub(super) fn series(&self) -> SeriesLayout {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.clone()
    }

    /// Returns the columns of the rows, with the group key in the metadata if the rows have one. Valid once the
    /// statement is planned.
    pub(super) fn columns(&self, planned: &SchemaRef) -> SchemaRef {
        match self.series() {
            SeriesLayout::Columns(key) => key.attach(planned),
            SeriesLayout::Single(_) => SchemaRef::clone(planned),
        }
    }

    fn set_series(&self, series: SeriesLayout) {
        *self.series.lock().unwrap_or_else(PoisonError::into_inner) = series;
    }
}

#[async_trait]
impl Planner for RowsPlanner {
    fn language(&self) -> StatementLanguage {
        StatementLanguage::InfluxQl
    }

    fn depends_on_now(&self) -> bool {
        !matches!(&self.statement, Statement::Select(select) if !depends_on_now(select))
    }

    async fn plan(&self, context: &QueryContext, _: &QueryRequest) -> Result<PlannedStatement> {
        let (statement, interface) = (&self.statement, self.interface);
        let PlannedInfluxql { planned, series } = match &self.plans {
            Some(plans) => plans.plan_influxql(context, statement, interface).await?,
            None => plan_statement(context, statement, interface).await?.into(),
        };
        self.set_series(series);
        Ok(planned)
    }
}

/// Plans a statement that deletes rows of one table.
#[derive(Debug)]
pub(super) struct DeletePlanner {
    pub(super) table: String,
    pub(super) condition: Option<Condition>,
}

#[async_trait]
impl Planner for DeletePlanner {
    fn language(&self) -> StatementLanguage {
        StatementLanguage::InfluxQl
    }

    async fn plan(&self, context: &QueryContext, _: &QueryRequest) -> Result<PlannedStatement> {
        let (state, statement) = plan_delete(context, &self.table, self.condition.as_ref())?;
        Ok(PlannedStatement::Delete(state, statement))
    }
}
