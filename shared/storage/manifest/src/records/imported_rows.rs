//! The rows of an import job, or the parts of a site.

use neap_bucket::Stamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The rows of an import job, or the parts of a site, in segments up to the low-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRows {
    /// The import job, or the source of a site.
    pub job: Ulid,
    /// The number of rows, from the first row of the file, or of the last part.
    pub rows: u64,
    /// The stamp of the last segment.
    pub stamp: Stamp,
    /// Whether the entry is kept for ever, because a site may continue after any time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_permanent: bool,
}
