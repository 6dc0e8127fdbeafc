//! The log of running and recent queries of this process, for `system.queries`.
//!
//! ```text
//!   received ── permit, snapshot, plan ──► planned ── executes ──► permit ──► success
//!      └──────────────────────────────────────┴──────────────────────┴─────► fail, cancel
//! ```
//!
//! The phases have the names of InfluxDB 3. A query is cancelled when its receiver is dropped before the last row.

use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use datafusion::{execution::memory_pool::PeakRecordingPool, physical_plan::ExecutionPlan};
use neap_bucket::World;
use neap_scan::{FileScans, cold_bytes_read};
use neap_schema::DatabaseId;
use neap_tables::{QueryHistory, QueryRecord};
use tokio::sync::watch;
use uuid::{Builder, Uuid};

use crate::{
    QueryError, QueryRequest,
    logged_text::logged_text,
    query_counters::{QueryCounters, QueryOutcome},
    request::StatementLanguage,
};

/// The text that a database shows of a query that also reads other ones.
const SEVERAL_DATABASES: &str = "(a query of several databases)";

/// The maximum memory for the texts of all logged queries, in bytes.
const MAX_LOG_BYTES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum QueryPhase {
    /// It waits for a permit or is being planned.
    Received,
    Planned,
    /// It executes.
    Permit,
    /// All rows were sent.
    Success,
    /// It ended with an error.
    Fail,
    /// Its receiver was dropped before its end.
    Cancel,
}

impl QueryPhase {
    /// The name of the phase in `system.queries`.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Self::Received | Self::Planned | Self::Permit)
    }
}

/// The reason why a running query is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KillReason {
    /// `KILL QUERY`.
    Statement,
    /// The process has too little memory.
    Memory,
}

impl From<KillReason> for QueryError {
    fn from(reason: KillReason) -> Self {
        match reason {
            KillReason::Statement => Self::Killed,
            KillReason::Memory => Self::OutOfMemory,
        }
    }
}

/// The properties of a query that are known at its start.
#[derive(Debug)]
pub(crate) struct QueryInfo {
    pub(crate) id: Uuid,
    /// The number of the query since the process started, which `KILL QUERY` takes.
    pub(crate) number: u64,
    pub(crate) databases: Vec<DatabaseId>,
    pub(crate) language: StatementLanguage,
    /// The text, possibly truncated.
    pub(crate) text: String,
    pub(crate) trace_id: Option<String>,
    /// The arrival time, in nanoseconds since the Unix epoch.
    pub(crate) issued: i64,
}

/// The measurements of a query.
#[derive(Clone, Debug)]
pub(crate) struct QueryProgress {
    pub(crate) phase: QueryPhase,
    /// The time spent waiting for a permit.
    pub(crate) permit: Option<Duration>,
    /// The time spent taking the snapshot and planning.
    pub(crate) plan: Option<Duration>,
    /// The time spent computing and sending rows.
    pub(crate) execute: Option<Duration>,
    /// The time from its start to its end.
    pub(crate) end_to_end: Option<Duration>,
    /// The compute time of its operators, summed over all threads.
    pub(crate) compute: Option<Duration>,
    /// The number of partitions of its file scans.
    pub(crate) partitions: Option<usize>,
    /// The number of files that it reads.
    pub(crate) parquet_files: Option<usize>,
    /// The peak memory of its operators, in bytes.
    pub(crate) max_memory: Option<usize>,
    /// The workers that execute it; empty if this process executes it alone.
    pub(crate) workers: Vec<String>,
    /// The bytes that it read from cold sections in the store.
    pub(crate) cold_bytes: Option<usize>,
}

impl QueryProgress {
    const INITIAL: Self = Self {
        phase: QueryPhase::Received,
        permit: None,
        plan: None,
        execute: None,
        end_to_end: None,
        compute: None,
        partitions: None,
        parquet_files: None,
        max_memory: None,
        workers: Vec::new(),
        cold_bytes: None,
    };
}

/// A query in the log.
#[derive(Debug)]
pub(crate) struct LoggedQuery {
    pub(crate) head: QueryInfo,
    progress: Mutex<QueryProgress>,
    /// Set when it is to end.
    killed: watch::Sender<Option<KillReason>>,
}

/// A running query, as `SHOW QUERIES` lists it.
#[derive(Debug)]
pub(crate) struct ListedQuery {
    pub(crate) number: u64,
    pub(crate) databases: Vec<DatabaseId>,
    /// The text, possibly truncated.
    pub(crate) text: String,
    /// The time since its start.
    pub(crate) age: Duration,
    pub(crate) is_killed: bool,
}

