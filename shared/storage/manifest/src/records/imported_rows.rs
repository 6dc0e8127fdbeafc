//! The rows of an import job.

use neap_bucket::Stamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The rows of an import job in segments up to the low-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRows {
    /// The import job.
    pub job: Ulid,
    /// The number of rows, from the first row of the file.
    pub rows: u64,
    /// The stamp of the last segment.
    pub stamp: Stamp,
}
