//! Garbage collection: deletes objects that are no longer needed. No other component deletes objects.
//!
//! ```text
//!   collector                                 store
//!     |-- GET manifest, LIST tail ----------->  |
//!     |-- DELETE segments below settled marks>  |   crash after: fewer segments, no harm
//!     |-- LIST data, GET pages -------------->  |
//!     |-- DELETE condemned objects ---------->  |   crash after: the next run deletes them again
//!     |-- commit: drop entries, condemn new ->  |   only objects condemned by a committed manifest are deleted
//! ```
//!
//! All ages are differences between times of the store. Nothing is deleted while the clocks disagree, see
//! [`Bucket::removal_time`]. Keys that are not Neap's are never touched.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Bucket, Key, ListEntry, SegmentName, Stamp, VersionedValue};
use neap_catalog::{ANY_AGE, Catalog, CatalogError, NODE_RECORD_AGE};
use neap_manifest::{
    CacheCommit, CacheOutcome, GarbageCollection, Manifest, ManifestStore, OBJECT_NAME_AGE,
    ObjectName, ReferencedObjects, VersionPin,
};
use neap_schema::{DatabaseId, TableId};

use crate::{
    CompactError,
    caches::{has_had_caches, sweep},
    engine_objects::{self, LastCodeScan},
    iceberg::EndedPublications,
    listed_objects::ListedObjects,
    listing::{ListingPage, ListingPages, delete},
    trigger_progress::{SegmentDisposition, TriggerProgress},
};

/// Prefix of query results.
const RESULTS_PREFIX: &str = "results/";

/// Time after which a restore counts as abandoned if its database has no manifest yet.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of garbage collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarbageCollectorSettings {
    /// How long dropped data remains readable by as-of queries, and by queries in progress.
    pub time_travel: Duration,
    /// Segments are deleted after a mark has been above them for this time. The requests of one snapshot are closer
    /// together than this.
    pub segment_grace: Duration,
    /// Age at which unreferenced objects are garbage. At least twice the age at which a commit may still reference
    /// them.
    pub orphan_age: Duration,
    /// Age at which query results are deleted.
    pub result_age: Duration,
    /// Age at which the rows of tasks of distributed queries are deleted. Longer than any query.
    pub task_result_age: Duration,
    /// Only report the objects that would be deleted.
    pub dry_run: bool,
}

impl Default for GarbageCollectorSettings {
    fn default() -> Self {
        Self {
            time_travel: Duration::from_secs(60 * 60),
            segment_grace: Duration::from_secs(120),
            orphan_age: Duration::from_secs(24 * 60 * 60),
            result_age: Duration::from_secs(24 * 60 * 60),
            task_result_age: Duration::from_secs(60 * 60),
            dry_run: false,
        }
    }
}

/// Error: the time-travel period is so short that a query may miss objects that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--time-travel {} s is too short for queries of up to {} s (--query-timeout): it must be at least twice as long",
    time_travel.as_secs(),
    query_timeout.as_secs()
)]
pub struct TimeTravelTooShort {
    /// The period.
    pub time_travel: Duration,
    /// The query timeout.
    pub query_timeout: Duration,
}

impl GarbageCollectorSettings {
    /// Returns the settings for a bucket with a query timeout. A query reads the objects of its snapshot until it ends,
    /// so `time_travel` must be at least twice as long: the second half covers the age of the snapshot and the clock
    /// skew of the store.
    ///
    /// # Errors
    /// `time_travel` is less than twice `query_timeout`.
    pub fn for_queries(
        time_travel: Duration,
        query_timeout: Duration,
    ) -> Result<Self, TimeTravelTooShort> {
        if time_travel < query_timeout.saturating_mul(2) {
            return Err(TimeTravelTooShort {
                time_travel,
                query_timeout,
            });
        }
        Ok(Self {
            time_travel,
            ..Self::default()
        })
    }
}

/// Counts of deleted objects, or in a dry run, of objects that would be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionReport {
    /// Segments whose rows are in sections.
    pub segments: usize,
    /// Bundles, pages and cache objects.
    pub objects: usize,
    /// Unreferenced objects that are now condemned.
    pub orphans: usize,
    /// Query results, and records of terminated processes.
    pub results: usize,
    /// Objects of the processing engine: claims, logs, checkpoints and code.
    pub engine: usize,
    /// Settled segments that are kept because a trigger has not seen them, or they are not shipped, or damaged.
    pub kept: usize,
    /// Deleted segments that a trigger has not seen.
    pub unseen: usize,
    /// The keys of all counted objects, in a dry run.
    pub keys: Vec<String>,
}

