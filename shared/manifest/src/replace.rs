//! The commit that puts sections in the place of others: of a merge, of what expired, of a dropped table.
//!
//! ```text
//!   job                                          store
//!     |-- put the bundle, if there is one -------> |   crash after: an orphan
//!     |   sections in pages: GET these pages       |
//!     |-- PUT what is left of these pages -------> |   crash after: an orphan
//!     |-- commit: inputs out, outputs in --------> |   only if all inputs are there, and are closed
//! ```
//!
//! Inputs may have moved to a page while the job ran; then it looks where they are and tries again. A refusal
//! counts only on a manifest that was read after the job began to commit.

use std::{collections::BTreeSet, sync::Arc};

use bytes::BytesMut;
use futures::TryStreamExt;
use neap_bucket::{Change, Commit, Key, PutMode, StoreTime, Versioned};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::{
    DamageRecord, DamagedPart, DrawnObject, JobKind, JobRecord, LostRows, MAX_DAMAGE_RECORDS,
    Manifest, ManifestError, ManifestStore, PageRef, Section, SectionWithFooter,
    condemned::Dropped,
    page::{self, PagePlace},
    section::SectionPlace,
    spill::MIN_PAGE_SECTIONS,
};

/// How often the inputs may have moved before the job is given up.
const MAX_ATTEMPTS: usize = 8;

/// What a job wants to commit.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The table.
    pub table: TableId,
    /// The sections that leave.
    pub remove: Vec<Arc<Section>>,
    /// The sections that take their place, each within the days and the interval of those that leave.
    pub add: Vec<Section>,
    /// The bundle of what is added.
    pub object: Option<DrawnObject>,
    /// The time before which the rows that the table has now are gone, because they have expired.
    pub floor: Option<i64>,
    /// The claim that is fulfilled.
    pub claim: Option<Ulid>,
    /// What is remembered of the job.
    pub job: JobRecord,
}

/// Why sections were not replaced, and will not be by this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceRefused {
    /// Somebody else has replaced one of them.
    #[error("an input is gone")]
    InputsGone,
    /// A section that is no input lies between the inputs.
    #[error("the inputs are not all of their days and interval")]
    NotClosed,
    /// The bundle's name was drawn too long ago, or it has been taken for an orphan.
    #[error("the bundle is too old")]
    ObjectTooOld,
    /// Others were always faster.
    #[error("the inputs were moved again and again")]
    Busy,
}

/// How the commit ended.
#[derive(Clone, Debug)]
pub enum ReplaceOutcome {
    /// The sections are replaced; the newest manifest known.
    Committed(Versioned<Manifest>),
    /// Nothing was committed: the bundle is an orphan.
    GivenUp(ReplaceRefused),
    /// It can't be told whether it was committed.
    Unknown {
        /// The cause, for people.
        reason: String,
    },
}

/// A page of which sections leave.
struct Rewritten {
    old: PageRef,
    new: Option<PageRef>,
    /// What is left of it, if that is too little for a page.
    inline: Vec<Arc<Section>>,
    removed: Vec<Arc<Section>>,
}

/// What is left of a page when sections have left it.
struct Left {
    old: PageRef,
    kept: Vec<SectionWithFooter>,
    removed: Vec<Arc<Section>>,
}

/// Where the sections are that leave.
struct Prepared {
    rewritten: Vec<Rewritten>,
    /// The pages that were looked at: nothing else in them lies between the inputs.
    examined: BTreeSet<PagePlace>,
    object: Option<DrawnObject>,
}

enum Refusal {
    Moved,
    Final(ReplaceRefused),
}

/// A replacement whose parts fit each other.
struct Checked<'a> {
    what: &'a Replacement,
    /// The sections that leave because they are damaged, and when.
    damage: &'a [(DamageRecord, StoreTime)],
    inputs: BTreeSet<SectionPlace>,
    hull: Hull,
}

/// The days and the interval of sections, as if they were one.
struct Hull(Section);

