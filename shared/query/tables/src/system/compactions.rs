//! `system.compactions`: the recent and running jobs on the sections of a database.
//!
//! The manifest records the last jobs that changed it. A `running` job has claimed sections and has not committed yet;
//! only its id and its table are known.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use neap_bucket::StoreTime;
use neap_manifest::{JobKind, JobRecord, Snapshot};
use neap_schema::TableId;

use super::table_builder::SystemTableBuilder;

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

    let catalog = &snapshot.catalog.value;
    SystemTableBuilder::new(&rows)
        .utf8("id", |row| &row.id)
        .utf8("kind", |row| row.kind.as_str())
        .utf8_or_null("table_name", |row| Some(catalog.table_by_id(row.table?)?.name()))
        .utf8("state", |row| {
            if row.done.is_some() {
                "done"
            } else {
                "running"
            }
        })
        .counts_or_null("inputs", |row| Some(u64::from(row.done?.inputs)))
        .counts_or_null("outputs", |row| Some(u64::from(row.done?.outputs)))
        .counts_or_null("rows", |row| Some(row.done?.rows))
        .counts_or_null("bytes_in", |row| Some(row.done?.bytes_in))
        .counts_or_null("bytes_out", |row| Some(row.done?.bytes_out))
        .counts_or_null("duration_ms", |row| Some(row.done?.duration_ms))
        .store_times_or_null("finished", |row| Some(row.done?.finished))
        .finish()
}
