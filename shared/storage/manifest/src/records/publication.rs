//! The published state of a table.

use neap_bucket::StoreTime;
use neap_schema::TableId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The published state of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The table.
    pub table: TableId,
    /// The number of the publication: the version of the manifest that recorded it.
    pub number: u64,
    /// The version of the manifest whose sections are published.
    pub version: u64,
    /// The time of the publication, by the store's clock.
    pub published: StoreTime,
    /// The identity of the published table, the same for all its publications.
    pub identity: Ulid,
    /// A checksum of the published content. A table whose content has not changed is not published again.
    pub content: String,
}
