//! Builds what a cache holds of the sections by a scan of them.

use datafusion::{
    common::{Column, Result, ScalarValue},
    datasource::TableProvider,
    execution::SessionState,
    logical_expr::{Expr, lit},
    physical_plan::execute_stream,
};
use futures::StreamExt;
use neap_cache::{CacheError, Layer, LayerBuilder, Shape};
use neap_schema::TIME_COLUMN;

use super::bases::in_background;
use crate::scan::SnapshotTable;

/// Why a base was not built. Another time it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotBuilt {
    /// Another one is being built.
    #[error("the contents of another cache are being built")]
    Busy,
    /// It took too long.
    #[error("the contents of a cache took too long to build")]
    TookTooLong,
}

/// The scan that a base is built of.
pub(super) struct Build {
    /// The rows.
    pub(super) sections: SnapshotTable,
    /// What the base is to hold.
    pub(super) shape: Shape,
    /// The time of the first rows.
    pub(super) from: i64,
    /// The memory that the base may take.
    pub(super) limit_bytes: usize,
    /// Executes the scan.
    pub(super) session: SessionState,
}

impl Build {
    /// The base, or why there can't be one.
    pub(super) async fn run(self) -> Result<Result<Layer, CacheError>> {
        let schema = self.sections.schema();
        let columns = self.shape.columns();
        let projection: Vec<usize> = columns
            .iter()
            .filter_map(|name| schema.index_of(name).ok())
            .collect();
        let from = ScalarValue::TimestampNanosecond(Some(self.from), None);
        let young = time().gt_eq(lit(from));
        let plan = self
            .sections
            .scan(&self.session, Some(&projection), &[young], None)
            .await?;
        let mut rows = execute_stream(plan, self.session.task_ctx())?;
        let mut builder = LayerBuilder::new(&self.shape, self.from, self.limit_bytes);
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
