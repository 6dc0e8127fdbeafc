//! The queries of this process: those that run, and the last ones that did, for `system.queries`.
//!
//! ```text
//!   received ── has a place, a snapshot and a plan ──► planned ── executes ──► permit ──► success
//!      └───────────────────────────────────────────────────┴──────────────────────┴─────► fail, cancel
//! ```
//!
//! The names of the phases are those of InfluxDB 3. A query is cancelled when nobody waits for its rows any more.

use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use datafusion::{
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    execution::memory_pool::PeakRecordingPool,
    physical_plan::ExecutionPlan,
};
use neap_bucket::World;
use neap_schema::DatabaseId;
use uuid::{Builder, Uuid};

use crate::{
    QueryRequest,
    request::Language,
    totals::{End, Totals},
};

/// The longest text that is kept of a query, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// The most memory for the texts of all queries.
const MAX_LOG_BYTES: usize = 4 << 20;

/// What tokens begin with. None belongs into a query; if one is there by mistake, it is not shown.
const TOKEN_PREFIX: &str = "apiv3_";

/// How far a query has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It waits for a place or is being planned.
    Received,
    /// It is planned.
    Planned,
    /// It executes.
    Permit,
    /// All rows were given out.
    Success,
    /// It ended with an error.
    Fail,
    /// Nobody waited for its end.
    Cancel,
}

impl Phase {
    /// The name in `system.queries`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Planned => "planned",
            Self::Permit => "permit",
            Self::Success => "success",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
        }
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Self::Received | Self::Planned | Self::Permit)
    }
}

/// What is known of a query from its beginning.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) id: Uuid,
    pub(crate) database: DatabaseId,
    pub(crate) language: Language,
    /// Its text, or the beginning of it.
    pub(crate) text: String,
    pub(crate) trace_id: Option<String>,
    /// When it came, in nanoseconds since the Unix epoch.
    pub(crate) issued: i64,
}

/// What becomes known of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// How long it waited for a place.
    pub(crate) permit: Option<Duration>,
    /// How long it took to read the state of the database, and to plan.
    pub(crate) plan: Option<Duration>,
    /// How long rows were computed and given out.
    pub(crate) execute: Option<Duration>,
    /// From its beginning to its end.
    pub(crate) end_to_end: Option<Duration>,
    /// The time that its operators worked, on all processors together.
    pub(crate) compute: Option<Duration>,
    /// The parts in which its files are read.
    pub(crate) partitions: Option<usize>,
    /// The files that it reads.
    pub(crate) parquet_files: Option<usize>,
    /// The most memory that its operators held at once, in bytes.
    pub(crate) max_memory: Option<usize>,
}

impl Progress {
    const BEGUN: Self = Self {
        phase: Phase::Received,
        permit: None,
        plan: None,
        execute: None,
        end_to_end: None,
        compute: None,
        partitions: None,
        parquet_files: None,
        max_memory: None,
    };
}

/// A query of the log.
#[derive(Debug)]
pub(crate) struct LoggedQuery {
    pub(crate) head: Head,
    progress: Mutex<Progress>,
}

impl LoggedQuery {
    /// What is known of it by now.
    pub(crate) fn progress(&self) -> Progress {
        *self.state()
    }

    /// Notes that its rows could not be handed on: whoever stopped to take them had a reason.
    pub(crate) fn fail(&self) {
        self.state().phase = Phase::Fail;
    }

