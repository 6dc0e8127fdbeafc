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

mod data_objects;
mod dropped_databases;
mod expired_results;
mod report;
mod segments;
mod settings;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Bucket, VersionedValue};
use neap_catalog::{ANY_AGE, Catalog};
use neap_manifest::{CacheCommit, CacheOutcome, Manifest, ManifestStore, OBJECT_NAME_AGE};
use neap_schema::{DatabaseId, TableId};

pub use self::{
    report::CollectionReport,
    settings::{GarbageCollectorSettings, TimeTravelTooShort},
};
use crate::{
    CompactError,
    caches::{has_had_caches, sweep},
    engine_objects::{self, LastCodeScan},
    iceberg::EndedPublications,
    listing::delete,
};

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
            settings: GarbageCollectorSettings { orphan_age, ..settings },
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
        let mut collected = CollectionReport { objects: keys.len(), ..CollectionReport::default() };
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
        let mut collected = CollectionReport { engine: keys.len(), ..CollectionReport::default() };
        self.delete(keys, &mut collected).await?;
        Ok(collected)
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
