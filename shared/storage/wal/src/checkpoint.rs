//! The progress of a trigger of the processing engine in a tail.
//!
//! ```text
//!   ────────────── mark ─────── done ── done ──────────── done ───▶ stamps
//!     all seen           │   ?         ?        ?
//!                       └ segments above the mark that are not in `done` are not seen yet
//! ```
//!
//! A checkpoint is a register. The progress of several instances is merged: the mark never decreases, and a segment
//! leaves the set only when the mark passes it or the set is full. A trigger has *seen* a segment once it has run for
//! it, or need not run for it.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{
    ObjectFormat, ProtocolMargins, ProtocolRules, RegisterValue, SegmentName, Stamp, StoreTime,
    formats,
};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The time for which a segment is kept for triggers that have not seen it, and for which a failing trigger is retried
/// with it.
pub const TRIGGER_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of seen segments above the mark that are recorded. Triggers see further segments once more.
const MAX_DONE: usize = 20_000;

/// The right of one instance to run a trigger whose runs must not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerLease {
    /// The instance that holds the lease.
    pub holder: Ulid,
    /// The end of the lease, by the store's clock.
    pub until: StoreTime,
}

/// The register value of a trigger: the segments that it has seen, and its lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerCheckpoint {
    /// The trigger has seen all acknowledged segments up to this stamp.
    pub mark: Stamp,
    /// The segments above the mark that the trigger has seen.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub done: BTreeSet<SegmentName>,
    /// The instance that runs the trigger, if its runs must not overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<TriggerLease>,
}

impl RegisterValue for TriggerCheckpoint {
    const FORMAT: ObjectFormat = formats::CHECKPOINT;
}

impl TriggerCheckpoint {
    /// Returns whether a segment is seen, or need not be seen because its stamp is not above `floor`.
    pub fn has_seen(&self, name: SegmentName, floor: Stamp) -> bool {
        name.stamp <= self.mark.max(floor) || self.done.contains(&name)
    }

    /// Merges a mark and seen segments into the checkpoint.
    pub fn merge(&mut self, mark: Stamp, done: impl IntoIterator<Item = SegmentName>) {
        self.mark = self.mark.max(mark);
        self.done.extend(done);
        self.done.retain(|name| name.stamp > self.mark);
        while self.done.len() > MAX_DONE {
            self.done.pop_last();
        }
    }
}

/// Returns the stamp up to which segments were acknowledged before `since`, the time at which a trigger was created or
/// enabled.
///
/// Stores behind a network have several clocks, with a resolution of 1 s. The `Date` of a put may be older than that of
/// an earlier commit, and by rule W2 a stamp may be older than the `Date` of its put. By rule F, both together are less
/// than the flush lag. For such stores the result is older by this lag: the trigger sees some segments written before
/// `since`, because it must not miss later ones.
pub fn trigger_floor(since: StoreTime, rules: &ProtocolRules) -> Stamp {
    let older = match rules.acknowledgement_limit {
        limit if limit >= NETWORK_LIMIT => rules.flush_lag,
        _ => Duration::ZERO,
    };
    Stamp::end_of(since.minus(older))
}

/// The minimum acknowledgement limit of stores behind a network: that of their short margins.
const NETWORK_LIMIT: Duration =
    Duration::from_millis(ProtocolMargins::SHORT_NETWORK.acknowledgement_limit_ms);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(stamp: u64) -> SegmentName {
        SegmentName { stamp: Stamp::from_u64(stamp), nonce: 1 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn merging_is_independent_of_the_commit_order(
            commits in proptest::collection::vec((0..50_u64, proptest::collection::vec(0..60_u64, 0..6)), 1..6),
            floor in 0..20_u64,
        ) {
            let floor = Stamp::from_u64(floor);
            let mut united = TriggerCheckpoint::default();
            let mut backwards = TriggerCheckpoint::default();
            for (mark, done) in &commits {
                united.merge(Stamp::from_u64(*mark), done.iter().copied().map(name));
            }
            for (mark, done) in commits.iter().rev() {
                backwards.merge(Stamp::from_u64(*mark), done.iter().copied().map(name));
            }
            prop_assert_eq!(&united, &backwards);
            for stamp in 0..60 {
                let is_done = commits
                    .iter()
                    .any(|(mark, done)| stamp <= *mark || done.contains(&stamp));
                let is_seen = is_done || Stamp::from_u64(stamp) <= floor;
                prop_assert_eq!(united.has_seen(name(stamp), floor), is_seen);
            }
        }
    }

    #[test]
    fn the_set_is_bounded_and_drops_the_newest_segments() {
        let mut checkpoint = TriggerCheckpoint::default();
        let beyond = MAX_DONE as u64 + 5;
        checkpoint.merge(Stamp::ZERO, (1..=beyond).map(name));
        assert_eq!(checkpoint.done.len(), MAX_DONE);
        assert!(checkpoint.has_seen(name(1), Stamp::ZERO));
        assert!(!checkpoint.has_seen(name(beyond), Stamp::ZERO));
    }

    #[test]
    fn the_floor_on_a_network_store_is_older_by_the_flush_lag() {
        let since = StoreTime::from_micros(30_000_000);
        let local = trigger_floor(since, &ProtocolRules::new(ProtocolMargins::LOCAL));
        let network = trigger_floor(since, &ProtocolRules::new(ProtocolMargins::NETWORK));
        assert_eq!(local.time(), since);
        assert_eq!(network.time().micros(), 10_000_000);
        let local = trigger_floor(since, &ProtocolRules::new(ProtocolMargins::SHORT_LOCAL));
        let network = trigger_floor(since, &ProtocolRules::new(ProtocolMargins::SHORT_NETWORK));
        assert_eq!(local.time(), since);
        assert_eq!(network.time().micros(), 25_500_000);
    }

    #[test]
    fn the_register_is_stored_as_readable_json() {
        let mut checkpoint = TriggerCheckpoint {
            lease: Some(TriggerLease { holder: Ulid(1), until: StoreTime::from_micros(5) }),
            ..TriggerCheckpoint::default()
        };
        checkpoint.merge(Stamp::from_u64(3), [name(4)]);
        insta::assert_snapshot!(
            serde_json::to_string(&checkpoint).unwrap(),
            @r#"{"mark":3,"done":[{"stamp":4,"nonce":1}],"lease":{"holder":"00000000000000000000000001","until":5}}"#
        );
    }
}
