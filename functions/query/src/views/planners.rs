//! Plans the queries of views.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{array::RecordBatch, datatypes::Schema};
use async_trait::async_trait;
use datafusion::common::{Result, plan_err};
use neap_manifest::TimeRange;
use neap_tables::QueryContext;

use crate::{
    Parameters, QueryRequest,
    request::Planner,
    statement::{self, PlannedStatement},
};

use super::{
    definition::{ViewDefinition, define_view},
    window_filter::within,
};

/// Plans the query of a view for its definition, and answers without rows.
#[derive(Debug, Default)]
pub(super) struct DefinitionPlanner {
    definition: Mutex<Option<ViewDefinition>>,
}

impl DefinitionPlanner {
    /// Returns the definition. Present once the query is planned.
    pub(super) fn definition(&self) -> Option<ViewDefinition> {
        let definition = self.definition.lock();
        definition.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Planner for DefinitionPlanner {
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        let planned = statement::plan(context, &request.text, Parameters::default()).await?;
        let PlannedStatement::Query(state, plan) = planned else {
            return plan_err!("the query of a materialized view is a SELECT");
        };
        let definition = define_view(&state, &context.snapshot.catalog.value, &plan)?;
        let slot = self.definition.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = Some(definition);
        let columns = Arc::clone(plan.schema().inner());
        Ok(PlannedStatement::Rows(RecordBatch::new_empty(columns)))
    }
}

/// Plans a query in SQL for a range of times.
#[derive(Debug)]
pub(super) struct TimeRangePlanner {
    pub(super) times: TimeRange,
    /// A table without which the answer is empty.
    pub(super) table: Option<String>,
}

#[async_trait]
impl Planner for TimeRangePlanner {
    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        let catalog = &context.snapshot.catalog.value;
        let table = self.table.as_deref();
        if table.is_some_and(|table| catalog.table(table).is_none()) {
            let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
            return Ok(PlannedStatement::Rows(empty));
        }
        let planned = statement::plan(context, &request.text, Parameters::default()).await?;
        let PlannedStatement::Query(state, plan) = planned else {
            return plan_err!("the query of a materialized view is a SELECT");
        };
        Ok(PlannedStatement::Query(state, within(plan, self.times)?))
    }
}
