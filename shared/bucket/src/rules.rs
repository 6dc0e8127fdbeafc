//! The numbers of the storage protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The settings of a cluster that its instances must agree on. They are written into the root catalog
/// when the cluster is created and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Margins {
    /// *A*, the acknowledgement limit: how far a segment's stamp may be from the store's `Date` of its put.
    pub acknowledgement_limit_ms: u64,
    /// *G*, the flush lag: how far behind the store's `Date` a flush cuts. At least 4 *A*.
    pub flush_lag_ms: u64,
}

impl Margins {
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

/// The rules of the storage protocol as an instance follows them.
///
/// [`Rules::new`] gives the protocol. A simulation weakens one rule at a time to show that the invariants
/// then break; nothing else has a reason to change a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Rule W1: the oldest request of a batch arrived at most this long before its stamp.
    pub wait_limit: Duration,
    /// Rule W2: an acknowledged put's `Date` is within this of the stamp, either way.
    pub acknowledgement_limit: Duration,
    /// Rule F: a flush cuts this far behind the `Date` of its listing.
    pub flush_lag: Duration,
    /// The answers of a snapshot lie within this.
    pub snapshot_span: Duration,
    /// Catalogs and mark are proven current at most this long before a stamp, by the store's clock and, from the begin
    /// of the request that proved them, by the writer's.
    pub proof_age: Duration,
    /// Rule D: a drop, and what takes one back, is answered so long after its commit. By then no instance acts on a
    /// catalog of before it.
    pub settling_time: Duration,
    /// A segment is put only above the low-water mark that was read before.
    pub mark_is_checked: bool,
    /// Rule O: deletes, and writes of strict order, follow the newest stamp in the tail.
    pub tail_is_followed: bool,
    /// The number of `put_id`s that a register remembers.
    pub recent_put_ids: usize,
}

impl Rules {
    /// The protocol with the margins of a cluster.
    pub fn new(margins: Margins) -> Self {
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

/// The greatest age of a catalog by which an instance writes rows, or finds the database that a query names. The age is
/// measured from the start of the request that proved the catalog current.
pub const MAX_CATALOG_AGE: Duration = Duration::from_secs(5);

/// How much longer a drop waits than catalogs are used: more than the clocks of two machines drift in that time.
const SETTLING_SLACK: Duration = Duration::from_millis(100);

/// The number of `put_id`s in a register: a writer whose answer was lost finds its own put unless more
/// than this many commits came after it.
pub const RECENT_PUT_IDS: usize = 64;
