//! The time limits and margins of the storage protocol.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The settings of a cluster that its instances must agree on. They are written into the root catalog when the cluster
/// is created and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolMargins {
    /// *A*, the acknowledgement limit: maximum difference in milliseconds between a segment's stamp and the store's
    /// `Date` of its put.
    pub acknowledgement_limit_ms: u64,
    /// *G*, the flush lag: how many milliseconds before the store's `Date` a flush cuts. At least 4 *A*, unless all
    /// processes and the store have one clock.
    pub flush_lag_ms: u64,
    /// Maximum age in milliseconds of a catalog that an instance uses to write rows or to resolve the database of a
    /// query.
    #[serde(
        default = "standard_catalog_age",
        skip_serializing_if = "is_standard_catalog_age"
    )]
    pub max_catalog_age_ms: u64,
}

/// The margins of a new cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MarginsPreset {
    /// For clocks of several machines, and stores and machines that stall for seconds.
    #[default]
    Standard,
    /// For tests whose processes and store run on one machine.
    Short,
}

/// The standard maximum age of a catalog in milliseconds.
const STANDARD_CATALOG_AGE_MS: u64 = 5_000;

fn standard_catalog_age() -> u64 {
    STANDARD_CATALOG_AGE_MS
}

fn is_standard_catalog_age(age_ms: &u64) -> bool {
    *age_ms == STANDARD_CATALOG_AGE_MS
}

impl ProtocolMargins {
    /// For stores behind a network, whose hosts' clocks may differ by seconds.
    pub const NETWORK: Self = Self {
        acknowledgement_limit_ms: 5_000,
        flush_lag_ms: 20_000,
        max_catalog_age_ms: STANDARD_CATALOG_AGE_MS,
    };

    /// For a directory or memory: one machine, one clock.
    pub const LOCAL: Self = Self {
        acknowledgement_limit_ms: 2_000,
        flush_lag_ms: 8_000,
        max_catalog_age_ms: STANDARD_CATALOG_AGE_MS,
    };

    /// For tests with a store behind HTTP on the machine of all processes. An acknowledged segment appears at most *A*
    /// and the second to which a `Date` is truncated after its stamp, and *G* is more than this. A catalog stays usable
    /// for longer than the flush interval of 1 s.
    pub const SHORT_NETWORK: Self = Self {
        acknowledgement_limit_ms: 3_000,
        flush_lag_ms: 4_500,
        max_catalog_age_ms: 3_000,
    };

    /// For tests with a directory or memory. An acknowledged segment appears at most *A* after its stamp, and *G* is more
    /// than this. *A* is the standard one, because a disk that many tests use stalls for as long as others.
    pub const SHORT_LOCAL: Self = Self {
        acknowledgement_limit_ms: 2_000,
        flush_lag_ms: 2_500,
        max_catalog_age_ms: 1_000,
    };

    /// Returns the maximum age of a catalog.
    pub fn max_catalog_age(self) -> Duration {
        Duration::from_millis(self.max_catalog_age_ms)
    }
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
            proof_age: margins.max_catalog_age(),
            settling_time: margins.max_catalog_age() + SETTLING_SLACK,
            mark_is_checked: true,
            tail_is_followed: true,
            recent_put_ids: RECENT_PUT_IDS,
        }
    }

    /// Returns whether the flush lag is sufficient only if all processes and the store have one clock.
    pub fn needs_one_clock(&self) -> bool {
        self.flush_lag < self.acknowledgement_limit.saturating_mul(4)
    }
}

/// The standard maximum age of a catalog that an instance uses to write rows or to resolve the database of a query. The
/// age counts from the start of the request that confirmed the catalog as current.
pub const MAX_CATALOG_AGE: Duration = Duration::from_millis(STANDARD_CATALOG_AGE_MS);

/// Time that a drop waits in addition to the maximum age of a catalog: more than the clocks of two machines drift apart
/// in that time.
const SETTLING_SLACK: Duration = Duration::from_millis(100);

/// Number of `put_id`s in a register. A writer whose answer was lost recognises its own put unless more than this many
/// commits followed it.
pub const RECENT_PUT_IDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_margins_allow_several_clocks_and_are_serialized_as_in_earlier_releases() {
        for margins in [ProtocolMargins::LOCAL, ProtocolMargins::NETWORK] {
            let json = serde_json::to_value(margins).unwrap();
            let earlier = serde_json::json!({
                "acknowledgement_limit_ms": margins.acknowledgement_limit_ms,
                "flush_lag_ms": margins.flush_lag_ms,
            });
            assert_eq!(json, earlier);
            assert_eq!(serde_json::from_value::<ProtocolMargins>(earlier).unwrap(), margins);
            let rules = ProtocolRules::new(margins);
            assert!(!rules.needs_one_clock());
            assert_eq!(rules.proof_age, MAX_CATALOG_AGE);
            assert_eq!(rules.settling_time, MAX_CATALOG_AGE + SETTLING_SLACK);
        }
    }

    #[test]
    fn short_margins_need_one_clock_and_are_recorded_completely() {
        for margins in [ProtocolMargins::SHORT_LOCAL, ProtocolMargins::SHORT_NETWORK] {
            let json = serde_json::to_string(&margins).unwrap();
            assert_eq!(serde_json::from_str::<ProtocolMargins>(&json).unwrap(), margins);
            let rules = ProtocolRules::new(margins);
            assert!(rules.needs_one_clock());
            assert_eq!(rules.proof_age, margins.max_catalog_age());
            assert!(rules.settling_time > rules.proof_age);
        }
    }

    /// A listing contains every acknowledged segment up to its cut only if the flush lag exceeds the time between the
    /// stamp of a segment and its appearance.
    #[test]
    fn an_acknowledged_segment_appears_before_a_flush_cuts_above_it() {
        let exact = Duration::ZERO;
        let whole_seconds = Duration::from_secs(1);
        for (margins, resolution) in [
            (ProtocolMargins::LOCAL, exact),
            (ProtocolMargins::SHORT_LOCAL, exact),
            (ProtocolMargins::NETWORK, whole_seconds),
            (ProtocolMargins::SHORT_NETWORK, whole_seconds),
        ] {
            let rules = ProtocolRules::new(margins);
            assert!(rules.flush_lag > rules.acknowledgement_limit + resolution);
            assert!(rules.acknowledgement_limit > resolution);
        }
    }
}
