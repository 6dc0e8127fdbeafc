//! The inputs of grouping sets.
//!
//! DataFusion 55.2 concludes from an order, a constant or a partitioning of the input that the groups have it, too, although a
//! grouping set has null in the place of a column. After `WHERE host = 'a'`, `CUBE (host, region)` returned each group again
//! whenever `host` changed, and `ORDER BY host` sorted nothing (apache/datafusion#16965, #24421).
//!
//! An aggregate expands each batch to its rows for all grouping sets before it asks for memory, and before it can be cancelled. So
//! it gets small batches.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, Statistics},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr, expressions::Column},
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan,
        ExecutionPlanProperties, Partitioning, PlanProperties, ReplaceChildrenOptions,
        aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy},
        coop::make_cooperative,
        execution_plan::CardinalityEffect,
        metrics::{ExecutionPlanMetricsSet, MetricsSet, SplitMetrics},
        projection::ProjectionExec,
        statistics::{ChildStats, StatisticsArgs},
        stream::BatchSplitStream,
    },
};

use crate::{
    one_input::{one_input_methods, same_rows_methods},
    substitution_rule::SubstitutionRule,
};

/// Maximum number of rows to which an aggregate expands a batch.
const MAX_EXPANDED_ROWS: usize = 1 << 16;

/// Returns the rows of its input, and declares no order, no constants and no partitioning of them.
#[derive(Debug)]
pub struct UnorderedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl UnorderedExec {
    /// Lets each aggregate with grouping sets that reads rows group them by undeclared columns.
    pub(crate) const RULE: SubstitutionRule = SubstitutionRule {
        name: "grouping_sets",
        substitute: |plan| {
            let aggregate = expanding_aggregate(plan.as_ref());
            aggregate.map(group_by_copies).transpose()
        },
    };

    /// Hides the declared properties of `input`, except its partitions and when it emits rows.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, properties: Arc::new(properties) }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input))
    }
}

/// Returns the operator as an aggregate if it expands rows to several grouping sets.
pub(crate) fn expanding_aggregate(plan: &dyn ExecutionPlan) -> Option<&AggregateExec> {
    plan.downcast_ref::<AggregateExec>().filter(|aggregate| {
        aggregate.group_expr().has_grouping_set()
            && aggregate.mode().input_mode() == AggregateInputMode::Raw
    })
}

/// Returns the aggregate with its groups in columns of their own. A function such as `array_agg(v ORDER BY k)` sorts the rows
/// above the operator by its own columns, which are not known to equal those of the groups.
fn group_by_copies(aggregate: &AggregateExec) -> Result<Arc<dyn ExecutionPlan>> {
    let (groups, input) = (aggregate.group_expr(), aggregate.input());
    let column = |name: &str, index| -> (Arc<dyn PhysicalExpr>, String) {
        (Arc::new(Column::new(name, index)), name.to_owned())
    };
    let schema = input.schema();
    let fields = schema.fields();
    let expressions: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| column(field.name(), index))
        .chain(groups.expr().iter().cloned())
        .collect();
    let copied_columns = groups.expr().iter().enumerate();
    let copies = PhysicalGroupBy::new(
        copied_columns
            .map(|(index, (_, name))| column(name, fields.len() + index))
            .collect(),
        groups.null_expr().to_vec(),
        groups.groups().to_vec(),
        true,
    );
    let projection = ProjectionExec::try_new(expressions, Arc::clone(input))?;
    let input = Arc::new(UnorderedExec::new(Arc::new(projection)));
    let schema = input.schema();
    Ok(Arc::new(AggregateExec::try_new(
        *aggregate.mode(),
        copies,
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        input,
        schema,
    )?))
}

