//! The execution plan of `ASOF JOIN`.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::TaskContext,
    physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr},
    physical_expr_common::sort_expr::OrderingRequirements,
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
        InputDistributionRequirements, PlanProperties, SendableRecordBatchStream,
        apply_expression_roots,
        coop::cooperative,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};

use super::{conditions::AsOfConditions, merge::AsOfMerge};

/// Merges two inputs that are sorted by keys and times, partition by partition, in bounded memory: it keeps two batches of the right
/// input, and one of the left input and of the result each.
#[derive(Debug)]
pub(super) struct AsOfJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    conditions: Arc<AsOfConditions>,
    left_ordering: LexOrdering,
    right_ordering: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsOfJoinExec {
    pub(super) fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        conditions: Arc<AsOfConditions>,
    ) -> Result<Self> {
        let left_ordering = conditions.ordering(&conditions.left())?;
        let right_ordering = conditions.ordering(&conditions.right())?;
        // The columns of the left input are the first ones.
        let orders = [left_ordering.clone()];
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), orders),
            left.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            left,
            right,
            schema,
            conditions,
            left_ordering,
            right_ordering,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for AsOfJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AsOfConditions { on, times, operator, join_type } = self.conditions.as_ref();
        let on = on.iter().map(|(left, right)| format!("{left} = {right}"));
        write!(
            f,
            "AsOfJoinExec: {join_type}, on=[{}], match=[{} {operator} {}]",
            on.collect::<Vec<_>>().join(", "),
            times.0,
            times.1
        )
    }
}

impl ExecutionPlan for AsOfJoinExec {
    fn name(&self) -> &'static str {
        "AsOfJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if self.conditions.on.is_empty() {
            return InputDistributionRequirements::new(vec![
                Distribution::SinglePartition,
                Distribution::SinglePartition,
            ]);
        }
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(self.conditions.left().keys),
            Distribution::KeyPartitioned(self.conditions.right().keys),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![
            Some(OrderingRequirements::from(self.left_ordering.clone())),
            Some(OrderingRequirements::from(self.right_ordering.clone())),
        ]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let pairs = self.conditions.on.iter().chain([&self.conditions.times]);
        apply_expression_roots(pairs.flat_map(|(left, right)| [left, right]), f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("an ASOF JOIN has two inputs");
        };
        let (schema, conditions) = (Arc::clone(&self.schema), Arc::clone(&self.conditions));
        Ok(Arc::new(Self::try_new(left, right, schema, conditions)?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let partitions =
            |input: &Arc<dyn ExecutionPlan>| input.output_partitioning().partition_count();
        if partitions(&self.left) != partitions(&self.right) {
            return internal_err!("the inputs of an ASOF JOIN are partitioned alike");
        }
        let merge = AsOfMerge::try_new(
            (self.left.execute(partition, Arc::clone(&context))?, self.conditions.left()),
            (self.right.execute(partition, Arc::clone(&context))?, self.conditions.right()),
            Arc::clone(&self.schema),
            self.conditions.as_ref(),
            context.session_config().batch_size(),
        )?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = stream::try_unfold((merge, metrics), |(mut merge, metrics)| async move {
            let Some(batch) = merge.next_batch().await? else {
                return Ok(None);
            };
            metrics.output_rows().add(batch.num_rows());
            Ok(Some((batch, (merge, metrics))))
        });
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches.boxed());
        // Without this, a long run of rows without output would block other tasks and the cancellation of the query.
        Ok(Box::pin(cooperative(rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
