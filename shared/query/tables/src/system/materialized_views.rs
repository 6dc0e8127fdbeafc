//! `system.materialized_views`: the views of a database and their progress.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_bucket::{Bucket, Stamp, StoreTime};
use neap_catalog::MaterializedView;
use neap_manifest::{ManifestError, Snapshot, TableChanges};
use neap_rollup::{ViewState, view_progress};
use neap_scan::{ScanContext, external};
use neap_schema::ViewId;

use super::{source::SystemTableSource, table_builder::SystemTableBuilder};

/// The target of a view whose rows go to another database, which the reader of this one may not know.
const ANOTHER_DATABASE: &str = "(another database)";

/// The views of a database.
#[derive(Debug)]
pub(super) struct MaterializedViewsSource {
    pub(super) shared: Arc<ScanContext>,
    pub(super) bucket: Bucket,
    pub(super) snapshot: Arc<Snapshot>,
    /// The present time of the store.
    pub(super) now: StoreTime,
}

impl MaterializedViewsSource {
    fn rows_of(
        &self,
        progress: &BTreeMap<ViewId, ViewState>,
        current: &BTreeSet<ViewId>,
    ) -> Result<RecordBatch> {
        let catalog = &self.snapshot.catalog.value;
        let known: Vec<&Arc<MaterializedView>> = catalog.views().collect();
        let state = |view: &MaterializedView| progress.get(&view.id);
        SystemTableBuilder::new(&known)
            .views("view_name", |view| &view.name)
            .views("language", |view| view.language.as_str())
            .views("query", |view| &view.query)
            .views("source_table", |view| catalog.present_table_name(&view.source))
            .views_or_null("target_database", |view| {
                view.target.database.as_ref().map(|_| ANOTHER_DATABASE)
            })
            .views("target_table", |view| match &view.target.database {
                None => catalog.present_table_name(&view.target.table),
                Some(_) => ANOTHER_DATABASE,
            })
            .integers("window_ns", |view| view.windows.length_ns)
            .counts("view_id", |view| u64::from(view.id.get()))
            .views("state", |view| state_name(state(view)))
            .counts_or_null("pending_windows", |view| {
                Some(state(view)?.pending.count(view.windows))
            })
            .seconds_or_null("recorded_up_to", |view| Some(state(view)?.recorded.mark.time()))
            .seconds_or_null("refreshed_at", |view| state(view)?.refreshed)
            .counts_or_null("staleness_s", |view| {
                if current.contains(&view.id) {
                    Some(0)
                } else {
                    Some(self.since(state(view)?.recorded.mark))
                }
            })
            .views_or_null("error", |view| Some(&state(view)?.failure.as_ref()?.message))
            .finish()
    }

    /// Returns the views that have all flushed rows of their sources.
    async fn current_views(
        &self,
        progress: &BTreeMap<ViewId, ViewState>,
    ) -> Result<BTreeSet<ViewId>, ManifestError> {
        let mut current = BTreeSet::new();
        for view in self.snapshot.catalog.value.views() {
            let state = progress.get(&view.id);
            if let Some(state) = state.filter(|state| state.pending.is_empty())
                && self.is_unchanged(view, state).await?
            {
                current.insert(view.id);
            }
        }
        Ok(current)
    }

    /// Returns whether the source of a view has not changed since the point that its progress records. Flushes of other
    /// tables are no change.
    async fn is_unchanged(
        &self,
        view: &MaterializedView,
        state: &ViewState,
    ) -> Result<bool, ManifestError> {
        let snapshot = &self.snapshot;
        if state.recorded.mark >= snapshot.mark() {
            return Ok(true);
        }
        let source = snapshot.catalog.value.table(&view.source);
        let Some(source) = source.filter(|source| source.id() == state.source) else {
            return Ok(false);
        };
        let changes = self.shared.manifests.changes_since(
            snapshot.database,
            &snapshot.manifest,
            source.id(),
            state.recorded,
        );
        Ok(match changes.await? {
            TableChanges::Times { written, deleted } => written.is_empty() && deleted.is_empty(),
            TableChanges::Unknown => false,
        })
    }

    /// Returns the seconds since a stamp.
    fn since(&self, stamp: Stamp) -> u64 {
        self.now.since(stamp.time()).as_secs()
    }
}

fn state_name(state: Option<&ViewState>) -> &'static str {
    match state {
        None => "new",
        Some(state) if state.failure.is_some() => "failed",
        Some(state) if state.claim.is_some() => "refreshing",
        Some(state) if !state.pending.is_empty() => "pending",
        Some(_) => "current",
    }
}

#[async_trait]
impl SystemTableSource for MaterializedViewsSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        if self.snapshot.catalog.value.views().next().is_none() {
            return self.empty();
        }
        let progress = view_progress(&self.bucket, self.snapshot.database)
            .read(None)
            .await
            .map_err(external)?;
        let views = &progress.value.views;
        let current = self.current_views(views).await.map_err(external)?;
        self.rows_of(views, &current)
    }

    fn empty(&self) -> Result<RecordBatch> {
        let empty = self.rows_of(&BTreeMap::new(), &BTreeSet::new())?;
        Ok(empty.slice(0, 0))
    }
}