impl DisplayAs for UnorderedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for UnorderedExec {
    fn name(&self) -> &'static str {
        "UnorderedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    one_input_methods!(input);

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let unknown = || Arc::new(Statistics::new_unknown(&self.schema()));
        Ok(inputs.first().map_or_else(unknown, Arc::clone))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// Returns the rows of its input in batches of limited size.
#[derive(Debug)]
pub struct SmallBatchesExec {
    input: Arc<dyn ExecutionPlan>,
    max_batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl SmallBatchesExec {
    /// Adds the operator directly below each aggregate with grouping sets that reads rows, above the sort that an aggregate
    /// function may need.
    pub(crate) const RULE: SubstitutionRule = SubstitutionRule {
        name: "small_batches",
        substitute: |plan| {
            let Some(aggregate) = expanding_aggregate(plan.as_ref()) else {
                return Ok(None);
            };
            let sets = aggregate.group_expr().groups().len().max(1);
            let input = Self::new(Arc::clone(aggregate.input()), MAX_EXPANDED_ROWS / sets);
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            let aggregate = Arc::clone(plan).replace_children(vec![Arc::new(input)], options)?;
            Ok(Some(aggregate))
        },
    };

    /// Divides the batches of `input` into those of up to `max_batch_rows` rows, at least one.
    pub fn new(input: Arc<dyn ExecutionPlan>, max_batch_rows: usize) -> Self {
        Self {
            input,
            max_batch_rows: max_batch_rows.max(1),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Returns the maximum number of rows of a batch.
    pub fn max_batch_rows(&self) -> usize {
        self.max_batch_rows
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input, self.max_batch_rows))
    }
}

impl DisplayAs for SmallBatchesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: max_batch_rows={}", self.name(), self.max_batch_rows)
    }
}

impl ExecutionPlan for SmallBatchesExec {
    fn name(&self) -> &'static str {
        "SmallBatchesExec"
    }

    one_input_methods!(input);
    same_rows_methods!(input);

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batches = self.input.execute(partition, context)?;
        let metrics = SplitMetrics::new(&self.metrics, partition);
        let batches = BatchSplitStream::new(batches, self.max_batch_rows, metrics);
        Ok(make_cooperative(Box::pin(batches)))
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Int64Array, RecordBatch},
        datatypes::Int64Type,
    };
    use datafusion::{
        common::ScalarValue,
        datasource::memory::MemorySourceConfig,
        physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Literal},
        physical_plan::{
            aggregates::AggregateMode, common::collect, displayable, sorts::sort::SortExec,
        },
    };

    use super::*;
    use crate::cancellation::{Cancellation, with_cancellation};

    /// An aggregate with two grouping sets over sorted rows.
    fn sorted_cube() -> Arc<dyn ExecutionPlan> {
        let values = Arc::new(Int64Array::from_iter_values(0..10)) as _;
        let batch = RecordBatch::try_from_iter([("v", values)]).unwrap();
        let schema = batch.schema();
        let input = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
        let v: Arc<dyn PhysicalExpr> = Arc::new(Column::new("v", 0));
        let order = LexOrdering::new([PhysicalSortExpr::new_default(Arc::clone(&v))]).unwrap();
        let sort = Arc::new(SortExec::new(order, input));
        let null: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::Int64(None)));
        let groups = PhysicalGroupBy::new(
            vec![(v, "v".to_owned())],
            vec![(null, "v".to_owned())],
            vec![vec![false], vec![true]],
            true,
        );
        let schema = sort.schema();
        let mode = AggregateMode::Partial;
        Arc::new(AggregateExec::try_new(mode, groups, vec![], vec![], sort, schema).unwrap())
    }

    fn operators(plan: &Arc<dyn ExecutionPlan>) -> String {
        let text = displayable(plan.as_ref()).indent(false).to_string();
        let names = text.lines().map(|line| line.trim().split(':').next());
        names.map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn batches_are_divided_between_the_sort_and_the_aggregate() {
        let plan = (SmallBatchesExec::RULE.substitute)(&sorted_cube()).unwrap();
        let divided = operators(&plan.unwrap());
        assert_eq!(divided, "AggregateExec SmallBatchesExec SortExec DataSourceExec");
    }

    #[test]
    fn groups_of_a_cancelled_query_are_not_read() {
        let checked = with_cancellation(sorted_cube(), &Cancellation::default()).unwrap();
        let expected = "CancellationExec AggregateExec CancellationExec SortExec DataSourceExec";
        assert_eq!(operators(&checked), expected);
    }

    #[tokio::test]
    async fn batches_have_limited_rows_and_all_of_them() {
        let values = Arc::new(Int64Array::from_iter_values(0..10)) as _;
        let batch = RecordBatch::try_from_iter([("v", values)]).unwrap();
        let schema = batch.schema();
        let input = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
        let plan = SmallBatchesExec::new(input, 4);
        let batches = collect(plan.execute(0, Arc::default()).unwrap()).await.unwrap();
        let values: Vec<_> = batches
            .iter()
            .map(|batch| batch.column(0).as_primitive::<Int64Type>())
            .map(|column| column.values().to_vec())
            .collect();
        assert_eq!(values, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    }
}
