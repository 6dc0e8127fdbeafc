//! What a trigger of the processing engine has seen of a tail.
//!
//! ```text
//!   ────────────── mark ─────── done ── done ──────────── done ───▶ stamps
//!     all seen           │   ?         ?        ?
//!                        └ what is not in `done` is yet to be seen
//! ```
//!
//! It is a register: what several instances have seen is united, and neither mark nor set ever loses what was in it
//! unless the mark passes it. A trigger sees a segment once it has run for it, or need not run for it.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{Format, RegisterValue, Rules, SegmentName, Stamp, StoreTime};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// For so long a segment is kept for triggers that have not seen it, and a failing trigger is tried with it.
pub const TRIGGER_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The most segments above the mark that are remembered: what goes beyond is seen once more.
const MAX_DONE: usize = 20_000;

/// Who may run a trigger whose runs must not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The instance.
    pub holder: Ulid,
    /// Until when, by the store's clock.
    pub until: StoreTime,
}

/// The register of a trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// All acknowledged segments up to here are seen.
    pub mark: Stamp,
    /// Segments above the mark that are seen.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub done: BTreeSet<SegmentName>,
    /// Who runs the trigger, if only one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

impl RegisterValue for Checkpoint {
    const FORMAT: Format = Format {
        magic: *b"NECP",
        kind: "checkpoint",
        version: 1,
    };
}

impl Checkpoint {
    /// Whether a segment is seen, or need not be because it is not after `floor`.
    pub fn has_seen(&self, name: SegmentName, floor: Stamp) -> bool {
        name.stamp <= self.mark.max(floor) || self.done.contains(&name)
    }

    /// Takes in what else is seen.
    pub fn unite(&mut self, mark: Stamp, done: impl IntoIterator<Item = SegmentName>) {
        self.mark = self.mark.max(mark);
        self.done.extend(done);
        self.done.retain(|name| name.stamp > self.mark);
        while self.done.len() > MAX_DONE {
            self.done.pop_last();
        }
    }
}

/// The stamp up to which segments were acknowledged before a trigger was created or enabled at this time.
///
/// Stores behind a network have many clocks, which give whole seconds: by rule W2, the stamp of a write that is
/// acknowledged after `since` may be older than that by the acknowledgement limit. There, a trigger sees what was
/// written in that time before it, rather than miss what came after.
pub fn floor_of(since: StoreTime, rules: &Rules) -> Stamp {
    let older = match rules.acknowledgement_limit {
        limit if limit >= NETWORK_LIMIT => limit,
        _ => Duration::ZERO,
    };
    Stamp::end_of(since.minus(older))
}

/// From this acknowledgement limit on, stores are behind a network.
const NETWORK_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use neap_bucket::Margins;
    use proptest::prelude::*;

    use super::*;

    fn name(stamp: u64) -> SegmentName {
        SegmentName {
            stamp: Stamp::from_u64(stamp),
            nonce: 1,
        }
    }

    proptest! {
        #[test]
        fn what_was_seen_stays_seen_whoever_commits_first(
            commits in proptest::collection::vec((0..50_u64, proptest::collection::vec(0..60_u64, 0..6)), 1..6),
            floor in 0..20_u64,
        ) {
            let floor = Stamp::from_u64(floor);
            let mut united = Checkpoint::default();
            let mut backwards = Checkpoint::default();
            for (mark, done) in &commits {
                united.unite(Stamp::from_u64(*mark), done.iter().copied().map(name));
            }
            for (mark, done) in commits.iter().rev() {
                backwards.unite(Stamp::from_u64(*mark), done.iter().copied().map(name));
            }
            prop_assert_eq!(&united, &backwards);
            for stamp in 0..60 {
                let seen = commits.iter().any(|(mark, done)| stamp <= *mark || done.contains(&stamp));
                let seen = seen || Stamp::from_u64(stamp) <= floor;
                prop_assert_eq!(united.has_seen(name(stamp), floor), seen);
            }
        }
    }

    #[test]
    fn it_remembers_no_more_than_it_may_and_forgets_the_newest() {
        let mut checkpoint = Checkpoint::default();
        let beyond = MAX_DONE as u64 + 5;
        checkpoint.unite(Stamp::ZERO, (1..=beyond).map(name));
        assert_eq!(checkpoint.done.len(), MAX_DONE);
        assert!(checkpoint.has_seen(name(1), Stamp::ZERO));
        assert!(!checkpoint.has_seen(name(beyond), Stamp::ZERO));
    }

    #[test]
    fn a_trigger_on_a_network_store_sees_what_may_be_acknowledged_after_it_with_an_older_stamp() {
        let since = StoreTime::from_micros(10_000_000);
        let local = floor_of(since, &Rules::new(Margins::LOCAL));
        let network = floor_of(since, &Rules::new(Margins::NETWORK));
        assert_eq!(local.time(), since);
        assert_eq!(network.time().micros(), 5_000_000);
    }

    #[test]
    fn registers_are_read_by_people_too() {
        let mut checkpoint = Checkpoint {
            lease: Some(Lease {
                holder: Ulid(1),
                until: StoreTime::from_micros(5),
            }),
            ..Checkpoint::default()
        };
        checkpoint.unite(Stamp::from_u64(3), [name(4)]);
        insta::assert_snapshot!(
            serde_json::to_string(&checkpoint).unwrap(),
            @r#"{"mark":3,"done":[{"stamp":4,"nonce":1}],"lease":{"holder":"00000000000000000000000001","until":5}}"#
        );
    }
}
