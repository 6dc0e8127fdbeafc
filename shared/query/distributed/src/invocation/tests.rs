//! Tasks on their way to an invocation and back.

use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Schema,
};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    error::DataFusionError,
    execution::TaskContext,
    logical_expr::Operator,
    physical_expr::expressions::{BinaryExpr, lit},
    physical_plan::{
        ExecutionPlan, PhysicalExpr, metrics::ExecutionPlanMetricsSet,
        placeholder_row::PlaceholderRowExec, projection::ProjectionExec,
    },
    prelude::{SessionConfig, SessionContext},
};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, MaybeEncoded, ProducerHead,
    SetPlanRequest, TaskKey, Worker, WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use http::HeaderMap;
use neap_bucket::{Bucket, Key, MemoryStore, ObjectUploads, PutMode, Store, World};
use neap_scan::IoRuntime;
use neap_schema::DatabaseId;
use neap_test_inputs::XorShift;
use tokio::{runtime::Handle, sync::oneshot};
use url::Url;
use uuid::Uuid;

use super::*;
use crate::{TICKET_HEADER, TicketIssuer, TicketKey};

const VERSION: &str = "1";
const LIMIT: Duration = Duration::from_secs(60);

/// An answer of the service: nothing stands for the worker's own.
type Answer = Option<Result<Bytes, InvokeError>>;

/// Executes tasks in this process, after the answers of a script.
#[derive(Debug)]
struct TestInvoker {
    runner: TaskRunner,
    script: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<TaskRequest>>,
}

#[async_trait]
impl TaskInvoker for TestInvoker {
    async fn invoke(&self, event: Bytes, limit: Duration) -> Result<Bytes, InvokeError> {
        let event = std::str::from_utf8(&event).unwrap();
        assert!(event.starts_with(TASK_EVENT_PREFIX));
        let request = TaskRequest::parse(event).unwrap();
        self.requests.lock().unwrap().push(request.clone());
        let scripted = self.script.lock().unwrap().pop_front().flatten();
        match scripted {
            Some(answer) => answer,
            None => {
                let reply = self.runner.run(request, limit).await;
                Ok(reply.to_json().unwrap().to_string().into())
            }
        }
    }
}

/// A coordinator and its invocations over one bucket.
struct Stage {
    bucket: Bucket,
    store: Arc<dyn Store>,
    invoker: Arc<TestInvoker>,
    channels: InvocationChannels,
    context: Arc<TaskContext>,
}

impl Stage {
    fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        Self::with_version(VERSION, script, InvocationSettings::default())
    }

    fn with_version(
        version: &'static str,
        script: impl IntoIterator<Item = Answer>,
        settings: InvocationSettings,
    ) -> Self {
        let world = World::system();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let bucket = Bucket::new(Arc::clone(&store), world.clone());
        let uploads = ObjectUploads::collected(Arc::clone(&store), "");
        let worker = Worker::default().with_version(version);
        let invoker = Arc::new(TestInvoker {
            runner: TaskRunner::new(worker, bucket.clone(), uploads, Handle::current()),
            script: Mutex::new(script.into_iter().collect()),
            requests: Mutex::default(),
        });
        let channels = InvocationChannels::new(
            Arc::clone(&invoker) as _,
            bucket.clone(),
            IoRuntime::of_caller(),
            VERSION,
            settings,
        );
        let issuer = TicketIssuer::new(Arc::new(TicketKey::new([1; 32])), world.clone(), "a");
        let ticket = issuer.ticket(DatabaseId::new(1), LIMIT);
        let ends = world.clock.monotonic() + LIMIT;
        let query = InvocationQuery::new(ends, Some((issuer, ticket)));
        let config = SessionConfig::new().with_extension(Arc::new(query));
        Self {
            bucket,
            store,
            invoker,
            channels,
            context: SessionContext::new_with_config(config).task_ctx(),
        }
    }

    async fn channel(&self) -> Box<dyn WorkerChannel> {
        let url = Url::parse("invocation://worker/0").unwrap();
        let channel = self.channels.get_worker_client_for_url(&url).await;
        channel.unwrap()
    }

    /// Sets the plan of a task. The query ends when the sender is dropped.
    async fn set_plan(
        &self,
        key: TaskKey,
        plan: Arc<dyn ExecutionPlan>,
    ) -> (
        oneshot::Sender<()>,
        BoxStream<'static, Result<WorkerToCoordinatorMsg, DataFusionError>>,
    ) {
        let (end, ended) = oneshot::channel::<()>();
        let messages = futures::stream::once(ended)
            .filter_map(async |_| None::<CoordinatorToWorkerMsg>)
            .boxed();
        let request = SetPlanRequest {
            task_key: key,
            task_count: 1,
            plan: MaybeEncoded::Decoded(plan),
            work_unit_feed_declarations: Vec::new(),
            target_worker_url: Url::parse("invocation://worker/0").unwrap(),
            query_start_time_ns: 1,
        };
        let mut channel = self.channel().await;
        let metrics = ExecutionPlanMetricsSet::new();
        let set = channel.coordinator_channel(
            HeaderMap::new(),
            request,
            messages,
            metrics,
            &self.context,
        );
        (end, set.await.unwrap())
    }

    async fn execute(
        &self,
        key: TaskKey,
    ) -> Vec<BoxStream<'static, Result<RecordBatch, DataFusionError>>> {
        let request = ExecuteTaskRequest {
            task_key: key,
            target_partition_start: 0,
            target_partition_end: 1,
            producer_head: ProducerHead::None,
        };
        let mut channel = self.channel().await;
        let metrics = ExecutionPlanMetricsSet::new();
        let streams = channel.execute_task(HeaderMap::new(), request, metrics, &self.context);
        streams.await.unwrap()
    }

    /// Executes a plan as a task and returns its rows.
    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<RecordBatch>, DataFusionError> {
        let key = key();
        let (_end, _messages) = self.set_plan(key, plan).await;
        let mut streams = self.execute(key).await;
        streams.remove(0).try_collect().await
    }

    fn tickets(&self) -> Vec<Option<String>> {
        let requests = self.invoker.requests.lock().unwrap();
        let tickets = requests.iter().map(|request| {
            let headers = request.header_map().unwrap();
            let ticket = headers.get(TICKET_HEADER)?;
            Some(ticket.to_str().unwrap().to_owned())
        });
        tickets.collect()
    }
}

