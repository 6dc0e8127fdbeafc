//! The commit that puts sections in the place of others: of merges, of what expired, of dropped tables.
//!
//! ```text
//!   job                                          store
//!     |-- put the bundle, if there is one -------> |   crash after: an orphan
//!     |   sections in pages: GET these pages       |
//!     |-- PUT what is left of these pages -------> |   crash after: an orphan
//!     |-- commit: inputs out, outputs in --------> |   only if all inputs are there, and are closed
//! ```
//!
//! Several replacements share one commit. Each is judged by itself: one that can't be made is left out, and the others
//! are committed without it. Inputs may have moved to a page while the job ran; then it looks where they are and tries
//! again. A refusal counts only on a manifest that was read after the job began to commit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use neap_bucket::{Change, Commit, StoreTime, Versioned};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::{
    DamageRecord, DamagedPart, DrawnObject, JobKind, JobRecord, LostRows, MAX_DAMAGE_RECORDS,
    Manifest, ManifestError, ManifestStore, PageRef, Section,
    condemned::Dropped,
    rewrite::{Prepared, Rewritten},
    section::SectionPlace,
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

/// What became of replacements that were committed together.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The newest manifest known.
    pub current: Versioned<Manifest>,
    /// Of each replacement, in their order, why it was left out; `None` if it is committed.
    pub refused: Vec<Option<ReplaceRefused>>,
}

/// How the commit of several replacements ended.
#[derive(Clone, Debug)]
pub enum ReplaceAllOutcome {
    /// It is known of each what became of it.
    Settled(Replaced),
    /// It can't be told whether those that could be made were committed.
    Unknown {
        /// The cause, for people.
        reason: String,
    },
}

/// Sections have moved since the commit was prepared, or an object has grown too old.
struct Moved;

/// A replacement whose parts fit each other.
pub(crate) struct Checked<'a> {
    pub(crate) what: &'a Replacement,
    /// The sections that leave because they are damaged, and when.
    damage: &'a [(DamageRecord, StoreTime)],
    pub(crate) inputs: BTreeSet<SectionPlace>,
    pub(crate) hull: Hull,
}

/// The days and the interval of sections, as if they were one.
pub(crate) struct Hull(Section);

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

    pub(crate) fn meets(&self, section: &Section) -> bool {
        self.0.collides(section)
    }

    pub(crate) fn meets_hull(&self, other: &Self) -> bool {
        self.0.collides(&other.0)
    }

    pub(crate) fn meets_page(&self, page: &PageRef) -> bool {
        page.may_hold(self.0.table)
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
    /// Whether what leaves must be all of its hull: something takes its place.
    pub(crate) fn must_be_closed(&self) -> bool {
        !self.what.add.is_empty()
    }
}

/// Replacements of one commit.
pub(crate) struct CheckedSet<'a> {
    all: Vec<Checked<'a>>,
    /// Why those are left out that can't be made.
    refused: Vec<Option<ReplaceRefused>>,
    /// Claims that end with the commit beside those of the replacements.
    release: &'a [Ulid],
}

impl<'a> CheckedSet<'a> {
    fn new(all: Vec<Checked<'a>>, release: &'a [Ulid]) -> Result<Self, ManifestError> {
        let inputs = || all.iter().flat_map(|one| &one.inputs);
        if inputs().collect::<BTreeSet<_>>().len() < inputs().count() {
            let reason = "an input of two replacements".to_owned();
            return Err(ManifestError::Impossible { reason });
        }
        Ok(Self {
            refused: vec![None; all.len()],
            all,
            release,
        })
    }

    /// Those that are not refused, with their numbers.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (usize, &Checked<'a>)> {
        let refused = self.refused.iter();
        let all = self.all.iter().zip(refused).enumerate();
        all.filter_map(|(number, (one, refused))| refused.is_none().then_some((number, one)))
    }

    /// The claims that have no use any more: of those that are committed, and of those that never will be.
    fn done_claims(&self) -> BTreeSet<Ulid> {
        let claims = self.all.iter().filter_map(|one| one.what.claim);
        claims.chain(self.release.iter().copied()).collect()
    }

    fn apply(&self, base: &Versioned<Manifest>, prepared: &Prepared) -> Result<Manifest, Moved> {
        let objects = self.pending().filter_map(|(_, one)| one.what.object);
        let objects: BTreeMap<Ulid, DrawnObject> =
            objects.map(|object| (object.ulid, object)).collect();
        let mut objects = objects.values().chain(&prepared.object);
        if !objects.all(|object| object.may_be_named(base)) {
            return Err(Moved);
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
            return Err(Moved);
        }
        self.check_closed(&next, prepared)?;
        let version = base.version + 1;
        if prepared.graves.is_empty() {
            next.condemn(removed.into_iter().map(Dropped::Section), version);
        }
        let graves = prepared.graves.iter().cloned();
        next.condemn(graves.map(Dropped::Page), version);
        next.rewrite_pages(prepared, version);
        let added = self.pending().flat_map(|(_, one)| &one.what.add);
        next.add_sections(added.cloned(), version);
        if let Some(spill) = &prepared.spill {
            spill.apply(base, &mut next);
        }
        for (_, one) in self.pending() {
            one.note(&mut next, version);
        }
        next.settle_deletes(version, |_| false);
        let done = self.done_claims();
        next.claims.retain(|claim| !done.contains(&claim.job));
        debug_assert_eq!(next.check(), Ok(()));
        Ok(next)
    }

    /// Whether nothing of what stays lies between what leaves.
    fn check_closed(&self, next: &Manifest, prepared: &Prepared) -> Result<(), Moved> {
        let mut hulls: BTreeMap<TableId, Vec<&Hull>> = BTreeMap::new();
        for (_, one) in self.pending().filter(|(_, one)| one.must_be_closed()) {
            hulls.entry(one.what.table).or_default().push(&one.hull);
        }
        let lies_between = |section: &Arc<Section>| {
            let of_table = hulls.get(&section.table);
            of_table.is_some_and(|hulls| hulls.iter().any(|hull| hull.meets(section)))
        };
        let is_unknown = |page: &PageRef| {
            let mut met = hulls.range(page.tables()).flat_map(|(_, hulls)| hulls);
            !prepared.examined.contains(&page.place()) && met.any(|hull| hull.meets_page(page))
        };
        match next.sections.iter().any(lies_between) || next.pages.iter().any(is_unknown) {
            true => Err(Moved),
            false => Ok(()),
        }
    }
}

