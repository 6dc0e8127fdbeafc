//! The progress of an import job, which its segments contain.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The number of rows of an import job that are stored when the segment with this value is.
///
/// A flush records it in the manifest, in the commit that raises the low-water mark. Therefore the manifest has the exact
/// number of stored rows as soon as no segment of the job can appear above its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// The import job.
    pub job: Ulid,
    /// The number of stored rows, from the first row of the file. 0: the segment has no rows of the job, and a worker
    /// waits until the low-water mark passes it.
    pub rows: u64,
}
