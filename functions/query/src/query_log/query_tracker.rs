//! The progress of a running query.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use datafusion::{execution::memory_pool::PeakRecordingPool, physical_plan::ExecutionPlan};
use neap_bucket::World;
use neap_scan::{FileScans, cold_bytes_read};

use super::logged_query::{LoggedQuery, QueryPhase};
use crate::{
    QueryError,
    query_counters::{QueryCounters, QueryOutcome},
};

/// The sources of the measurements taken at the end of a query.
#[derive(Debug)]
pub(super) struct ExecutedPlan {
    plan: Arc<dyn ExecutionPlan>,
    memory: Arc<PeakRecordingPool>,
}

/// A running query, held by its receiver. Dropping it cancels the query unless it has ended.
#[derive(Debug)]
pub(crate) struct RunningQuery(pub(super) Arc<QueryTracker>);

impl RunningQuery {
    /// The tracker of the query, shared with its task.
    pub(crate) fn tracker(&self) -> &Arc<QueryTracker> {
        &self.0
    }
}

impl Deref for RunningQuery {
    type Target = QueryTracker;

    fn deref(&self) -> &QueryTracker {
        &self.0
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.0.end(QueryPhase::Cancel);
    }
}

/// Records the progress of a query. Only the first end counts.
#[derive(Debug)]
pub(crate) struct QueryTracker {
    pub(super) query: Arc<LoggedQuery>,
    pub(super) world: World,
    pub(super) totals: QueryCounters,
    pub(super) started_at: Duration,
    pub(super) steps: Mutex<TrackerState>,
}

#[derive(Debug)]
pub(super) struct TrackerState {
    /// The start of the current step.
    pub(super) started_at: Duration,
    pub(super) measured: Option<ExecutedPlan>,
    pub(super) has_ended: bool,
}

impl QueryTracker {
    /// The counters that count its rows.
    pub(crate) fn totals(&self) -> &QueryCounters {
        &self.totals
    }

    /// Its entry in the log.
    pub(crate) fn logged(&self) -> &Arc<LoggedQuery> {
        &self.query
    }

    /// Waits until the query is to end. Returns the reason.
    pub(crate) async fn killed(&self) -> QueryError {
        let mut killed = self.query.killed.subscribe();
        let reason = killed.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        reason.map_or(QueryError::Killed, QueryError::from)
    }

    /// Records that the query has its permit.
    pub(crate) fn record_permit(&self) {
        let took = self.lap();
        self.query.state().permit = Some(took);
    }

    /// Records that the query is planned. A query may be planned again.
    pub(crate) fn record_planned(&self) {
        let took = self.lap();
        let mut state = self.query.state();
        if state.phase == QueryPhase::Received {
            state.phase = QueryPhase::Planned;
        }
        state.plan = Some(state.plan.unwrap_or_default() + took);
    }

    /// Records that the query executes, on these workers, or in this process if there are none.
    pub(crate) fn record_execution(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        memory: Arc<PeakRecordingPool>,
        workers: Vec<String>,
    ) {
        let files = FileScans::from_plan(&plan);
        let mut state = self.query.state();
        state.partitions = Some(files.partitions);
        state.parquet_files = Some(files.files);
        state.workers = workers;
        drop(state);
        let mut steps = self.steps();
        if !steps.has_ended {
            steps.measured = Some(ExecutedPlan { plan, memory });
        }
    }

    /// Records that rows are being sent.
    pub(crate) fn record_first_rows(&self) {
        self.lap();
        let mut state = self.query.state();
        if state.phase.is_running() {
            state.phase = QueryPhase::Permit;
        }
    }

    /// Records that all rows were sent.
    pub(crate) fn record_success(&self) {
        self.end(QueryPhase::Success);
    }

    /// Records that the query ended with an error.
    pub(crate) fn record_failure(&self) {
        self.end(QueryPhase::Fail);
    }

    fn steps(&self) -> MutexGuard<'_, TrackerState> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time since the last step and starts the next one.
    fn lap(&self) -> Duration {
        let now = self.world.clock.monotonic();
        now.saturating_sub(std::mem::replace(&mut self.steps().started_at, now))
    }

    fn end(&self, phase: QueryPhase) {
        let mut steps = self.steps();
        if std::mem::replace(&mut steps.has_ended, true) {
            return;
        }
        let (step, measured) = (steps.started_at, steps.measured.take());
        drop(steps);
        let now = self.world.clock.monotonic();
        let mut state = self.query.state();
        if state.phase == QueryPhase::Permit {
            state.execute = Some(now.saturating_sub(step));
        }
        // The query has already failed because its rows could not be sent.
        if state.phase != QueryPhase::Fail {
            state.phase = phase;
        }
        let took = now.saturating_sub(self.started_at);
        state.end_to_end = Some(took);
        let end = match state.phase {
            QueryPhase::Fail => QueryOutcome::Failure,
            QueryPhase::Success => QueryOutcome::Success,
            _ => QueryOutcome::Cancellation,
        };
        self.totals.ended(end, took);
        if let Some(measured) = measured {
            state.compute = Some(compute_time(&measured.plan));
            state.max_memory = Some(measured.memory.max_reserved());
            state.cold_bytes = Some(cold_bytes_read(measured.plan.as_ref()));
        }
    }
}

fn compute_time(plan: &Arc<dyn ExecutionPlan>) -> Duration {
    let nanos = plan.metrics().and_then(|metrics| metrics.elapsed_compute());
    let own = Duration::from_nanos(nanos.unwrap_or(0) as u64);
    let inputs = plan.children().into_iter().map(compute_time);
    own + inputs.sum::<Duration>()
}
