//! Cold rows: the choice of sections for a cheaper storage class, and of the merges that may rewrite them.
//!
//! Invariant C1: a merge has a cold section among its inputs only if its rows change. Either a row delete may match
//! them, or the merge adds newer rows of the same times, at least 1/32 of the cold bytes.
//!
//! A rewrite of a cold section costs the retrieval of its bytes, and the rest of the minimum time that the store bills.

use neap_bucket::{StorageClass, StoreTime};
use neap_manifest::Section;

use super::{MergeJob, MergePolicy};

/// The rows of a table that are cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdRows {
    /// Rows before this time are cold, in nanoseconds since the Unix epoch.
    pub before: i64,
    /// The storage class of cold rows.
    pub class: StorageClass,
}

impl ColdRows {
    /// Returns whether a section becomes cold: all its rows are, and it is long enough to be worth a request. Smaller ones
    /// may still be merged with their neighbours, and stores bill 128 KiB for a smaller cold object.
    pub(super) fn is_due(&self, section: &Section, policy: &MergePolicy) -> bool {
        !section.is_cold()
            && self.has_all_of(section)
            && (policy.small_bytes..=policy.max_rewrite_bytes).contains(&section.length)
    }

    fn has_all_of(&self, section: &Section) -> bool {
        section.max_time < self.before
    }
}

/// Returns the storage class of the output of a merge. `classes` are those of the store.
pub(super) fn class_of(
    job: &MergeJob,
    cold: Option<ColdRows>,
    classes: &[StorageClass],
    now: StoreTime,
    policy: &MergePolicy,
) -> Option<StorageClass> {
    let mut inputs = job.inputs.iter();
    let class = if let Some(cold) = cold {
        let is_quiet = now.since(job.upto.time()) >= policy.range_after;
        let is_worth = is_quiet && job.bytes() >= policy.small_bytes;
        let stays = inputs.clone().any(|input| input.is_cold());
        let is_cold = (is_worth || stays) && inputs.all(|input| cold.has_all_of(input));
        is_cold.then_some(cold.class)
    } else {
        // A section stays cold although its table no longer has cold rows.
        let kept = job.inputs.first().and_then(|input| input.class);
        kept.filter(|_| inputs.all(|input| input.is_cold()))
    };
    class.filter(|class| classes.contains(class))
}
