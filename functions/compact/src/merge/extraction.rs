//! Extractions: sections of bundles become objects of their own, so that other tools can read them as Parquet files.
//!
//! A section is extracted once, because the output has an object of its own. Of a table that is not published, a section
//! waits until no merge with its neighbours is left to be planned, because a merge would write it again. A section
//! of an object of another database stays there, because a copy would be stored in addition.

use std::sync::Arc;

use neap_bucket::StoreTime;
use neap_manifest::Section;

use super::{
    MergePolicy,
    day_ranges::{NARROWEST_RANGE_BITS, is_range_over},
    policy::WriteActivity,
};

/// The sections of a table that are extracted from their bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extraction {
    /// No sections, because the plan does not cover all of them.
    None,
    /// Sections of at least [`MergePolicy::small_bytes`], which are worth a request, when no more merges are expected.
    Large,
    /// All sections of settled days, because the table is published.
    All,
}

impl Extraction {
    /// Returns whether a section leaves its bundle. `group` are the sections of its overlap group, which is not about to be
    /// merged.
    pub(super) fn is_due(
        self,
        section: &Section,
        group: &[Arc<Section>],
        rest: WriteActivity,
        now: StoreTime,
        policy: &MergePolicy,
    ) -> bool {
        let is_due = match self {
            Self::None => false,
            Self::Large => {
                section.length >= policy.small_bytes
                    && section.origin.is_none()
                    && is_merged_no_more(section, group, rest, now, policy)
            }
            Self::All => is_settled(section, group, now, policy),
        };
        is_due && section.in_bundle && section.length <= policy.max_rewrite_bytes
    }
}

/// Returns whether no rows were added to the days of a section for a while.
fn is_settled(
    section: &Section,
    group: &[Arc<Section>],
    now: StoreTime,
    policy: &MergePolicy,
) -> bool {
    let shares_days = |other: &&Arc<Section>| {
        section.first_day <= other.last_day && other.first_day <= section.last_day
    };
    let mut neighbours = group.iter().filter(shares_days);
    neighbours.all(|other| now.since(other.upto.time()) >= policy.settle_after)
}

/// Returns whether neither the days of a section nor, usually, their range will be merged, if no rows are added.
fn is_merged_no_more(
    section: &Section,
    group: &[Arc<Section>],
    rest: WriteActivity,
    now: StoreTime,
    policy: &MergePolicy,
) -> bool {
    let exceeds_ranges = section.length >= policy.range_target;
    match rest {
        WriteActivity::Active => false,
        // A late section is merged with it at the latest when the days are cold.
        WriteActivity::Settled => exceeds_ranges && group.len() == 1,
        WriteActivity::Cold => {
            exceeds_ranges || is_range_over(section.last_day, NARROWEST_RANGE_BITS, now)
        }
    }
}
