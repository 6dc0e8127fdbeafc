//! Finds the windows of a view that differ from its source.

use neap_bucket::{StoreTime, VersionedValue};
use neap_catalog::{DatabaseCatalog, MaterializedView, ViewLanguage};
use neap_manifest::{Manifest, ManifestPoint, ManifestStore, TableChanges, TimeRange};
use neap_schema::{DatabaseId, TableId};

use crate::{RefreshError, ViewData, ViewState, WindowSet, claim::CLAIM_TIME};

/// The source of a view at a version of its manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceTable<'a> {
    pub(crate) database: DatabaseId,
    pub(crate) table: TableId,
    pub(crate) manifest: &'a VersionedValue<Manifest>,
    pub(crate) catalog: &'a DatabaseCatalog,
    /// The database of the rows of the view, if it is another one.
    pub(crate) target_database: Option<DatabaseId>,
}

impl SourceTable<'_> {
    pub(crate) fn point(&self) -> ManifestPoint {
        ManifestPoint::from_manifest(self.manifest)
    }

    /// Returns the time before which rows may be missing because of retention: rule V4. Rows that expire during a
    /// claim count.
    pub(crate) fn retained_from(&self, now: StoreTime) -> Option<i64> {
        let cutoff = self.catalog.cutoff_of(self.table, now.plus(CLAIM_TIME));
        cutoff.max(self.manifest.value.expired_before(self.table))
    }

    /// Returns the time before which rows of the view may be missing because of the retention of its table.
    pub(crate) fn target_retained_from(
        &self,
        view: &MaterializedView,
        now: StoreTime,
    ) -> Option<i64> {
        let table = match &view.target.database {
            None => self.catalog.table(&view.target.table)?.id(),
            Some(_) => return None,
        };
        let cutoff = self.catalog.cutoff_of(table, now.plus(CLAIM_TIME));
        cutoff.max(self.manifest.value.expired_before(table))
    }

    /// Returns the windows whose rows may have changed since a state of a view.
    pub(crate) async fn changed_windows(
        &self,
        manifests: &ManifestStore,
        view: &MaterializedView,
        state: Option<&ViewState>,
        data: &dyn ViewData,
    ) -> Result<WindowSet, RefreshError> {
        let Some(state) = state else {
            // A restored database has rows of the view, but no progress. A view in SQL has a table of its own.
            let has_own_rows =
                view.created_in != self.database || view.language == ViewLanguage::Sql;
            return if has_own_rows {
                self.stored_windows(manifests, view, data).await
            } else {
                self.all_windows(manifests, view).await
            };
        };
        if self.has_another_target(state) {
            let mut all = self.stored_windows(manifests, view, data).await?;
            all.add_all(view.windows, &state.computed);
            return Ok(all);
        }
        let changes = if state.source == self.table {
            let (database, manifest) = (self.database, self.manifest);
            let changes = manifests.changes_since(database, manifest, self.table, state.recorded);
            changes.await?
        } else {
            TableChanges::Unknown
        };
        match changes {
            TableChanges::Times { written, deleted } => {
                let mut changed = WindowSet::default();
                for times in written {
                    changed.add(view.windows, times);
                }
                // A delete may have no bounds. It changes only windows that were computed.
                let computed: Vec<TimeRange> = state.computed.ranges().collect();
                for delete in deleted {
                    for own in &computed {
                        changed.add(view.windows, intersection(delete, *own));
                    }
                }
                Ok(changed)
            }
            TableChanges::Unknown => {
                let mut all = self.all_windows(manifests, view).await?;
                all.add_all(view.windows, &state.computed);
                Ok(all)
            }
        }
    }

    /// Returns whether another database than the one that got the rows of a view has its table now.
    pub(crate) fn has_another_target(&self, state: &ViewState) -> bool {
        state.target_database.is_some() && state.target_database != self.target_database
    }

    /// Returns the windows in which the source has rows, and those from the first to the last row of the view.
    async fn stored_windows(
        &self,
        manifests: &ManifestStore,
        view: &MaterializedView,
        data: &dyn ViewData,
    ) -> Result<WindowSet, RefreshError> {
        let mut all = self.all_windows(manifests, view).await?;
        if let Some(stored) = data.bounds(view).await? {
            all.add(view.windows, stored);
        }
        Ok(all)
    }

    /// Returns the windows in which the source has rows.
    async fn all_windows(
        &self,
        manifests: &ManifestStore,
        view: &MaterializedView,
    ) -> Result<WindowSet, RefreshError> {
        let manifest = &self.manifest.value;
        let times = manifests.section_times(self.database, manifest, self.table);
        let mut all = WindowSet::default();
        for times in times.await? {
            all.add(view.windows, times);
        }
        Ok(all)
    }
}

fn intersection(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange {
        first: one.first.max(other.first),
        last: one.last.min(other.last),
    }
}
