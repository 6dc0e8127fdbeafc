//! Garbage collection: deletes the objects that nothing needs any more. Nobody else deletes any.
//!
//! ```text
//!   collector                                 store
//!     |-- GET manifest, LIST tail ----------->  |
//!     |-- DELETE segments below settled marks>  |   crash after: fewer segments, no harm
//!     |-- LIST data, GET pages -------------->  |
//!     |-- DELETE what is doomed ------------->  |   crash after: the next one deletes it again
//!     |-- commit: entries out, older doomed ->  |   only what a committed manifest dooms is ever deleted
//! ```
//!
//! All ages are differences of the store's times. Keys that are not Neap's are left alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Bucket, Key, ListEntry, SegmentName, Stamp, StoreTime, Versioned};
use neap_catalog::{ANY_AGE, Catalog, NODE_RECORD_AGE};
use neap_manifest::{
    CacheCommit, CacheOutcome, Census, Collection, Manifest, ManifestStore, OBJECT_NAME_AGE,
    ObjectName, Pin,
};
use neap_schema::DatabaseId;

use crate::{
    CompactError,
    caches::{has_had_caches, sweep},
    engine_objects::{self, LastLook},
    listing::{Page, Pages, delete},
    unseen::{Unseen, Verdict},
};

/// The prefix of query results.
const RESULTS_PREFIX: &str = "results/";

/// A restored database that has not come after this time will not.
const RESTORE_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What is collected when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectSettings {
    /// How long what was dropped can be read by queries as of then, and is kept for those under way.
    pub time_travel: Duration,
    /// Segments are deleted when a mark has been above them for so long. A snapshot's answers lie closer
    /// together.
    pub segment_grace: Duration,
    /// Objects that nothing names are garbage when they are so old. At least twice the age at which a
    /// commit may still name them.
    pub orphan_age: Duration,
    /// Query results are deleted when they are so old.
    pub result_age: Duration,
    /// Only tell what would be deleted.
    pub dry_run: bool,
}

impl Default for CollectSettings {
    fn default() -> Self {
        Self {
            time_travel: Duration::from_secs(60 * 60),
            segment_grace: Duration::from_secs(120),
            orphan_age: Duration::from_secs(24 * 60 * 60),
            result_age: Duration::from_secs(24 * 60 * 60),
            dry_run: false,
        }
    }
}

/// A time-travel period within which a query may miss the objects that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--time-travel {} s is too short for queries of up to {} s (--query-timeout): it must be at least twice as long",
    time_travel.as_secs(),
    query_timeout.as_secs()
)]
pub struct TimeTravelTooShort {
    /// The period.
    pub time_travel: Duration,
    /// The longest time of a query.
    pub query_timeout: Duration,
}

impl CollectSettings {
    /// The settings for a bucket whose queries end after `query_timeout`. A query reads the objects of its snapshot
    /// until it ends, so they must be kept for longer: once more that time covers the age of the snapshot and the
    /// difference of the store's clocks.
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

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Segments that are in sections.
    pub segments: usize,
    /// Bundles, pages and objects of caches.
    pub objects: usize,
    /// Objects that nothing names, which are condemned now.
    pub orphans: usize,
    /// Query results, and records of processes that are gone.
    pub results: usize,
    /// What the processing engine needs no more: claims, logs, checkpoints and code.
    pub engine: usize,
    /// Settled segments that are kept because a trigger has not seen them, or because they are damaged.
    pub kept: usize,
    /// Of the segments that were deleted, those that a trigger has not seen.
    pub unseen: usize,
    /// The keys of all of them, in a dry run.
    pub keys: Vec<String>,
}

impl Collected {
    /// Both together.
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

/// Whether segments are kept for triggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Triggers {
    /// Until they have seen them.
    Count,
    /// There are none: the database is removed.
    AreGone,
}

