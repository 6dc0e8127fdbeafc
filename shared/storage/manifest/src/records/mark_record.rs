//! A low-water mark of a manifest.

use neap_bucket::{Stamp, StoreTime};
use serde::{Deserialize, Serialize};

/// A low-water mark with its version and commit time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// The mark.
    pub mark: Stamp,
    /// The version of the manifest that set the mark.
    pub version: u64,
    /// The last version with this mark; `None` while it is the current mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Commit time of the version that set the mark, by the store's clock. The next commit fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<StoreTime>,
}
