//! The inputs of grouping sets.
//!
//! An aggregate expands each batch to its rows for all grouping sets before it asks for memory, and before it can be cancelled. So
//! it gets small batches.
//!
//! DataFusion 55.2 concludes from an order, a constant or a partitioning of the input that the groups have it, too, although a
//! grouping set has null in the place of a column. After `WHERE host = 'a'`, `CUBE (host, region)` returned each group again
//! whenever `host` changed, and `ORDER BY host` sorted nothing (apache/datafusion#16965, #24421).

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr, expressions::Column},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties,
        aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy},
        coop::make_cooperative,
        execution_plan::CardinalityEffect,
        projection::ProjectionExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::substitution_rule::SubstitutionRule;

/// Maximum number of rows to which an aggregate expands a batch.
const MAX_EXPANDED_ROWS: usize = 1 << 16;

/// Returns the rows of its input in batches of limited size, and declares no order, no constants and no partitioning of them.
#[derive(Debug)]
pub struct UnorderedExec {
    input: Arc<dyn ExecutionPlan>,
    max_batch_rows: usize,
    properties: Arc<PlanProperties>,
}

impl UnorderedExec {
    /// Lets each aggregate with grouping sets that reads rows group them by undeclared columns.
    pub(crate) const RULE: SubstitutionRule = SubstitutionRule {
        name: "grouping_sets",
        substitute: |plan| {
            let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else {
                return Ok(None);
            };
            let is_affected = aggregate.group_expr().has_grouping_set()
                && aggregate.mode().input_mode() == AggregateInputMode::Raw;
            is_affected.then(|| group_by_copies(aggregate)).transpose()
        },
    };

    /// Hides the declared properties of `input`, except its partitions and when it emits rows. Batches have up to
    /// `max_batch_rows` rows, at least one.
    pub fn new(input: Arc<dyn ExecutionPlan>, max_batch_rows: usize) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self {
            input,
            max_batch_rows: max_batch_rows.max(1),
            properties: Arc::new(properties),
        }
    }

    /// Returns the maximum number of rows of a batch.
    pub fn max_batch_rows(&self) -> usize {
        self.max_batch_rows
    }
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
    let columns = fields.iter().enumerate();
    let columns = columns.map(|(index, field)| column(field.name(), index));
    let expressions: Vec<_> = columns.chain(groups.expr().iter().cloned()).collect();
    let copies = groups.expr().iter().enumerate();
    let copies = copies.map(|(index, (_, name))| column(name, fields.len() + index));
    let copies = PhysicalGroupBy::new(
        copies.collect(),
        groups.null_expr().to_vec(),
        groups.groups().to_vec(),
        true,
    );
    let max_batch_rows = MAX_EXPANDED_ROWS / groups.groups().len().max(1);
    let projection = ProjectionExec::try_new(expressions, Arc::clone(input))?;
    let input = Arc::new(UnorderedExec::new(Arc::new(projection), max_batch_rows));
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
        write!(f, "{}: max_batch_rows={}", self.name(), self.max_batch_rows)
    }
}

impl ExecutionPlan for UnorderedExec {
    fn name(&self) -> &'static str {
        "UnorderedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop();
        let input = input.ok_or_else(|| internal_datafusion_err!("the input is missing"))?;
        Ok(Arc::new(Self::new(input, self.max_batch_rows)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let max_rows = self.max_batch_rows;
        let batches = self.input.execute(partition, context)?;
        let parts = batches.map_ok(move |batch| stream::iter(split(&batch, max_rows)).map(Ok));
        let parts = RecordBatchStreamAdapter::new(self.schema(), parts.try_flatten());
        Ok(make_cooperative(Box::pin(parts)))
    }
}

/// Divides a batch into parts of up to `max_rows` rows.
fn split(batch: &RecordBatch, max_rows: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(max_rows);
    let parts = starts.map(|start| batch.slice(start, max_rows.min(batch.num_rows() - start)));
    parts.collect()
}

#[cfg(test)]
mod tests {
    use arrow::{array::AsArray, array::Int64Array, datatypes::Int64Type};
    use datafusion::{datasource::memory::MemorySourceConfig, physical_plan::common::collect};

    use super::*;

    #[tokio::test]
    async fn batches_have_limited_rows_and_all_of_them() {
        let values = Arc::new(Int64Array::from_iter_values(0..10)) as _;
        let batch = RecordBatch::try_from_iter([("v", values)]).unwrap();
        let schema = batch.schema();
        let input = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
        let plan = UnorderedExec::new(input, 4);
        let batches = collect(plan.execute(0, Arc::default()).unwrap())
            .await
            .unwrap();
        let values = batches
            .iter()
            .map(|batch| batch.column(0).as_primitive::<Int64Type>());
        let values: Vec<_> = values.map(|column| column.values().to_vec()).collect();
        assert_eq!(values, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    }
}
