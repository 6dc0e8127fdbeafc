//! `system.materialized_views`: the views of a database and their progress.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_bucket::{Bucket, Stamp, StoreTime};
use neap_catalog::MaterializedView;
use neap_manifest::{ManifestError, Snapshot, TableChanges};
use neap_rollup::{ViewState, view_progress};
use neap_scan::{ScanContext, external};
use neap_schema::ViewId;

use super::{
    columns::{counts, counts_or_null, seconds_or_null, table, views, views_or_null},
    source::SystemTableSource,
};

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
        let all = || known.iter();
        let state = |view: &MaterializedView| progress.get(&view.id);
        let states = || all().map(|view| state(view));
        let lengths = all().map(|view| view.windows.length_ns);
        let lengths: ArrayRef = Arc::new(Int64Array::from_iter_values(lengths));
        let pending = all().map(|view| state(view).map(|state| state.pending.count(view.windows)));
        let recorded = states().map(|state| state.map(|state| state.recorded.mark.time()));
        let refreshed = states().map(|state| state.and_then(|state| state.refreshed));
        let staleness = all().map(|view| {
            if current.contains(&view.id) {
                Some(0)
            } else {
                state(view).map(|state| self.since(state.recorded.mark))
            }
        });
        let errors = states().map(|state| {
            let failure = state.and_then(|state| state.failure.as_ref());
            failure.map(|failure| &failure.message)
        });
        table(vec![
            ("view_name", false, views(all().map(|view| &view.name))),
            (
                "language",
                false,
                views(all().map(|view| view.language.as_str())),
            ),
            ("query", false, views(all().map(|view| &view.query))),
            (
                "source_table",
                false,
                views(all().map(|view| catalog.present_table_name(&view.source))),
            ),
            (
                "target_database",
                true,
                views_or_null(all().map(|view| {
                    let database = view.target.database.as_ref();
                    database.map(|_| ANOTHER_DATABASE)
                })),
            ),
            (
                "target_table",
                false,
                views(all().map(|view| match &view.target.database {
                    None => catalog.present_table_name(&view.target.table),
                    Some(_) => ANOTHER_DATABASE,
                })),
            ),
            ("window_ns", false, lengths),
            (
                "view_id",
                false,
                counts(all().map(|view| u64::from(view.id.get()))),
            ),
            ("state", false, views(states().map(state_name))),
            ("pending_windows", true, counts_or_null(pending)),
            ("recorded_up_to", true, seconds_or_null(recorded)),
            ("refreshed_at", true, seconds_or_null(refreshed)),
            ("staleness_s", true, counts_or_null(staleness)),
            ("error", true, views_or_null(errors)),
        ])
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
