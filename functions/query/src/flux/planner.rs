//! Adapts the planner of Flux to the query engine.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{array::RecordBatch, datatypes::Schema};
use async_trait::async_trait;
use datafusion::common::Result;
use neap_flux::Pipeline;
use neap_flux_planner::{BucketList, plan_tables};
use neap_formats::annotated_csv::TableLayout;
use neap_tables::QueryContext;

use crate::{
    QueryRequest,
    request::{Planner, StatementLanguage},
    statement::PlannedStatement,
};

/// Plans the tables of a pipeline that have the same columns.
#[derive(Debug)]
pub(super) struct TablesPlanner {
    pipeline: Pipeline,
    buckets: Arc<BucketList>,
    /// The columns of the tables; `None`: those of the first plan.
    wanted: Option<TableLayout>,
    /// The columns of all tables of the pipeline, by the latest plan.
    layouts: Mutex<Vec<TableLayout>>,
}

impl TablesPlanner {
    pub(super) fn new(
        pipeline: Pipeline,
        buckets: Arc<BucketList>,
        wanted: Option<TableLayout>,
    ) -> Self {
        Self { pipeline, buckets, wanted, layouts: Mutex::default() }
    }

    /// Takes the columns of all tables of the pipeline. Those of the first plan come first. Valid once the pipeline is planned.
    pub(super) fn take_layouts(&self) -> Vec<TableLayout> {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *layouts)
    }
}

#[async_trait]
impl Planner for TablesPlanner {
    fn language(&self) -> StatementLanguage {
        StatementLanguage::Flux
    }

    async fn plan(&self, context: &QueryContext, _: &QueryRequest) -> Result<PlannedStatement> {
        let (state, plans) = plan_tables(context, &self.pipeline, &self.buckets)?;
        let layouts = plans.iter().map(|plan| plan.layout.clone()).collect();
        *self.layouts.lock().unwrap_or_else(PoisonError::into_inner) = layouts;
        let is_wanted =
            |layout: &TableLayout| self.wanted.as_ref().is_none_or(|wanted| wanted == layout);
        let plan_of_table = plans.into_iter().find(|plan| is_wanted(&plan.layout));
        Ok(match plan_of_table {
            Some(tables) => PlannedStatement::Query(state, tables.plan),
            // The result has no tables, or none with these columns since its first plan.
            None => PlannedStatement::Rows(RecordBatch::new_empty(Arc::new(Schema::empty()))),
        })
    }
}
