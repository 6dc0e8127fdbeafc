//! The view of one query: a database at a snapshot, and the state that all queries share.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::execution::SessionState;
use neap_bucket::StoreTime;
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_operators::Cancellation;
use neap_scan::{ScanContext, SnapshotTable, StaleTail};

use crate::cache_layers::CacheLayers;

/// The state that the tables of all queries share.
#[derive(Debug)]
pub struct SharedTables {
    /// The state of scans.
    pub scan: Arc<ScanContext>,
    /// The base layers of last and distinct value caches.
    pub cache_layers: Arc<CacheLayers>,
}

/// The sessions that each query copies.
#[derive(Debug)]
pub(crate) struct SessionTemplates {
    /// Plans any statement.
    pub(crate) full: SessionState,
    /// Plans statements that do little more than read a cache. It has no functions, and only the rules that such a
    /// statement needs, because a full session takes longer to set up than such a statement takes to answer.
    pub(crate) simple: SessionState,
    /// Chooses the operators of optimized plans. It has no functions, because such a plan has those that it calls, and a
    /// copy of all of them takes longer than a rule of the optimizer.
    pub(crate) optimized: SessionState,
}

/// The times of a query.
#[derive(Clone, Copy, Debug)]
pub struct QueryTimes {
    /// The value of `now()`, in microseconds since the Unix epoch.
    pub now: i64,
    /// The time of the store from which retention counts back.
    pub retention_base: StoreTime,
}

/// The view of one query: a database at a snapshot.
#[derive(Clone, Debug)]
pub struct QueryScope {
    /// The state that all queries share.
    pub(crate) tables: Arc<SharedTables>,
    /// The sessions that each query copies.
    pub(crate) sessions: Arc<SessionTemplates>,
    /// The snapshot of the database.
    pub snapshot: Arc<Snapshot>,
    /// The times of the query.
    pub times: QueryTimes,
    /// Whether the contents of caches may answer the query.
    pub uses_caches: bool,
    /// What to do when the cached image of a tail is newer than the snapshot.
    pub stale_tail: StaleTail,
    /// Whether the query was cancelled.
    pub cancellation: Cancellation,
}

impl QueryScope {
    /// The rows of a table of the database.
    pub(crate) fn table(&self, table: &Arc<Table>) -> SnapshotTable {
        SnapshotTable::new(
            Arc::clone(&self.tables.scan),
            Arc::clone(&self.snapshot),
            Arc::clone(table),
            self.times.retention_base,
            self.stale_tail,
        )
    }

    /// Returns a session for plans over table providers. It resolves no table names.
    pub(crate) fn planning_session(&self) -> SessionState {
        self.start(self.sessions.full.clone())
    }

    /// Sets the start time of the query in a session. By default DataFusion uses the system time, which differs from
    /// the clock of a simulation.
    pub(crate) fn start(&self, mut state: SessionState) -> SessionState {
        state.mark_start_execution();
        let now = DateTime::from_timestamp_micros(self.times.now);
        state.execution_props_mut().query_execution_start_time = now;
        state
    }
}
