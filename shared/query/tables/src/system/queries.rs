//! `system.queries`: the queries of this process, the oldest first, with the columns of InfluxDB 3, `workers` and
//! `cold_bytes`.
//!
//! The query that reads the table is included, as running.

use std::{fmt, time::Duration};

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::Result;
use neap_schema::DatabaseId;

use super::columns::{
    booleans, durations_or_null, sizes_or_null, table, times, utf8, utf8_or_null,
};

/// The running and recent queries of a process.
pub trait QueryHistory: fmt::Debug + Send + Sync + 'static {
    /// The queries of a database, the oldest first; `None`: of all databases.
    fn queries(&self, database: Option<DatabaseId>) -> Vec<QueryRecord>;
}

/// A query, as `system.queries` shows it.
#[derive(Clone, Debug)]
pub struct QueryRecord {
    /// A UUID.
    pub id: String,
    /// The phase, as InfluxDB 3 names it.
    pub phase: &'static str,
    /// When the query arrived, in nanoseconds since the Unix epoch.
    pub issue_time: i64,
    /// `sql` or `influxql`.
    pub query_type: &'static str,
    /// The statement.
    pub text: String,
    /// The number of partitions that execute in parallel.
    pub partitions: Option<usize>,
    /// The number of sections that the plan reads.
    pub parquet_files: Option<usize>,
    /// How long the planning took.
    pub plan: Option<Duration>,
    /// How long the query waited for a permit.
    pub permit: Option<Duration>,
    /// How long the execution took.
    pub execute: Option<Duration>,
    /// The time from arrival to the end.
    pub end_to_end: Option<Duration>,
    /// CPU time.
    pub compute: Option<Duration>,
    /// The largest reservation of memory, in bytes.
    pub max_memory: Option<usize>,
    /// Whether the query succeeded.
    pub success: bool,
    /// Whether the query still runs.
    pub running: bool,
    /// Whether the client went away before the end.
    pub cancelled: bool,
    /// The id of the request in other logs.
    pub trace_id: Option<String>,
    /// The names of the workers that execute it, separated by commas; `None` if this process executes it alone.
    pub workers: Option<String>,
    /// Bytes that were read from cold sections, without those that were in memory.
    pub cold_bytes: Option<usize>,
}

/// The rows of `system.queries`.
pub(super) fn rows(queries: &[QueryRecord]) -> Result<RecordBatch> {
    let all = || queries.iter();
    let took =
        |duration: fn(&QueryRecord) -> Option<Duration>| durations_or_null(all().map(duration));
    let size = |size: fn(&QueryRecord) -> Option<usize>| sizes_or_null(all().map(size));
    let is = |is: fn(&QueryRecord) -> bool| -> ArrayRef { booleans(all().map(is)) };
    table(vec![
        ("id", false, utf8(all().map(|query| &query.id))),
        ("phase", false, utf8(all().map(|query| query.phase))),
        (
            "issue_time",
            false,
            times(all().map(|query| query.issue_time)),
        ),
        (
            "query_type",
            false,
            utf8(all().map(|query| query.query_type)),
        ),
        ("query_text", false, utf8(all().map(|query| &query.text))),
        ("partitions", true, size(|query| query.partitions)),
        ("parquet_files", true, size(|query| query.parquet_files)),
        ("plan_duration", true, took(|query| query.plan)),
        ("permit_duration", true, took(|query| query.permit)),
        ("execute_duration", true, took(|query| query.execute)),
        ("end2end_duration", true, took(|query| query.end_to_end)),
        ("compute_duration", true, took(|query| query.compute)),
        ("max_memory", true, size(|query| query.max_memory)),
        ("success", false, is(|query| query.success)),
        ("running", false, is(|query| query.running)),
        ("cancelled", false, is(|query| query.cancelled)),
        (
            "trace_id",
            true,
            utf8_or_null(all().map(|query| query.trace_id.as_deref())),
        ),
        (
            "workers",
            true,
            utf8_or_null(all().map(|query| query.workers.as_deref())),
        ),
        ("cold_bytes", true, size(|query| query.cold_bytes)),
    ])
}
