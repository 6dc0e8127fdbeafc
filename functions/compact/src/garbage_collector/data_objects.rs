//! The collection of bundles, pages and objects that nothing references.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::VersionedValue;
use neap_catalog::CatalogError;
use neap_manifest::{GarbageCollection, Manifest, ObjectName, ReferencedObjects, VersionPin};
use neap_schema::{DatabaseId, TableId};

use super::{CollectionReport, GarbageCollector};
use crate::{CompactError, listed_objects::ListedObjects};

/// Time after which a restore counts as abandoned if its database has no manifest yet.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

impl GarbageCollector {
    pub(super) async fn collect_objects(
        &self,
        database: DatabaseId,
        manifest: VersionedValue<Manifest>,
        ended_publications: BTreeSet<(TableId, u64)>,
    ) -> Result<CollectionReport, CompactError> {
        let listed =
            ListedObjects::list(&self.bucket, database, &manifest.value, self.settings.orphan_age)
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
}