impl CollectionReport {
    /// Adds two results.
    pub fn and(mut self, other: Self) -> Self {
        self.segments += other.segments;
        self.objects += other.objects;
        self.orphans += other.orphans;
        self.results += other.results;
        self.engine += other.engine;
        self.kept += other.kept;
        self.unseen += other.unseen;
        self.keys.extend(other.keys);
        self
    }
}

/// Whether triggers protect segments from deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TriggerProtection {
    /// Segments are kept until triggers have seen them.
    Enabled,
    /// The database is removed, so triggers protect no segments.
    Disabled,
}

/// Deletes objects that are no longer needed.
#[derive(Clone, Debug)]
pub struct GarbageCollector {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    settings: GarbageCollectorSettings,
    last_look_at_code: LastCodeScan,
}

impl GarbageCollector {
    /// Creates a collector for the databases of a bucket.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        settings: GarbageCollectorSettings,
    ) -> Self {
        let orphan_age = settings.orphan_age.max(2 * OBJECT_NAME_AGE);
        Self {
            bucket,
            catalog,
            manifests,
            settings: GarbageCollectorSettings {
                orphan_age,
                ..settings
            },
            last_look_at_code: LastCodeScan::default(),
        }
    }

    /// Deletes objects that a database no longer needs: segments whose rows are in sections, and objects that were
    /// dropped long enough ago. Two runs separated by the time-travel period delete all current garbage.
    pub async fn collect(&self, database: DatabaseId) -> Result<CollectionReport, CompactError> {
        let manifest = self.manifests.read(database, None).await?;
        self.collect_from(database, manifest).await
    }

    /// Like [`collect`](Self::collect), with a manifest that the caller has just read.
    pub(crate) async fn collect_from(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
    ) -> Result<CollectionReport, CompactError> {
        self.bucket.removal_time(manifest.value.low_water_mark)?;
        if manifest.version == 0 {
            // Nothing tells which objects are needed: the manifest may be lost.
            return self.collect_engine(database, false).await;
        }
        // Collect caches first: an object that is referenced after the manifest was read must not become old in the
        // meantime.
        let (caches, manifest) = self.collect_caches(database, manifest).await?;
        let segments = self.collect_segments(database, &manifest).await?;
        let (published, ended) = self.collect_publications(database, &manifest).await?;
        let objects = self.collect_objects(database, manifest, ended).await;
        // Damaged data does not affect the processing engine.
        let engine = self.collect_engine(database, false).await?;
        Ok(segments.and(caches).and(published).and(objects?).and(engine))
    }

    /// Deletes superseded cache objects, if the database ever had a cache. Removes the entries of missing objects, so
    /// that these are rebuilt.
    async fn collect_caches(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
    ) -> Result<(CollectionReport, VersionedValue<Manifest>), CompactError> {
        let catalog = self.catalog.database(database, ANY_AGE).await?;
        if !has_had_caches(&catalog.value) {
            return Ok((CollectionReport::default(), manifest));
        }
        let swept = sweep(&self.bucket, database, Some(&manifest.value)).await?;
        let collected = self.delete_objects(swept.superseded).await?;
        if swept.missing.is_empty() || self.settings.dry_run {
            return Ok((collected, manifest));
        }
        tracing::warn!(%database, caches = swept.missing.len(), "cache objects are missing from the bucket");
        let commit = CacheCommit::forgetting(&manifest, swept.missing);
        let outcome = self.manifests.commit_caches(database, manifest.clone(), &commit);
        Ok(match outcome.await? {
            CacheOutcome::Committed(current) => (collected, current),
            CacheOutcome::GivenUp(_) | CacheOutcome::Unknown { .. } => (collected, manifest),
        })
    }

    /// Deletes the objects of publications that have ended. Also returns these publications, which the commit of the
    /// collection removes.
    async fn collect_publications(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
    ) -> Result<(CollectionReport, BTreeSet<(TableId, u64)>), CompactError> {
        let grace = self.settings.time_travel;
        let ended =
            EndedPublications::list(&self.bucket, &self.catalog, database, manifest, grace).await?;
        let collected = self.delete_objects(ended.keys).await?;
        Ok((collected, ended.publications))
    }

    async fn delete_objects(&self, keys: Vec<String>) -> Result<CollectionReport, CompactError> {
        let mut collected = CollectionReport {
            objects: keys.len(),
            ..CollectionReport::default()
        };
        self.delete(keys, &mut collected).await?;
        Ok(collected)
    }

    /// Deletes garbage of the processing engine in a database.
    async fn collect_engine(
        &self,
        database: DatabaseId,
        is_removed: bool,
    ) -> Result<CollectionReport, CompactError> {
        let keys = engine_objects::superseded(&self.bucket, &self.catalog, database, is_removed);
        self.delete_of_engine(keys.await?).await
    }

    /// Deletes unreferenced plugin code.
    pub async fn collect_code(&self) -> Result<CollectionReport, CompactError> {
        let last_look = &self.last_look_at_code;
        let keys = engine_objects::unreferenced_code(&self.bucket, &self.catalog, last_look);
        self.delete_of_engine(keys.await?).await
    }

    async fn delete_of_engine(&self, keys: Vec<String>) -> Result<CollectionReport, CompactError> {
        let mut collected = CollectionReport {
            engine: keys.len(),
            ..CollectionReport::default()
        };
        self.delete(keys, &mut collected).await?;
        Ok(collected)
    }

    /// Deletes the segments whose rows every snapshot finds in sections and that every trigger has seen.
    pub async fn collect_segments(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
    ) -> Result<CollectionReport, CompactError> {
        let prefix = Key::tail_prefix(database);
        let pages = ListingPages::new(&self.bucket, &prefix);
        self.collect_segments_of(database, manifest, pages).await
    }

    /// Like [`collect_segments`](Self::collect_segments), for a tail that was just listed.
    pub(crate) async fn collect_listed_segments(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        tail: ListingPage,
    ) -> Result<CollectionReport, CompactError> {
        let prefix = Key::tail_prefix(database);
        let pages = ListingPages::known(&self.bucket, &prefix, tail);
        self.collect_segments_of(database, manifest, pages).await
    }

    async fn collect_segments_of(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        tail: ListingPages<'_>,
    ) -> Result<CollectionReport, CompactError> {
        let grace = self.settings.segment_grace;
        let removal_time = self.bucket.removal_time(manifest.value.low_water_mark);
        let settled = manifest
            .current_at
            .filter(|_| removal_time.is_ok())
            .and_then(|now| Manifest::settled_mark(manifest, now, grace));
        match settled {
            Some(mark) => {
                let is_kept = |name| manifest.value.keeps_segment(name);
                self.delete_segments((database, tail), mark, TriggerProtection::Enabled, is_kept)
                    .await
            }
            None => Ok(CollectionReport::default()),
        }
    }

    /// Deletes the segments of a tail up to a mark, except those for which `kept` is true.
    async fn delete_segments(
        &self,
        (database, mut pages): (DatabaseId, ListingPages<'_>),
        upto: Stamp,
        triggers: TriggerProtection,
        kept: impl Fn(SegmentName) -> bool,
    ) -> Result<CollectionReport, CompactError> {
        let mut collected = CollectionReport::default();
        let mut unseen = match triggers {
            TriggerProtection::Enabled => None,
            TriggerProtection::Disabled => Some(TriggerProgress::default()),
        };
        while let Some(page) = pages.next().await? {
            let mut settled = settled(database, upto, page.entries);
            let before = settled.len();
            settled.retain(|(name, _)| !kept(*name));
            collected.kept += before - settled.len();
            if settled.is_empty() {
                continue;
            }
            // Read lazily, because often there is nothing to delete.
            let unseen = match &mut unseen {
                Some(unseen) => unseen,
                none => none.insert(self.unseen(database).await?),
            };
            let mut keys = Vec::new();
            for (name, entry) in settled {
                match unseen.disposition(name, &entry, page.date) {
                    SegmentDisposition::Keep => {
                        collected.kept += 1;
                        continue;
                    }
                    SegmentDisposition::DeleteUnseen => collected.unseen += 1,
                    SegmentDisposition::Delete => {}
                }
                keys.push(entry.key);
            }
            collected.segments += keys.len();
            self.delete(keys, &mut collected).await?;
        }
        if collected.unseen > 0 && !self.settings.dry_run {
            let segments = collected.unseen;
            tracing::warn!(%database, segments, "deleted segments that triggers have not seen for a day");
        }
        Ok(collected)
    }

    async fn unseen(&self, database: DatabaseId) -> Result<TriggerProgress, CompactError> {
        let grace = self.settings.segment_grace;
        TriggerProgress::read(&self.bucket, &self.catalog, database, grace).await
    }

    async fn delete(
        &self,
        keys: Vec<String>,
        collected: &mut CollectionReport,
    ) -> Result<(), CompactError> {
        if self.settings.dry_run {
            collected.keys.extend(keys);
            return Ok(());
        }
        Ok(delete(&self.bucket, &keys).await?)
    }

    async fn collect_objects(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
        ended_publications: BTreeSet<(TableId, u64)>,
    ) -> Result<CollectionReport, CompactError> {
        let listed = ListedObjects::list(
            &self.bucket,
            database,
            &manifest.value,
            self.settings.orphan_age,
        )
        .await?;
        let value = &manifest.value;
        let has_pending = value.pending_deletes().next().is_some();
        let is_clean = value.condemned.is_empty()
            && value.pins.is_empty()
            && ended_publications.is_empty()
            && !has_pending;
        if listed.old.is_empty() && is_clean {
            return Ok(CollectionReport::default());
        }
        let referenced = self.manifests.referenced_objects(database, value).await?;
        let orphans: BTreeSet<_> =
            listed.old.into_iter().filter(|object| !referenced.names(*object)).collect();
        let deletable = referenced.deletable();
        let mut collected = CollectionReport {
            objects: deletable.len(),
            orphans: orphans.len(),
            ..CollectionReport::default()
        };
        // Delete pages last, because they reference the other objects.
        for is_page in [false, true] {
            let now = deletable
                .iter()
                .filter(|object| matches!(object, ObjectName::Page(_)) == is_page);
            let keys = now.map(|object| object.key(database).to_string()).collect();
            self.delete(keys, &mut collected).await?;
        }
        if self.settings.dry_run {
            let orphans = orphans.iter();
            let keys = orphans.map(|object| object.key(database).to_string());
            collected.keys.extend(keys);
            return Ok(collected);
        }
        let collection = GarbageCollection {
            released: self.released(database, &manifest, &referenced).await?,
            referenced,
            deleted: deletable,
            orphans,
            bundle_sizes: listed.bundle_sizes,
            time_travel: self.settings.time_travel,
            ended_publications,
        };
        self.manifests.commit_collection(database, manifest, &collection).await?;
        Ok(collected)
    }

    /// Returns the restored databases that no longer need the objects they started with.
    async fn released(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        referenced: &ReferencedObjects,
    ) -> Result<BTreeSet<DatabaseId>, CompactError> {
        let mut released = BTreeSet::new();
        for pin in &manifest.value.pins {
            if !released.contains(&pin.database)
                && self.is_released(database, manifest, referenced, pin).await?
            {
                released.insert(pin.database);
            }
        }
        Ok(released)
    }

    async fn is_released(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        own: &ReferencedObjects,
        pin: &VersionPin,
    ) -> Result<bool, CompactError> {
        let age = manifest.current_at.map(|now| now.since(pin.created));
        let is_late = age.is_some_and(|age| age >= RESTORE_TIMEOUT);
        let read = self.manifests.read(pin.database, None).await?;
        let register = self.manifests.register(pin.database);
        let restored = match self.catalog.verify_absence(&register, read).await {
            Ok(restored) => restored,
            // It is unknown which objects it needs.
            Err(CatalogError::Missing(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if restored.version == 0 {
            return Ok(is_late);
        }
        let referenced = self.manifests.referenced_objects(pin.database, &restored.value).await?;
        if !(referenced.is_complete() && own.is_complete()) {
            return Ok(false);
        }
        let origins = referenced.origins();
        // Objects from which this database was itself restored are kept as long as this database references them.
        Ok(!origins.contains(&database) && origins.is_disjoint(own.origins()))
    }

    /// Deletes all objects of a database whose removal has started, once queries can no longer read them. Also returns
    /// whether the removal is complete.
    pub(crate) async fn collect_dropped(
        &self,
        database: DatabaseId,
    ) -> Result<(CollectionReport, bool), CompactError> {
        let collected = self.collect(database).await?;
        let read = self.manifests.read(database, None).await?;
        // A lost manifest tells neither what is left nor which restored databases need it.
        let register = self.manifests.register(database);
        let manifest = self.catalog.verify_absence(&register, read).await?.value;
        let is_empty = manifest.section_count() == 0
            && manifest.condemned.is_empty()
            && manifest.pins.is_empty();
        if !is_empty || self.settings.dry_run {
            return Ok((collected, false));
        }
        let prefix = Key::tail_prefix(database);
        let segments = self
            .delete_segments(
                (database, ListingPages::new(&self.bucket, &prefix)),
                Stamp::from_u64(u64::MAX),
                TriggerProtection::Disabled,
                |_| false,
            )
            .await?;
        let engine = self.collect_engine(database, true).await?;
        let caches = sweep(&self.bucket, database, None).await?;
        let caches = self.delete_objects(caches.superseded).await?;
        // A flush may have been in progress.
        let left = self.manifests.read(database, None).await?.value;
        let mut damaged = CollectionReport::default();
        if !manifest.damage.is_empty() {
            // These objects were kept because they are damaged, or because damaged pages may reference them.
            let prefix = Key::data_prefix(database);
            self.delete_prefix(&prefix, &mut damaged).await?;
        }
        Ok((
            collected.and(segments).and(caches).and(engine).and(damaged),
            left.section_count() == 0,
        ))
    }

    /// Deletes all objects of a database whose data was removed long ago, and its registers last. This covers objects
    /// that requests in progress have put since the removal, and objects that commits of frozen processes have
    /// referenced.
    ///
    /// Deletes nothing and returns `None` if the manifest references sections, or a restored database started from this
    /// one.
    pub(crate) async fn erase(
        &self,
        database: DatabaseId,
    ) -> Result<Option<CollectionReport>, CompactError> {
        let manifest = self.manifests.read(database, None).await?.value;
        if manifest.section_count() > 0 || !manifest.pins.is_empty() {
            tracing::warn!(%database, "a removed database is referenced again and is kept");
            return Ok(None);
        }
        let mut collected = CollectionReport::default();
        for prefix in Key::prefixes_of(database) {
            self.delete_prefix(&prefix, &mut collected).await?;
        }
        let registers = Key::registers_of(database).map(|key| key.to_string()).to_vec();
        self.delete(registers, &mut collected).await?;
        Ok(Some(collected))
    }

    /// Deletes all objects of Neap with a prefix, page by page.
    async fn delete_prefix(
        &self,
        prefix: &str,
        collected: &mut CollectionReport,
    ) -> Result<(), CompactError> {
        let mut pages = ListingPages::new(&self.bucket, prefix);
        while let Some(page) = pages.next().await? {
            let own: Vec<_> = page
                .entries
                .into_iter()
                .map(|entry| entry.key)
                .filter(|key| key.parse::<Key>().is_ok())
                .collect();
            collected.objects += own.len();
            self.delete(own, collected).await?;
        }
        Ok(())
    }

    /// Deletes expired query results and node records of processes that no longer update them.
    pub async fn collect_results(&self) -> Result<CollectionReport, CompactError> {
        let results = self.collect_expired(RESULTS_PREFIX).await?;
        let nodes = self.collect_expired(Key::NODES_PREFIX);
        Ok(results.and(nodes.await?))
    }

    /// Returns the age since the last put at which an object expires; `None` if it does not expire.
    fn lifetime(&self, key: &str) -> Option<Duration> {
        match key.parse() {
            Ok(Key::QueryResult(..)) => Some(self.settings.result_age),
            Ok(Key::TaskResult(..)) => Some(self.settings.task_result_age),
            Ok(Key::Node(_)) => Some(NODE_RECORD_AGE),
            _ => None,
        }
    }

    /// Deletes the expired objects with a prefix.
    async fn collect_expired(&self, prefix: &str) -> Result<CollectionReport, CompactError> {
        let mut collected = CollectionReport::default();
        let mut pages = ListingPages::new(&self.bucket, prefix);
        while let Some(page) = pages.next().await? {
            let is_expired = |entry: &&ListEntry| {
                let age = page.date.map(|date| date.since(entry.last_modified));
                let lifetime = self.lifetime(&entry.key);
                lifetime.is_some_and(|lifetime| age.is_some_and(|age| age >= lifetime))
            };
            let expired = page.entries.iter().filter(is_expired);
            let keys: Vec<_> = expired.map(|entry| entry.key.clone()).collect();
            collected.results += keys.len();
            self.delete(keys, &mut collected).await?;
        }
        Ok(collected)
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.settings.dry_run
    }

    /// Returns the time for which flushed segments stay.
    pub(crate) fn segment_grace(&self) -> Duration {
        self.settings.segment_grace
    }

    /// Returns the catalogs that record dropped tables and databases.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

/// Returns the segments of a page up to a mark.
fn settled(
    database: DatabaseId,
    upto: Stamp,
    entries: Vec<ListEntry>,
) -> Vec<(SegmentName, ListEntry)> {
    let settled = entries.into_iter().filter_map(|entry| match entry.key.parse() {
        Ok(Key::Segment(of, name)) if of == database && name.stamp <= upto => Some((name, entry)),
        _ => None,
    });
    settled.collect()
}