    fn state(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Ring {
    queries: VecDeque<Arc<LoggedQuery>>,
    /// The bytes of their texts.
    bytes: usize,
}

/// The last queries, bounded in number and bytes.
#[derive(Debug)]
pub(crate) struct QueryLog {
    world: World,
    max_queries: usize,
    ring: Mutex<Ring>,
    totals: Totals,
}

impl QueryLog {
    /// An empty log of so many queries.
    pub(crate) fn new(world: World, max_queries: usize) -> Self {
        Self {
            world,
            max_queries,
            ring: Mutex::default(),
            totals: Totals::default(),
        }
    }

    /// What became of all queries, those too that are not in the log any more.
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Takes up a query that begins now.
    pub(crate) fn begin(
        &self,
        database: DatabaseId,
        language: Language,
        request: &QueryRequest,
    ) -> RunningQuery {
        let query = Arc::new(LoggedQuery {
            head: Head {
                id: Builder::from_random_bytes(self.world.entropy.next_u128().to_be_bytes())
                    .into_uuid(),
                database,
                language,
                text: shown(&request.text),
                trace_id: request.trace_id.clone(),
                issued: self.world.clock.wall_micros().saturating_mul(1_000),
            },
            progress: Mutex::new(Progress::BEGUN),
        });
        let mut ring = self.ring();
        ring.bytes += query.head.text.len();
        ring.queries.push_back(Arc::clone(&query));
        while ring.queries.len() > self.max_queries || ring.bytes > MAX_LOG_BYTES {
            let Some(oldest) = ring.queries.pop_front() else {
                break;
            };
            ring.bytes -= oldest.head.text.len();
        }
        let now = self.world.clock.monotonic();
        RunningQuery(Arc::new(Course {
            query,
            world: self.world.clone(),
            totals: self.totals.clone(),
            begun: now,
            steps: Mutex::new(Steps {
                begun: now,
                measured: None,
                has_ended: false,
            }),
        }))
    }

    /// The queries to a database, or to any; the oldest first.
    pub(crate) fn queries(&self, database: Option<DatabaseId>) -> Vec<Arc<LoggedQuery>> {
        let ring = self.ring();
        let queries = ring.queries.iter();
        let is_asked_for =
            |query: &&Arc<LoggedQuery>| database.is_none_or(|id| query.head.database == id);
        queries.filter(is_asked_for).map(Arc::clone).collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a query is measured by when it has ended.
#[derive(Debug)]
struct Measured {
    plan: Arc<dyn ExecutionPlan>,
    memory: Arc<PeakRecordingPool>,
}

/// A query that has not ended, for whoever waits for it. One that is dropped was cancelled.
#[derive(Debug)]
pub(crate) struct RunningQuery(Arc<Course>);

impl RunningQuery {
    /// What is noted of it, for whoever works on it.
    pub(crate) fn course(&self) -> &Arc<Course> {
        &self.0
    }
}

impl Deref for RunningQuery {
    type Target = Course;

    fn deref(&self) -> &Course {
        &self.0
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.0.end(Phase::Cancel);
    }
}

/// The course of a query. Its first end counts.
#[derive(Debug)]
pub(crate) struct Course {
    query: Arc<LoggedQuery>,
    world: World,
    totals: Totals,
    begun: Duration,
    steps: Mutex<Steps>,
}

#[derive(Debug)]
struct Steps {
    /// When the present one began.
    begun: Duration,
    measured: Option<Measured>,
    has_ended: bool,
}

impl Course {
    /// Where its rows are counted.
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Its place in the log.
    pub(crate) fn logged(&self) -> &Arc<LoggedQuery> {
        &self.query
    }

    /// Notes that it has a place among those that run.
    pub(crate) fn has_place(&self) {
        let took = self.lap();
        self.query.state().permit = Some(took);
    }

    /// Notes that it is planned. It may be planned again.
    pub(crate) fn is_planned(&self) {
        let took = self.lap();
        let mut state = self.query.state();
        if state.phase == Phase::Received {
            state.phase = Phase::Planned;
        }
        state.plan = Some(state.plan.unwrap_or_default() + took);
    }

    /// Notes that it executes.
    pub(crate) fn executes(&self, plan: Arc<dyn ExecutionPlan>, memory: Arc<PeakRecordingPool>) {
        let mut files = Files::default();
        files.count(&plan);
        let mut state = self.query.state();
        state.partitions = Some(files.partitions);
        state.parquet_files = Some(files.files);
        drop(state);
        let mut steps = self.steps();
        if !steps.has_ended {
            steps.measured = Some(Measured { plan, memory });
        }
    }

    /// Notes that rows are on their way.
    pub(crate) fn gives_rows(&self) {
        self.lap();
        let mut state = self.query.state();
        if state.phase.is_running() {
            state.phase = Phase::Permit;
        }
    }

    /// Notes that all its rows were given out.
    pub(crate) fn succeeds(&self) {
        self.end(Phase::Success);
    }

    /// Notes that it ended with an error.
    pub(crate) fn fails(&self) {
        self.end(Phase::Fail);
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since the last step.
    fn lap(&self) -> Duration {
        let now = self.world.clock.monotonic();
        now.saturating_sub(std::mem::replace(&mut self.steps().begun, now))
    }

    fn end(&self, phase: Phase) {
        let mut steps = self.steps();
        if std::mem::replace(&mut steps.has_ended, true) {
            return;
        }
        let (step, measured) = (steps.begun, steps.measured.take());
        drop(steps);
        let now = self.world.clock.monotonic();
        let mut state = self.query.state();
        if state.phase == Phase::Permit {
            state.execute = Some(now.saturating_sub(step));
        }
        // Why the rows could not be handed on is known already.
        if state.phase != Phase::Fail {
            state.phase = phase;
        }
        let took = now.saturating_sub(self.begun);
        state.end_to_end = Some(took);
        let end = match state.phase {
            Phase::Fail => End::Failure,
            Phase::Success => End::Success,
            _ => End::Cancellation,
        };
        self.totals.ended(end, took);
        if let Some(measured) = measured {
            state.compute = Some(compute_time(&measured.plan));
            state.max_memory = Some(measured.memory.max_reserved());
        }
    }
}

/// The files of a plan.
#[derive(Default)]
struct Files {
    partitions: usize,
    files: usize,
}

impl Files {
    fn count(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        let scan = plan.downcast_ref::<DataSourceExec>();
        let scan = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
        if let Some(scan) = scan {
            let groups = &scan.file_groups;
            let mut paths: Vec<_> = groups
                .iter()
                .flat_map(|group| group.iter().map(|file| file.path()))
                .collect();
            paths.sort_unstable();
            paths.dedup();
            self.partitions += groups.len();
            self.files += paths.len();
        }
        for input in plan.children() {
            self.count(input);
        }
    }
}

fn compute_time(plan: &Arc<dyn ExecutionPlan>) -> Duration {
    let nanos = plan.metrics().and_then(|metrics| metrics.elapsed_compute());
    let own = Duration::from_nanos(nanos.unwrap_or(0) as u64);
    let inputs = plan.children().into_iter().map(compute_time);
    own + inputs.sum::<Duration>()
}

/// A text as the log keeps it: no longer than allowed, and without tokens.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(place) = rest.find(TOKEN_PREFIX) {
        let (before, token) = rest.split_at(place + TOKEN_PREFIX.len());
        let is_of_token = |char: char| {
            char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '+' | '/' | '=')
        };
        shown.push_str(before);
        shown.push('…');
        rest = token.trim_start_matches(is_of_token);
    }
    shown.push_str(rest);
    if shown.len() > MAX_TEXT_BYTES {
        shown.truncate(shown.floor_char_boundary(MAX_TEXT_BYTES));
        shown.push('…');
    }
    shown.shrink_to_fit();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: DatabaseId = DatabaseId::new(1);

    fn log(max_queries: usize) -> QueryLog {
        QueryLog::new(World::system(), max_queries)
    }

    fn begin(log: &QueryLog, database: DatabaseId, text: &str) -> RunningQuery {
        let request = QueryRequest {
            text: text.to_owned(),
            ..QueryRequest::default()
        };
        log.begin(database, Language::Sql, &request)
    }

    fn texts(log: &QueryLog, database: Option<DatabaseId>) -> Vec<String> {
        let queries = log.queries(database);
        queries
            .iter()
            .map(|query| query.head.text.clone())
            .collect()
    }

    #[test]
    fn a_query_ends_once_and_is_cancelled_if_it_is_given_up() {
        let log = log(10);
        let phases = || -> Vec<&str> {
            let queries = log.queries(None);
            let phases = queries.iter().map(|query| query.progress().phase.as_str());
            phases.collect()
        };
        begin(&log, HOME, "a").succeeds();
        begin(&log, HOME, "b").fails();
        drop(begin(&log, HOME, "c"));
        let running = begin(&log, HOME, "d");
        running.has_place();
        running.is_planned();
        assert_eq!(phases(), ["success", "fail", "cancel", "planned"]);
        running.gives_rows();
        assert_eq!(phases()[3], "permit");
        running.logged().fail();
        drop(running);
        assert_eq!(phases()[3], "fail");
        let last = log.queries(None)[3].progress();
        assert!(last.permit.is_some() && last.plan.is_some() && last.end_to_end.is_some());
    }

    #[test]
    fn the_oldest_queries_go_first_when_there_are_too_many_or_they_are_too_long() {
        let log = log(3);
        for (database, text) in [(1, "a"), (2, "b"), (1, "c"), (2, "d")] {
            begin(&log, DatabaseId::new(database), text).succeeds();
        }
        assert_eq!(texts(&log, None), ["b", "c", "d"]);
        assert_eq!(texts(&log, Some(HOME)), ["c"]);
        let log = self::log(1_000_000);
        for _ in 0..1_000 {
            begin(&log, HOME, &"x".repeat(100_000)).succeeds();
        }
        let kept: usize = texts(&log, None).iter().map(String::len).sum();
        assert!(
            (MAX_LOG_BYTES / 2..=MAX_LOG_BYTES).contains(&kept),
            "{kept}"
        );
    }

    #[test]
    fn what_became_of_queries_is_counted_beyond_the_log() {
        let log = log(1);
        for _ in 0..3 {
            begin(&log, HOME, "SELECT 1").succeeds();
        }
        begin(&log, HOME, "SELECT 2").fails();
        drop(begin(&log, HOME, "SELECT 3"));
        let stats = log.totals().stats();
        assert_eq!((stats.succeeded, stats.failed, stats.cancelled), (3, 1, 1));
    }

    #[test]
    fn texts_are_cut_at_a_bound_and_never_show_a_token() {
        let long = "é".repeat(MAX_TEXT_BYTES);
        assert!(shown(&long).len() <= MAX_TEXT_BYTES + '…'.len_utf8());
        assert_eq!(shown("SELECT 1"), "SELECT 1");
        assert_eq!(
            shown("SELECT 'apiv3_ab+/=_-Z9' AS a, 'apiv3_x'"),
            "SELECT 'apiv3_…' AS a, 'apiv3_…'"
        );
    }
}
