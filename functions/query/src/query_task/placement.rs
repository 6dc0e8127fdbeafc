//! Where a query runs: on workers, or in this process.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::{
    common::Result,
    execution::SessionState,
    logical_expr::{Explain, LogicalPlan},
    physical_plan::ExecutionPlan,
};

use super::{
    QueryTask,
    attempt::{QueryAttempt, QueryPlace},
};
use crate::{
    QueryError,
    distribution::{Distribution, DistributionAttempt, DistributionCounters, EngineDistributor},
};

/// The name of the row of `EXPLAIN` that shows the stages of a query.
const DISTRIBUTED_PLAN: &str = "distributed_plan";

/// The reason why a query of several databases runs in this process: a task of a worker has one snapshot.
const SEVERAL_DATABASES: &str = "the query reads several databases";

impl QueryTask {
    /// Distributes a query, if the engine has a distributor and the attempt allows it.
    pub(super) async fn distribute(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        local: &Arc<dyn ExecutionPlan>,
        attempt: &QueryAttempt,
    ) -> Option<Distribution> {
        let EngineDistributor { plans, .. } = self.distributor.as_ref()?;
        let QueryPlace::Workers { excluded } = &attempt.place else {
            return None;
        };
        if self.context.has_several_databases() {
            return Some(Distribution::Local(SEVERAL_DATABASES.into()));
        }
        let attempt = DistributionAttempt {
            database: self.pending.databases.first,
            query: self.tracker.logged().head.id,
            remaining: self.remaining_time(),
            excluded: excluded.clone(),
            cancellation: self.context.cancellation.clone(),
        };
        match plans.distribute(state, query, local, &attempt).await {
            Ok(distribution) => Some(distribution),
            Err(error) => {
                tracing::warn!(query = %attempt.query, %error, "query_not_distributed");
                Some(Distribution::Local(error.to_string().into()))
            }
        }
    }

    /// Returns the row of `EXPLAIN` that shows the stages of the explained query, or the reason why it has none. `None`
    /// if the statement is no `EXPLAIN`, or the engine has no distributor.
    pub(super) async fn explain_stages(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        attempt: &QueryAttempt,
    ) -> Result<Option<RecordBatch>> {
        let (LogicalPlan::Explain(explain), Some(distributor)) = (query, &self.distributor) else {
            return Ok(None);
        };
        let Explain { plan, schema, .. } = explain;
        let local = state.create_physical_plan(plan).await?;
        let text = match self.distribute(state, plan, &local, attempt).await {
            None => return Ok(None),
            Some(Distribution::Local(reason)) => format!("not distributed: {reason}"),
            Some(Distribution::Workers(plan)) => distributor.plans.describe(&plan),
        };
        let row = [DISTRIBUTED_PLAN, text.as_str()];
        let columns = row.map(|value| Arc::new(StringArray::from(vec![value])) as ArrayRef);
        let schema = Arc::clone(schema.inner());
        Ok(Some(RecordBatch::try_new(schema, columns.into())?))
    }

    /// Returns the attempt after an error of a distributed query; `None` if no worker failed.
    pub(super) fn after_failure(
        &self,
        attempt: &QueryAttempt,
        error: &QueryError,
    ) -> Option<QueryAttempt> {
        let distributor = self.distributor.as_ref()?;
        let QueryError::Execution(error) = error else {
            return None;
        };
        let failure = distributor.plans.worker_failure(error)?;
        self.count(DistributionCounters::count_failure);
        tracing::warn!(
            query = %self.tracker.logged().head.id,
            worker = failure.worker.as_deref(),
            %error,
            "worker_failed"
        );
        Some(attempt.after(failure))
    }
}
