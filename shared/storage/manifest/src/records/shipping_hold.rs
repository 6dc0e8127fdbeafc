//! The segments that are kept until they are shipped.

use neap_bucket::Stamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The segments above a stamp are kept until they are shipped to a database of another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippingHold {
    /// The id under which the other database knows this one.
    pub source: Ulid,
    /// The other database, as text: a database is shipped to one.
    pub target: String,
    /// All segments up to this stamp are shipped, or are older than the hold.
    pub shipped: Stamp,
    /// The position that the other database had then; empty before the first part. An earlier one would leave rows out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub position: String,
}
