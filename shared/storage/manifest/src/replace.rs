//! The commit that replaces sections: for merges, expiry and dropped tables.
//!
//! ```text
//!   job                                          store
//!     |-- put the bundle, if there is one -------> |   crash after: an orphan
//!     |   GET the pages that contain inputs        |
//!     |-- PUT the remaining sections as pages ---> |   crash after: an orphan
//!     |-- commit: remove inputs, add outputs ----> |   only if all inputs exist, and nothing lies between
//! ```
//!
//! Several replacements share one commit. Each is validated separately: one that fails is left out, and the others are
//! committed. Flushes may move inputs to a page while the job runs; then the commit locates them again and retries. A
//! refusal counts only if its manifest was read after the job began to commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use neap_bucket::{CommitOutcome, RegisterChange, VersionedValue};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::{
    DamageRecord, DamagedPart, JobKind, LostRows, MAX_DAMAGE_RECORDS, Manifest, ManifestError,
    ManifestStore, PageRef, PendingObject, ReplaceRefusal, Replacement, Section,
    condemned::DroppedItem,
    error::no_date,
    replacement::{ReplacementBatch, ValidatedReplacement},
    rewrite::{PreparedReplacements, RewrittenPage},
};

/// Maximum number of attempts of a commit when the inputs keep moving.
const MAX_ATTEMPTS: usize = 8;

/// Outcome of the commit of one replacement.
#[derive(Clone, Debug)]
pub enum ReplaceOutcome {
    /// The sections are replaced. Contains the newest known manifest.
    Committed(VersionedValue<Manifest>),
    /// Nothing was committed, and the object is an orphan.
    GivenUp(ReplaceRefusal),
    /// The outcome is unknown.
    Unknown {
        /// Description of the cause.
        reason: String,
    },
}

/// Results of replacements that share one commit.
#[derive(Clone, Debug)]
pub struct ReplacementResults {
    /// The newest known manifest.
    pub current: VersionedValue<Manifest>,
    /// For each replacement, in order, the refusal; `None` if it is committed.
    pub refused: Vec<Option<ReplaceRefusal>>,
}

/// Outcome of the commit of several replacements.
#[derive(Clone, Debug)]
pub enum ReplaceAllOutcome {
    /// The result of each replacement is known.
    Completed(ReplacementResults),
    /// The outcome of the commit is unknown.
    Unknown {
        /// Description of the cause.
        reason: String,
    },
}

/// The preparation of the commit is outdated: sections have moved, or an object has become too old.
struct StaleReplacement;