impl LoggedQuery {
    /// Returns its row of `system.queries`.
    fn record(&self) -> QueryRecord {
        let (head, progress) = (&self.head, self.state().clone());
        let is_distributed = !progress.workers.is_empty();
        QueryRecord {
            id: head.id.to_string(),
            phase: progress.phase.as_str(),
            issue_time: head.issued,
            query_type: head.language.as_str(),
            text: head.text.clone(),
            partitions: progress.partitions,
            parquet_files: progress.parquet_files,
            plan: progress.plan,
            permit: progress.permit,
            execute: progress.execute,
            end_to_end: progress.end_to_end,
            compute: progress.compute,
            max_memory: progress.max_memory,
            success: progress.phase == QueryPhase::Success,
            running: progress.phase.is_running(),
            cancelled: progress.phase == QueryPhase::Cancel,
            trace_id: head.trace_id.clone(),
            workers: is_distributed.then(|| progress.workers.join(",")),
            cold_bytes: progress.cold_bytes,
        }
    }

    /// Whether it has its permit and has not ended. A query that waits for its permit holds no memory.
    fn is_executed(&self) -> bool {
        let state = self.state();
        state.permit.is_some() && state.phase.is_running()
    }

    /// Marks the query as failed because its rows could not be encoded or sent.
    pub(crate) fn fail(&self) {
        self.state().phase = QueryPhase::Fail;
    }

    fn state(&self) -> MutexGuard<'_, QueryProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct RecentQueries {
    queries: VecDeque<Arc<LoggedQuery>>,
    /// The total length of the texts, in bytes.
    bytes: usize,
    last_number: u64,
}

/// The most recent queries, limited in number and bytes.
#[derive(Debug)]
pub(crate) struct QueryLog {
    world: World,
    max_queries: usize,
    ring: Mutex<RecentQueries>,
    totals: QueryCounters,
}

impl QueryLog {
    /// Creates an empty log of at most `max_queries` queries.
    pub(crate) fn new(world: World, max_queries: usize) -> Self {
        Self {
            world,
            max_queries,
            ring: Mutex::default(),
            totals: QueryCounters::default(),
        }
    }

    /// The counters of all queries, including those no longer in the log.
    pub(crate) fn totals(&self) -> &QueryCounters {
        &self.totals
    }

    /// Adds a query that starts now.
    pub(crate) fn begin(
        &self,
        databases: Vec<DatabaseId>,
        language: StatementLanguage,
        request: &QueryRequest,
    ) -> RunningQuery {
        let mut ring = self.ring();
        ring.last_number += 1;
        let query = Arc::new(LoggedQuery {
            head: QueryInfo {
                number: ring.last_number,
                id: Builder::from_random_bytes(self.world.entropy.next_u128().to_be_bytes())
                    .into_uuid(),
                databases,
                language,
                text: logged_text(&request.text),
                trace_id: request.trace_id.clone(),
                issued: self.world.clock.wall_micros().saturating_mul(1_000),
            },
            progress: Mutex::new(QueryProgress::INITIAL),
            killed: watch::Sender::default(),
        });
        ring.bytes += query.head.text.len();
        ring.queries.push_back(Arc::clone(&query));
        while ring.queries.len() > self.max_queries || ring.bytes > MAX_LOG_BYTES {
            let Some(oldest) = ring.queries.pop_front() else {
                break;
            };
            ring.bytes -= oldest.head.text.len();
        }
        let now = self.world.clock.monotonic();
        RunningQuery(Arc::new(QueryTracker {
            query,
            world: self.world.clone(),
            totals: self.totals.clone(),
            started_at: now,
            steps: Mutex::new(TrackerState {
                started_at: now,
                measured: None,
                has_ended: false,
            }),
        }))
    }

    /// The running queries, the oldest first.
    pub(crate) fn running(&self) -> Vec<ListedQuery> {
        let now = self.world.clock.wall_micros().saturating_mul(1_000);
        let ring = self.ring();
        let running = ring.queries.iter().filter(|query| query.state().phase.is_running());
        let listed = running.map(|query| ListedQuery {
            number: query.head.number,
            databases: query.head.databases.clone(),
            text: query.head.text.clone(),
            age: Duration::from_nanos(u64::try_from(now - query.head.issued).unwrap_or(0)),
            is_killed: query.killed.borrow().is_some(),
        });
        listed.collect()
    }

    /// Ends a running query with an error. Returns false if there is none with this number.
    pub(crate) fn kill(&self, number: u64) -> bool {
        let ring = self.ring();
        let mut queries = ring.queries.iter();
        let query = queries.find(|query| query.head.number == number);
        match query.filter(|query| query.state().phase.is_running()) {
            Some(query) => {
                query.killed.send_replace(Some(KillReason::Statement));
                true
            }
            None => false,
        }
    }

    /// Ends the newest query that is planned or executed, because the process has too little memory. Returns its id; `None` if there
    /// is none.
    pub(crate) fn kill_newest(&self) -> Option<Uuid> {
        let ring = self.ring();
        let mut queries = ring.queries.iter().rev();
        let newest =
            queries.find(|query| query.is_executed() && query.killed.borrow().is_none())?;
        newest.killed.send_replace(Some(KillReason::Memory));
        Some(newest.head.id)
    }

