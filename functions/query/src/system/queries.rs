//! `system.queries`: the queries of this process, the oldest first, with the columns of InfluxDB 3.
//!
//! The query that asks is among them, and running.

use std::{sync::Arc, time::Duration};

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::Result;

use super::columns::{
    booleans, durations_or_null, sizes_or_null, table, times, utf8, utf8_or_null,
};
use crate::log::{Head, LoggedQuery, Phase, Progress};

/// Queries of the log.
pub(super) fn rows(queries: &[Arc<LoggedQuery>]) -> Result<RecordBatch> {
    let queries: Vec<(&Head, Progress)> = queries
        .iter()
        .map(|query| (&query.head, query.progress()))
        .collect();
    let heads = || queries.iter().map(|(head, _)| *head);
    let states = || queries.iter().map(|(_, progress)| progress);
    let took =
        |duration: fn(&Progress) -> Option<Duration>| durations_or_null(states().map(duration));
    let size = |size: fn(&Progress) -> Option<usize>| sizes_or_null(states().map(size));
    let is =
        |is: fn(Phase) -> bool| -> ArrayRef { booleans(states().map(|state| is(state.phase))) };
    table(vec![
        ("id", false, utf8(heads().map(|head| head.id.to_string()))),
        (
            "phase",
            false,
            utf8(states().map(|state| state.phase.as_str())),
        ),
        ("issue_time", false, times(heads().map(|head| head.issued))),
        (
            "query_type",
            false,
            utf8(heads().map(|head| head.language.as_str())),
        ),
        ("query_text", false, utf8(heads().map(|head| &head.text))),
        ("partitions", true, size(|state| state.partitions)),
        ("parquet_files", true, size(|state| state.parquet_files)),
        ("plan_duration", true, took(|state| state.plan)),
        ("permit_duration", true, took(|state| state.permit)),
        ("execute_duration", true, took(|state| state.execute)),
        ("end2end_duration", true, took(|state| state.end_to_end)),
        ("compute_duration", true, took(|state| state.compute)),
        ("max_memory", true, size(|state| state.max_memory)),
        ("success", false, is(|phase| phase == Phase::Success)),
        ("running", false, is(Phase::is_running)),
        ("cancelled", false, is(|phase| phase == Phase::Cancel)),
        (
            "trace_id",
            true,
            utf8_or_null(heads().map(|head| head.trace_id.as_deref())),
        ),
    ])
}
