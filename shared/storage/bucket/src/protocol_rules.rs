//! The time limits and margins of the storage protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of a cluster that its instances must agree on. They are written into the root catalog when the cluster
/// is created and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolMargins {
    /// *A*, the acknowledgement limit: maximum difference in milliseconds between a segment's stamp and the store's
    /// `Date` of its put.
    pub acknowledgement_limit_ms: u64,
    /// *G*, the flush lag: how many milliseconds before the store's `Date` a flush cuts. At least 4 *A*.
    pub flush_lag_ms: u64,
}

impl ProtocolMargins {
    /// For stores behind a network, whose hosts' clocks may differ by seconds.
    pub const NETWORK: Self = Self {
        acknowledgement_limit_ms: 5_000,
        flush_lag_ms: 20_000,
    };

    /// For a directory or memory: one machine, one clock.
    pub const LOCAL: Self = Self {
        acknowledgement_limit_ms: 2_000,
        flush_lag_ms: 8_000,
    };
}

/// The rules of the storage protocol that an instance follows.
///
/// [`ProtocolRules::new`] returns the protocol. Only simulations change fields: they weaken one rule at a time to show that the
/// invariants then break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolRules {
    /// Rule W1: the oldest request of a batch arrived at most this long before its stamp.
    pub wait_limit: Duration,
    /// Rule W2: the `Date` of an acknowledged put differs from the stamp by at most this, in either direction.
    pub acknowledgement_limit: Duration,
    /// Rule F: a flush cuts this long before the `Date` of its listing.
    pub flush_lag: Duration,
    /// Maximum span between the answers that form a snapshot.
    pub snapshot_span: Duration,
    /// Maximum age of the catalogs and of the low-water mark at a stamp. The age counts from the answer that confirmed
    /// them as current, by the store's clock, and from the start of that request, by the writer's clock.
    pub proof_age: Duration,
    /// Rule D: a drop, or the reversal of one, is acknowledged this long after its commit. By then, no instance uses a
    /// catalog from before the commit.
    pub settling_time: Duration,
    /// Whether a segment is put only above the low-water mark that was read before.
    pub mark_is_checked: bool,
    /// Rule O: whether deletes and strictly ordered writes get stamps above the newest stamp in the tail.
    pub tail_is_followed: bool,
    /// Number of `put_id`s that a register keeps.
    pub recent_put_ids: usize,
}

impl ProtocolRules {
    /// The protocol with the margins of a cluster.
    pub fn new(margins: ProtocolMargins) -> Self {
        let acknowledgement_limit = Duration::from_millis(margins.acknowledgement_limit_ms);
        Self {
            wait_limit: acknowledgement_limit,
            acknowledgement_limit,
            flush_lag: Duration::from_millis(margins.flush_lag_ms),
            snapshot_span: Duration::from_secs(30),
            proof_age: MAX_CATALOG_AGE,
            settling_time: MAX_CATALOG_AGE + SETTLING_SLACK,
            mark_is_checked: true,
            tail_is_followed: true,
            recent_put_ids: RECENT_PUT_IDS,
        }
    }
}

/// Maximum age of a catalog that an instance uses to write rows or to resolve the database of a query. The age counts
/// from the start of the request that confirmed the catalog as current.
pub const MAX_CATALOG_AGE: Duration = Duration::from_secs(5);

/// Time that a drop waits in addition to [`MAX_CATALOG_AGE`]: more than the clocks of two machines drift apart in that
/// time.
const SETTLING_SLACK: Duration = Duration::from_millis(100);

/// Number of `put_id`s in a register. A writer whose answer was lost recognises its own put unless more than this many
/// commits followed it.
pub const RECENT_PUT_IDS: usize = 64;