impl Hull {
    fn of(sections: &[Arc<Section>]) -> Option<Self> {
        let (first, rest) = sections.split_first()?;
        let mut hull = Section::clone(first);
        for section in rest {
            hull.first_day = hull.first_day.min(section.first_day);
            hull.last_day = hull.last_day.max(section.last_day);
            hull.above = hull.above.min(section.above);
            hull.upto = hull.upto.max(section.upto);
        }
        Some(Self(hull))
    }

    fn meets(&self, section: &Section) -> bool {
        self.0.collides(section)
    }

    fn meets_page(&self, page: &PageRef) -> bool {
        self.0.table == page.table
            && self.0.first_day <= page.last_day
            && page.first_day <= self.0.last_day
            && self.0.above < page.upto
            && page.above < self.0.upto
    }

    fn holds(&self, section: &Section) -> bool {
        let hull = &self.0;
        hull.table == section.table
            && hull.first_day <= section.first_day
            && section.last_day <= hull.last_day
            && hull.above <= section.above
            && section.upto <= hull.upto
    }
}

impl Replacement {
    fn check<'a>(
        &'a self,
        damage: &'a [(DamageRecord, StoreTime)],
    ) -> Result<Checked<'a>, ManifestError> {
        let impossible = |reason: String| ManifestError::Impossible { reason };
        let hull = Hull::of(&self.remove)
            .ok_or_else(|| impossible("a replacement of nothing".to_owned()))?;
        if let Some(stranger) = self.remove.iter().find(|one| one.table != self.table) {
            return Err(impossible(format!("of another table: {stranger:?}")));
        }
        let inputs: BTreeSet<_> = self.remove.iter().map(|section| section.place()).collect();
        if inputs.len() < self.remove.len() {
            return Err(impossible("an input that comes twice".to_owned()));
        }
        let object = self.object.map(|object| object.ulid);
        let fits = |section: &Section| {
            hull.holds(section) && Some(section.object) == object && section.origin.is_none()
        };
        if let Some(stranger) = self.add.iter().find(|section| !fits(section)) {
            return Err(impossible(format!("outside of its inputs: {stranger:?}")));
        }
        Ok(Checked {
            what: self,
            damage,
            inputs,
            hull,
        })
    }
}

impl Checked<'_> {
    fn leaves(&self, section: &Section) -> bool {
        self.inputs.contains(&section.place())
    }

    /// Whether what leaves must be all of its hull: something takes its place.
    fn must_be_closed(&self) -> bool {
        !self.what.add.is_empty()
    }

    fn apply(&self, base: &Versioned<Manifest>, prepared: &Prepared) -> Result<Manifest, Refusal> {
        let objects = [self.what.object, prepared.object];
        let mut objects = objects.into_iter().flatten();
        if !objects.all(|object| object.may_be_named(base)) {
            return Err(Refusal::Final(ReplaceRefused::ObjectTooOld));
        }
        let mut next = Manifest::successor(base);
        let (removed, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut next.sections)
            .into_iter()
            .partition(|section| self.leaves(section));
        next.sections = kept;
        let paged = prepared.rewritten.iter().map(|page| page.removed.len());
        if removed.len() + paged.sum::<usize>() != self.inputs.len()
            || !next.has_pages(prepared.rewritten.iter().map(|page| &page.old))
        {
            return Err(Refusal::Moved);
        }
        if self.must_be_closed() {
            self.check_closed(&next, prepared)?;
        }
        let version = base.version + 1;
        next.condemn(removed.into_iter().map(Dropped::Section), version);
        next.rewrite_pages(&prepared.rewritten, version);
        next.add_sections(self.what.add.iter().cloned(), version);
        if let Some(floor) = self.what.floor {
            next.expire_rows(self.what.table, floor, version);
        }
        if self.what.job.kind == JobKind::Drop {
            next.drop_caches_of(self.what.table);
        }
        for (record, time) in self.damage {
            next.set_aside(record.clone(), version, *time);
            next.distrust_caches_of(self.what.table, version);
        }
        next.settle_deletes(version, |_| false);
        next.claims
            .retain(|claim| Some(claim.job) != self.what.claim);
        next.record_job(self.what.job, version);
        debug_assert_eq!(next.check(), Ok(()));
        Ok(next)
    }

    /// Whether nothing of what stays lies between what leaves.
    fn check_closed(&self, next: &Manifest, prepared: &Prepared) -> Result<(), Refusal> {
        if next.sections.iter().any(|section| self.hull.meets(section)) {
            return Err(Refusal::Final(ReplaceRefused::NotClosed));
        }
        let is_unknown = |page: &PageRef| {
            self.hull.meets_page(page) && !prepared.examined.contains(&page.place())
        };
        match next.pages.iter().any(is_unknown) {
            true => Err(Refusal::Moved),
            false => Ok(()),
        }
    }
}

