//! The execution plan of `ASOF JOIN`.

use std::{fmt, sync::Arc};

use arrow::{compute::SortOptions, datatypes::SchemaRef};
use datafusion::{
    common::{JoinType, Result, internal_err, tree_node::TreeNodeRecursion},
    execution::TaskContext,
    logical_expr::Operator,
    physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr},
    physical_expr_common::sort_expr::OrderingRequirements,
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
        InputDistributionRequirements, PlanProperties, SendableRecordBatchStream,
        apply_expression_roots,
        coop::cooperative,
        execution_plan::{
            Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
        },
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, stream};

use super::merge::{AsOfMerge, SideExprs};

/// The conditions of a match.
#[derive(Debug, Clone)]
pub(super) struct AsOfConditions {
    /// The expressions of both inputs that are equal.
    pub(super) on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    /// The expressions of both inputs that are compared with `operator`.
    pub(super) times: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>),
    pub(super) operator: Operator,
    pub(super) join_type: JoinType,
}

impl AsOfConditions {
    fn left(&self) -> SideExprs {
        SideExprs {
            keys: self.on.iter().map(|(left, _)| Arc::clone(left)).collect(),
            time: Arc::clone(&self.times.0),
        }
    }

    fn right(&self) -> SideExprs {
        SideExprs {
            keys: self.on.iter().map(|(_, right)| Arc::clone(right)).collect(),
            time: Arc::clone(&self.times.1),
        }
    }

    /// Whether matches are later than their rows. Inputs are sorted from the latest time to the earliest then, so that matches always
    /// come first.
    fn is_descending(&self) -> bool {
        matches!(self.operator, Operator::Lt | Operator::LtEq)
    }

    /// The order of the times of inputs.
    fn time_order(&self) -> SortOptions {
        SortOptions {
            descending: self.is_descending(),
            nulls_first: true,
        }
    }

    /// Returns the order of an input: keys, then times.
    fn ordering(&self, side: &SideExprs) -> Result<LexOrdering> {
        let keys = side
            .keys
            .iter()
            .map(|key| PhysicalSortExpr::new(Arc::clone(key), SideExprs::KEY_ORDER));
        let time = PhysicalSortExpr::new(Arc::clone(&side.time), self.time_order());
        match LexOrdering::new(keys.chain([time])) {
            Some(ordering) => Ok(ordering),
            None => internal_err!("an ASOF JOIN compares times"),
        }
    }
}

/// Merges two inputs that are sorted by keys and times, partition by partition, in bounded memory: it keeps two batches of the right
/// input, and one of the left input and of the result each.
#[derive(Debug, Clone)]
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
        conditions: AsOfConditions,
    ) -> Result<Self> {
        Self::from_inputs(left, right, schema, Arc::new(conditions))
    }

    fn from_inputs(
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
        let AsOfConditions {
            on,
            times,
            operator,
            join_type,
        } = self.conditions.as_ref();
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

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[Arc<dyn ExecutionPlan>; 2]>::try_from(children) else {
            return internal_err!("an ASOF JOIN has two inputs");
        };
        Ok(Arc::new(match options.children_properties {
            ChildrenPropertiesMode::Keep => Self {
                left,
                right,
                metrics: ExecutionPlanMetricsSet::new(),
                ..self.as_ref().clone()
            },
            ChildrenPropertiesMode::Recompute => Self::from_inputs(
                left,
                right,
                Arc::clone(&self.schema),
                Arc::clone(&self.conditions),
            )?,
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
        let partitions =
            |input: &Arc<dyn ExecutionPlan>| input.output_partitioning().partition_count();
        if partitions(&self.left) != partitions(&self.right) {
            return internal_err!("the inputs of an ASOF JOIN are partitioned alike");
        }
        let merge = AsOfMerge::try_new(
            (
                self.left.execute(partition, Arc::clone(&context))?,
                self.conditions.left(),
            ),
            (
                self.right.execute(partition, Arc::clone(&context))?,
                self.conditions.right(),
            ),
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
