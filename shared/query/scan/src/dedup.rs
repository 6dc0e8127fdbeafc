//! Merges sorted sources, and outputs each point once.
//!
//! The inputs are in the order of their stamps, the oldest first. Each input is sorted by tags and time and contains
//! every point at most once. For each field of a point, the newest value that is not null is output.
//!
//! ```text
//!   input 0   a 1 x=1 y=1
//!   input 1   a 1 x=2 y=-    ->   a 1 x=2 y=1
//!             b 1 x=3 y=3         b 1 x=3 y=3
//! ```
//!
//! Each input has the key columns. A merge outputs only the columns that the operators above it read.

mod memory;
mod merge;
mod merged_rows;
mod passes;
mod run_merge;
mod source_batch;

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        Result, internal_datafusion_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
        expressions::Column,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
        common::spawn_buffered,
        display::ProjectSchemaDisplay,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics},
    },
};

use merge::{DedupMerge, execute_all, max_inputs};
use merged_rows::OutputColumns;

pub(crate) use memory::{MergeMemory, concurrent_merges};

/// The number of batches that a task of a merge computes before they are needed.
const BATCHES_AHEAD: usize = 1;

/// Merges inputs that are sorted by the key of a point, and deduplicates the versions of each point.
#[derive(Clone, Debug)]
pub struct DedupExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    /// The order of the inputs.
    order: LexOrdering,
    /// The indexes of the key columns of the inputs. All other columns are fields.
    keys: Arc<[usize]>,
    input_schema: SchemaRef,
    output: OutputColumns,
    memory: MergeMemory,
    /// Whether the inputs and the output are computed by tasks of their own.
    has_tasks: bool,
    /// Whether rules of the optimizer see no inputs.
    hides_inputs: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DedupExec {
    /// Merges `inputs`, from the oldest to the newest. Each input has one partition, sorted by `order`. `keys` are the
    /// indexes of the columns of `order`, `output` those of the columns that are output.
    /// Fails if there is no input, or it lacks a column of the output.
    pub(crate) fn try_new(
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        order: LexOrdering,
        keys: Arc<[usize]>,
        output: Arc<[usize]>,
        memory: MergeMemory,
    ) -> Result<Self> {
        let first = inputs
            .first()
            .ok_or_else(|| internal_datafusion_err!("a merge needs at least one source"))?;
        let input_schema = first.schema();
        let schema = Arc::new(input_schema.project(&output)?);
        let equivalences = EquivalenceProperties::new_with_orderings(
            Arc::clone(&schema),
            order_of_output(&order, &keys, &output),
        );
        let properties = Arc::new(PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self {
            inputs,
            order,
            keys,
            input_schema,
            output: OutputColumns { schema, in_inputs: output },
            memory,
            has_tasks: false,
            hides_inputs: false,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Computes each input and the output in a task of its own, so that several processors execute a plan without other partitions. A
    /// runtime of one thread has no such tasks, and neither have merges in passes.
    pub(crate) fn in_tasks(self) -> Self {
        Self { has_tasks: true, ..self }
    }

    /// Hides the inputs of all merges of a plan from rules, or shows them again.
    ///
    /// # Errors
    /// An operator refuses its new inputs.
    pub fn hide_inputs(
        plan: Arc<dyn ExecutionPlan>,
        hides: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_down(|operator| {
            let Some(merge) = operator.downcast_ref::<Self>() else {
                return Ok(Transformed::no(operator));
            };
            let merge = Self {
                hides_inputs: hides,
                metrics: ExecutionPlanMetricsSet::new(),
                ..merge.clone()
            };
            // There is no merge below a merge.
            let merge: Arc<dyn ExecutionPlan> = Arc::new(merge);
            Ok(Transformed::new(merge, true, TreeNodeRecursion::Jump))
        });
        changed.data()
    }

    /// Returns the inputs that rules see.
    fn visible_inputs(&self) -> &[Arc<dyn ExecutionPlan>] {
        if self.hides_inputs { &[] } else { &self.inputs }
    }
}

/// Returns the order of the output: the columns of the order before the first one that is not output.
fn order_of_output(order: &LexOrdering, keys: &[usize], output: &[usize]) -> Option<LexOrdering> {
    let sorts = order.iter().zip(keys).map_while(|(sort, key)| {
        let at = output.iter().position(|column| column == key)?;
        let name = sort.expr.downcast_ref::<Column>()?.name();
        let column = Arc::new(Column::new(name, at));
        Some(PhysicalSortExpr::new(column, sort.options))
    });
    LexOrdering::new(sorts)
}

impl DisplayAs for DedupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (order, schema) = (&self.order, self.schema());
        let output = ProjectSchemaDisplay(&schema);
        write!(f, "DedupExec: input_order=[{order}], projection={output}")
    }
}

impl ExecutionPlan for DedupExec {
    fn name(&self) -> &'static str {
        "DedupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.visible_inputs().iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.visible_inputs().len()]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone())); self.visible_inputs().len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.visible_inputs().len()]
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for sort in &self.order {
            if apply(&sort.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.hides_inputs {
            return Ok(self);
        }
        let merge = Self::try_new(
            children,
            self.order.clone(),
            Arc::clone(&self.keys),
            Arc::clone(&self.output.in_inputs),
            self.memory.clone(),
        )?;
        Ok(Arc::new(Self { has_tasks: self.has_tasks, ..merge }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let fold = DedupMerge {
            input_schema: Arc::clone(&self.input_schema),
            output: self.output.clone(),
            keys: Arc::clone(&self.keys),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            spills: SpillMetrics::new(&self.metrics, partition),
            context: Arc::clone(&context),
        };
        let groups = self.memory.groups(self.inputs.len(), max_inputs(&context));
        if groups.len() > 1 {
            let groups = groups
                .into_iter()
                .filter_map(|group| Some(self.inputs.get(group)?.to_vec()))
                .collect();
            return Ok(passes::deduplicate_in_passes(fold, groups));
        }
        let inputs = execute_all(&self.inputs, &context)?;
        if !self.has_tasks {
            return Ok(fold.merge_to_output(inputs));
        }
        let in_task = |rows| spawn_buffered(rows, BATCHES_AHEAD);
        let tasks = inputs.into_iter().map(in_task).collect();
        Ok(in_task(fold.merge_to_output(tasks)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[cfg(test)]
mod tests;
