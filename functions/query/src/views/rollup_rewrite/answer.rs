//! Replaces the aggregates of a plan that views can answer.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::SessionState,
    logical_expr::{Aggregate, LogicalPlan},
};
use neap_bucket::Bucket;
use neap_catalog::{DatabaseCatalog, MaterializedView, ViewLanguage};
use neap_manifest::ManifestStore;
use neap_rollup::{CurrentWindows, ViewProgress, view_progress};
use neap_tables::QueryContext;

use super::{
    stored_view::StoredView, table_aggregate::TableAggregate, typed_plan::with_types,
    union_plan::UnionPlan, values::view_values, view_match::ViewMatch,
};
use crate::RollupUse;

/// Maximum number of ranges of changed windows in a plan. Beyond it, the windows between them are read from the source,
/// too.
const MAX_CHANGED_RANGES: usize = 8;

/// Reads the progress of views.
#[derive(Clone, Debug)]
pub(crate) struct ViewReader {
    pub(crate) bucket: Bucket,
    pub(crate) manifests: ManifestStore,
}

/// The aggregates of a statement, with the state that they share.
struct RollupAnswer<'a> {
    reader: &'a ViewReader,
    context: &'a QueryContext,
    state: &'a SessionState,
    usage: RollupUse,
    /// The progress of the views, once it is read: after the snapshot was taken.
    progress: Option<Arc<ViewProgress>>,
}

/// Replaces the aggregates of a plan that views can answer. Costs one GET of the progress if a view has the groups and
/// values of an aggregate. If no view can be used for any reason, the plan is returned unchanged.
/// Fails if the plan can't be transformed.
pub(crate) async fn answer_from_views(
    reader: &ViewReader,
    context: &QueryContext,
    state: &SessionState,
    usage: RollupUse,
    plan: LogicalPlan,
) -> Result<LogicalPlan> {
    let catalog = &context.snapshot.catalog.value;
    let is_off = usage == RollupUse::Off || context.snapshot.as_of.is_some();
    if is_off || !reads_source(catalog, &plan)? {
        return Ok(plan);
    }
    // The execution reports the error.
    let Ok(typed) = with_types(state, plan.clone()) else {
        return Ok(plan);
    };
    let mut answer = RollupAnswer { reader, context, state, usage, progress: None };
    let mut replaced: Vec<(Aggregate, LogicalPlan)> = Vec::new();
    for aggregate in aggregates_of(&typed)? {
        let found = TableAggregate::from_plan(state, catalog, &aggregate);
        let Some(found) = found else {
            continue;
        };
        if let Some(answered) = answer.answered(catalog, &found).await {
            replaced.push((aggregate, answered));
        }
    }
    if replaced.is_empty() {
        return Ok(plan);
    }
    typed
        .transform_down(|node| {
            let LogicalPlan::Aggregate(aggregate) = &node else {
                return Ok(Transformed::no(node));
            };
            let known = replaced.iter().find(|(known, _)| known == aggregate);
            Ok(match known {
                Some((_, answered)) => {
                    Transformed::new(answered.clone(), true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(node),
            })
        })
        .data()
}

/// Whether a plan reads a table that has materialized views.
pub(crate) fn reads_source(catalog: &DatabaseCatalog, plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    if catalog.views().next().is_none() {
        return Ok(found);
    }
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let scanned = scan.table_name.table();
            let table = catalog.table(scanned);
            found = catalog.views().any(|view| {
                view.source == scanned || table.is_some_and(|table| table.is_named(&view.source))
            });
        }
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

fn aggregates_of(plan: &LogicalPlan) -> Result<Vec<Aggregate>> {
    let mut aggregates = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            aggregates.push(aggregate.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(aggregates)
}

impl RollupAnswer<'_> {
    /// Returns the plan of an aggregate over a view and its source; `None` if no view has current windows. Views with
    /// longer windows come first.
    async fn answered(
        &mut self,
        catalog: &DatabaseCatalog,
        aggregate: &TableAggregate<'_>,
    ) -> Option<LogicalPlan> {
        let mut views: Vec<Arc<MaterializedView>> = catalog
            .views()
            .filter(|view| {
                aggregate.source.is_named(&view.source)
                    && view.language == ViewLanguage::Sql
                    && view.target.database.is_none()
            })
            .cloned()
            .collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.windows.length_ns));
        for view in views {
            if let Some(answered) = self.answered_by(&view, aggregate).await {
                return Some(answered);
            }
        }
        None
    }

    async fn answered_by(
        &mut self,
        view: &Arc<MaterializedView>,
        aggregate: &TableAggregate<'_>,
    ) -> Option<LogicalPlan> {
        let stored = StoredView::load(self.context, view).await?;
        let rows = ViewMatch::find(self.state, aggregate, &stored)?;
        let values = view_values(aggregate, &stored, &rows, self.usage)?;
        if rows.times.first > rows.times.last {
            return None;
        }
        let windows = self.current_windows(&stored.view).await?;
        let times = windows.divide(rows.times, MAX_CHANGED_RANGES);
        if times.current.is_empty() {
            return None;
        }
        let plan = UnionPlan {
            aggregate,
            stored: &stored,
            rows: &rows,
            values: &values,
            times: &times,
        };
        match plan.build(self.context) {
            Ok(plan) => Some(plan),
            Err(error) => {
                tracing::debug!(view = %view.name, %error, "view_not_used");
                None
            }
        }
    }

    async fn current_windows(&mut self, view: &MaterializedView) -> Option<CurrentWindows> {
        let progress = self.progress().await?;
        let state = progress.views.get(&view.id)?;
        let (snapshot, now) = (&self.context.snapshot, self.context.times.retention_base);
        let current = state.current_windows(view, snapshot, &self.reader.manifests, now);
        match current.await {
            Ok(current) => current,
            Err(error) => {
                tracing::debug!(view = %view.name, %error, "view_not_used");
                None
            }
        }
    }

    /// Reads the progress, after the snapshot was taken.
    async fn progress(&mut self) -> Option<Arc<ViewProgress>> {
        if let Some(progress) = &self.progress {
            return Some(Arc::clone(progress));
        }
        let register = view_progress(&self.reader.bucket, self.context.snapshot.database);
        match register.read(None).await {
            Ok(progress) => {
                self.progress = Some(Arc::clone(&progress.value));
                Some(progress.value)
            }
            Err(error) => {
                tracing::debug!(%error, "progress_not_read");
                None
            }
        }
    }
}
