//! The request of an invocation: one task, whole.

use std::{collections::BTreeMap, io, ops::Range};

use base64::{Engine, prelude::BASE64_STANDARD};
use datafusion_distributed::{
    ExecuteTaskRequest, MaybeEncoded, ProducerHead, SetPlanRequest, TaskKey,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::ticket::TICKET_HEADER;

/// The first bytes of every request. No request that came over HTTP starts with them.
pub const TASK_EVENT_PREFIX: &str = r#"{"neap_task":"#;

/// Maximum size of a plan in bytes, before compression.
const MAX_PLAN_BYTES: usize = 64 << 20;

/// Level of the compression of plans. They are repetitive, so that the fastest level suffices.
const COMPRESSION_LEVEL: i32 = 1;

/// Error: a request can't be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum TaskRequestError {
    /// It is not JSON of this form.
    #[error("not a task: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not a task: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The plan can't be compressed or decompressed.
    #[error("the plan of the task is damaged: {0}")]
    Compression(#[source] io::Error),
    #[error("the plan of the task has {bytes} bytes, more than {MAX_PLAN_BYTES}")]
    PlanTooLarge { bytes: usize },
    /// A URL, or the name or value of a header, is invalid.
    #[error("not a task: invalid {0}")]
    Invalid(&'static str),
    /// The plan asks the coordinator for work while it executes.
    #[error("a task with work unit feeds can't be an invocation")]
    WorkUnitFeeds,
}

/// One task of a distributed query, with all that a worker needs to execute it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// Version of the coordinator. Workers of other versions refuse the task.
    pub version: String,
    /// The query.
    pub query: Uuid,
    /// The stage of the query.
    pub stage: usize,
    /// The number of the task in its stage.
    pub task: usize,
    /// The number of tasks of the stage.
    pub tasks: usize,
    /// The partitions that the coordinator reads.
    pub partitions: Range<usize>,
    /// The time that is left of the query, in milliseconds. The worker gives up after it.
    pub limit_ms: u64,
    /// When the query started, in nanoseconds since the Unix epoch.
    started_ns: usize,
    /// The operator at the head of the plan.
    head: TaskHead,
    /// The headers of the request: options of the planner, and the ticket.
    headers: BTreeMap<String, String>,
    /// The plan: protobuf, compressed, in base64.
    plan: String,
}

/// The operator that the worker puts at the head of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TaskHead {
    None,
    Broadcast {
        partitions: usize,
    },
    /// The partitioning, in protobuf and base64.
    Repartition {
        partitioning: String,
    },
}

/// The event that contains a request.
#[derive(Serialize, Deserialize)]
struct TaskEvent<T> {
    neap_task: T,
}

/// A plan that waits for the request to execute it.
#[derive(Debug)]
pub(super) struct EncodedPlan {
    pub(super) headers: HeaderMap,
    pub(super) tasks: usize,
    pub(super) started_ns: usize,
    /// Protobuf.
    pub(super) plan: Vec<u8>,
}

/// The partitions to execute, with everything encoded.
#[derive(Debug)]
pub(super) struct EncodedExecution {
    pub(super) key: TaskKey,
    pub(super) partitions: Range<usize>,
    pub(super) head: EncodedHead,
}

/// The head of a plan, with an encoded partitioning.
#[derive(Clone, Debug)]
pub(super) enum EncodedHead {
    None,
    Broadcast { partitions: usize },
    Repartition { partitioning: Vec<u8> },
}

impl TaskRequest {
    /// Joins a plan and the request to execute it. `ticket` takes the place of the ticket in the headers of the plan.
    /// Fails if the plan is too large.
    pub(super) fn new(
        version: &str,
        plan: &EncodedPlan,
        execution: &EncodedExecution,
        ticket: Option<HeaderValue>,
        limit_ms: u64,
    ) -> Result<Self, TaskRequestError> {
        if plan.plan.len() > MAX_PLAN_BYTES {
            return Err(TaskRequestError::PlanTooLarge { bytes: plan.plan.len() });
        }
        let compressed = zstd::bulk::compress(&plan.plan, COMPRESSION_LEVEL)
            .map_err(TaskRequestError::Compression)?;
        let mut given = plan.headers.clone();
        given.extend(ticket.map(|ticket| (HeaderName::from_static(TICKET_HEADER), ticket)));
        let mut headers = BTreeMap::new();
        for (name, value) in &given {
            let value = value.to_str().map_err(|_| TaskRequestError::Invalid("header"))?;
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
        Ok(Self {
            version: version.to_owned(),
            query: execution.key.query_id,
            stage: execution.key.stage_id,
            task: execution.key.task_number,
            tasks: plan.tasks,
            partitions: execution.partitions.clone(),
            limit_ms,
            started_ns: plan.started_ns,
            head: match &execution.head {
                EncodedHead::None => TaskHead::None,
                EncodedHead::Broadcast { partitions } => {
                    TaskHead::Broadcast { partitions: *partitions }
                }
                EncodedHead::Repartition { partitioning } => {
                    TaskHead::Repartition { partitioning: BASE64_STANDARD.encode(partitioning) }
                }
            },
            headers,
            plan: BASE64_STANDARD.encode(compressed),
        })
    }

    /// Parses an event.
    ///
    /// # Errors
    /// The event is not a task.
    pub fn parse(event: &str) -> Result<Self, TaskRequestError> {
        Ok(serde_json::from_str::<TaskEvent<Self>>(event)?.neap_task)
    }

    /// Returns the event that contains the request. It starts with [`TASK_EVENT_PREFIX`].
    ///
    /// # Errors
    /// Serialization failed, which no request causes.
    pub fn to_event(&self) -> Result<String, TaskRequestError> {
        Ok(serde_json::to_string(&TaskEvent { neap_task: self })?)
    }

    /// Returns the headers of the request.
    /// Fails if the name or value of a header is invalid.
    pub(super) fn header_map(&self) -> Result<HeaderMap, TaskRequestError> {
        let invalid = || TaskRequestError::Invalid("header");
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Returns the two requests of the library, for a worker at `url`. `query` takes the place of the id of the query:
    /// a worker keeps tasks by it, and a task that is sent again must not meet its first attempt.
    /// Fails if the plan is damaged or too large.
    pub(super) fn into_library(
        self,
        query: Uuid,
        url: Url,
    ) -> Result<(SetPlanRequest, ExecuteTaskRequest), TaskRequestError> {
        let compressed = BASE64_STANDARD.decode(&self.plan)?;
        let plan = zstd::bulk::decompress(&compressed, MAX_PLAN_BYTES)
            .map_err(TaskRequestError::Compression)?;
        let task_key = TaskKey {
            query_id: query,
            stage_id: self.stage,
            task_number: self.task,
        };
        let producer_head = match self.head {
            TaskHead::None => ProducerHead::None,
            TaskHead::Broadcast { partitions } => {
                ProducerHead::BroadcastExec { output_partitions: partitions }
            }
            TaskHead::Repartition { partitioning } => ProducerHead::RepartitionExec {
                partitioning: MaybeEncoded::Encoded(BASE64_STANDARD.decode(partitioning)?),
            },
        };
        let set_plan = SetPlanRequest {
            task_key,
            task_count: self.tasks,
            plan: MaybeEncoded::Encoded(plan),
            work_unit_feed_declarations: Vec::new(),
            target_worker_url: url,
            query_start_time_ns: self.started_ns,
        };
        let execute = ExecuteTaskRequest {
            task_key,
            target_partition_start: self.partitions.start,
            target_partition_end: self.partitions.end,
            producer_head,
        };
        Ok((set_plan, execute))
    }
}