impl ReplacementBatch<'_> {
    /// Returns the claims to remove: those of committed and of refused replacements, and of `release`.
    fn done_claims(&self) -> BTreeSet<Ulid> {
        let claims = self.all.iter().filter_map(|one| one.what.claim);
        claims.chain(self.release.iter().copied()).collect()
    }

    fn apply(
        &self,
        base: &VersionedValue<Manifest>,
        prepared: &PreparedReplacements,
    ) -> Result<Manifest, StaleReplacement> {
        let pending: BTreeMap<Ulid, PendingObject> = self
            .pending()
            .filter_map(|(_, one)| one.what.object)
            .map(|object| (object.ulid, object))
            .collect();
        let mut objects = pending.values().chain(&prepared.object);
        if !objects.all(|object| object.may_be_named(base)) {
            return Err(StaleReplacement);
        }
        let mut next = Manifest::successor(base);
        let (removed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut next.sections)
            .into_iter()
            .partition(|section| prepared.inputs.contains(&section.place()));
        next.sections = kept;
        let paged = prepared.rewritten.iter().map(|page| page.removed.len());
        if removed.len() + paged.sum::<usize>() != prepared.inputs.len()
            || !next.has_pages(prepared.rewritten.iter().map(|page| &page.old))
        {
            return Err(StaleReplacement);
        }
        self.check_closed(&next, prepared)?;
        let version = base.version + 1;
        if prepared.graves.is_empty() {
            next.condemn(removed.into_iter().map(DroppedItem::Section), version);
        }
        let graves = prepared.graves.iter().cloned();
        next.condemn(graves.map(DroppedItem::Page), version);
        next.rewrite_pages(prepared, version);
        let added = self.pending().flat_map(|(_, one)| &one.what.add);
        next.add_sections(added.cloned(), version);
        if let Some(spill) = &prepared.spill {
            spill.apply(base, &mut next);
        }
        for (_, one) in self.pending() {
            one.record(&mut next, version);
        }
        next.settle_deletes(version, |_| false);
        let done = self.done_claims();
        next.claims.retain(|claim| !done.contains(&claim.job));
        debug_assert_eq!(next.check(), Ok(()));
        Ok(next)
    }

    /// Checks that no remaining section lies between the inputs of a replacement.
    fn check_closed(
        &self,
        next: &Manifest,
        prepared: &PreparedReplacements,
    ) -> Result<(), StaleReplacement> {
        let mut by_table: BTreeMap<TableId, Vec<&ValidatedReplacement<'_>>> = BTreeMap::new();
        for (_, one) in self.pending().filter(|(_, one)| one.excludes_other_sections()) {
            by_table.entry(one.what.table).or_default().push(one);
        }
        let lies_between = |section: &Arc<Section>| {
            let of_table = by_table.get(&section.table);
            of_table.is_some_and(|all| all.iter().any(|one| one.overlaps(section)))
        };
        let is_unknown = |page: &PageRef| {
            let mut of_tables = by_table.range(page.tables()).flat_map(|(_, all)| all);
            !prepared.examined.contains(&page.place())
                && of_tables.any(|one| one.overlaps_page(page))
        };
        if next.sections.iter().any(lies_between) || next.pages.iter().any(is_unknown) {
            Err(StaleReplacement)
        } else {
            Ok(())
        }
    }
}

impl ValidatedReplacement<'_> {
    /// Records the effects of the replacement besides its sections: expiry, dropped caches, damage and the job.
    fn record(&self, next: &mut Manifest, version: u64) {
        let what = self.what;
        if let Some(floor) = what.floor {
            next.expire_rows(what.table, floor, version);
        }
        if what.job.kind == JobKind::Drop {
            next.drop_caches_of(what.table);
        }
        for (record, time) in self.damage {
            next.quarantine_object(record.clone(), version, *time);
            next.distrust_caches_of(what.table, version);
        }
        next.record_job(what.job, version);
    }
}

impl Manifest {
    fn rewrite_pages(&mut self, prepared: &PreparedReplacements, version: u64) {
        let rewritten = &prepared.rewritten;
        let kept = rewritten.iter().filter(|page| !page.is_empty());
        self.retire_pages(kept.map(|page| &page.old), version);
        let empty: BTreeMap<_, _> = rewritten
            .iter()
            .filter(|page| page.is_empty())
            .map(|page| (page.old.place(), &page.old))
            .collect();
        self.pages.retain(|page| !empty.contains_key(&page.place()));
        let empty = empty.into_values().cloned();
        self.condemn(empty.map(DroppedItem::Page), version);
        for RewrittenPage { new, inline, removed, .. } in
            rewritten.iter().filter(|page| !page.is_empty())
        {
            if prepared.graves.is_empty() {
                self.condemn(removed.iter().cloned().map(DroppedItem::Section), version);
            }
            self.pages.extend(new.clone());
            self.sections.extend(inline.iter().cloned());
        }
    }
}

impl ManifestStore {
    /// Replaces sections, starting from `base` or from an older version.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::InvalidCommit`] if the parts are inconsistent.
    pub async fn replace(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        replacement: &Replacement,
    ) -> Result<ReplaceOutcome, ManifestError> {
        self.replace_one(database, base, replacement.check(&[])?).await
    }

    /// Commits several replacements together, starting from `base` or from an older version, and leaves out those that
    /// fail. The claims of all of them end with the commit, and those of the jobs in `release`.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::InvalidCommit`] if the parts are inconsistent.
    pub async fn replace_all(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        replacements: &[Replacement],
        release: &[Ulid],
    ) -> Result<ReplaceAllOutcome, ManifestError> {
        let all: Result<Vec<_>, _> = replacements.iter().map(|one| one.check(&[])).collect();
        let set = ReplacementBatch::new(all?, release)?;
        self.replace_checked(database, base, set).await
    }

