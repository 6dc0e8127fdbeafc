//! The expiry of rows of a table.

use neap_schema::TableId;
use serde::{Deserialize, Serialize};

/// An expiry of rows of a table, or a correction of wrong statistics of its sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableExpiry {
    /// The table.
    pub table: TableId,
    /// The time before which the rows are gone, in nanoseconds since the epoch.
    pub before: i64,
    /// The version of the manifest that recorded the expiry.
    pub version: u64,
}
