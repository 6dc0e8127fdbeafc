//! The inputs of the plan of a table.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{StorageClass, StoreTime};
use neap_manifest::{Section, SectionBounds};
use neap_schema::TableId;

use super::{ColdRows, Extraction, SectionRef};

/// Inputs of a plan.
#[derive(Clone, Copy, Debug)]
pub struct TablePlanInput<'a> {
    /// The table.
    pub table: TableId,
    /// All its sections, in any order.
    pub sections: &'a [Arc<Section>],
    /// Sections that are rewritten now: they or their bundles may hold deleted rows.
    pub rewrites: &'a BTreeSet<SectionRef>,
    /// The sections that leave their bundles.
    pub extraction: Extraction,
    /// Bounds of merges that other workers have claimed.
    pub claimed: &'a [SectionBounds],
    /// Rows before this time, in nanoseconds since the Unix epoch, have expired.
    pub cutoff: Option<i64>,
    /// Retention period; `None` without limit.
    pub retention: Option<Duration>,
    /// The rows that are cold; `None`: no rows.
    pub cold: Option<ColdRows>,
    /// The storage classes of cold objects that the store has.
    pub classes: &'static [StorageClass],
    /// The store's time.
    pub now: StoreTime,
}
