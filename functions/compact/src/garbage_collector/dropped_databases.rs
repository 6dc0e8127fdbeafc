//! The removal of dropped databases.

use neap_bucket::{Key, Stamp};
use neap_schema::DatabaseId;

use super::{CollectionReport, GarbageCollector, segments::TriggerProtection};
use crate::{CompactError, caches::sweep, listing::ListingPages};

impl GarbageCollector {
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
}
