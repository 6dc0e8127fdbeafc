//! `system.compactions`: the recent and running jobs on the sections of a database.
//!
//! The manifest records the last jobs that changed it. A `running` job has claimed sections and has not committed yet;
//! only its id and its table are known.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};
use datafusion::common::Result;
use neap_bucket::StoreTime;
use neap_manifest::{JobKind, JobRecord, Snapshot};
use neap_schema::TableId;

use super::columns::{nanoseconds, table};

/// A job, done or running.
struct CompactionRow<'a> {
    id: String,
    kind: JobKind,
    table: Option<TableId>,
    done: Option<&'a JobRecord>,
}

/// Returns the jobs that a snapshot's manifest records, and those whose claims are valid at `now`.
pub(super) fn rows(snapshot: &Snapshot, now: StoreTime) -> Result<RecordBatch> {
    let manifest = &snapshot.manifest.value;
    let done = manifest.jobs.iter().map(|job| CompactionRow {
        id: job.id.to_string(),
        kind: job.kind,
        table: job.table,
        done: Some(job),
    });
    let running = manifest.live_claims(now).map(|claim| CompactionRow {
        id: claim.job.to_string(),
        kind: JobKind::Merge,
        table: Some(claim.table),
        done: None,
    });
    let rows: Vec<CompactionRow<'_>> = done.chain(running).collect();

    let name = |row: &CompactionRow<'_>| {
        let table = snapshot.catalog.value.table_by_id(row.table?)?;
        Some(table.name().to_owned())
    };
    let number = |of: fn(&JobRecord) -> u64| -> ArrayRef {
        let numbers = rows.iter().map(|row| row.done.map(of));
        Arc::new(numbers.collect::<UInt64Array>())
    };
    let state = |row: &CompactionRow<'_>| {
        if row.done.is_some() {
            "done"
        } else {
            "running"
        }
    };
    let finished = |row: &CompactionRow<'_>| nanoseconds(row.done?.finished);
    let text = |texts: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let columns: Vec<(&str, bool, ArrayRef)> = vec![
        (
            "id",
            false,
            text(rows.iter().map(|row| Some(row.id.clone())).collect()),
        ),
        (
            "kind",
            false,
            text(rows.iter().map(|row| Some(row.kind.as_str().to_owned())).collect()),
        ),
        ("table_name", true, text(rows.iter().map(name).collect())),
        (
            "state",
            false,
            text(rows.iter().map(|row| Some(state(row).to_owned())).collect()),
        ),
        ("inputs", true, number(|job| u64::from(job.inputs))),
        ("outputs", true, number(|job| u64::from(job.outputs))),
        ("rows", true, number(|job| job.rows)),
        ("bytes_in", true, number(|job| job.bytes_in)),
        ("bytes_out", true, number(|job| job.bytes_out)),
        ("duration_ms", true, number(|job| job.duration_ms)),
        (
            "finished",
            true,
            Arc::new(rows.iter().map(finished).collect::<TimestampNanosecondArray>()),
        ),
    ];
    table(columns)
}
