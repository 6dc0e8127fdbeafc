//! The streams of the rows of a task, one for each partition, read from one answer.
//!
//! ```text
//!   invocation ─ reply ─ answer ─┬─ queue of partition 0 ─ stream
//!                                ├─ queue of partition 1 ─ stream
//!                                └─ metrics
//! ```
//!
//! A stream whose queue is empty reads the answer until it meets its next batch, and puts batches of other partitions
//! into their queues. No stream waits for another one, so that operators which read partitions in turn can't block. The
//! queues are bounded by the memory pool of the query.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::{
    common::runtime::SpawnedTask,
    error::{DataFusionError, Result},
    execution::memory_pool::MemoryReservation,
};
use datafusion_distributed::TaskMetrics;
use futures::{StreamExt, stream, stream::BoxStream};
use neap_bucket::{Bucket, Get, GetOptions, Key};
use neap_scan::IoRuntime;
use tokio::sync::oneshot;

use super::{
    TaskReply,
    answer::{AnswerDecoder, AnswerError, AnswerPart},
    attempts::TaskError,
};

/// Number of bytes of an object that are read at once.
const READ_BYTES: u64 = 4 << 20;

/// Error: the object with an answer can't be read.
#[derive(Debug, thiserror::Error)]
enum AnswerObjectError {
    #[error("the worker names '{0}', which is no object of its kind")]
    Key(String),
    #[error("the object {0} with the rows of a task is missing")]
    Missing(Key),
    #[error(transparent)]
    Store(#[from] neap_bucket::StoreError),
}

/// The source of an answer's bytes.
#[derive(Debug)]
enum AnswerSource {
    /// The invocation runs.
    Invocation(SpawnedTask<Result<TaskReply, TaskError>>),
    /// The rest of the answer is in an object.
    Object { key: Key, offset: u64, bytes: u64 },
    /// All bytes were read.
    Exhausted,
}

/// The objects with large answers.
#[derive(Clone, Debug)]
pub(super) struct AnswerStore {
    pub(super) bucket: Bucket,
    pub(super) io: IoRuntime,
}

/// Reads an answer. Its futures can be dropped at any time without losing data.
#[derive(Debug)]
struct AnswerReader {
    source: AnswerSource,
    store: AnswerStore,
    decoder: AnswerDecoder,
    metrics: Option<oneshot::Sender<TaskMetrics>>,
    /// Set when the answer is complete, or has failed.
    outcome: Option<Result<(), Arc<DataFusionError>>>,
}

/// A queue of batches with their sizes in bytes.
#[derive(Debug, Default)]
struct PartitionQueue {
    batches: VecDeque<(RecordBatch, usize)>,
    /// The stream was dropped.
    is_closed: bool,
}

#[derive(Debug)]
struct TaskRows {
    reader: tokio::sync::Mutex<AnswerReader>,
    queues: Vec<Mutex<PartitionQueue>>,
    memory: MemoryReservation,
}

pub(super) fn partition_streams(
    invocation: SpawnedTask<Result<TaskReply, TaskError>>,
    store: AnswerStore,
    partitions: &Range<usize>,
    metrics: Option<oneshot::Sender<TaskMetrics>>,
    memory: MemoryReservation,
) -> Vec<BoxStream<'static, Result<RecordBatch>>> {
    let rows = Arc::new(TaskRows {
        reader: tokio::sync::Mutex::new(AnswerReader {
            source: AnswerSource::Invocation(invocation),
            store,
            decoder: AnswerDecoder::new(partitions),
            metrics,
            outcome: None,
        }),
        queues: partitions.clone().map(|_| Mutex::default()).collect(),
        memory,
    });
    let streams = (0..partitions.len()).map(|partition| {
        let source = PartitionSource { rows: Arc::clone(&rows), partition };
        let stream = stream::try_unfold(source, |source| async move {
            let batch = source.rows.next(source.partition).await?;
            Ok(batch.map(|batch| (batch, source)))
        });
        stream.boxed()
    });
    streams.collect()
}

/// The state of a stream. When it is dropped, its queue takes no more batches.
struct PartitionSource {
    rows: Arc<TaskRows>,
    partition: usize,
}

impl Drop for PartitionSource {
    fn drop(&mut self) {
        let Some(mut queue) = self.rows.queue(self.partition) else {
            return;
        };
        queue.is_closed = true;
        for (_, bytes) in queue.batches.drain(..) {
            self.rows.memory.shrink(bytes);
        }
    }
}

