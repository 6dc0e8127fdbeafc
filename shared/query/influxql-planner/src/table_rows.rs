//! Reads the rows of one table that satisfy a condition.

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, TableReference},
    datasource::provider_as_source,
    execution::SendableRecordBatchStream,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
};
use neap_catalog::Table;
use neap_formats::series::SeriesLayout;
use neap_influxql::Condition;
use neap_tables::QueryContext;

use crate::select;

/// The rows of a `SHOW` answer, and their series layout.
#[derive(Debug)]
pub struct ShowRows {
    /// The rows.
    pub rows: RecordBatch,
    /// The layout of their series.
    pub series: SeriesLayout,
}

/// Plans a scan of the rows of a table that satisfy a condition.
pub(crate) fn filtered(
    context: &QueryContext,
    table: &Arc<Table>,
    condition: Option<&Condition>,
) -> Result<LogicalPlanBuilder> {
    let name = TableReference::bare(table.name().to_owned());
    let provider = context.table_provider(table);
    let schema: SchemaRef = provider.schema();
    let rows = LogicalPlanBuilder::scan(name, provider_as_source(provider), None)?;
    let Some(condition) = condition else {
        return Ok(rows);
    };
    let now = context.times.now.saturating_mul(1_000);
    rows.filter(select::row_predicate(&schema, condition, now)?)
}

/// Executes a plan.
pub(crate) async fn execute(
    context: &QueryContext,
    plan: &LogicalPlan,
) -> Result<SendableRecordBatchStream> {
    let state = context.full_session();
    let planned = state.create_physical_plan(plan).await?;
    context.execute(&state, planned)
}
