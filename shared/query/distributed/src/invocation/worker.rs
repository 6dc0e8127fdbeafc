//! The worker's side: executes the task of a request in this process.

use std::{sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use bytes::{Bytes, BytesMut};
use datafusion::{
    common::{exec_datafusion_err, runtime::JoinSet},
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
};
use datafusion_distributed::{
    CoordinatorToWorkerMsg, ExecuteTaskRequest, SetPlanRequest, TaskMetrics, Worker,
    WorkerToCoordinatorMsg,
};
use futures::{StreamExt, stream};
use http::HeaderMap;
use neap_bucket::{
    Bucket, Key, ObjectHeaders, ObjectUploads, PendingUpload, StoreError, UploadMode, UploadOutcome,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use ulid::Ulid;
use url::Url;
use uuid::Uuid;

use super::{
    TaskFailureKind, TaskReply, TaskRequest,
    answer::{AnswerError, PartitionEncoder, begin_answer, finish_answer},
};

/// Maximum size of an answer that is in the reply itself, in bytes. Lambda allows 6 MiB of JSON. The limit is much lower,
/// because a coordinator has the replies of all its invocations in memory.
pub const MAX_INLINE_BYTES: usize = 256 << 10;

/// Number of encoded batches that wait to be stored.
const QUEUED_FRAMES: usize = 4;

/// Name by which the library knows the worker. Nothing connects to it.
const WORKER_URL: &str = "invocation://worker";

/// Executes tasks in this process.
#[derive(derive_more::Debug)]
#[debug("TaskRunner {{ version: {version:?}, .. }}")]
pub struct TaskRunner {
    worker: Worker,
    version: String,
    bucket: Bucket,
    uploads: ObjectUploads,
    runtime: Handle,
}

/// Error: an answer can't be stored.
#[derive(Debug, thiserror::Error)]
enum AnswerUploadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is an object with the name of an answer: {0}")]
    Exists(Key),
}

impl TaskRunner {
    /// Executes the tasks of coordinators of the same version on the threads of `runtime`. Stores large answers with
    /// `uploads`.
    pub fn new(worker: Worker, bucket: Bucket, uploads: ObjectUploads, runtime: Handle) -> Self {
        Self {
            version: worker.version().to_owned(),
            worker,
            bucket,
            uploads,
            runtime,
        }
    }

    /// Executes a task within the time that is left.
    pub async fn run(&self, request: TaskRequest, left: Duration) -> TaskReply {
        if request.version != self.version {
            return TaskReply::Failure {
                kind: TaskFailureKind::Refused,
                message: format!(
                    "the worker has version {}, the coordinator {}",
                    self.version, request.version
                ),
            };
        }
        let limit = left.min(Duration::from_millis(request.limit_ms));
        let executed = self.execute(request);
        match self.bucket.world().timeout(limit, executed).await {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => {
                let (kind, message) = TaskFailureKind::from_error(&error);
                tracing::warn!(%error, ?kind, "a task of a distributed query failed");
                TaskReply::Failure { kind, message }
            }
            None => TaskReply::Failure {
                kind: TaskFailureKind::Internal,
                message: "the task timed out".to_owned(),
            },
        }
    }

    async fn execute(&self, request: TaskRequest) -> Result<TaskReply> {
        let query = Ulid::from(request.query.as_u128());
        let own_id =
            uuid::Builder::from_random_bytes(self.bucket.world().entropy.next_u128().to_be_bytes());
        let task = LibraryTask::new(request, own_id.into_uuid())?;
        let (frames, mut received) = mpsc::channel(QUEUED_FRAMES);
        let worker = self.worker.clone();
        let task = AbortOnDrop(self.runtime.spawn(task.execute(worker, frames)));
        let mut output = AnswerOutput::new(self, query);
        output.write(begin_answer()).await?;
        while let Some(frame) = received.recv().await {
            output.write(frame).await?;
        }
        task.join().await?;
        output.finish().await
    }
}

/// A task that is aborted when its handle is dropped.
struct AbortOnDrop<T>(JoinHandle<Result<T>>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T> {
        let joined = (&mut self.0).await;
        joined.map_err(|error| DataFusionError::External(error.into()))?
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A task in the form of the library.
struct LibraryTask {
    headers: HeaderMap,
    plan: SetPlanRequest,
    execution: ExecuteTaskRequest,
}

impl LibraryTask {
    fn new(request: TaskRequest, query: Uuid) -> Result<Self> {
        let external = |error| DataFusionError::External(Box::new(error));
        let headers = request.header_map().map_err(external)?;
        let url =
            Url::parse(WORKER_URL).map_err(|error| DataFusionError::External(error.into()))?;
        let (plan, execution) = request.into_library(query, url).map_err(external)?;
        Ok(Self { headers, plan, execution })
    }

    /// Executes the task and sends the frames of its answer.
    async fn execute(self, worker: Worker, frames: mpsc::Sender<Bytes>) -> Result<()> {
        let (end, ended) = oneshot::channel::<CoordinatorToWorkerMsg>();
        // The library finishes the task when this stream ends.
        let commands = stream::once(ended).filter_map(async |_| None).boxed();
        let channel = worker.coordinator_channel(self.headers, self.plan, commands);
        let messages = channel.await?;
        let (partitions, context) = worker.execute_task(self.execution).await?;
        let mut tasks = JoinSet::new();
        for (number, partition) in partitions.into_iter().enumerate() {
            let encoder = PartitionEncoder::new(number);
            let frames = frames.clone();
            tasks.spawn(send_partition(partition, encoder, frames, Arc::clone(&context)));
        }
        let mut rows: u64 = 0;
        while let Some(sent) = tasks.join_next().await {
            let sent = sent.map_err(|error| DataFusionError::External(error.into()))??;
            rows = rows.saturating_add(sent);
        }
        drop(end);
        let metrics = metrics(messages).await?;
        let last = finish_answer(rows, metrics.as_ref()).map_err(answer_error)?;
        send(&frames, last).await
    }
}

/// Encodes and sends the rows of a partition, and returns their number.
async fn send_partition(
    mut partition: SendableRecordBatchStream,
    mut encoder: PartitionEncoder,
    frames: mpsc::Sender<Bytes>,
    context: Arc<TaskContext>,
) -> Result<u64> {
    let memory = MemoryConsumer::new("TaskAnswer").register(context.memory_pool());
    while let Some(batch) = partition.next().await {
        let batch: RecordBatch = batch?;
        // The encoded batch exists beside the batch until it is stored.
        memory.try_resize(batch.get_array_memory_size())?;
        let frame = encoder.encode(batch).map_err(answer_error)?;
        if !frame.is_empty() {
            send(&frames, frame).await?;
        }
    }
    Ok(encoder.rows())
}

async fn send(frames: &mpsc::Sender<Bytes>, frame: Bytes) -> Result<()> {
    let sent = frames.send(frame).await;
    sent.map_err(|_| exec_datafusion_err!("the answer of a task is no longer needed"))
}

/// Returns the metrics of a task that has ended.
async fn metrics(
    mut messages: stream::BoxStream<'static, Result<WorkerToCoordinatorMsg>>,
) -> Result<Option<TaskMetrics>> {
    while let Some(message) = messages.next().await {
        if let WorkerToCoordinatorMsg::TaskMetrics(metrics) = message? {
            return Ok(Some(metrics));
        }
    }
    Ok(None)
}

fn answer_error(error: AnswerError) -> DataFusionError {
    match error {
        AnswerError::Arrow(error) => DataFusionError::ArrowError(Box::new(error), None),
        error => DataFusionError::External(Box::new(error)),
    }
}

/// Collects an answer: in memory while it is small, then in an object.
struct AnswerOutput<'a> {
    runner: &'a TaskRunner,
    query: Ulid,
    collected: BytesMut,
    object: Option<AnswerObject>,
}

struct AnswerObject {
    key: Key,
    upload: PendingUpload,
    bytes: u64,
}

impl<'a> AnswerOutput<'a> {
    fn new(runner: &'a TaskRunner, query: Ulid) -> Self {
        Self { runner, query, collected: BytesMut::new(), object: None }
    }

    async fn write(&mut self, frame: Bytes) -> Result<()> {
        if self.object.is_none() {
            if self.collected.len().saturating_add(frame.len()) <= MAX_INLINE_BYTES {
                self.collected.extend_from_slice(&frame);
                return Ok(());
            }
            self.object = Some(self.begin_object().await.map_err(upload_error)?);
        }
        match &mut self.object {
            Some(object) => object.put(frame).await.map_err(upload_error),
            None => Ok(()),
        }
    }

    /// Starts the object with the frames that were collected.
    async fn begin_object(&mut self) -> Result<AnswerObject, AnswerUploadError> {
        let key = Key::TaskResult(self.query, self.runner.bucket.draw_ulid());
        let headers = ObjectHeaders {
            kind: "application/octet-stream".to_owned(),
            ..ObjectHeaders::default()
        };
        let upload = self.runner.uploads.begin(&key, headers, UploadMode::Replace);
        let mut object = AnswerObject { upload: upload.await?, key, bytes: 0 };
        object.put(self.collected.split().freeze()).await?;
        Ok(object)
    }

    async fn finish(self) -> Result<TaskReply> {
        let Some(object) = self.object else {
            return Ok(TaskReply::Answer(self.collected.freeze()));
        };
        let (key, bytes) = (object.key, object.bytes);
        match object.upload.finish().await {
            Ok(UploadOutcome::Stored) => Ok(TaskReply::Object { key: key.to_string(), bytes }),
            Ok(UploadOutcome::Exists) => Err(upload_error(AnswerUploadError::Exists(key))),
            Err(error) => Err(upload_error(error.into())),
        }
    }
}

impl AnswerObject {
    async fn put(&mut self, frame: Bytes) -> Result<(), AnswerUploadError> {
        self.bytes = self.bytes.saturating_add(frame.len() as u64);
        Ok(self.upload.put(frame).await?)
    }
}

fn upload_error(error: AnswerUploadError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
