//! The commit of a garbage collection.
//!
//! ```text
//!   collector                                   store
//!     |-- GET manifest, pages ------------------> |   find the references to each object
//!     |-- DELETE objects of doomed entries -----> |   crash after: the next collection deletes them again
//!     |-- commit: remove entries of deleted ----> |
//!     |           objects, mark old entries as doomed, condemn orphans,
//!     |           condemn bundles that may have deleted rows
//! ```
//!
//! A bundle stays as long as one of its sections is live, and with it the bytes of its dropped sections. If these may have
//! rows of an applied row delete, the bundle itself is condemned. Its entry stays until the object is deleted, and tells
//! merges to move the live sections to other objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_bucket::{CommitOutcome, RegisterChange, Stamp, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::{
    CondemnedEntry, Manifest, ManifestError, ManifestStore, ObjectName, PageRef, RecordedDelete,
    ReferencedObjects, condemned::DroppedItem,
};

/// The actions and findings of a garbage collection.
#[derive(Clone, Debug, Default)]
pub struct GarbageCollection {
    /// The references on which the collection is based.
    pub referenced: ReferencedObjects,
    /// The deleted objects, all of [`ReferencedObjects::deletable`].
    pub deleted: BTreeSet<ObjectName>,
    /// Unreferenced objects that are so old that no commit will reference them.
    pub orphans: BTreeSet<ObjectName>,
    /// The sizes of bundles, in bytes. Needed only if the manifest records row deletes.
    pub bundle_sizes: BTreeMap<Ulid, u64>,
    /// Time for which dropped items can be read (time-travel period).
    pub time_travel: Duration,
    /// Restored databases that no longer need their pins.
    pub released: BTreeSet<DatabaseId>,
    /// Publications that are no longer needed, by table and number.
    pub ended_publications: BTreeSet<(TableId, u64)>,
}

impl GarbageCollection {
    /// Returns whether an entry can be removed: it was doomed when the references were read, and each of its objects is
    /// deleted or is needed by an entry that was not doomed then. The entry of a bundle itself stays as long as any
    /// section of the bundle is known.
    fn is_done(&self, entry: &CondemnedEntry) -> bool {
        let referenced = &self.referenced;
        let has_sections =
            entry.bundle().is_some_and(|bundle| referenced.bundles.contains_key(&bundle));
        let names = || referenced.names_of(entry).into_iter();
        let is_needed = |name: &ObjectName| !has_sections && referenced.is_needed(name);
        entry.doomed
            && referenced.doomed_entries.contains(&entry.key())
            && names().all(|name| self.deleted.contains(&name) || is_needed(&name))
    }

    /// Returns the bundles that contain dropped sections, with the stamp up to which row deletes were applied to all
    /// their sections.
    fn bundles_with_dropped_sections(&self) -> impl Iterator<Item = (Ulid, Stamp)> {
        let bundles = self.referenced.bundles.iter();
        bundles.filter_map(|(bundle, summary)| {
            let size = self.bundle_sizes.get(bundle)?;
            let is_left = !self.deleted.contains(&ObjectName::Bundle(*bundle));
            (is_left && summary.live_bytes < *size).then_some((*bundle, summary.clean_upto))
        })
    }
}

impl Manifest {
    /// Returns the manifest after a collection; `None` if nothing changes.
    fn collected(
        base: &VersionedValue<Self>,
        by: &GarbageCollection,
        now: StoreTime,
    ) -> Option<Self> {
        let mut next = Self::successor(base);
        let before = next.clone();
        next.pins.retain(|pin| !by.released.contains(&pin.database));
        next.claims.retain(|claim| now < claim.expires);
        next.publications
            .retain(|one| !by.ended_publications.contains(&(one.table, one.number)));
        next.condemned.retain(|entry| !by.is_done(entry));
        next.doom(now, by.time_travel);
        let is_known = |page: &PageRef| by.referenced.examined.contains(&page.place());
        if next.pages.iter().all(is_known) {
            next.condemn_orphans(by, base.version + 1);
            next.settle_deletes(base.version + 1, |recorded| {
                by.referenced.unmet.contains(recorded)
            });
        }
        next.condemn_bundles(by, now);
        next.forget_deletes(now, by.time_travel);
        next.forget_marks();
        debug_assert_eq!(next.check(), Ok(()));
        (next != before).then_some(next)
    }

