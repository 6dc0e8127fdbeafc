//! Executes inputs one after the other, because all of them at once would need more memory than there is.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Result, internal_datafusion_err},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};

/// Divides inputs among partitions. A partition outputs the rows of one of its inputs after the other.
#[derive(Debug)]
pub struct SequenceExec {
    /// Each has one partition.
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    partitions: usize,
    properties: Arc<PlanProperties>,
}

impl SequenceExec {
    /// Divides `inputs`, which have one partition and equal columns.
    /// Fails if there are no inputs.
    pub(crate) fn try_new(inputs: Vec<Arc<dyn ExecutionPlan>>, partitions: usize) -> Result<Self> {
        let first = inputs
            .first()
            .ok_or_else(|| internal_datafusion_err!("a sequence needs inputs"))?;
        let partitions = partitions.clamp(1, inputs.len());
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(first.schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self { inputs, partitions, properties })
    }
}

impl DisplayAs for SequenceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SequenceExec: partitions={}", self.partitions)
    }
}

impl ExecutionPlan for SequenceExec {
    fn name(&self) -> &'static str {
        "SequenceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.inputs.len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    crate::no_expressions_method!();

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::try_new(children, self.partitions)?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let of_partition = self.inputs.iter().skip(partition).step_by(self.partitions);
        let inputs: Vec<Arc<dyn ExecutionPlan>> = of_partition.cloned().collect();
        let streams = inputs.into_iter().map(move |input| input.execute(0, Arc::clone(&context)));
        let rows = stream::iter(streams).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