/// Deletes what nothing needs.
#[derive(Clone, Debug)]
pub struct Collector {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    settings: CollectSettings,
    last_look_at_code: LastLook,
}

impl Collector {
    /// A collector for the databases of a bucket.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        settings: CollectSettings,
    ) -> Self {
        let orphan_age = settings.orphan_age.max(2 * OBJECT_NAME_AGE);
        Self {
            bucket,
            catalog,
            manifests,
            settings: CollectSettings {
                orphan_age,
                ..settings
            },
            last_look_at_code: LastLook::default(),
        }
    }

    /// Deletes what a database no longer needs: segments that sections hold, and objects that were dropped
    /// long enough ago. Two runs with the time-travel period between them delete all that is garbage now.
    pub async fn collect(&self, database: DatabaseId) -> Result<Collected, CompactError> {
        let manifest = self.manifests.read(database, None).await?;
        self.collect_by(database, manifest).await
    }

    /// The same by a manifest that was read just now.
    pub(crate) async fn collect_by(
        &self,
        database: DatabaseId,
        manifest: Versioned<Manifest>,
    ) -> Result<Collected, CompactError> {
        // At once: an object that is named after the manifest was read must not have become old meanwhile.
        let (caches, manifest) = self.collect_caches(database, manifest).await?;
        let segments = self.collect_segments(database, &manifest).await?;
        let objects = self.collect_objects(database, manifest).await;
        // What is wrong with data has no part in it.
        let engine = self.collect_engine(database, false).await?;
        Ok(segments.and(caches).and(objects?).and(engine))
    }

    /// Deletes the objects of caches that others have superseded, if the database ever had a cache. The entries of
    /// objects that are gone leave, so that they are made again.
    async fn collect_caches(
        &self,
        database: DatabaseId,
        manifest: Versioned<Manifest>,
    ) -> Result<(Collected, Versioned<Manifest>), CompactError> {
        let catalog = self.catalog.database(database, ANY_AGE).await?;
        if !has_had_caches(&catalog.value) {
            return Ok((Collected::default(), manifest));
        }
        let swept = sweep(&self.bucket, database, Some(&manifest.value)).await?;
        let collected = self.delete_objects(swept.superseded).await?;
        if swept.missing.is_empty() || self.settings.dry_run {
            return Ok((collected, manifest));
        }
        tracing::warn!(%database, caches = swept.missing.len(), "objects of caches are gone");
        let commit = CacheCommit::forgetting(&manifest, swept.missing);
        let outcome = self
            .manifests
            .commit_caches(database, manifest.clone(), &commit);
        Ok(match outcome.await? {
            CacheOutcome::Committed(current) => (collected, current),
            CacheOutcome::GivenUp(_) | CacheOutcome::Unknown { .. } => (collected, manifest),
        })
    }

    async fn delete_objects(&self, keys: Vec<String>) -> Result<Collected, CompactError> {
        let mut collected = Collected {
            objects: keys.len(),
            ..Collected::default()
        };
        self.delete(keys, &mut collected).await?;
        Ok(collected)
    }

    /// Deletes what the processing engine has left behind of a database.
    async fn collect_engine(
        &self,
        database: DatabaseId,
        is_removed: bool,
    ) -> Result<Collected, CompactError> {
        let keys = engine_objects::superseded(&self.bucket, &self.catalog, database, is_removed);
        self.delete_of_engine(keys.await?).await
    }

    /// Deletes code of plugins that nothing names.
    pub async fn collect_code(&self) -> Result<Collected, CompactError> {
        let last_look = &self.last_look_at_code;
        let keys = engine_objects::unnamed_code(&self.bucket, &self.catalog, last_look);
        self.delete_of_engine(keys.await?).await
    }

    async fn delete_of_engine(&self, keys: Vec<String>) -> Result<Collected, CompactError> {
        let mut collected = Collected {
            engine: keys.len(),
            ..Collected::default()
        };
        self.delete(keys, &mut collected).await?;
        Ok(collected)
    }

    /// Deletes the segments that every snapshot finds in sections and every trigger has seen.
    pub async fn collect_segments(
        &self,
        database: DatabaseId,
        manifest: &Versioned<Manifest>,
    ) -> Result<Collected, CompactError> {
        let prefix = Key::tail_prefix(database);
        let pages = Pages::of(&self.bucket, &prefix);
        self.collect_segments_of(database, manifest, pages).await
    }

    /// The same for a tail that was listed just now.
    pub(crate) async fn collect_listed_segments(
        &self,
        database: DatabaseId,
        manifest: &Versioned<Manifest>,
        tail: Page,
    ) -> Result<Collected, CompactError> {
        let prefix = Key::tail_prefix(database);
        let pages = Pages::known(&self.bucket, &prefix, tail);
        self.collect_segments_of(database, manifest, pages).await
    }

    async fn collect_segments_of(
        &self,
        database: DatabaseId,
        manifest: &Versioned<Manifest>,
        tail: Pages<'_>,
    ) -> Result<Collected, CompactError> {
        let grace = self.settings.segment_grace;
        let settled = manifest
            .proven
            .and_then(|now| Manifest::settled_mark(manifest, now, grace));
        match settled {
            Some(mark) => {
                let is_damaged = |name| manifest.value.keeps_segment(name);
                self.delete_segments((database, tail), mark, Triggers::Count, is_damaged)
                    .await
            }
            None => Ok(Collected::default()),
        }
    }

    /// Deletes the segments of a tail up to a mark, but those that are `kept`.
    async fn delete_segments(
        &self,
        (database, mut pages): (DatabaseId, Pages<'_>),
        upto: Stamp,
        triggers: Triggers,
        kept: impl Fn(SegmentName) -> bool,
    ) -> Result<Collected, CompactError> {
        let mut collected = Collected::default();
        let mut unseen = match triggers {
            Triggers::Count => None,
            Triggers::AreGone => Some(Unseen::default()),
        };
        while let Some(page) = pages.next().await? {
            let mut settled = settled(database, upto, page.entries);
            let before = settled.len();
            settled.retain(|(name, _)| !kept(*name));
            collected.kept += before - settled.len();
            if settled.is_empty() {
                continue;
            }
            // Asked for only if something is to be deleted.
            let unseen = match &mut unseen {
                Some(unseen) => unseen,
                none => none.insert(self.unseen(database).await?),
            };
            let mut keys = Vec::new();
            for (name, entry) in settled {
                match unseen.judge(name, &entry, page.date) {
                    Verdict::Keep => {
                        collected.kept += 1;
                        continue;
                    }
                    Verdict::GiveUp => collected.unseen += 1,
                    Verdict::Delete => {}
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

    async fn unseen(&self, database: DatabaseId) -> Result<Unseen, CompactError> {
        let grace = self.settings.segment_grace;
        Unseen::of(&self.bucket, &self.catalog, database, grace).await
    }

    async fn delete(
        &self,
        keys: Vec<String>,
        collected: &mut Collected,
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
        manifest: Versioned<Manifest>,
    ) -> Result<Collected, CompactError> {
        let candidates = self.old_objects(database, &manifest.value).await?;
        let value = &manifest.value;
        let has_pending = value.pending_deletes().next().is_some();
        let is_clean = value.condemned.is_empty() && value.pins.is_empty() && !has_pending;
        if candidates.is_empty() && is_clean {
            return Ok(Collected::default());
        }
        let census = self.manifests.census(database, value).await?;
        let orphans: BTreeSet<_> = candidates
            .into_iter()
            .filter(|object| !census.names(*object))
            .collect();
        let deletable = census.deletable();
        let mut collected = Collected {
            objects: deletable.len(),
            orphans: orphans.len(),
            ..Collected::default()
        };
        // Pages go last: they tell what else goes.
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
        let collection = Collection {
            released: self.released(database, &manifest, &census).await?,
            census,
            deleted: deletable,
            orphans,
            time_travel: self.settings.time_travel,
        };
        self.manifests
            .commit_collection(database, manifest, &collection)
            .await?;
        Ok(collected)
    }

    /// The objects of a database that are old enough to be orphans and that the register itself does not
    /// name. They may be named by its pages.
    async fn old_objects(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<BTreeSet<ObjectName>, CompactError> {
        let inline: BTreeSet<_> = manifest
            .sections
            .iter()
            .map(|section| section.object_name())
            .chain(
                manifest
                    .pages
                    .iter()
                    .map(|page| ObjectName::Page(page.object)),
            )
            .collect();
        let mut found = BTreeSet::new();
        let prefix = Key::data_prefix(database);
        let mut pages = Pages::of(&self.bucket, &prefix);
        while let Some(page) = pages.next().await? {
            let is_old = |entry: &&ListEntry| self.is_old(entry, page.date);
            let old = page.entries.iter().filter(is_old);
            let names = old.filter_map(|entry| {
                let (of, name) = ObjectName::of_key(&entry.key.parse().ok()?)?;
                (of == database && !inline.contains(&name)).then_some(name)
            });
            found.extend(names);
        }
        Ok(found)
    }

    fn is_old(&self, entry: &ListEntry, date: Option<StoreTime>) -> bool {
        let age = date.map(|date| date.since(entry.last_modified));
        age.is_some_and(|age| age >= self.settings.orphan_age)
    }

    /// The restored databases that no longer need what they began with.
    async fn released(
        &self,
        database: DatabaseId,
        manifest: &Versioned<Manifest>,
        census: &Census,
    ) -> Result<BTreeSet<DatabaseId>, CompactError> {
        let mut released = BTreeSet::new();
        for pin in &manifest.value.pins {
            if !released.contains(&pin.database)
                && self.is_released(database, manifest, census, pin).await?
            {
                released.insert(pin.database);
            }
        }
        Ok(released)
    }

    async fn is_released(
        &self,
        database: DatabaseId,
        manifest: &Versioned<Manifest>,
        own: &Census,
        pin: &Pin,
    ) -> Result<bool, CompactError> {
        let age = manifest.proven.map(|now| now.since(pin.created));
        let is_late = age.is_some_and(|age| age >= RESTORE_TIME);
        let restored = self.manifests.read(pin.database, None).await?;
        if restored.version == 0 {
            return Ok(is_late);
        }
        let census = self.manifests.census(pin.database, &restored.value).await?;
        if !(census.is_complete() && own.is_complete()) {
            return Ok(false);
        }
        let origins = census.origins();
        // What this database was itself restored from is kept for as long as this one names it.
        Ok(!origins.contains(&database) && origins.is_disjoint(own.origins()))
    }

    /// Deletes everything of a database whose removal has begun, once nothing can be read of it any more.
    /// Whether that is so.
    pub(crate) async fn collect_dropped(
        &self,
        database: DatabaseId,
    ) -> Result<(Collected, bool), CompactError> {
        let collected = self.collect(database).await?;
        let manifest = self.manifests.read(database, None).await?.value;
        let is_empty = manifest.section_count() == 0
            && manifest.condemned.is_empty()
            && manifest.pins.is_empty();
        if !is_empty || self.settings.dry_run {
            return Ok((collected, false));
        }
        let prefix = Key::tail_prefix(database);
        let segments = self
            .delete_segments(
                (database, Pages::of(&self.bucket, &prefix)),
                Stamp::from_u64(u64::MAX),
                Triggers::AreGone,
                |_| false,
            )
            .await?;
        let engine = self.collect_engine(database, true).await?;
        let caches = sweep(&self.bucket, database, None).await?;
        let caches = self.delete_objects(caches.superseded).await?;
        // A flush may have been under way.
        let left = self.manifests.read(database, None).await?.value;
        let mut damaged = Collected::default();
        if !manifest.damage.is_empty() {
            // Kept because they are damaged, or because damaged pages may name them.
            let prefix = Key::data_prefix(database);
            self.delete_prefix(&prefix, &mut damaged).await?;
        }
        Ok((
            collected.and(segments).and(caches).and(engine).and(damaged),
            left.section_count() == 0,
        ))
    }

    /// Deletes all objects of a database whose data was removed long ago, its registers last: what requests that
    /// were under way then have put since, and what commits of frozen processes named.
    ///
    /// `None`, and nothing is deleted, if its manifest names sections, or a restored database began with it.
    pub(crate) async fn erase(
        &self,
        database: DatabaseId,
    ) -> Result<Option<Collected>, CompactError> {
        let manifest = self.manifests.read(database, None).await?.value;
        if manifest.section_count() > 0 || !manifest.pins.is_empty() {
            tracing::warn!(%database, "a removed database is named again, and stays");
            return Ok(None);
        }
        let mut collected = Collected::default();
        let prefixes = [
            Key::tail_prefix(database),
            Key::data_prefix(database),
            Key::cache_prefix(database),
            Key::engine_prefix(database),
        ];
        for prefix in prefixes {
            self.delete_prefix(&prefix, &mut collected).await?;
        }
        let registers = [Key::Manifest(database), Key::DatabaseCatalog(database)];
        let registers = registers.map(|key| key.to_string()).to_vec();
        self.delete(registers, &mut collected).await?;
        Ok(Some(collected))
    }

    /// Deletes all objects of Neap with a prefix, page by page.
    async fn delete_prefix(
        &self,
        prefix: &str,
        collected: &mut Collected,
    ) -> Result<(), CompactError> {
        let mut pages = Pages::of(&self.bucket, prefix);
        while let Some(page) = pages.next().await? {
            let own = page.entries.into_iter().map(|entry| entry.key);
            let own: Vec<_> = own.filter(|key| key.parse::<Key>().is_ok()).collect();
            collected.objects += own.len();
            self.delete(own, collected).await?;
        }
        Ok(())
    }

    /// Deletes expired query results, and what processes said of themselves that have been silent since.
    pub async fn collect_results(&self) -> Result<Collected, CompactError> {
        let results = self.collect_expired(RESULTS_PREFIX, self.settings.result_age);
        let results = results.await?;
        let nodes = self.collect_expired(Key::NODES_PREFIX, NODE_RECORD_AGE);
        Ok(results.and(nodes.await?))
    }

    /// Deletes the objects with a prefix that nobody has put for so long.
    async fn collect_expired(
        &self,
        prefix: &str,
        expires_after: Duration,
    ) -> Result<Collected, CompactError> {
        let mut collected = Collected::default();
        let mut pages = Pages::of(&self.bucket, prefix);
        while let Some(page) = pages.next().await? {
            let is_expired = |entry: &&ListEntry| {
                let is_passing =
                    matches!(entry.key.parse(), Ok(Key::QueryResult(..) | Key::Node(_)));
                let age = page.date.map(|date| date.since(entry.last_modified));
                is_passing && age.is_some_and(|age| age >= expires_after)
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

    /// How long flushed segments stay.
    pub(crate) fn segment_grace(&self) -> Duration {
        self.settings.segment_grace
    }

    /// The catalogs that say what is dropped.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

/// The segments of a page up to a mark.
fn settled(
    database: DatabaseId,
    upto: Stamp,
    entries: Vec<ListEntry>,
) -> Vec<(SegmentName, ListEntry)> {
    let settled = entries
        .into_iter()
        .filter_map(|entry| match entry.key.parse() {
            Ok(Key::Segment(of, name)) if of == database && name.stamp <= upto => {
                Some((name, entry))
            }
            _ => None,
        });
    settled.collect()
}
