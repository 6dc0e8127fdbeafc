//! The plan nodes that output the rows of a cache.

use std::{fmt, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    common::Result,
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_expr::{EquivalenceProperties, LexOrdering, OrderingRequirements},
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
        coalesce_partitions::CoalescePartitionsExec,
        execution_plan::{Boundedness, EmissionType},
        sorts::sort_preserving_merge::SortPreservingMergeExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use neap_catalog::Table;

use super::{TableCacheDefinition, contents::CacheContents};

/// The text of a node in `EXPLAIN`.
#[derive(Clone, Debug)]
pub(super) struct CacheNodeLabel {
    name: &'static str,
    text: String,
}

impl CacheNodeLabel {
    /// The text of a read of a cache with these filters.
    pub(super) fn new(
        cache: &TableCacheDefinition,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Self {
        let name = match cache {
            TableCacheDefinition::Last(_) => "LastCacheExec",
            TableCacheDefinition::Distinct(_) => "DistinctCacheExec",
        };
        let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
        let mut text = format!("cache={}", cache.name());
        if !filters.is_empty() {
            text = format!("{text}, predicates=[{}]", filters.join(", "));
        }
        if let Some(limit) = limit {
            text = format!("{text}, limit={limit}");
        }
        Self { name, text }
    }

    /// Adds that the cache is read in place of its table.
    pub(super) fn in_place_of(mut self, table: &Table) -> Self {
        self.text = format!("{}, in_place_of={}", self.text, table.name());
        self
    }
}

fn properties(schema: &SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// Outputs the rows of a cache, computed from the table by the definition of the cache.
#[derive(Debug)]
pub(super) struct CacheFromTableExec {
    label: CacheNodeLabel,
    /// The plan of the definition. The columns of the cache come first.
    rows: Arc<dyn ExecutionPlan>,
    /// The sort order of the answer. It is a required input order, because optimizers would drop the sort otherwise.
    order: Option<LexOrdering>,
    projection: Vec<usize>,
    properties: Arc<PlanProperties>,
}

impl CacheFromTableExec {
    /// Outputs the columns `projection` of `rows`. The columns of `rows` begin with those of `schema`.
    pub(super) fn try_new(
        label: CacheNodeLabel,
        rows: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<Self> {
        let schema = Arc::new(schema.project(projection)?);
        let is_one = rows.properties().output_partitioning().partition_count() == 1;
        let order = rows.properties().output_ordering().cloned();
        let rows = match &order {
            _ if is_one => rows,
            Some(order) => Arc::new(SortPreservingMergeExec::new(order.clone(), rows)),
            None => Arc::new(CoalescePartitionsExec::new(rows)),
        };
        Ok(Self {
            label,
            rows,
            order,
            projection: projection.to_vec(),
            properties: properties(&schema),
        })
    }
}

impl DisplayAs for CacheFromTableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CacheNodeLabel { name, text } = &self.label;
        write!(f, "{name}: {text}, from=table")
    }
}

impl ExecutionPlan for CacheFromTableExec {
    fn name(&self) -> &'static str {
        self.label.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.rows]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // The node declares no output order, so that optimizers move no sort below it.
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    neap_scan::no_expressions_method!();

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = children.into_iter().next();
        Ok(Arc::new(Self {
            label: self.label.clone(),
            rows: rows.unwrap_or_else(|| Arc::clone(&self.rows)),
            order: self.order.clone(),
            projection: self.projection.clone(),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.rows.execute(partition, context)?;
        let (schema, projection) = (self.schema(), self.projection.clone());
        let shown = rows.map(move |batch| {
            let batch = batch?;
            let columns = projection.iter().map(|at| Arc::clone(batch.column(*at)));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = columns.collect();
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), shown)))
    }
}

/// Outputs the rows of a cache from its layers.
#[derive(Debug)]
pub(super) struct CacheReadExec {
    label: CacheNodeLabel,
    rows: CacheRowsSource,
    properties: Arc<PlanProperties>,
}

#[derive(Clone, Debug)]
enum CacheRowsSource {
    /// Rows that are read from the layers at execution.
    Layers(Arc<CacheContents>),
    /// Rows that were read while the query was planned.
    Batch(RecordBatch),
}

impl CacheReadExec {
    /// Outputs the rows of `contents`.
    pub(super) fn new(label: CacheNodeLabel, contents: Arc<CacheContents>) -> Self {
        Self {
            label,
            properties: properties(&contents.schema),
            rows: CacheRowsSource::Layers(contents),
        }
    }

    /// Outputs `rows`.
    pub(super) fn of_rows(label: CacheNodeLabel, rows: RecordBatch) -> Self {
        Self {
            label,
            properties: properties(&rows.schema()),
            rows: CacheRowsSource::Batch(rows),
        }
    }
}

impl DisplayAs for CacheReadExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CacheNodeLabel { name, text } = &self.label;
        let schema = self.schema();
        let columns: Vec<&str> =
            schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "{name}: {text}, projection=[{}]", columns.join(", "))
    }
}

impl ExecutionPlan for CacheReadExec {
    fn name(&self) -> &'static str {
        self.label.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    neap_scan::leaf_methods!();
    neap_scan::no_expressions_method!();

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.rows.clone();
        let batch_size = context.session_config().batch_size().max(1);
        let rows = async move {
            let rows = match rows {
                CacheRowsSource::Layers(contents) => contents.rows().await?,
                CacheRowsSource::Batch(rows) => rows,
            };
            let portions = portions(&rows, batch_size);
            Ok::<_, DataFusionError>(stream::iter(portions.map(Ok)))
        };
        let rows = stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// Splits rows into batches of at most `most` rows.
fn portions(rows: &RecordBatch, most: usize) -> impl Iterator<Item = RecordBatch> + use<> {
    let rows = rows.clone();
    let starts = (0..rows.num_rows()).step_by(most);
    starts.map(move |at| rows.slice(at, most.min(rows.num_rows() - at)))
}
