//! The inputs of grouping sets.
//!
//! DataFusion 55.2 concludes from an order, a constant or a partitioning of the input that the groups have it, too, although a
//! grouping set has null in the place of a column. After `WHERE host = 'a'`, `CUBE (host, region)` returned each group again
//! whenever `host` changed, and `ORDER BY host` sorted nothing (apache/datafusion#16965, #24421).

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, internal_datafusion_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties,
        aggregates::{AggregateExec, AggregateInputMode},
        execution_plan::{CardinalityEffect, replace_children_if_necessary},
    },
};

use crate::substitution_rule::SubstitutionRule;

/// Passes on the batches of its input as rows of which nothing is known: no order, no constants, no partitioning.
#[derive(Debug)]
pub struct UnorderedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl UnorderedExec {
    /// Puts the operator below each aggregate with grouping sets that reads rows.
    pub(crate) const RULE: SubstitutionRule = SubstitutionRule {
        name: "grouping_sets",
        substitute: |plan| {
            let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else {
                return Ok(None);
            };
            let is_affected = aggregate.group_expr().has_grouping_set()
                && aggregate.mode().input_mode() == AggregateInputMode::Raw;
            if !is_affected {
                return Ok(None);
            }
            let input = Arc::new(Self::new(Arc::clone(aggregate.input())));
            replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some)
        },
    };

    /// Hides what is known of the rows of `input`.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self {
            input,
            properties: Arc::new(properties),
        }
    }
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
        Ok(Arc::new(Self::new(input)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