impl Checked<'_> {
    /// Writes down what is remembered of the replacement besides its sections.
    fn note(&self, next: &mut Manifest, version: u64) {
        let what = self.what;
        if let Some(floor) = what.floor {
            next.expire_rows(what.table, floor, version);
        }
        if what.job.kind == JobKind::Drop {
            next.drop_caches_of(what.table);
        }
        for (record, time) in self.damage {
            next.set_aside(record.clone(), version, *time);
            next.distrust_caches_of(what.table, version);
        }
        next.record_job(what.job, version);
    }
}

impl Manifest {
    fn rewrite_pages(&mut self, prepared: &Prepared, version: u64) {
        let rewritten = &prepared.rewritten;
        let kept = rewritten.iter().filter(|page| !page.is_empty());
        self.retire_pages(kept.map(|page| &page.old), version);
        let empty = rewritten.iter().filter(|page| page.is_empty());
        let empty: BTreeMap<_, _> = empty.map(|page| (page.old.place(), &page.old)).collect();
        self.pages.retain(|page| !empty.contains_key(&page.place()));
        let empty = empty.into_values().cloned();
        self.condemn(empty.map(Dropped::Page), version);
        for Rewritten {
            new,
            inline,
            removed,
            ..
        } in rewritten.iter().filter(|page| !page.is_empty())
        {
            if prepared.graves.is_empty() {
                self.condemn(removed.iter().cloned().map(Dropped::Section), version);
            }
            self.pages.extend(new.clone());
            self.sections.extend(inline.iter().cloned());
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
        self.replace_one(database, base, replacement.check(&[])?)
            .await
    }

    /// Makes several replacements in one commit, starting from `base` or from something older, without those that can't
    /// be made. The claims of all of them end with it, and those of the jobs in `release`.
    ///
    /// # Errors
    /// What the store answers, and `Impossible` for parts that don't fit each other.
    pub async fn replace_all(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        replacements: &[Replacement],
        release: &[Ulid],
    ) -> Result<ReplaceAllOutcome, ManifestError> {
        let all: Result<Vec<_>, _> = replacements.iter().map(|one| one.check(&[])).collect();
        let set = CheckedSet::new(all?, release)?;
        self.replace_checked(database, base, set).await
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
        self.replace_one(database, base, replacement.check(&records)?)
            .await
    }

    async fn replace_one(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        checked: Checked<'_>,
    ) -> Result<ReplaceOutcome, ManifestError> {
        let set = CheckedSet::new(vec![checked], &[])?;
        Ok(match self.replace_checked(database, base, set).await? {
            ReplaceAllOutcome::Settled(replaced) => {
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
        base: Versioned<Manifest>,
        mut set: CheckedSet<'_>,
    ) -> Result<ReplaceAllOutcome, ManifestError> {
        let mut base = base;
        let mut is_fresh = false;
        for _ in 0..MAX_ATTEMPTS {
            match self.prepare(database, &base, &set).await {
                Ok(Ok(prepared)) => {
                    let change = |base: &Versioned<Manifest>| {
                        let next = set.apply(base, &prepared)?;
                        Ok(Change::Put(next, ()))
                    };
                    let register = self.register(database);
                    match register.commit(Some(base.clone()), change).await? {
                        Commit::Committed { current, .. } => return Ok(set.settled(current)),
                        Commit::Refused(Moved) => {}
                        Commit::Unknown { reason } => {
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
        set.refuse(
            pending
                .into_iter()
                .map(|number| (number, ReplaceRefused::Busy)),
        );
        Ok(set.settled(base))
    }
}

impl CheckedSet<'_> {
    fn refuse(&mut self, refused: impl IntoIterator<Item = (usize, ReplaceRefused)>) {
        for (number, reason) in refused {
            if let Some(one) = self.refused.get_mut(number) {
                *one = Some(reason);
            }
        }
    }

    fn settled(self, current: Versioned<Manifest>) -> ReplaceAllOutcome {
        ReplaceAllOutcome::Settled(Replaced {
            current,
            refused: self.refused,
        })
    }
}

/// The store has given no time yet, without which nothing is named.
pub(crate) fn no_date() -> ManifestError {
    ManifestError::Impossible {
        reason: "the store's answers have no date".to_owned(),
    }
}
