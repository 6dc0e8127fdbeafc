//! What the caches of tables hold: of each cache one object, which holds what the sections hold.
//!
//! ```text
//!   flush      old object + segments of (L, cut] -> new object    named by the flush's own commit
//!   backfill   sections at mark M -> first object                 named only while the mark is M
//!   expiry     rows leave with their sections                     the entry says before which time
//! ```
//!
//! An entry is true of the manifest that has it, whatever merges do: they change no row. It is never the only place
//! of anything: an entry that can't be kept true leaves, and queries read the sections.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use neap_bucket::{Change, Commit, Key, Stamp, StoreTime, Versioned};
use neap_schema::{CacheId, DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{JobRecord, Manifest, ManifestError, ManifestStore, flush::is_young};

/// The number of expiries that a manifest remembers.
const EXPIRIES: usize = 64;

/// The object of a cache. It holds what the sections hold up to the low-water mark of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// The cache.
    pub cache: CacheId,
    /// Its table.
    pub table: TableId,
    /// The object.
    pub object: Ulid,
    /// The length of the object in bytes.
    pub length: u64,
    /// The number of its rows or values.
    pub rows: u64,
    /// The CRC-32C of its bytes.
    pub crc32c: u32,
    /// It has all rows from this time on (nanoseconds since the epoch), and none from before.
    pub complete_from: i64,
    /// Its rows before this time have expired since it was written, and don't count; later than `complete_from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<i64>,
}

impl CacheEntry {
    /// The key of the object.
    pub fn key(&self, database: DatabaseId) -> Key {
        Key::Cache(database, self.cache, self.object)
    }

    /// The time from which on it tells all that the sections hold.
    pub fn reaches_back_to(&self) -> i64 {
        self.floor
            .map_or(self.complete_from, |floor| floor.max(self.complete_from))
    }

    /// Notes that rows before a time have expired, if it has any.
    fn expire(&mut self, before: i64) {
        if before > self.complete_from {
            self.floor = self.floor.max(Some(before));
        }
    }
}

/// Rows of a table that have left because they have expired, or of which something wrong was thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// The table.
    pub table: TableId,
    /// The time before which they were, in nanoseconds since the epoch.
    pub before: i64,
    /// The version of the manifest in which this happened.
    pub version: u64,
}

/// What a flush makes of an entry of a table that it touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUpdate {
    /// The entry as it was read.
    pub from: CacheEntry,
    /// What takes its place; `None`: it leaves.
    pub to: Option<NewCacheEntry>,
}

/// An entry whose object was put for the commit that is to name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCacheEntry {
    /// The entry.
    pub entry: CacheEntry,
    /// When the name of the object was drawn, by the store's clock: before it was first put.
    pub drawn: StoreTime,
}

impl NewCacheEntry {
    fn may_be_named(&self, base: &Versioned<Manifest>) -> bool {
        is_young(self.drawn, base)
    }
}

/// First objects of caches, and caches that are no more.
#[derive(Clone, Debug)]
pub struct CacheCommit {
    /// The mark of the manifest whose sections were read.
    pub mark: Stamp,
    /// The version in which expired rows were last left out: those that have expired later are in the objects.
    pub version: u64,
    /// The version of the database catalog that says what the caches are.
    pub needs_catalog: u64,
    /// The entries. One takes the place of another that does not reach back as far.
    pub add: Vec<NewCacheEntry>,
    /// The caches that are dropped, or whose tables are.
    pub gone: BTreeSet<CacheId>,
    /// What is remembered of the job, if something is added.
    pub job: Option<JobRecord>,
}

/// Why objects of caches are not those of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheRefused {
    /// Somebody has flushed.
    #[error("the mark has moved to {mark}")]
    MarkMoved {
        /// The mark now.
        mark: Stamp,
    },
    /// Rows have expired that an object holds.
    #[error("rows have expired meanwhile")]
    Expired,
    /// The name of an object was drawn too long ago.
    #[error("an object is too old")]
    ObjectTooOld,
}

/// How the commit of a backfill ended.
#[derive(Clone, Debug)]
pub enum CacheOutcome {
    /// The entries are in the manifest, unless somebody else's were; the newest manifest known.
    Committed(Versioned<Manifest>),
    /// Nothing was committed.
    GivenUp(CacheRefused),
    /// It can't be told whether it was committed.
    Unknown {
        /// The cause, for people.
        reason: String,
    },
}

impl Manifest {
    /// The entry of a cache.
    pub fn cache(&self, cache: CacheId) -> Option<&CacheEntry> {
        self.caches.iter().find(|entry| entry.cache == cache)
    }

