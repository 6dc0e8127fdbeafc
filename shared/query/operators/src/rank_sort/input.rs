//! The rows to sort, up to limits.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, internal_datafusion_err, utils::memory::RecordBatchMemoryCounter},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryReservation},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::{
    StreamExt,
    stream::{self, Fuse},
};

/// How often the rows are in memory while they are sorted: as they came, in one piece, and in their order.
const COPIES: usize = 3;

/// Limits of the rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct SortLimits {
    pub(super) rows: usize,
    /// The memory of the rows as they come.
    pub(super) bytes: usize,
}

/// The rows of all partitions, as far as they are read.
pub(super) struct SortInput {
    partitions: Vec<InputPartition>,
    limits: SortLimits,
    rows: usize,
    bytes: RecordBatchMemoryCounter,
    /// The memory to sort a row in addition to that of its values.
    key_bytes: usize,
    memory: MemoryReservation,
}

struct InputPartition {
    batches: Vec<RecordBatch>,
    rest: Fuse<SendableRecordBatchStream>,
    schema: SchemaRef,
}

impl SortInput {
    /// Rows of `partitions`, whose memory is charged to `memory`: `key_bytes` per row, and that of its values.
    pub(super) fn new(
        partitions: Vec<SendableRecordBatchStream>,
        limits: SortLimits,
        key_bytes: usize,
        memory: MemoryReservation,
    ) -> Self {
        let partitions = partitions.into_iter().map(|rows| InputPartition {
            batches: Vec::new(),
            schema: rows.schema(),
            rest: rows.fuse(),
        });
        Self {
            partitions: partitions.collect(),
            limits,
            rows: 0,
            bytes: RecordBatchMemoryCounter::new(),
            key_bytes,
            memory,
        }
    }

    /// Reads all rows and returns true, or returns false as soon as a limit or the memory is exceeded.
    pub(super) async fn read(&mut self) -> Result<bool> {
        // A partition may wait until the rows of another one are read. So none is waited for alone, nor after the end.
        poll_fn(|context| {
            let mut is_pending = false;
            for index in 0..self.partitions.len() {
                loop {
                    let partition = &mut self.partitions[index];
                    match partition.rest.poll_next_unpin(context) {
                        Poll::Pending => is_pending = true,
                        Poll::Ready(None) => {}
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                        Poll::Ready(Some(Ok(batch))) => {
                            partition.batches.push(batch.clone());
                            if !self.count(&batch) {
                                return Poll::Ready(Ok(false));
                            }
                            continue;
                        }
                    }
                    break;
                }
            }
            if is_pending {
                Poll::Pending
            } else {
                Poll::Ready(Ok(true))
            }
        })
        .await
    }

    /// Counts rows that were read. Returns whether they are within the limits.
    fn count(&mut self, batch: &RecordBatch) -> bool {
        self.rows = self.rows.saturating_add(batch.num_rows());
        self.bytes.count_batch(batch);
        let bytes = self.bytes.memory_usage();
        let is_within = self.rows <= self.limits.rows && bytes <= self.limits.bytes;
        let keys = self.rows.saturating_mul(self.key_bytes);
        let memory = bytes.saturating_mul(COPIES).saturating_add(keys);
        is_within && self.memory.try_resize(memory).is_ok()
    }

    /// Returns the rows that were read, and their memory.
    pub(super) fn into_read(self) -> (Vec<RecordBatch>, MemoryReservation) {
        let partitions = self.partitions.into_iter();
        let batches = partitions.flat_map(|partition| partition.batches);
        (batches.collect(), self.memory)
    }

    /// Returns the partitions with all their rows, those that were read and the rest.
    pub(super) fn into_partitions(self) -> Vec<Arc<dyn PartitionStream>> {
        let partitions = self
            .partitions
            .into_iter()
            .map(|partition| Arc::new(partition.into_stream()) as Arc<_>);
        partitions.collect()
    }
}

impl InputPartition {
    fn into_stream(self) -> ReadOncePartition {
        let schema = Arc::clone(&self.schema);
        let rows = stream::iter(self.batches.into_iter().map(Ok)).chain(self.rest);
        ReadOncePartition {
            schema: self.schema,
            rows: Mutex::new(Some(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))),
        }
    }
}

struct ReadOncePartition {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for ReadOncePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOncePartition").finish_non_exhaustive()
    }
}

impl PartitionStream for ReadOncePartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.take().unwrap_or_else(|| {
            let error = internal_datafusion_err!("a partition is read twice");
            let schema = Arc::clone(&self.schema);
            let failed = stream::iter([Err(error)]);
            Box::pin(RecordBatchStreamAdapter::new(schema, failed))
        })
    }
}
