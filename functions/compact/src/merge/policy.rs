//! The policy of merges: their limits, and the conditions under which sections are worth a merge.

use std::time::Duration;

use neap_manifest::Manifest;
use neap_wal::DeleteLimits;

/// Late sections of settled days, and of cold days, are merged with the older section if they have at least 1/32 of its
/// size.
const LATE_DATA_RATIO: u64 = 32;

/// Write activity of days, by the time since the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteActivity {
    /// The days are written to.
    Active,
    /// The days are settled.
    Settled,
    /// The days have been quiet for so long that they may share a range with their neighbours.
    Cold,
}

/// Policy of merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergePolicy {
    /// Time without writes after which days count as settled.
    pub settle_after: Duration,
    /// Number of sections at which days that are still written to are merged.
    pub recent_sections: usize,
    /// Two sections of settled days are merged if both are smaller than this, in bytes. Smaller sections are neither
    /// extracted from bundles nor moved to a class of cold objects.
    pub small_bytes: u64,
    /// Maximum bytes of all inputs of a merge, so that no section grows larger.
    pub max_output_bytes: u64,
    /// Maximum bytes of a section that is rewritten alone. Larger than the maximum of a merge, because only a rewrite removes
    /// deleted rows.
    pub max_rewrite_bytes: u64,
    /// Maximum number of inputs of a merge.
    pub max_inputs: usize,
    /// Maximum size of a section for several neighbouring days, in bytes (exclusive).
    pub range_target: u64,
    /// Time without writes to any of several neighbouring days after which they are merged.
    pub range_after: Duration,
    /// Age of a delete at which sections are rewritten without the deleted rows.
    pub delete_after: Duration,
    /// Bytes of the pending deletes of a database above which sections are rewritten at once, whatever the age of the
    /// deletes: far below the limit at which writers refuse deletes.
    pub max_delete_bytes: u64,
}

impl Default for MergePolicy {
    fn default() -> Self {
        Self {
            settle_after: Duration::from_secs(30 * 60),
            recent_sections: 8,
            small_bytes: 1 << 20,
            max_output_bytes: 256 << 20,
            // The memory and the time of merges limit it.
            max_rewrite_bytes: u64::MAX,
            // The footers of all inputs and a window of each are in memory at the same time.
            max_inputs: 64,
            range_target: 32 << 20,
            range_after: Duration::from_secs(24 * 60 * 60),
            delete_after: Duration::from_secs(10 * 60),
            max_delete_bytes: DeleteLimits::DEFAULT.pending_bytes / 16,
        }
    }
}

impl MergePolicy {
    /// Returns whether two sections of settled days are worth a merge.
    pub(super) fn are_similar(&self, one: u64, other: u64) -> bool {
        let (smaller, larger) = (one.min(other), one.max(other));
        larger < self.small_bytes || smaller >= larger / 4
    }

    /// Returns whether two sections of settled days with overlapping times are worth a merge, because a query of these
    /// times reads and deduplicates both. A small late section waits for more data, but at most until the days are
    /// cold.
    pub(super) fn is_worth_deduplicating(&self, one: u64, other: u64, rest: WriteActivity) -> bool {
        let (smaller, larger) = (one.min(other), one.max(other));
        rest == WriteActivity::Cold || smaller >= larger / LATE_DATA_RATIO
    }

    /// Returns whether added rows are worth the retrieval of the cold sections of the same times.
    pub(super) fn is_worth_retrieving(&self, cold_bytes: u64, added_bytes: u64) -> bool {
        added_bytes >= cold_bytes / LATE_DATA_RATIO
    }

    /// Returns whether all pending deletes of a database are applied at once.
    pub(crate) fn are_deletes_urgent(&self, manifest: &Manifest) -> bool {
        manifest.delete_bytes().pending > self.max_delete_bytes
    }

    pub(super) fn rest(&self, quiet: Duration) -> WriteActivity {
        if quiet >= self.range_after.max(self.settle_after) {
            WriteActivity::Cold
        } else if quiet >= self.settle_after {
            WriteActivity::Settled
        } else {
            WriteActivity::Active
        }
    }
}
