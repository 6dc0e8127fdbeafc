//! Merges of inputs that are all read at once.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_plan::{
        ExecutionPlan,
        metrics::{BaselineMetrics, SpillMetrics},
    },
};

use super::{merged_rows::OutputColumns, run_merge};

/// Rows of a batch per input: 16 inputs are read at once with batches of 1,024 rows, 128 with the default of 8,192.
pub(super) const ROWS_PER_INPUT: usize = 64;

/// The parameters of a merge of sorted inputs.
pub(super) struct DedupMerge {
    pub(super) input_schema: SchemaRef,
    pub(super) output: OutputColumns,
    /// The indexes of the key columns of the inputs.
    pub(super) keys: Arc<[usize]>,
    pub(super) metrics: BaselineMetrics,
    pub(super) spills: SpillMetrics,
    pub(super) context: Arc<TaskContext>,
}

impl DedupMerge {
    /// Merges and deduplicates inputs, which are all read at once.
    pub(super) fn merge_to_output(
        &self,
        inputs: Vec<SendableRecordBatchStream>,
    ) -> SendableRecordBatchStream {
        self.merge(inputs, self.output.clone())
    }

    /// Merges and deduplicates inputs, and outputs all of their columns, so that the rows can be merged again.
    pub(super) fn merge_all_columns(
        &self,
        inputs: Vec<SendableRecordBatchStream>,
    ) -> SendableRecordBatchStream {
        let columns = OutputColumns {
            schema: Arc::clone(&self.input_schema),
            in_inputs: (0..self.input_schema.fields().len()).collect(),
        };
        self.merge(inputs, columns)
    }

    fn merge(
        &self,
        inputs: Vec<SendableRecordBatchStream>,
        columns: OutputColumns,
    ) -> SendableRecordBatchStream {
        let consumer = MemoryConsumer::new("DedupExec");
        run_merge::merge(
            inputs,
            columns,
            &self.keys,
            self.context.session_config().batch_size(),
            consumer.register(self.context.memory_pool()),
            self.metrics.clone(),
        )
    }
}

/// Returns the maximum number of inputs that are read at once, because each holds some batches in memory.
pub(super) fn max_inputs(context: &TaskContext) -> usize {
    // The batch size is smaller if there is less memory.
    context.session_config().batch_size() / ROWS_PER_INPUT
}

/// Starts the execution of inputs with one partition each.
pub(super) fn execute_all(
    inputs: &[Arc<dyn ExecutionPlan>],
    context: &Arc<TaskContext>,
) -> Result<Vec<SendableRecordBatchStream>> {
    let streams = inputs.iter().map(|input| input.execute(0, Arc::clone(context)));
    streams.collect()
}
