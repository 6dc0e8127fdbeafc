//! Safe repairs: statistics are recomputed from the rows, unreferenced objects are condemned for the collector, and lost
//! registers without rows are created again.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{Key, VersionedValue};
use neap_catalog::Catalog;
use neap_manifest::{
    CacheCommit, CacheOutcome, Corrections, GarbageCollection, Manifest, ManifestError,
    ManifestStore, ObjectName, PageRef, RecordedDelete, Section,
};
use neap_schema::{CacheId, DatabaseId};

use crate::FsckError;

/// The possible repairs of a database.
#[derive(Debug, Default)]
pub(crate) struct RepairPlan {
    /// The manifest that was checked.
    pub(crate) base: Option<VersionedValue<Manifest>>,
    /// Sections with corrected statistics.
    pub(crate) sections: Vec<Section>,
    /// Corrected references to pages.
    pub(crate) pages: Vec<PageRef>,
    /// Row deletes that were dropped too early.
    pub(crate) deletes: Vec<RecordedDelete>,
    /// Unreferenced objects.
    pub(crate) orphans: BTreeSet<ObjectName>,
    /// Caches whose objects are missing or damaged.
    pub(crate) caches: BTreeSet<CacheId>,
    /// Lost registers that are created again when they are needed.
    pub(crate) expendable: Vec<Key>,
}

impl RepairPlan {
    /// Commits the repairs. Returns descriptions of them.
    pub(crate) async fn commit(
        self,
        manifests: &ManifestStore,
        catalog: &Catalog,
        database: DatabaseId,
        name: &str,
    ) -> Result<Vec<String>, FsckError> {
        let mut done = accept_losses(catalog, &self.expendable).await?;
        let Some(mut base) = self.base else {
            return Ok(done);
        };
        let corrections = Corrections { sections: self.sections, pages: self.pages };
        if !corrections.is_empty() {
            let corrected = manifests.correct(database, base, &corrections).await?;
            base = corrected.current;
            done.push(format!(
                "{name:?}: the statistics of {} sections and {} pages",
                corrected.sections, corrected.pages
            ));
        }
        if !self.deletes.is_empty() {
            base = manifests.reinstate_deletes(database, base, &self.deletes).await?;
            done.push(format!("{name:?}: {} row deletes are applied again", self.deletes.len()));
        }
        if !self.caches.is_empty() {
            let caches = self.caches.len();
            base = remove_cache_entries(manifests, database, base, self.caches).await?;
            done.push(format!(
                "{name:?}: {caches} cache objects are removed from the manifest, compaction rebuilds them"
            ));
        }
        if !self.orphans.is_empty() {
            let referenced = manifests.referenced_objects(database, &base.value).await?;
            let mut orphans = self.orphans;
            // An object that a damaged page may reference is not an orphan.
            orphans.retain(|orphan| !referenced.names(*orphan));
            let collection = GarbageCollection {
                referenced,
                orphans,
                // Only the collector knows the time-travel period.
                time_travel: Duration::MAX,
                ..GarbageCollection::default()
            };
            let orphans = collection.orphans.len();
            manifests.commit_collection(database, base, &collection).await?;
            done.push(format!(
                "{name:?}: {orphans} unreferenced objects are condemned, the collector deletes them"
            ));
        }
        Ok(done)
    }
}

/// Accepts the loss of registers, so that they are created again when they are needed. Returns descriptions of them.
pub(crate) async fn accept_losses(
    catalog: &Catalog,
    registers: &[Key],
) -> Result<Vec<String>, FsckError> {
    let mut done = Vec::new();
    for key in registers {
        catalog.forget_register(key).await?;
        done.push(format!("the lost register {key} is created again when it is needed"));
    }
    Ok(done)
}

/// Removes the entries of caches from the manifest, so that the caches are rebuilt.
async fn remove_cache_entries(
    manifests: &ManifestStore,
    database: DatabaseId,
    base: VersionedValue<Manifest>,
    caches: BTreeSet<CacheId>,
) -> Result<VersionedValue<Manifest>, FsckError> {
    let commit = CacheCommit::forgetting(&base, caches);
    let outcome = manifests.commit_caches(database, base.clone(), &commit);
    match outcome.await? {
        CacheOutcome::Committed(current) => Ok(current),
        CacheOutcome::GivenUp(_) => Ok(base),
        CacheOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }.into()),
    }
}
