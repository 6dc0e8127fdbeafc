//! `system.queries`: the queries of this process, the oldest first, with the columns of InfluxDB 3, `workers` and
//! `cold_bytes`.
//!
//! The query that reads the table is included, as running.

use std::{fmt, time::Duration};

use arrow::array::RecordBatch;
use datafusion::common::Result;
use neap_schema::DatabaseId;

use super::table_builder::SystemTableBuilder;

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
    SystemTableBuilder::new(queries)
        .utf8("id", |query| &query.id)
        .utf8("phase", |query| query.phase)
        .times("issue_time", |query| query.issue_time)
        .utf8("query_type", |query| query.query_type)
        .utf8("query_text", |query| &query.text)
        .sizes_or_null("partitions", |query| query.partitions)
        .sizes_or_null("parquet_files", |query| query.parquet_files)
        .durations_or_null("plan_duration", |query| query.plan)
        .durations_or_null("permit_duration", |query| query.permit)
        .durations_or_null("execute_duration", |query| query.execute)
        .durations_or_null("end2end_duration", |query| query.end_to_end)
        .durations_or_null("compute_duration", |query| query.compute)
        .sizes_or_null("max_memory", |query| query.max_memory)
        .booleans("success", |query| query.success)
        .booleans("running", |query| query.running)
        .booleans("cancelled", |query| query.cancelled)
        .utf8_or_null("trace_id", |query| query.trace_id.as_deref())
        .utf8_or_null("workers", |query| query.workers.as_deref())
        .sizes_or_null("cold_bytes", |query| query.cold_bytes)
        .finish()
}
