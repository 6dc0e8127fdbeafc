//! The execution plan of gap filling, and its stream.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_expr_common::sort_expr::OrderingRequirements;
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, SendableRecordBatchStream,
    apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::groups::GroupBuffer;
use super::series::SeriesFiller;
use super::spec::GapFillSpec;

/// Fills gaps in input sorted by group and time, where each group is within one partition.
///
/// It buffers the rows of one group, or of several small ones, and returns batches of the session's batch size.
#[derive(Debug, Clone)]
pub(super) struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    spec: Arc<GapFillSpec>,
    /// The order of input and output: group, then time.
    ordering: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GapFillExec {
    /// # Errors
    ///
    /// Returns an internal error if the columns of `spec` are not in `input`.
    pub(super) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        spec: Arc<GapFillSpec>,
    ) -> Result<Self> {
        let nulls_last = SortOptions { descending: false, nulls_first: false };
        let columns = spec.key_columns().chain([spec.time_column]);
        let sort = columns.map(|index| {
            let name = input
                .schema()
                .fields()
                .get(index)
                .map(|field| field.name().clone())
                .unwrap_or_default();
            PhysicalSortExpr::new(Arc::new(Column::new(&name, index)), nulls_last)
        });
        let Some(ordering) = LexOrdering::new(sort) else {
            return internal_err!("gap filling needs a time column");
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), [ordering.clone()]),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            input,
            schema,
            spec,
            ordering,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn key_expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let keys = self.ordering.len().saturating_sub(1);
        self.ordering.iter().take(keys).map(|sort| Arc::clone(&sort.expr)).collect()
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GapFillSpec { lower, upper, filled, .. } = self.spec.as_ref();
        let filled: Vec<&str> = filled.iter().map(|column| column.name.as_str()).collect();
        write!(
            f,
            "GapFillExec: order=[{}], range=[{lower}, {upper}], fill=[{}]",
            self.ordering,
            filled.join(", ")
        )
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &'static str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let keys = self.key_expressions();
        InputDistributionRequirements::new(vec![if keys.is_empty() {
            Distribution::SinglePartition
        } else {
            Distribution::KeyPartitioned(keys)
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.ordering.clone()))]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.ordering.iter().map(|sort| &sort.expr), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) else {
            return internal_err!("gap filling has one input");
        };
        Ok(Arc::new(match options.children_properties {
            ChildrenPropertiesMode::Keep => Self {
                input,
                metrics: ExecutionPlanMetricsSet::new(),
                ..self.as_ref().clone()
            },
            ChildrenPropertiesMode::Recompute => {
                Self::try_new(input, Arc::clone(&self.schema), Arc::clone(&self.spec))?
            }
        }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let stream = GapFillStream {
            input: self.input.execute(partition, Arc::clone(&context))?,
            buffer: GroupBuffer::new(self.spec.key_columns().collect(), partition, &context),
            filler: SeriesFiller::new(Arc::clone(&self.spec), Arc::clone(&self.schema)),
            batch_size: context.session_config().batch_size(),
            input_ended: false,
            metrics,
        };
        let batches = stream::try_unfold(stream, |mut stream| async move {
            let batch = stream.next().await?;
            Ok(batch.map(|batch| (batch, stream)))
        });
        let batches = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches.boxed());
        // Without this, a long range of empty bins would block other tasks and the cancellation of the query.
        Ok(Box::pin(cooperative(batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::GreaterEqual
    }
}

/// Gap filling of one partition.
struct GapFillStream {
    input: SendableRecordBatchStream,
    buffer: GroupBuffer,
    filler: SeriesFiller,
    batch_size: usize,
    input_ended: bool,
    metrics: BaselineMetrics,
}

impl GapFillStream {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let timer = self.metrics.elapsed_compute().timer();
            let filled = self.filler.next_batch(self.batch_size)?;
            timer.done();
            if let Some(batch) = filled {
                self.metrics.output_rows().add(batch.num_rows());
                return Ok(Some(batch));
            }
            if self.input_ended {
                return Ok(None);
            }
            let complete = match self.input.try_next().await? {
                Some(batch) => self.buffer.push(batch)?,
                None => {
                    self.input_ended = true;
                    self.buffer.finish()?
                }
            };
            if let Some(groups) = complete {
                self.filler.start(groups)?;
            }
        }
    }
}
