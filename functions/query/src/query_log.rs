//! The log of running and recent queries of this process, for `system.queries`.
//!
//! ```text
//!   received ── permit, snapshot, plan ──► planned ── executes ──► permit ──► success
//!      └──────────────────────────────────────┴──────────────────────┴─────► fail, cancel
//! ```
//!
//! The phases have the names of InfluxDB 3. A query is cancelled when its receiver is dropped before the last row.

mod logged_query;
mod query_tracker;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_bucket::World;
use neap_schema::DatabaseId;
use neap_tables::{QueryHistory, QueryRecord};
use tokio::sync::watch;
use uuid::{Builder, Uuid};

pub(crate) use self::{
    logged_query::LoggedQuery,
    query_tracker::{QueryTracker, RunningQuery},
};
use self::{
    logged_query::{KillReason, QueryInfo, QueryProgress},
    query_tracker::TrackerState,
};
use crate::{
    QueryRequest, logged_text::logged_text, query_counters::QueryCounters,
    request::StatementLanguage,
};

/// The text that a database shows of a query that also reads other ones.
const SEVERAL_DATABASES: &str = "(a query of several databases)";

/// The maximum memory for the texts of all logged queries, in bytes.
const MAX_LOG_BYTES: usize = 4 << 20;

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
            steps: Mutex::new(TrackerState { started_at: now, measured: None, has_ended: false }),
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

#[cfg(test)]
mod tests;
