//! Table caches in the manifest: each cache has one object, with the same contents as the sections.
//!
//! ```text
//!   flush      old object + segments of (L, cut] -> new object    referenced by the flush's own commit
//!   backfill   sections at mark M -> first object                 committed only while the mark is M
//!   expiry     rows are removed with their sections               the entry records the expiry time
//! ```
//!
//! An entry is valid for the manifest that contains it. Merges keep it valid, because they change no row. The data of a
//! cache is always in the sections, too: an entry that can't be kept valid is removed, and queries read the sections.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use neap_bucket::{CommitOutcome, RegisterChange, Stamp, StoreTime, VersionedValue};
use neap_schema::{CacheId, DatabaseId, TableId};

use crate::{
    CacheEntry, JobRecord, Manifest, ManifestError, ManifestStore, TableExpiry,
    pending_object::is_young,
};

/// Maximum number of expiries that a manifest keeps. More than a database has views, because a restored database without
/// retention knows only from its manifest which windows of views have lost rows of their source.
const EXPIRIES: usize = 128;

/// The update of a cache entry by a flush that changes its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUpdate {
    /// The entry that the flush read.
    pub from: CacheEntry,
    /// The new entry; `None` removes the entry.
    pub to: Option<NewCacheEntry>,
}

/// A cache entry whose object has been put, but not yet committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCacheEntry {
    /// The entry.
    pub entry: CacheEntry,
    /// Time of drawing the object's name, by the store's clock. It is before the first put of the object.
    pub drawn: StoreTime,
}

impl NewCacheEntry {
    fn may_be_named(&self, base: &VersionedValue<Manifest>) -> bool {
        is_young(self.drawn, base)
    }
}

/// The content of a backfill's commit: first objects of caches, and caches to remove.
#[derive(Clone, Debug)]
pub struct CacheCommit {
    /// The mark of the manifest whose sections were read.
    pub mark: Stamp,
    /// The version whose expiries the objects take into account. Rows that expired in later versions are still in the
    /// objects.
    pub version: u64,
    /// The lowest version of the database catalog that defines the caches.
    pub needs_catalog: u64,
    /// The new entries. A new entry replaces an existing one that starts at a later time.
    pub add: Vec<NewCacheEntry>,
    /// The dropped caches, and the caches of dropped tables.
    pub gone: BTreeSet<CacheId>,
    /// The record of the job, if entries are added.
    pub job: Option<JobRecord>,
}

/// A commit of cache objects was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheRefusal {
    /// A flush has raised the mark.
    #[error("the mark has moved to {mark}")]
    MarkMoved {
        /// The current mark.
        mark: Stamp,
    },
    /// Rows in an object have expired.
    #[error("rows have expired meanwhile")]
    Expired,
    /// The name of an object was drawn too long ago.
    #[error("an object is too old")]
    ObjectTooOld,
}

/// Outcome of the commit of a backfill.
#[derive(Clone, Debug)]
pub enum CacheOutcome {
    /// The entries are in the manifest, except those that another commit has added before. Contains the newest known
    /// manifest.
    Committed(VersionedValue<Manifest>),
    /// Nothing was committed.
    GivenUp(CacheRefusal),
    /// The outcome is unknown.
    Unknown {
        /// Description of the cause.
        reason: String,
    },
}

impl Manifest {
    /// Returns the entry of a cache.
    pub fn cache(&self, cache: CacheId) -> Option<&CacheEntry> {
        self.caches.iter().find(|entry| entry.cache == cache)
    }

    /// Advances the entries to the mark of a flush, in the successor of `base`. An entry of a changed table is replaced
    /// if its object is still the one that the flush read, and removed otherwise. Rows that expired meanwhile were in
    /// the old object, so they are in the new one, and the new entry gets the floor.
    pub(crate) fn advance_caches(
        &mut self,
        base: &VersionedValue<Self>,
        touched: &BTreeSet<TableId>,
        updates: &[CacheUpdate],
        gone: &BTreeSet<CacheId>,
    ) {
        let updates: BTreeMap<_, _> = updates
            .iter()
            .map(|update| ((update.from.cache, update.from.object), update))
            .collect();
        let entries = std::mem::take(&mut self.caches).into_iter();
        let advanced = |entry: CacheEntry| {
            if gone.contains(&entry.cache) {
                return None;
            }
            if !touched.contains(&entry.table) {
                return Some(entry);
            }
            let update = updates.get(&(entry.cache, entry.object))?;
            let mut new = update.to.as_ref().filter(|new| new.may_be_named(base))?.entry.clone();
            if let Some(floor) = entry.floor {
                new.expire(floor);
            }
            Some(new)
        };
        self.caches = entries.filter_map(advanced).collect();
    }