    fn ring(&self) -> MutexGuard<'_, RecentQueries> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueryHistory for QueryLog {
    fn queries(&self, database: Option<DatabaseId>) -> Vec<QueryRecord> {
        let ring = self.ring();
        let queries = ring.queries.iter();
        let is_of_database = |query: &&Arc<LoggedQuery>| {
            database.is_none_or(|id| query.head.databases.contains(&id))
        };
        // The text of a query of several databases has names and values of the others.
        let shown = |query: &Arc<LoggedQuery>| {
            let mut record = query.record();
            if database.is_some() && query.head.databases.len() > 1 {
                SEVERAL_DATABASES.clone_into(&mut record.text);
            }
            record
        };
        queries.filter(is_of_database).map(shown).collect()
    }
}

/// The sources of the measurements taken at the end of a query.
#[derive(Debug)]
struct ExecutedPlan {
    plan: Arc<dyn ExecutionPlan>,
    memory: Arc<PeakRecordingPool>,
}

/// A running query, held by its receiver. Dropping it cancels the query unless it has ended.
#[derive(Debug)]
pub(crate) struct RunningQuery(Arc<QueryTracker>);

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
    query: Arc<LoggedQuery>,
    world: World,
    totals: QueryCounters,
    started_at: Duration,
    steps: Mutex<TrackerState>,
}

#[derive(Debug)]
struct TrackerState {
    /// The start of the current step.
    started_at: Duration,
    measured: Option<ExecutedPlan>,
    has_ended: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: DatabaseId = DatabaseId::new(1);

    fn log(max_queries: usize) -> QueryLog {
        QueryLog::new(World::system(), max_queries)
    }

    fn begin(log: &QueryLog, database: DatabaseId, text: &str) -> RunningQuery {
        let request = QueryRequest::new(text);
        log.begin(vec![database], StatementLanguage::Sql, &request)
    }

    fn texts(log: &QueryLog, database: Option<DatabaseId>) -> Vec<String> {
        let queries = log.queries(database);
        queries.iter().map(|query| query.text.clone()).collect()
    }

    #[test]
    fn a_query_ends_once_and_is_cancelled_when_it_is_dropped() {
        let log = log(10);
        let phases = || -> Vec<&str> {
            let queries = log.queries(None);
            let phases = queries.iter().map(|query| query.phase);
            phases.collect()
        };
        begin(&log, HOME, "a").record_success();
        begin(&log, HOME, "b").record_failure();
        drop(begin(&log, HOME, "c"));
        let running = begin(&log, HOME, "d");
        running.record_permit();
        running.record_planned();
        assert_eq!(phases(), ["success", "fail", "cancel", "planned"]);
        running.record_first_rows();
        assert_eq!(phases()[3], "permit");
        running.logged().fail();
        drop(running);
        assert_eq!(phases()[3], "fail");
        let last = log.queries(None).swap_remove(3);
        assert!(last.permit.is_some() && last.plan.is_some() && last.end_to_end.is_some());
    }

    #[test]
    fn a_database_does_not_show_the_text_of_a_query_that_reads_others() {
        let log = log(10);
        let request = QueryRequest::new("SELECT secret FROM a..m, b..m");
        let databases = vec![HOME, DatabaseId::new(2)];
        log.begin(databases, StatementLanguage::InfluxQl, &request).record_success();
        assert_eq!(texts(&log, Some(HOME)), [SEVERAL_DATABASES]);
        assert_eq!(texts(&log, None), [request.text]);
    }

    #[test]
    fn the_oldest_queries_are_evicted_beyond_the_limits_of_number_and_bytes() {
        let log = log(3);
        for (database, text) in [(1, "a"), (2, "b"), (1, "c"), (2, "d")] {
            begin(&log, DatabaseId::new(database), text).record_success();
        }
        assert_eq!(texts(&log, None), ["b", "c", "d"]);
        assert_eq!(texts(&log, Some(HOME)), ["c"]);
        let log = self::log(1_000_000);
        for _ in 0..1_000 {
            begin(&log, HOME, &"x".repeat(100_000)).record_success();
        }
        let kept: usize = texts(&log, None).iter().map(String::len).sum();
        assert!(
            (MAX_LOG_BYTES / 2..=MAX_LOG_BYTES).contains(&kept),
            "{kept}"
        );
    }

    #[test]
    fn outcomes_of_queries_are_counted_beyond_the_log() {
        let log = log(1);
        for _ in 0..3 {
            begin(&log, HOME, "SELECT 1").record_success();
        }
        begin(&log, HOME, "SELECT 2").record_failure();
        drop(begin(&log, HOME, "SELECT 3"));
        let stats = log.totals().stats();
        assert_eq!((stats.succeeded, stats.failed, stats.cancelled), (3, 1, 1));
    }
}
