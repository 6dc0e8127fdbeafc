//! Inputs that execute once.
//!
//! If the left side of a nested loop join exceeds the memory pool, DataFusion 55.2 executes this side a second time, once
//! for each part of it that fits. A repartitioning below can't execute twice and panics, and for LEFT, SEMI and ANTI joins
//! with several partitions on the right side the rows are wrong (apache/datafusion#22641). The join therefore ends with
//! `ResourcesExhausted` instead.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use datafusion::{
    common::{Result, resources_datafusion_err},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::CardinalityEffect,
    },
};

use crate::one_input::one_input_methods;

/// Passes on the batches of its input. A second execution of a partition is an error.
#[derive(Debug)]
pub(crate) struct SingleExecutionExec {
    input: Arc<dyn ExecutionPlan>,
    executed: Mutex<BTreeSet<usize>>,
}

impl SingleExecutionExec {
    /// Allows one execution of each partition of `input`.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, executed: Mutex::default() }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        Ok(Self::new(input))
    }
}

impl DisplayAs for SingleExecutionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for SingleExecutionExec {
    fn name(&self) -> &'static str {
        "SingleExecutionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    one_input_methods!(input);

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
        if !executed.insert(partition) {
            return Err(resources_datafusion_err!(
                "the left side of a nested loop join does not fit into the memory for queries"
            ));
        }
        self.input.execute(partition, context)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::{error::DataFusionError, physical_plan::empty::EmptyExec};

    use super::*;

    #[test]
    fn a_second_execution_of_a_partition_exhausts_resources_until_the_plan_is_reset() {
        let input = EmptyExec::new(Arc::new(Schema::empty())).with_partitions(2);
        let plan: Arc<dyn ExecutionPlan> = Arc::new(SingleExecutionExec::new(Arc::new(input)));
        let run = |plan: &Arc<dyn ExecutionPlan>, partition| {
            let context = Arc::new(TaskContext::default());
            plan.execute(partition, context).map(|_| ())
        };
        run(&plan, 0).unwrap();
        run(&plan, 1).unwrap();
        let error = run(&plan, 0).unwrap_err();
        assert!(matches!(error, DataFusionError::ResourcesExhausted(_)), "{error}");
        run(&plan.reset_state().unwrap(), 0).unwrap();
    }
}
