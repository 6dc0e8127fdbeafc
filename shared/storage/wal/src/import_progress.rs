//! The progress of an import job or of a site, which its segments contain.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The number of rows of an import job, or of parts of a site, that are stored when the segment with this value is.
///
/// A flush records it in the manifest, in the commit that raises the low-water mark. Therefore the manifest has the exact
/// number as soon as no segment of the job or of the site can appear above its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// The import job, or the source of a site.
    pub job: Ulid,
    /// The number of stored rows, from the first row of the file, or of the stored part. 0: the segment has no rows of the
    /// job, and a worker waits until the low-water mark passes it.
    pub rows: u64,
    /// Whether the manifest keeps the number for ever, because a site may continue after any time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_permanent: bool,
}
