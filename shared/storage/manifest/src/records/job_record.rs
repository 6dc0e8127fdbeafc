//! The record of a committed job.

use neap_bucket::StoreTime;
use neap_schema::TableId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The kind of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Writes segments to sections.
    Flush,
    /// Merges sections into one.
    Merge,
    /// Removes sections whose rows have all expired.
    Expire,
    /// Removes the sections of a dropped table.
    Drop,
    /// Builds a new cache from sections.
    Cache,
    /// Removes a damaged section.
    Quarantine,
}

impl JobKind {
    /// Returns the name used in system tables and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The record of a committed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub id: Ulid,
    /// The kind of the job.
    pub kind: JobKind,
    /// The table; `None` for all tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableId>,
    /// The number of input segments or sections.
    pub inputs: u32,
    /// The number of output sections.
    pub outputs: u32,
    /// The number of rows written.
    pub rows: u64,
    /// The size of the inputs in bytes.
    pub bytes_in: u64,
    /// The number of bytes written.
    pub bytes_out: u64,
    /// Duration until the commit, in milliseconds.
    pub duration_ms: u64,
    /// Approximate commit time, by the store's clock.
    pub finished: StoreTime,
    /// The version of the manifest that the job committed; set by the commit.
    pub version: u64,
}

impl JobRecord {
    /// Creates the record of a job without inputs and outputs. The commit adds its version.
    pub fn new(id: Ulid, kind: JobKind, finished: StoreTime) -> Self {
        Self {
            id,
            kind,
            table: None,
            inputs: 0,
            outputs: 0,
            rows: 0,
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0,
            finished,
            version: 0,
        }
    }
}
