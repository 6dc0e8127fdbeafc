//! A query in the log: its properties and measurements.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use neap_schema::DatabaseId;
use neap_tables::QueryRecord;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{QueryError, request::StatementLanguage};

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
pub(super) enum KillReason {
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
    pub(super) const INITIAL: Self = Self {
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
    pub(super) progress: Mutex<QueryProgress>,
    /// Set when it is to end.
    pub(super) killed: watch::Sender<Option<KillReason>>,
}

impl LoggedQuery {
    /// Returns its row of `system.queries`.
    pub(super) fn record(&self) -> QueryRecord {
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
    pub(super) fn is_executed(&self) -> bool {
        let state = self.state();
        state.permit.is_some() && state.phase.is_running()
    }

    /// Marks the query as failed because its rows could not be encoded or sent.
    pub(crate) fn fail(&self) {
        self.state().phase = QueryPhase::Fail;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, QueryProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
