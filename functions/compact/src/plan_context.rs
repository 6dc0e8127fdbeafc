//! The inputs of the plan of a database, and the choice of sections that are rewritten alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use neap_bucket::{StorageClass, StoreTime};
use neap_catalog::DatabaseCatalog;
use neap_manifest::{CondemnedEntry, Manifest, RecordedDelete, Section, SectionBounds};
use neap_schema::TableId;
use ulid::Ulid;

use crate::merge::{
    ColdRows, Extraction, MergePolicy, SectionRef, TablePlan, TablePlanInput, plan_table,
};

/// Days that a plan covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanScope {
    /// Days with sections that are not in pages yet: the days of recent flushes.
    Recent,
    /// All days.
    All,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanTimes {
    /// The time of the store.
    pub(crate) now: StoreTime,
    /// The time by which rows expire; `None`: no rows expire, because the clocks disagree.
    pub(crate) removal: Option<StoreTime>,
}

/// Inputs of the plan of a database.
pub(crate) struct PlanContext {
    pub(crate) catalog: Arc<DatabaseCatalog>,
    times: PlanTimes,
    pub(crate) scope: PlanScope,
    policy: MergePolicy,
    /// Tables that are published: their sections become objects of their own, and their row deletes are applied soon.
    pub(crate) published: BTreeSet<TableId>,
    /// Row deletes that merges apply now.
    deletes: BTreeMap<TableId, Vec<RecordedDelete>>,
    /// Bundles whose sections become other objects, because they may have deleted rows in dropped sections.
    condemned_bundles: BTreeSet<Ulid>,
    /// Bounds of merges that other workers have claimed.
    claimed: BTreeMap<TableId, Vec<SectionBounds>>,
    /// The storage classes of cold objects that the store has.
    classes: &'static [StorageClass],
}

impl PlanContext {
    /// Returns the inputs from a manifest and the catalog.
    pub(crate) fn new(
        manifest: &Manifest,
        catalog: Arc<DatabaseCatalog>,
        times: PlanTimes,
        scope: PlanScope,
        policy: MergePolicy,
        published: BTreeSet<TableId>,
        classes: &'static [StorageClass],
    ) -> Self {
        let now = times.now;
        let are_urgent = policy.are_deletes_urgent(manifest);
        let is_due = |recorded: &&RecordedDelete| {
            let is_old = now.since(recorded.stamp.time()) >= policy.delete_after;
            let is_due = is_old || are_urgent || published.contains(&recorded.delete.table);
            // Expired rows leave with their section.
            !recorded.expiry && is_due
        };
        let mut deletes: BTreeMap<TableId, Vec<RecordedDelete>> = BTreeMap::new();
        for recorded in manifest.pending_deletes().filter(is_due) {
            let of_table = deletes.entry(recorded.delete.table).or_default();
            of_table.push(recorded.clone());
        }
        let mut claimed: BTreeMap<TableId, Vec<SectionBounds>> = BTreeMap::new();
        for claim in manifest.live_claims(now) {
            claimed.entry(claim.table).or_default().push(SectionBounds {
                first_day: claim.first_day,
                last_day: claim.last_day,
                above: claim.above,
                upto: claim.upto,
            });
        }
        Self {
            catalog,
            times,
            scope,
            policy,
            published,
            deletes,
            condemned_bundles: manifest
                .condemned
                .iter()
                .filter_map(CondemnedEntry::bundle)
                .collect(),
            claimed,
            classes,
        }
    }

    /// Returns whether sections of a table may have to be rewritten. Those of a dropped table are planned only then, so that
    /// requests to delete rows don't wait until the table is removed, which may be never.
    pub(crate) fn may_rewrite(&self, table: TableId) -> bool {
        !self.condemned_bundles.is_empty() || self.deletes.contains_key(&table)
    }

    fn is_dropped(&self, table: TableId) -> bool {
        let found = self.catalog.table_by_id(table);
        found.is_none_or(|found| found.deletion().is_some())
    }

    /// Returns whether a section leaves its bundle, because deleted rows are left there.
    fn leaves_bundle(&self, section: &Section) -> bool {
        section.in_bundle
            && section.origin.is_none()
            && self.condemned_bundles.contains(&section.object)
    }

    /// Returns the sections of a table that are extracted from their bundles.
    fn extraction_of(&self, table: TableId) -> Extraction {
        if self.published.contains(&table) {
            Extraction::All
        } else if self.scope == PlanScope::All && !self.is_dropped(table) {
            Extraction::Large
        } else {
            Extraction::None
        }
    }

    /// Returns the rows of a table that are cold, if the store has their class. A copy of a cluster may be in a store that
    /// does not.
    fn cold_rows_of(&self, table: TableId, now: StoreTime) -> Option<ColdRows> {
        let cold = self.catalog.cold_storage_of(table)?;
        self.classes
            .contains(&cold.class())
            .then(|| ColdRows { before: cold.cutoff(now), class: cold.class() })
    }

    /// Plans the work on the sections of a table.
    pub(crate) fn plan_table(&self, table: TableId, sections: &[Arc<Section>]) -> TablePlan {
        let policy = &self.policy;
        let deletes = self.deletes.get(&table).map_or(&[][..], Vec::as_slice);
        let is_rewritten = |section: &&Arc<Section>| {
            section.length <= policy.max_rewrite_bytes
                && (deletes.iter().any(|recorded| recorded.applies_to(section))
                    || self.leaves_bundle(section))
        };
        let rewrites: BTreeSet<SectionRef> = sections
            .iter()
            .filter(is_rewritten)
            .map(|section| SectionRef::from_section(section))
            .collect();
        let is_dropped = self.is_dropped(table);
        if is_dropped && rewrites.is_empty() {
            return TablePlan::default();
        }
        let removal = self.times.removal.filter(|_| !is_dropped);
        let table_state = TablePlanInput {
            table,
            sections,
            rewrites: &rewrites,
            extraction: self.extraction_of(table),
            claimed: self.claimed.get(&table).map_or(&[][..], Vec::as_slice),
            cutoff: removal.and_then(|now| self.catalog.cutoff_of(table, now)),
            retention: self.catalog.retention_of(table),
            cold: removal.and_then(|now| self.cold_rows_of(table, now)),
            classes: self.classes,
            now: self.times.now,
        };
        plan_table(&table_state, policy)
    }
}