    /// Quarantines damaged sections of one table: removes them from the manifest, and keeps their objects.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::InvalidCommit`] if the sections are inconsistent.
    pub async fn quarantine_sections(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        replacement: &Replacement,
    ) -> Result<ReplaceOutcome, ManifestError> {
        let time = self.bucket.clock().now().ok_or_else(no_date)?;
        if base.value.room_for_damage() < replacement.remove.len() {
            let reason = format!("the manifest would exceed {MAX_DAMAGE_RECORDS} damage records");
            return Err(ManifestError::InvalidCommit { reason });
        }
        let records = replacement.remove.iter().map(|section| {
            let part = DamagedPart::of_section(section);
            let lost = vec![LostRows::of_section(section)];
            let record = DamageRecord::of_object(part, lost, section.added);
            let origin = section.origin;
            (DamageRecord { origin, ..record }, time)
        });
        let records: Vec<_> = records.collect();
        self.replace_one(database, base, replacement.check(&records)?).await
    }

    async fn replace_one(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        checked: ValidatedReplacement<'_>,
    ) -> Result<ReplaceOutcome, ManifestError> {
        let set = ReplacementBatch::new(vec![checked], &[])?;
        Ok(match self.replace_checked(database, base, set).await? {
            ReplaceAllOutcome::Completed(replaced) => {
                match replaced.refused.first().copied().flatten() {
                    Some(reason) => ReplaceOutcome::GivenUp(reason),
                    None => ReplaceOutcome::Committed(replaced.current),
                }
            }
            ReplaceAllOutcome::Unknown { reason } => ReplaceOutcome::Unknown { reason },
        })
    }

    async fn replace_checked(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        mut set: ReplacementBatch<'_>,
    ) -> Result<ReplaceAllOutcome, ManifestError> {
        let mut base = base;
        let mut is_fresh = false;
        for _ in 0..MAX_ATTEMPTS {
            match self.prepare(database, &base, &set).await {
                Ok(Ok(prepared)) => {
                    let change = |base: &VersionedValue<Manifest>| {
                        let next = set.apply(base, &prepared)?;
                        Ok(RegisterChange::Put(next, ()))
                    };
                    let register = self.register(database);
                    match register.commit(Some(base.clone()), change).await? {
                        CommitOutcome::Committed { current, .. } => return Ok(set.settled(current)),
                        CommitOutcome::Refused(StaleReplacement) => {}
                        CommitOutcome::Unknown { reason } => {
                            return Ok(ReplaceAllOutcome::Unknown { reason });
                        }
                    }
                }
                Ok(Err(refused)) if is_fresh => {
                    set.refuse(refused);
                    if set.pending().next().is_none() {
                        return Ok(set.settled(base));
                    }
                    continue;
                }
                Ok(Err(_)) => {}
                Err(gone @ ManifestError::PageGone { .. }) if is_fresh => return Err(gone),
                Err(ManifestError::PageGone { .. }) => {}
                Err(error) => return Err(error),
            }
            base = self.read(database, Some(&base)).await?;
            is_fresh = true;
        }
        let pending: Vec<_> = set.pending().map(|(number, _)| number).collect();
        set.refuse(pending.into_iter().map(|number| (number, ReplaceRefusal::Busy)));
        Ok(set.settled(base))
    }
}

impl ReplacementBatch<'_> {
    fn refuse(&mut self, refused: impl IntoIterator<Item = (usize, ReplaceRefusal)>) {
        for (number, reason) in refused {
            if let Some(one) = self.refused.get_mut(number) {
                *one = Some(reason);
            }
        }
    }

    fn settled(self, current: VersionedValue<Manifest>) -> ReplaceAllOutcome {
        ReplaceAllOutcome::Completed(ReplacementResults { current, refused: self.refused })
    }
}
