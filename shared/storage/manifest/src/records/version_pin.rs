//! A version that is kept for another database.

use neap_bucket::StoreTime;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

/// A version from which a database was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPin {
    /// The version.
    pub version: u64,
    /// The restored database.
    pub database: DatabaseId,
    /// Time of pinning, by the store's clock.
    pub created: StoreTime,
}