    /// Lets entries stand at the mark of a flush, in the successor of `base`: those of tables that it touches are
    /// replaced if their objects are still those that it has read, and leave if not. What has expired meanwhile was
    /// in the old object, so that it is in the new one.
    pub(crate) fn advance_caches(
        &mut self,
        base: &Versioned<Self>,
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
            let new = update.to.as_ref().filter(|new| new.may_be_named(base))?;
            let mut new = new.entry.clone();
            if let Some(floor) = entry.floor {
                new.expire(floor);
            }
            Some(new)
        };
        self.caches = entries.filter_map(advanced).collect();
    }

    /// Remembers, in what becomes version `version`, that rows of a table before a time are gone. An earlier expiry of
    /// later rows stays.
    pub(crate) fn note_expiry(&mut self, table: TableId, before: i64, version: u64) {
        let of_table = self.caches.iter_mut().filter(|entry| entry.table == table);
        for entry in of_table {
            entry.expire(before);
        }
        let is_covered = |expiry: &Expiry| expiry.table == table && expiry.before <= before;
        self.expiries.retain(|expiry| !is_covered(expiry));
        self.expiries.push(Expiry {
            table,
            before,
            version,
        });
        let surplus = self.expiries.len().saturating_sub(EXPIRIES);
        self.expiries.drain(..surplus);
    }

    /// Forgets, in what becomes version `version`, what caches hold of a table, and lets nobody name what was read of
    /// it before.
    pub(crate) fn distrust_caches_of(&mut self, table: TableId, version: u64) {
        self.drop_caches_of(table);
        self.note_expiry(table, i64::MAX, version);
    }

    /// The same for a range of tables. Where it has more tables than expiries are remembered, those that are not
    /// among the remembered ones count as forgotten.
    pub(crate) fn distrust_caches_in(&mut self, tables: &RangeInclusive<TableId>, version: u64) {
        self.caches.retain(|entry| !tables.contains(&entry.table));
        let ids = tables.start().get()..=tables.end().get();
        for id in ids.take(EXPIRIES) {
            self.note_expiry(TableId::new(id), i64::MAX, version);
        }
    }

    /// Whether rows of a table from a time on may have expired after a version.
    pub fn may_have_expired(&self, table: TableId, from: i64, after: u64) -> bool {
        let is_full = self.expiries.len() >= EXPIRIES;
        let oldest = self.expiries.first().map(|expiry| expiry.version);
        let is_forgotten = is_full && oldest.is_some_and(|oldest| oldest > after);
        let has_expired = |expiry: &Expiry| {
            expiry.table == table && expiry.version > after && expiry.before > from
        };
        is_forgotten || self.expiries.iter().any(has_expired)
    }

    /// Forgets the entries of a table.
    pub(crate) fn drop_caches_of(&mut self, table: TableId) {
        self.caches.retain(|entry| entry.table != table);
    }
}

impl CacheCommit {
    /// Lets the entries of caches leave, be it that they are no more or that their objects are of no use.
    pub fn forgetting(base: &Versioned<Manifest>, gone: BTreeSet<CacheId>) -> Self {
        Self {
            mark: base.value.low_water_mark,
            version: base.version,
            needs_catalog: 0,
            add: Vec::new(),
            gone,
            job: None,
        }
    }

    /// The manifest after it; `None` if that is no change.
    fn apply(&self, base: &Versioned<Manifest>) -> Result<Option<Manifest>, CacheRefused> {
        let mark = base.value.low_water_mark;
        let mut next = Manifest::successor(base);
        next.caches
            .retain(|entry| !self.gone.contains(&entry.cache));
        let mut is_changed = next.caches.len() < base.value.caches.len();
        let wanted = self.add.iter().filter(|new| {
            let entry = &new.entry;
            let is_better = |known: &CacheEntry| entry.complete_from < known.reaches_back_to();
            let known = base.value.cache(entry.cache);
            known.is_none_or(is_better) && !self.gone.contains(&entry.cache)
        });
        let wanted: Vec<_> = wanted.collect();
        if !wanted.is_empty() && mark != self.mark {
            return Err(CacheRefused::MarkMoved { mark });
        }
        for new in &wanted {
            let entry = &new.entry;
            let (table, from) = (entry.table, entry.complete_from);
            if base.value.may_have_expired(table, from, self.version) {
                return Err(CacheRefused::Expired);
            }
            if !new.may_be_named(base) {
                return Err(CacheRefused::ObjectTooOld);
            }
            next.caches.retain(|known| known.cache != entry.cache);
            next.caches.push(entry.clone());
        }
        if !wanted.is_empty() {
            // Who flushes by an older catalog would not know the caches.
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
    /// Names the objects of caches that had none, and forgets those of caches that are no more. Without a change it
    /// is no commit.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn commit_caches(
        &self,
        database: DatabaseId,
        base: Versioned<Manifest>,
        commit: &CacheCommit,
    ) -> Result<CacheOutcome, ManifestError> {
        let change = |base: &Versioned<Manifest>| {
            Ok(match commit.apply(base)? {
                Some(next) => Change::Put(next, ()),
                None => Change::Keep(()),
            })
        };
        let outcome = self.register(database).commit(Some(base), change).await?;
        Ok(match outcome {
            Commit::Committed { current, .. } => CacheOutcome::Committed(current),
            Commit::Refused(reason) => CacheOutcome::GivenUp(reason),
            Commit::Unknown { reason } => CacheOutcome::Unknown { reason },
        })
    }
}