    /// Records in version `version` that rows of a table before a time are gone. An earlier expiry with a later time
    /// stays.
    pub(crate) fn record_expiry(&mut self, table: TableId, before: i64, version: u64) {
        let of_table = self.caches.iter_mut().filter(|entry| entry.table == table);
        for entry in of_table {
            entry.expire(before);
        }
        let is_covered = |expiry: &TableExpiry| expiry.table == table && expiry.before <= before;
        self.expiries.retain(|expiry| !is_covered(expiry));
        self.expiries.push(TableExpiry { table, before, version });
        let surplus = self.expiries.len().saturating_sub(EXPIRIES);
        self.expiries.drain(..surplus);
    }

    /// Removes the cache entries of a table in version `version`, and prevents commits of objects that were built from
    /// earlier versions.
    pub(crate) fn distrust_caches_of(&mut self, table: TableId, version: u64) {
        self.drop_caches_of(table);
        self.record_expiry(table, i64::MAX, version);
    }

    /// Does the same as [`Self::distrust_caches_of`] for a range of tables. If the range has more tables than a
    /// manifest keeps expiries, the list of expiries is full, and tables without a listed expiry are treated as
    /// expired.
    pub(crate) fn distrust_caches_in(&mut self, tables: &RangeInclusive<TableId>, version: u64) {
        self.caches.retain(|entry| !tables.contains(&entry.table));
        let ids = tables.start().get()..=tables.end().get();
        for id in ids.take(EXPIRIES) {
            self.record_expiry(TableId::new(id), i64::MAX, version);
        }
    }

    /// Returns whether rows of a table from a time on may have expired after a version.
    pub fn may_have_expired(&self, table: TableId, from: i64, after: u64) -> bool {
        let is_full = self.expiries.len() >= EXPIRIES;
        let oldest = self.expiries.first().map(|expiry| expiry.version);
        let is_forgotten = is_full && oldest.is_some_and(|oldest| oldest > after);
        let has_expired = |expiry: &TableExpiry| {
            expiry.table == table && expiry.version > after && expiry.before > from
        };
        is_forgotten || self.expiries.iter().any(has_expired)
    }

    /// Removes the entries of a table.
    pub(crate) fn drop_caches_of(&mut self, table: TableId) {
        self.caches.retain(|entry| entry.table != table);
    }
}

impl CacheCommit {
    /// Creates a commit that removes the entries of dropped or unusable caches.
    pub fn forgetting(base: &VersionedValue<Manifest>, gone: BTreeSet<CacheId>) -> Self {
        Self {
            mark: base.value.low_water_mark,
            version: base.version,
            needs_catalog: 0,
            add: Vec::new(),
            gone,
            job: None,
        }
    }

    /// Returns the manifest after the commit; `None` if nothing changes.
    fn apply(&self, base: &VersionedValue<Manifest>) -> Result<Option<Manifest>, CacheRefusal> {
        let mark = base.value.low_water_mark;
        let mut next = Manifest::successor(base);
        next.caches.retain(|entry| !self.gone.contains(&entry.cache));
        let mut is_changed = next.caches.len() < base.value.caches.len();
        let wanted = self.add.iter().filter(|new| {
            let entry = &new.entry;
            let is_better = |known: &CacheEntry| entry.complete_from < known.reaches_back_to();
            let known = base.value.cache(entry.cache);
            known.is_none_or(is_better) && !self.gone.contains(&entry.cache)
        });
        let wanted: Vec<_> = wanted.collect();
        if !wanted.is_empty() && mark != self.mark {
            return Err(CacheRefusal::MarkMoved { mark });
        }
        for new in &wanted {
            let entry = &new.entry;
            let (table, from) = (entry.table, entry.complete_from);
            if base.value.may_have_expired(table, from, self.version) {
                return Err(CacheRefusal::Expired);
            }
            if !new.may_be_named(base) {
                return Err(CacheRefusal::ObjectTooOld);
            }
            next.caches.retain(|known| known.cache != entry.cache);
            next.caches.push(entry.clone());
        }
        if !wanted.is_empty() {
            // A flusher with an older catalog would not know the caches.
            next.needs_catalog = next.needs_catalog.max(self.needs_catalog);
            if let Some(job) = self.job {
                next.record_job(job, base.version + 1);
            }
            is_changed = true;
        }
        debug_assert_eq!(next.check(), Ok(()));
        Ok(is_changed.then_some(next))
    }
}

impl ManifestStore {
    /// Adds entries of new cache objects, and removes those of dropped caches. Commits nothing if nothing changes.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn commit_caches(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        commit: &CacheCommit,
    ) -> Result<CacheOutcome, ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            Ok(match commit.apply(base)? {
                Some(next) => RegisterChange::Put(next, ()),
                None => RegisterChange::Keep(()),
            })
        };
        let outcome = self.register(database).commit(Some(base), change).await?;
        Ok(match outcome {
            CommitOutcome::Committed { current, .. } => CacheOutcome::Committed(current),
            CommitOutcome::Refused(reason) => CacheOutcome::GivenUp(reason),
            CommitOutcome::Unknown { reason } => CacheOutcome::Unknown { reason },
        })
    }
}
