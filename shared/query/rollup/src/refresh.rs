//! Refreshes views: claims windows, computes them, and replaces their rows.

mod report;
mod view_task;
mod window_claim;
mod window_rows;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use neap_bucket::{Bucket, StoreTime, VersionedValue};
use neap_catalog::{DatabaseCatalog, MaterializedView};
use neap_manifest::{Manifest, ManifestStore};
use neap_schema::DatabaseId;

pub use self::report::{RefreshOutcome, RefreshReport};
use self::{report::PAUSE_AFTER_FAILURE, view_task::ViewTask};
use crate::{
    RefreshError, ViewData, ViewProgress, ViewState, changes::SourceTable, progress::view_progress,
};

/// A database whose views are refreshed.
#[derive(Clone, Copy, Debug)]
pub struct ViewSource<'a> {
    /// The database.
    pub database: DatabaseId,
    /// Its catalog.
    pub catalog: &'a DatabaseCatalog,
}

/// Refreshes the views of databases.
#[derive(Clone, Debug)]
pub struct ViewRefresher {
    bucket: Bucket,
    manifests: ManifestStore,
}

impl ViewRefresher {
    /// Creates a refresher.
    pub fn new(bucket: Bucket, manifests: ManifestStore) -> Self {
        Self { bucket, manifests }
    }

    /// Refreshes all views of a database, and begins no further windows after `limit`. Costs no request if the database
    /// has no view, and 2 GETs if no view is behind its source.
    ///
    /// # Errors
    /// The manifest or the progress can't be read. Failures of single views are in the report.
    pub async fn refresh(
        &self,
        source: ViewSource<'_>,
        data: &dyn ViewData,
        limit: Duration,
    ) -> Result<RefreshReport, RefreshError> {
        let mut report = RefreshReport::default();
        let views: Vec<Arc<MaterializedView>> = source.catalog.views().cloned().collect();
        if views.is_empty() {
            return Ok(report);
        }
        let started_at = self.bucket.world().clock_reading();
        let mut manifest = self.manifests.read(source.database, None).await?;
        let mut progress = view_progress(&self.bucket, source.database).read(None).await?;
        for view in views {
            let elapsed = self.bucket.world().elapsed(&started_at);
            let left = limit.saturating_sub(elapsed);
            // Another process has recorded the changes of a later version. With this one, all windows would count as
            // changed.
            let state = progress.value.views.get(&view.id);
            if state.is_some_and(|state| state.recorded.version > manifest.version) {
                manifest = self.manifests.read(source.database, None).await?;
            }
            let refresh =
                self.refresh_view(source, &manifest, &mut progress, &view, data, left, &mut report);
            let outcome = refresh.await.unwrap_or_else(RefreshOutcome::Failed);
            report.views.push((view.name.clone(), outcome));
        }
        Ok(report)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a pass")]
    async fn refresh_view(
        &self,
        source: ViewSource<'_>,
        manifest: &VersionedValue<Manifest>,
        progress: &mut VersionedValue<ViewProgress>,
        view: &MaterializedView,
        data: &dyn ViewData,
        limit: Duration,
        report: &mut RefreshReport,
    ) -> Result<RefreshOutcome, RefreshError> {
        let Some(table) = source.catalog.table(&view.source) else {
            return Ok(RefreshOutcome::NoSource);
        };
        let target_database = match &view.target.database {
            None => None,
            Some(_) => Some(data.target_database(view).await?),
        };
        let task = ViewTask {
            bucket: &self.bucket,
            register: view_progress(&self.bucket, source.database),
            view,
            source: SourceTable {
                database: source.database,
                table: table.id(),
                manifest,
                catalog: source.catalog,
                target_database,
            },
            data,
            written: Mutex::default(),
        };
        let now = self.bucket.clock().now().ok_or(RefreshError::NoStoreTime)?;
        let state = progress.value.views.get(&view.id);
        if let Some(wait) = state.and_then(|state| required_wait(view, state, now)) {
            return Ok(RefreshOutcome::Behind { wait });
        }
        let changed = task.source.changed_windows(&self.manifests, view, state, data).await?;
        if state.is_some_and(|state| !task.is_due(state, &changed, now)) {
            return Ok(RefreshOutcome::Current);
        }
        if state.is_none() && task.has_former_refreshers() {
            return task.wait_for_former_refreshers(progress, &changed).await;
        }
        task.run(progress, &changed, limit, report).await
    }
}

/// Returns the time until the view may be refreshed, whatever has changed.
fn required_wait(view: &MaterializedView, state: &ViewState, now: StoreTime) -> Option<Duration> {
    let claim = state.claim.filter(|claim| claim.is_active(now));
    let after_claim = claim.map(|claim| claim.takeover_time().since(now));
    let after_failure = state
        .failure
        .as_ref()
        .map(|failure| PAUSE_AFTER_FAILURE.saturating_sub(now.since(failure.time)));
    // A refresh that the time limit ended continues.
    let interval = state
        .refreshed
        .zip(view.every)
        .filter(|_| state.pending.is_empty())
        .map(|(refreshed, every)| every.saturating_sub(now.since(refreshed)));
    let waits = [after_claim, after_failure, interval];
    waits.into_iter().max().flatten().filter(|wait| !wait.is_zero())
}