fn key() -> TaskKey {
    TaskKey { query_id: Uuid::from_u128(7), stage_id: 1, task_number: 0 }
}

fn row(value: Arc<dyn PhysicalExpr>) -> Arc<dyn ExecutionPlan> {
    let input = PlaceholderRowExec::new(Arc::new(Schema::empty()));
    let columns = vec![(value, "value".to_owned())];
    Arc::new(ProjectionExec::try_new(columns, Arc::new(input)).unwrap())
}

fn throttled() -> Answer {
    Some(Err(InvokeError::Throttled("rate".to_owned())))
}

fn crashed() -> Answer {
    Some(Err(InvokeError::Failed("crash".to_owned())))
}

/// A text that compresses to about half.
fn long_text() -> String {
    let mut random = XorShift::new(1);
    let mut text = String::new();
    while text.len() < 4 << 20 {
        write!(text, "{:016x}", random.draw()).unwrap();
    }
    text
}

#[tokio::test]
async fn a_task_returns_its_rows_and_metrics() {
    let stage = Stage::new([]);
    let (end, messages) = stage.set_plan(key(), row(lit(41_i64))).await;
    let rows: Vec<RecordBatch> = stage.execute(key()).await.remove(0).try_collect().await.unwrap();
    let values = rows[0].column(0).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(values.values(), &[41]);
    let messages: Vec<_> = messages.try_collect().await.unwrap();
    let [WorkerToCoordinatorMsg::TaskMetrics(metrics)] = &messages[..] else {
        panic!("{}", messages.len());
    };
    let rows = metrics.pre_order_plan_metrics[0].output_rows();
    assert_eq!((metrics.pre_order_plan_metrics.len(), rows), (2, Some(1)));
    drop(end);
    let counts = stage.channels.counts();
    let expected = InvocationCounts { sent: 1, ..InvocationCounts::default() };
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn a_query_that_ends_early_gets_metrics_of_tasks_that_were_not_needed() {
    let stage = Stage::new([]);
    let (end, messages) = stage.set_plan(key(), row(lit(1_i64))).await;
    drop(end);
    let messages: Vec<_> = messages.try_collect().await.unwrap();
    let [WorkerToCoordinatorMsg::TaskMetrics(metrics)] = &messages[..] else {
        panic!("{}", messages.len());
    };
    assert_eq!(metrics.pre_order_plan_metrics.len(), 2);
    assert_eq!(stage.channels.counts().sent, 0);
}

#[tokio::test]
async fn the_execution_waits_for_the_plan() {
    let stage = Stage::new([]);
    let (streams, _set) =
        futures::join!(stage.execute(key()), stage.set_plan(key(), row(lit(1_i64))));
    let rows: Vec<RecordBatch> = streams.into_iter().next().unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_task_is_sent_again_until_it_runs() {
    let stage = Stage::new([throttled(), throttled(), throttled()]);
    assert_eq!(stage.run(row(lit(1_i64))).await.unwrap().len(), 1);
    let expected = InvocationCounts { sent: 4, throttled: 3, repeated: 0, failed: 0 };
    assert_eq!(stage.channels.counts(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_stays_throttled_fails() {
    let settings = InvocationSettings {
        throttle_limit: Duration::ZERO,
        ..InvocationSettings::default()
    };
    let stage = Stage::with_version(VERSION, [throttled()], settings);
    let error = stage.run(row(lit(1_i64))).await.unwrap_err();
    assert!(error.to_string().contains("throttled"), "{error}");
    let expected = InvocationCounts { sent: 1, throttled: 1, repeated: 0, failed: 1 };
    assert_eq!(stage.channels.counts(), expected);
}

#[tokio::test]
async fn a_failed_task_is_repeated_once_with_another_ticket() {
    let stage = Stage::new([crashed()]);
    assert_eq!(stage.run(row(lit(1_i64))).await.unwrap().len(), 1);
    let expected = InvocationCounts { sent: 2, throttled: 0, repeated: 1, failed: 0 };
    assert_eq!(stage.channels.counts(), expected);
    // The first ticket comes from the layer above, which this test does not have.
    let tickets = stage.tickets();
    assert!(tickets[0].is_none() && tickets[1].is_some(), "{tickets:?}");

    let stage = Stage::new([crashed(), crashed()]);
    let error = stage.run(row(lit(1_i64))).await.unwrap_err();
    assert!(error.to_string().contains("crash"), "{error}");
    let expected = InvocationCounts { sent: 2, throttled: 0, repeated: 1, failed: 1 };
    assert_eq!(stage.channels.counts(), expected);
}

#[tokio::test]
async fn a_refused_task_is_not_repeated() {
    let refused = Some(Err(InvokeError::Refused("no permission".to_owned())));
    let stage = Stage::new([refused]);
    let error = stage.run(row(lit(1_i64))).await.unwrap_err();
    assert!(error.to_string().contains("no permission"), "{error}");
    assert_eq!(stage.channels.counts().sent, 1);

    let stage = Stage::with_version("2", [], InvocationSettings::default());
    let error = stage.run(row(lit(1_i64))).await.unwrap_err();
    assert!(error.to_string().contains("the worker has version 2"), "{error}");
    assert_eq!(stage.channels.counts().sent, 1);
}

#[tokio::test]
async fn errors_of_the_statement_are_the_same_as_in_one_process() {
    let division = BinaryExpr::new(lit(1_i64), Operator::Divide, lit(0_i64));
    let plan = row(Arc::new(division));
    let context = SessionContext::new().task_ctx();
    let local: Result<Vec<RecordBatch>, _> = plan.execute(0, context).unwrap().try_collect().await;
    let stage = Stage::new([]);
    let remote = stage.run(plan).await.unwrap_err();
    assert_eq!(remote.strip_backtrace(), local.unwrap_err().strip_backtrace());
    assert_eq!(stage.channels.counts().sent, 1);
}

#[tokio::test]
async fn a_large_answer_is_an_object_and_a_cut_one_is_an_error() {
    let text = long_text();
    let stage = Stage::new([]);
    let rows = stage.run(row(lit(text.as_str()))).await.unwrap();
    assert_eq!(rows[0].column(0).as_string::<i32>().value(0), text);
    let objects = stage
        .store
        .list(neap_bucket::ListRequest::new("results/"))
        .await
        .unwrap()
        .value
        .entries;
    let [object] = &objects[..] else {
        panic!("{objects:?}");
    };
    let key: Key = object.key.parse().unwrap();
    let Key::TaskResult(query, _) = &key else {
        panic!("{key}");
    };
    assert_eq!(query.0, 7);

    let whole = stage.bucket.get(&key, Default::default()).await.unwrap().value;
    let neap_bucket::Get::Found(whole) = whole else {
        panic!("{key}");
    };
    for cut in [0, 100, whole.bytes.len() - 1] {
        let part = whole.bytes.slice(..cut);
        stage.bucket.put(&key, part, PutMode::Overwrite).await.unwrap();
        let reply = TaskReply::Object { key: key.to_string(), bytes: cut as u64 }
            .to_json()
            .unwrap()
            .to_string();
        stage.invoker.script.lock().unwrap().push_back(Some(Ok(reply.into())));
        let error = stage.run(row(lit(1_i64))).await.unwrap_err();
        assert!(error.to_string().contains("broke off"), "{error}");
    }
}

#[tokio::test]
async fn a_reply_can_name_objects_of_tasks_only() {
    for key in ["catalog", "results/x", "../x"] {
        let reply = TaskReply::Object { key: key.to_owned(), bytes: 1 }
            .to_json()
            .unwrap()
            .to_string();
        let stage = Stage::new([Some(Ok(reply.into()))]);
        let error = stage.run(row(lit(1_i64))).await.unwrap_err();
        assert!(error.to_string().contains("no object of its kind"), "{error}");
    }
}

#[tokio::test]
async fn replies_that_are_none_are_errors() {
    for reply in ["", "null", "{}", r#"{"answer":"?"}"#, r#"{"other":1}"#] {
        let stage = Stage::new([Some(Ok(Bytes::from(reply)))]);
        let error = stage.run(row(lit(1_i64))).await.unwrap_err();
        assert!(error.to_string().contains("not a task"), "{reply}: {error}");
        assert_eq!(stage.channels.counts().sent, 1);
    }
}