impl Manifest {
    fn rewrite_pages(&mut self, rewritten: &[Rewritten], version: u64) {
        let is_empty = |page: &Rewritten| page.new.is_none() && page.inline.is_empty();
        let retired = rewritten.iter().filter(|page| !is_empty(page));
        self.retire_pages(retired.map(|page| &page.old), version);
        for page in rewritten {
            if is_empty(page) {
                self.pages.retain(|one| !one.is_same(&page.old));
                self.condemn([Dropped::Page(page.old.clone())], version);
            } else {
                let removed = page.removed.iter().cloned();
                self.condemn(removed.map(Dropped::Section), version);
                self.pages.extend(page.new.clone());
                self.sections.extend(page.inline.iter().cloned());
            }
        }
    }
}

impl ManifestStore {
    /// Replaces sections, starting from `base` or from something older.
    ///
    /// # Errors
    /// What the store answers, and `Impossible` for parts that don't fit each other.
    pub async fn replace(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        replacement: &Replacement,
    ) -> Result<ReplaceOutcome, ManifestError> {
        self.replace_checked(database, base, replacement.check(&[])?)
            .await
    }

    /// Sets damaged sections of one table aside: they leave, and their bundles are kept.
    ///
    /// # Errors
    /// What the store answers, and `Impossible` for sections that don't fit each other.
    pub async fn quarantine_sections(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        replacement: &Replacement,
    ) -> Result<ReplaceOutcome, ManifestError> {
        let time = self.bucket.clock().now().ok_or_else(no_date)?;
        if base.value.room_for_damage() < replacement.remove.len() {
            let reason = format!("more than {MAX_DAMAGE_RECORDS} records of damage");
            return Err(ManifestError::Impossible { reason });
        }
        let records = replacement.remove.iter().map(|section| {
            let part = DamagedPart::of_section(section);
            let lost = vec![LostRows::of_section(section)];
            let record = DamageRecord::of_object(part, lost, section.added);
            let origin = section.origin;
            (DamageRecord { origin, ..record }, time)
        });
        let records: Vec<_> = records.collect();
        self.replace_checked(database, base, replacement.check(&records)?)
            .await
    }

    async fn replace_checked(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        checked: Checked<'_>,
    ) -> Result<ReplaceOutcome, ManifestError> {
        let mut base = base;
        let mut is_fresh = false;
        for _ in 0..MAX_ATTEMPTS {
            let refusal = match self.prepare(database, &base.value, &checked).await {
                Ok(Ok(prepared)) => {
                    let change = |base: &Versioned<Manifest>| {
                        let next = checked.apply(base, &prepared)?;
                        Ok(Change::Put(next, ()))
                    };
                    let register = self.register(database);
                    match register.commit(Some(base.clone()), change).await? {
                        Commit::Committed { current, .. } => {
                            return Ok(ReplaceOutcome::Committed(current));
                        }
                        Commit::Refused(Refusal::Final(reason)) => {
                            return Ok(ReplaceOutcome::GivenUp(reason));
                        }
                        Commit::Refused(Refusal::Moved) => None,
                        Commit::Unknown { reason } => {
                            return Ok(ReplaceOutcome::Unknown { reason });
                        }
                    }
                }
                Ok(Err(refused)) => Some(Ok(ReplaceOutcome::GivenUp(refused))),
                Err(gone @ ManifestError::PageGone { .. }) => Some(Err(gone)),
                Err(error) => return Err(error),
            };
            let before = base.version;
            base = self.read(database, Some(&base)).await?;
            match refusal {
                Some(outcome) if is_fresh && base.version == before => return outcome,
                _ => is_fresh = true,
            }
        }
        Ok(ReplaceOutcome::GivenUp(ReplaceRefused::Busy))
    }