    /// Marks entries as doomed that were dropped at least `time_travel` ago, unless a restored database or a published
    /// table needs them.
    fn doom(&mut self, now: StoreTime, time_travel: Duration) {
        let aged = |entry: &CondemnedEntry| {
            let age = entry.committed.map(|committed| now.since(committed));
            age.is_some_and(|age| age >= time_travel)
        };
        let mut entries = std::mem::take(&mut self.condemned);
        for entry in entries.iter_mut().filter(|entry| !entry.doomed) {
            entry.doomed = aged(entry) && !self.is_pinned(entry) && !self.is_published(entry);
            if entry.doomed && entry.first_added().is_some() {
                self.oldest_readable = self.oldest_readable.max(entry.version);
            }
        }
        self.condemned = entries;
    }

    /// Returns whether the version of a pin may have had the item.
    pub(crate) fn is_pinned(&self, entry: &CondemnedEntry) -> bool {
        self.pins.iter().any(|pin| entry.may_be_in(pin.version))
    }

    fn condemn_orphans(&mut self, by: &GarbageCollection, version: u64) {
        let mut named: BTreeSet<ObjectName> = BTreeSet::new();
        let own = self.sections.iter().filter(|section| section.origin.is_none());
        named.extend(own.map(|section| section.object_name()));
        named.extend(self.pages.iter().map(|page| ObjectName::Page(page.object)));
        for entry in &self.condemned {
            named.extend(by.referenced.names_of(entry));
        }
        let orphans: Vec<_> = by
            .orphans
            .iter()
            .filter(|name| !named.contains(name) && !by.referenced.live.contains(name))
            .copied()
            .map(DroppedItem::Object)
            .collect();
        self.condemn(orphans, version);
    }

    /// Condemns bundles whose dropped sections may have rows of applied row deletes. The entries have the version that
    /// applied the first of these deletes, so that its request is not completed before the objects are deleted.
    fn condemn_bundles(&mut self, by: &GarbageCollection, now: StoreTime) {
        let requested = self.deletes.iter().filter(|recorded| !recorded.expiry);
        let applied: Vec<(Stamp, u64)> = requested
            .filter_map(|recorded| Some((recorded.stamp, recorded.dropped?)))
            .collect();
        if applied.is_empty() {
            return;
        }
        let known: BTreeSet<Ulid> =
            self.condemned.iter().filter_map(CondemnedEntry::bundle).collect();
        for (bundle, clean_upto) in by.bundles_with_dropped_sections() {
            let later = applied.iter().filter(|(stamp, _)| clean_upto < *stamp);
            let version = later.map(|(_, version)| *version).min();
            if let Some(version) = version.filter(|_| !known.contains(&bundle)) {
                self.condemned.push(CondemnedEntry {
                    committed: Some(now),
                    ..CondemnedEntry::new(DroppedItem::Object(ObjectName::Bundle(bundle)), version)
                });
            }
        }
    }

    /// Removes row deletes that no readable version needs.
    fn forget_deletes(&mut self, now: StoreTime, time_travel: Duration) {
        let is_old = |committed: StoreTime| now.since(committed) >= time_travel;
        let marks = self.marks.iter();
        let aged = marks
            .filter(|record| record.committed.is_some_and(is_old))
            .map(|record| record.version)
            .max()
            .unwrap_or(0)
            .max(self.oldest_readable);
        // Restored databases have their own copies.
        let is_aged = |recorded: &RecordedDelete| recorded.dropped.filter(|drop| *drop <= aged);
        let gone = self.deletes.iter().filter_map(is_aged).max();
        self.deletes.retain(|recorded| is_aged(recorded).is_none());
        self.oldest_readable = self.oldest_readable.max(gone.unwrap_or(0));
    }
}

impl ManifestStore {
    /// Commits a collection. Commits nothing if nothing changes.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::Inconsistent`] if the outcome is unknown.
    pub async fn commit_collection(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        collection: &GarbageCollection,
    ) -> Result<VersionedValue<Manifest>, ManifestError> {
        let change = |base: &VersionedValue<Manifest>| {
            let next = base.current_at.and_then(|now| Manifest::collected(base, collection, now));
            Ok::<_, std::convert::Infallible>(match next {
                Some(next) => RegisterChange::Put(next, ()),
                None => RegisterChange::Keep(()),
            })
        };
        match self.register(database).commit(Some(base), change).await? {
            CommitOutcome::Committed { current, .. } => Ok(current),
            CommitOutcome::Refused(never) => match never {},
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }
}