impl TaskRows {
    fn queue(&self, partition: usize) -> Option<MutexGuard<'_, PartitionQueue>> {
        let queue = self.queues.get(partition)?;
        Some(queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, partition: usize) -> Option<RecordBatch> {
        let (batch, bytes) = self.queue(partition)?.batches.pop_front()?;
        self.memory.shrink(bytes);
        Some(batch)
    }

    async fn next(&self, partition: usize) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.take(partition) {
                return Ok(Some(batch));
            }
            let mut reader = self.reader.lock().await;
            // Another stream may have read the batch meanwhile.
            if let Some(batch) = self.take(partition) {
                return Ok(Some(batch));
            }
            match &reader.outcome {
                None => {}
                Some(Ok(())) => return Ok(None),
                Some(Err(error)) => return Err(DataFusionError::Shared(Arc::clone(error))),
            }
            let read = reader.read().await.and_then(|(of, batch)| self.add(of, batch));
            if let Err(end) = read {
                reader.outcome = Some(end.map_or(Ok(()), |error| Err(Arc::new(error))));
            }
        }
    }

    fn add(&self, partition: usize, batch: RecordBatch) -> Result<(), Option<DataFusionError>> {
        let Some(mut queue) = self.queue(partition).filter(|queue| !queue.is_closed) else {
            return Ok(());
        };
        let bytes = batch.get_array_memory_size();
        self.memory.try_grow(bytes).map_err(Some)?;
        queue.batches.push_back((batch, bytes));
        Ok(())
    }
}

impl AnswerReader {
    /// Returns the next batch and its partition. The error is `None` at the end of the answer.
    async fn read(&mut self) -> Result<(usize, RecordBatch), Option<DataFusionError>> {
        loop {
            match self.decoder.next().map_err(|error| Some(damaged(error)))? {
                Some(AnswerPart::Rows(partition, batch)) => return Ok((partition, batch)),
                Some(AnswerPart::Metrics(metrics)) => {
                    if let Some(sender) = self.metrics.take() {
                        // The receiver is gone if the query has ended.
                        sender.send(metrics).ok();
                    }
                }
                None => self.fetch().await?,
            }
        }
    }

    /// Fetches more bytes.
    async fn fetch(&mut self) -> Result<(), Option<DataFusionError>> {
        match &mut self.source {
            AnswerSource::Invocation(invocation) => {
                let reply = invocation
                    .await
                    .map_err(|error| Some(DataFusionError::External(error.into())))?
                    .map_err(|error| Some(error.into_datafusion()))?;
                self.source = self.begin(reply).map_err(Some)?;
                Ok(())
            }
            AnswerSource::Object { key, offset, bytes } if *offset < *bytes => {
                let end = bytes.saturating_sub(*offset).min(READ_BYTES) + *offset;
                let read = self
                    .store
                    .read(key, *offset..end)
                    .await
                    .map_err(|error| Some(DataFusionError::External(error.into())))?;
                self.decoder.push(&read);
                *offset = end;
                Ok(())
            }
            AnswerSource::Object { .. } => {
                self.source = AnswerSource::Exhausted;
                Ok(())
            }
            AnswerSource::Exhausted => match self.decoder.finish() {
                Ok(()) => Err(None),
                Err(error) => Err(Some(damaged(error))),
            },
        }
    }

    /// Returns the source of the bytes behind the reply.
    fn begin(&mut self, reply: TaskReply) -> Result<AnswerSource> {
        match reply {
            TaskReply::Answer(bytes) => {
                self.decoder.push(&bytes);
                Ok(AnswerSource::Exhausted)
            }
            TaskReply::Object { key, bytes } => match key.parse() {
                Ok(key @ Key::TaskResult(..)) => Ok(AnswerSource::Object { key, offset: 0, bytes }),
                _ => Err(DataFusionError::External(AnswerObjectError::Key(key).into())),
            },
            TaskReply::Failure { kind, message } => {
                Err(TaskError::Worker { kind, message }.into_datafusion())
            }
        }
    }
}

impl AnswerStore {
    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Bytes, AnswerObjectError> {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let (bucket, key) = (self.bucket.clone(), key.clone());
        let read = async move {
            match bucket.get(&key, options).await?.value {
                Get::Found(object) => Ok(object.bytes),
                Get::Missing | Get::Unchanged => Err(AnswerObjectError::Missing(key)),
            }
        };
        self.io.run(read).await
    }
}

fn damaged(error: AnswerError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