    /// Finds the sections that leave, and writes what is left of pages that had some of them.
    async fn prepare(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        checked: &Checked<'_>,
    ) -> Result<Result<Prepared, ReplaceRefused>, ManifestError> {
        let inline = manifest.sections.iter();
        let mut found = inline.filter(|section| checked.leaves(section)).count();
        let mut prepared = Prepared {
            rewritten: Vec::new(),
            examined: BTreeSet::new(),
            object: None,
        };
        let met = manifest
            .pages
            .iter()
            .filter(|page| checked.hull.meets_page(page));
        let met: Vec<_> = met.cloned().collect();
        let mut pages = self.pages_in_turn(database, met.clone());
        let mut left = Vec::new();
        for old in met {
            let Some(sections) = pages.try_next().await? else {
                break;
            };
            prepared.examined.insert(old.place());
            let (removed, kept): (Vec<_>, Vec<_>) = sections
                .iter()
                .partition(|one| checked.leaves(&one.section));
            let between = kept.iter().any(|one| checked.hull.meets(&one.section));
            if between && checked.must_be_closed() {
                return Ok(Err(ReplaceRefused::NotClosed));
            }
            if !removed.is_empty() {
                found += removed.len();
                left.push(Left {
                    old,
                    kept: kept.into_iter().cloned().collect(),
                    removed: removed
                        .into_iter()
                        .map(|one| Arc::clone(&one.section))
                        .collect(),
                });
            }
        }
        drop(pages);
        if found < checked.inputs.len() {
            return Ok(Err(ReplaceRefused::InputsGone));
        }
        self.write_rest(database, left, &mut prepared).await?;
        Ok(Ok(prepared))
    }

    /// Writes new pages of what is left of old ones.
    async fn write_rest(
        &self,
        database: DatabaseId,
        left: Vec<Left>,
        prepared: &mut Prepared,
    ) -> Result<(), ManifestError> {
        let is_page = |kept: &[SectionWithFooter]| kept.len() >= MIN_PAGE_SECTIONS;
        if left.iter().any(|page| is_page(&page.kept)) {
            prepared.object = Some(DrawnObject::draw(&self.bucket).ok_or_else(no_date)?);
        }
        let mut body = BytesMut::new();
        for Left { old, kept, removed } in left {
            let mut page = Rewritten {
                old,
                new: None,
                inline: Vec::new(),
                removed,
            };
            match prepared.object.filter(|_| is_page(&kept)) {
                Some(object) => {
                    page.new = self.append_page(&mut body, object, &kept)?;
                }
                None => page.inline = kept.into_iter().map(|one| one.section).collect(),
            }
            prepared.rewritten.push(page);
        }
        if let Some(object) = prepared.object {
            let key = Key::Page(database, object.ulid);
            let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
            put.await?;
        }
        Ok(())
    }

    /// Appends a page to an object that is being made.
    pub(crate) fn append_page(
        &self,
        body: &mut BytesMut,
        object: DrawnObject,
        sections: &[SectionWithFooter],
    ) -> Result<Option<PageRef>, ManifestError> {
        let put_id = self.bucket.world().entropy.next_u128();
        let page = page::encode(sections, put_id).map_err(|error| ManifestError::Impossible {
            reason: error.to_string(),
        })?;
        let start = body.len() as u64;
        body.extend_from_slice(&page.bytes);
        Ok(PageRef::of(sections, object.ulid, start, &page))
    }
}

/// The store has given no time yet, without which nothing is named.
pub(crate) fn no_date() -> ManifestError {
    ManifestError::Impossible {
        reason: "the store's answers have no date".to_owned(),
    }
}
