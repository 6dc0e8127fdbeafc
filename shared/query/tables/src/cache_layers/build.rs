//! Builds the base layer of a cache by a scan of the sections.

use datafusion::{
    common::{Column, Result, ScalarValue},
    datasource::TableProvider,
    execution::SessionState,
    logical_expr::{Expr, lit},
    physical_plan::execute_stream,
};
use futures::StreamExt;
use neap_cache::{CacheError, CacheLayer, CacheLayerBuilder, CacheShape};
use neap_scan::SnapshotTable;
use neap_schema::TIME_COLUMN;

use crate::background::in_background;

/// The reason why a base layer was not built. A later attempt may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BaseLayerBuildError {
    #[error("the contents of another cache are being built")]
    Busy,
    /// The build exceeded its timeout.
    #[error("the contents of a cache took too long to build")]
    TimedOut,
}

/// A build of a base layer by a scan.
pub(super) struct BaseLayerBuild {
    /// The table without the rows of its tail.
    pub(super) sections: SnapshotTable,
    /// The columns and keys of the base layer.
    pub(super) shape: CacheShape,
    /// The minimum time of rows, in nanoseconds since the Unix epoch.
    pub(super) from: i64,
    /// Maximum memory of the base layer, in bytes.
    pub(super) limit_bytes: usize,
    /// The session that executes the scan.
    pub(super) session: SessionState,
}

impl BaseLayerBuild {
    /// Executes the scan and returns the base layer. The inner error says why these rows make no layer.
    pub(super) async fn run(self) -> Result<Result<CacheLayer, CacheError>> {
        let schema = self.sections.schema();
        let columns = self.shape.columns();
        let projection: Vec<usize> =
            columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let from = ScalarValue::TimestampNanosecond(Some(self.from), None);
        let young = time().gt_eq(lit(from));
        let plan = self.sections.scan(&self.session, Some(&projection), &[young], None).await?;
        let mut rows = execute_stream(plan, self.session.task_ctx())?;
        let mut builder = CacheLayerBuilder::new(&self.shape, self.from, self.limit_bytes);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let push = move || builder.push(&batch).map(|()| builder);
            builder = match in_background(push).await? {
                Ok(builder) => builder,
                Err(error) => return Ok(Err(error)),
            };
        }
        in_background(move || builder.finish()).await
    }
}

fn time() -> Expr {
    Expr::Column(Column::new_unqualified(TIME_COLUMN))
}
