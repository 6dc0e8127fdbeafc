//! Removes sections without reading them: sections in which all rows have expired, and sections of dropped tables and
//! databases.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_bucket::{Bucket, StoreTime, VersionedValue};
use neap_catalog::{Catalog, DatabaseCatalog, Deletion, PurgeState};
use neap_manifest::{
    JobKind, Manifest, ManifestError, ManifestStore, ReplaceAllOutcome, Replacement, Section,
    TimeRange,
};
use neap_schema::{DatabaseId, TableId};

use crate::CompactError;

/// Returns whether the removal of a dropped table's data has started, so that the table can no longer be undeleted and
/// receives no more data. A removal that is only due does not count, because an undeletion may have been committed
/// since or be in progress.
pub(crate) fn is_being_removed(deletion: Option<Deletion>) -> bool {
    deletion.is_some_and(|deletion| deletion.purge != PurgeState::Waiting)
}

/// Maximum time by which the stamp of a write can follow the drop of its table: longer than a catalog read counts as
/// current, and longer than the clock skew between the hosts of one store.
const STAMP_MARGIN: Duration = Duration::from_secs(60);

/// Removes sections from manifests. Each job returns the number of removed sections.
#[derive(Clone, Debug)]
pub(crate) struct SectionRemover {
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) manifests: ManifestStore,
}

impl SectionRemover {
    /// Removes expired sections, one list for each table, in one commit. Raises the floor, so that their rows do not
    /// come back when retention is extended.
    pub(crate) async fn expire(
        &self,
        database: DatabaseId,
        manifest: &mut VersionedValue<Manifest>,
        expired: Vec<Vec<Arc<Section>>>,
    ) -> Result<usize, CompactError> {
        let removals = expired.into_iter().filter_map(|sections| {
            let newest = sections.iter().map(|section| section.max_time).max();
            let floor = newest.map(|newest| newest.saturating_add(1));
            self.removal(sections, floor, JobKind::Expire)
        });
        self.remove(database, manifest, removals.collect()).await
    }

    /// Removes the sections of tables whose undelete period is over. Skips tables with a damaged page, and adds the
    /// damage to `failures`.
    pub(crate) async fn drop_tables(
        &self,
        database: DatabaseId,
        manifest: &mut VersionedValue<Manifest>,
        catalog: &DatabaseCatalog,
        now: StoreTime,
        failures: &mut Vec<CompactError>,
    ) -> Result<usize, CompactError> {
        let mut due: Vec<TableId> = catalog.due_tables(now).collect();
        let is_gone = |table: &&Arc<neap_catalog::Table>| {
            is_being_removed(table.deletion()) || due.contains(&table.id())
        };
        let gone: Vec<_> = catalog.all_tables().filter(is_gone).collect();
        let mut by_table: BTreeMap<TableId, Vec<Arc<Section>>> = BTreeMap::new();
        for table in gone {
            let found = self
                .manifests
                .load_sections(database, &manifest.value, table.id(), TimeRange::ALL)
                .await;
            let found = match found {
                Err(error) if error.is_damage() => {
                    due.retain(|waiting| *waiting != table.id());
                    failures.push(error.into());
                    continue;
                }
                found => found?,
            };
            let sections = found.into_iter().map(|found| found.section);
            by_table.insert(table.id(), sections.collect());
        }
        if !due.is_empty() {
            self.catalog.begin_table_purge(database, &due).await?;
        }
        let mut removed = 0;
        for sections in by_table.into_values() {
            let one = self.removal(sections, None, JobKind::Drop).into_iter();
            removed += self.remove(database, manifest, one.collect()).await?;
        }
        if !due.is_empty() {
            self.catalog.finish_table_purge(database, &due).await?;
        }
        Ok(removed)
    }

    /// Removes the catalog entries of tables whose data was removed long ago, once neither the manifest nor the tail
    /// refers to them: every segment that can hold their rows is at or below the mark.
    pub(crate) async fn remove_obsolete_tables(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        catalog: &DatabaseCatalog,
        now: StoreTime,
    ) -> Result<(), CompactError> {
        let flushed = manifest.low_water_mark.time();
        let obsolete: Vec<TableId> = catalog
            .all_tables()
            .filter(|table| {
                let is_flushed = |it: Deletion| it.deleted_at.plus(STAMP_MARGIN) < flushed;
                let is_obsolete = |it: Deletion| it.is_obsolete(now) && is_flushed(it);
                table.deletion().is_some_and(is_obsolete)
            })
            .map(|table| table.id())
            .collect();
        let unnamed = self.manifests.unnamed_tables(database, manifest, obsolete);
        let obsolete: Vec<TableId> = unnamed.await?.into_iter().collect();
        if obsolete.is_empty() {
            return Ok(());
        }
        let removed = self.catalog.remove_obsolete_tables(database, &obsolete);
        Ok(removed.await?)
    }

    /// Removes all sections of a database.
    pub(crate) async fn drop_all(&self, database: DatabaseId) -> Result<usize, CompactError> {
        let mut manifest = self.manifests.read(database, None).await?;
        let mut by_table: BTreeMap<TableId, Vec<Arc<Section>>> = BTreeMap::new();
        let all = self.manifests.all_sections(database, &manifest.value);
        for found in all.await? {
            let table = found.section.table;
            by_table.entry(table).or_default().push(found.section);
        }
        let mut removed = 0;
        for sections in by_table.into_values() {
            let one = self.removal(sections, None, JobKind::Drop).into_iter();
            removed += self.remove(database, &mut manifest, one.collect()).await?;
        }
        Ok(removed)
    }

    /// Returns the removal of sections of one table, or `None` if there are no sections.
    fn removal(
        &self,
        remove: Vec<Arc<Section>>,
        floor: Option<i64>,
        kind: JobKind,
    ) -> Option<Replacement> {
        let removal = Replacement::removal(&self.bucket, kind, remove)?;
        Some(Replacement { floor, ..removal })
    }

    /// Removes sections in one commit. `manifest` becomes the newest manifest known.
    async fn remove(
        &self,
        database: DatabaseId,
        manifest: &mut VersionedValue<Manifest>,
        removals: Vec<Replacement>,
    ) -> Result<usize, CompactError> {
        if removals.is_empty() {
            return Ok(0);
        }
        let outcome = self.manifests.replace_all(database, manifest.clone(), &removals, &[]);
        let replaced = match outcome.await? {
            ReplaceAllOutcome::Completed(replaced) => replaced,
            ReplaceAllOutcome::Unknown { reason } => {
                return Err(ManifestError::OutcomeUnknown { reason }.into());
            }
        };
        *manifest = replaced.current;
        let mut removed = 0;
        for (removal, refused) in removals.iter().zip(replaced.refused) {
            let (table, sections, job) = (removal.table, removal.remove.len(), removal.job.kind);
            let job = job.as_str();
            match refused {
                None => {
                    tracing::info!(%database, %table, sections, job, "removed");
                    removed += sections;
                }
                // A concurrent merge has replaced them; the next run finds its sections.
                Some(reason) => {
                    tracing::info!(%database, %table, %reason, "removal refused, retrying in the next run")
                }
            }
        }
        Ok(removed)
    }
}
