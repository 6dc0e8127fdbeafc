//! Workers in memory: each has its own caches over the store of the test, and receives plans and sends rows as bytes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use async_trait::async_trait;
use datafusion::{
    common::{Result, internal_datafusion_err},
    error::DataFusionError,
    execution::{SessionState, TaskContext},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, metrics::ExecutionPlanMetricsSet},
};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest,
    GetWorkerInfoResponse, MaybeEncoded, ProducerHead, SetPlanRequest, Worker, WorkerChannel,
    WorkerToCoordinatorMsg,
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::HeaderMap;
use neap_bucket::{Bucket, Clock, ProtocolMargins, SteppedClock, Store, World};
use neap_catalog::Catalog;
use neap_distributed::{
    Channels, DEFAULT_MAX_TASKS, DistributedPlanner, DistributionSettings, Exchange, PlanOutcome,
    PlanRequest, TaskCounters, TicketIssuer, TicketKey, TicketVerifier, WorkerAddress, WorkerSet,
    WorkerSettings, worker,
};
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_wal::{TailReader, TailReaderSettings};
use url::Url;

use crate::{
    DistributedPlan, Distribution, DistributionAttempt, PlanDistributor, QueryEngine,
    QuerySettings, WorkerFailure,
};

/// The time that workers have to answer.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerFault {
    /// No connection can be made.
    Unreachable,
    /// Plans get no answer.
    SilentPlan,
    /// Plans are accepted, but rows get no answer.
    SilentRows,
    /// The connection ends after the first batch of rows.
    CutAfterFirstBatch,
    /// No batch follows the first one.
    StuckAfterFirstBatch,
    /// The worker answers an error of its own.
    Broken,
}

/// Workers over one store.
#[derive(Clone, derive_more::Debug)]
#[debug("TestWorkers {{ .. }}")]
pub(crate) struct TestWorkers(Arc<WorkersInner>);

struct WorkersInner {
    workers: Vec<TestWorker>,
    addresses: Vec<WorkerAddress>,
    faults: Mutex<HashMap<String, WorkerFault>>,
    failures: Mutex<Vec<String>>,
    key: TicketKey,
}

struct TestWorker {
    worker: Worker,
    tickets: TicketVerifier,
    counters: TaskCounters,
    engine: QueryEngine,
}

impl TestWorkers {
    /// Starts workers with empty caches.
    pub(crate) async fn start(
        store: &Arc<dyn Store>,
        clock: &Arc<SteppedClock>,
        number: usize,
        settings: &QuerySettings,
    ) -> Self {
        let mut engines = Vec::new();
        for _ in 0..number {
            engines.push(engine(store, clock, settings).await);
        }
        let address = |at: usize| WorkerAddress {
            name: format!("w{at}"),
            url: Url::parse(&format!("http://w{at}:9/")).unwrap(),
        };
        let key = TicketKey::new([9; 32]);
        // Workers reach each other through the workers that they are part of.
        let inner = Arc::new_cyclic(|this| {
            let channels: Channels = Arc::new(MemoryChannels(std::sync::Weak::clone(this)));
            let start = |(engine, tail): (QueryEngine, TailReader)| {
                let world = engine.world().clone();
                let tickets = TicketVerifier::new(Arc::new(key.clone()), world.clone());
                let settings = WorkerSettings {
                    version: "test".to_owned(),
                    max_tasks: DEFAULT_MAX_TASKS,
                    tickets: Some(tickets.clone()),
                    channels: Arc::clone(&channels),
                    start_timeout: START_TIMEOUT,
                };
                let environment = engine.scan_environment(tail);
                let (worker, counters) = worker(environment, settings, world);
                TestWorker { worker, tickets, counters, engine }
            };
            WorkersInner {
                workers: engines.into_iter().map(start).collect(),
                addresses: (0..number).map(address).collect(),
                faults: Mutex::default(),
                failures: Mutex::default(),
                key,
            }
        });
        Self(inner)
    }

    /// Returns the distributor of an engine, which distributes all queries over these workers.
    pub(crate) fn distributor(
        &self,
        engine: &QueryEngine,
        tail: TailReader,
        exchange: Exchange,
    ) -> Arc<dyn PlanDistributor> {
        let settings = DistributionSettings {
            bytes_per_worker: 0,
            max_workers: self.0.workers.len(),
            exchange,
            start_timeout: START_TIMEOUT,
        };
        let world = engine.world().clone();
        let keys = Arc::new(self.0.key.clone());
        let tickets = TicketIssuer::new(keys, world.clone(), "coordinator");
        let channels = Arc::new(MemoryChannels(Arc::downgrade(&self.0)));
        let environment = engine.scan_environment(tail);
        let workers = Arc::new(self.clone());
        let planner = DistributedPlanner::new(environment, workers, channels, settings, world);
        Arc::new(TestDistributor(planner.with_tickets(tickets)))
    }

    /// Lets a worker fail, or repairs it.
    pub(crate) fn set_fault(&self, worker: usize, fault: Option<WorkerFault>) {
        let url = self.0.addresses[worker].url.to_string();
        let mut faults = self.0.faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(url, fault),
            None => faults.remove(&url),
        };
    }

    /// The workers whose failures were recorded.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.0.failures.lock().unwrap().clone()
    }

    /// The number of tasks that each worker has executed.
    pub(crate) fn tasks(&self) -> Vec<u64> {
        let workers = self.0.workers.iter();
        workers.map(|worker| worker.counters.started()).collect()
    }

    /// The bytes that running tasks have reserved on each worker.
    pub(crate) fn reserved_bytes(&self) -> Vec<u64> {
        let workers = self.0.workers.iter();
        workers.map(|worker| worker.engine.memory_stats().queries).collect()
    }
}

#[async_trait]
impl WorkerSet for TestWorkers {
    async fn workers(&self) -> Vec<WorkerAddress> {
        self.0.addresses.clone()
    }

    fn record_failure(&self, worker: &Url) {
        self.0.failures.lock().unwrap().push(worker.to_string());
    }
}

/// Creates the engine of a worker.
async fn engine(
    store: &Arc<dyn Store>,
    clock: &Arc<SteppedClock>,
    settings: &QuerySettings,
) -> (QueryEngine, TailReader) {
    let world = World::seeded(Arc::clone(clock) as Arc<dyn Clock>, 8);
    let bucket = Bucket::new(Arc::clone(store), world);
    let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
    let rules = catalog.rules().await.unwrap();
    let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
    let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
    let snapshots = SnapshotReader::new(
        manifests.clone(),
        Arc::clone(&catalog),
        tail.clone(),
        rules,
        SnapshotSettings::default(),
    );
    let engine =
        QueryEngine::new(bucket, catalog, manifests, Arc::new(snapshots), settings.clone());
    (engine.unwrap(), tail)
}

#[derive(Debug)]
struct TestDistributor(DistributedPlanner);

#[async_trait]
impl PlanDistributor for TestDistributor {
    async fn distribute(
        &self,
        state: &SessionState,
        query: &LogicalPlan,
        local: &Arc<dyn ExecutionPlan>,
        attempt: &DistributionAttempt,
    ) -> Result<Distribution> {
        let request = PlanRequest {
            database: attempt.database,
            remaining: attempt.remaining,
            excluded: attempt.excluded.clone(),
            cancellation: attempt.cancellation.clone(),
        };
        let planned = self.0.plan(state, query, local, &request).await?;
        Ok(match planned {
            PlanOutcome::Local(reason) => Distribution::Local(reason),
            PlanOutcome::Distributed(plan) => Distribution::Workers(DistributedPlan {
                plan: plan.plan,
                config: plan.config,
                workers: plan.workers,
            }),
        })
    }

    fn describe(&self, plan: &DistributedPlan) -> String {
        self.0.describe(&plan.plan, &plan.workers)
    }

    fn worker_failure(&self, error: &DataFusionError) -> Option<WorkerFailure> {
        let worker = Some(self.0.worker_failure(error)?);
        Some(WorkerFailure { worker })
    }
}

struct MemoryChannels(std::sync::Weak<WorkersInner>);

#[async_trait]
impl ChannelResolver for MemoryChannels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let workers =
            self.0.upgrade().ok_or_else(|| internal_datafusion_err!("the test is over"))?;
        let at = workers
            .addresses
            .iter()
            .position(|one| one.url == *url)
            .ok_or_else(|| internal_datafusion_err!("no worker has the URL {url}"))?;
        let fault = workers.faults.lock().unwrap().get(url.as_str()).copied();
        if fault == Some(WorkerFault::Unreachable) {
            return Err(DataFusionError::External("connection refused".into()));
        }
        Ok(Box::new(MemoryChannel {
            worker: workers.workers[at].worker.clone(),
            tickets: workers.workers[at].tickets.clone(),
            fault,
        }))
    }
}

struct MemoryChannel {
    worker: Worker,
    tickets: TicketVerifier,
    fault: Option<WorkerFault>,
}

#[async_trait]
impl WorkerChannel for MemoryChannel {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        _: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        match self.fault {
            Some(WorkerFault::SilentPlan) => return std::future::pending().await,
            Some(WorkerFault::Broken) => {
                return Err(DataFusionError::External("the disk is full".into()));
            }
            _ => {}
        }
        let request = SetPlanRequest {
            plan: MaybeEncoded::Encoded(request.plan.encode(context)?),
            ..request
        };
        let ticket = self
            .tickets
            .verify(&headers)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        // Lives as long as the coordinator keeps its side of the channel.
        let watch = self.tickets.watch(&ticket);
        let messages = messages
            .map(move |message| {
                let _ = &watch;
                Ok(message)
            })
            .boxed();
        let answers = self.worker.coordinator_channel(headers, request, messages).await;
        answers.map_err(sent)
    }

    async fn execute_task(
        &mut self,
        _: HeaderMap,
        request: ExecuteTaskRequest,
        _: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        if self.fault == Some(WorkerFault::SilentRows) {
            return std::future::pending().await;
        }
        let producer_head = match request.producer_head {
            ProducerHead::RepartitionExec { partitioning } => ProducerHead::RepartitionExec {
                partitioning: MaybeEncoded::Encoded(partitioning.encode(context)?),
            },
            head => head,
        };
        let request = ExecuteTaskRequest { producer_head, ..request };
        let (streams, _) = self.worker.execute_task(request).await.map_err(sent)?;
        let fault = self.fault;
        let streams = streams.into_iter().map(|rows| {
            let rows = rows.map(|batch| transfer(&batch.map_err(sent)?));
            let after_first = |error: Option<DataFusionError>| match error {
                Some(error) => stream::iter([Err(error)]).boxed(),
                None => stream::pending().boxed(),
            };
            match fault {
                Some(WorkerFault::CutAfterFirstBatch) => {
                    let error = DataFusionError::External("connection reset".into());
                    rows.take(1).chain(after_first(Some(error))).boxed()
                }
                Some(WorkerFault::StuckAfterFirstBatch) => {
                    rows.take(1).chain(after_first(None)).boxed()
                }
                _ => rows.boxed(),
            }
        });
        Ok(streams.collect())
    }

    async fn get_worker_info(&mut self, _: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        Ok(GetWorkerInfoResponse { version: self.worker.version().to_owned() })
    }
}

/// An error as a transport sends it: the kind stays, errors of other libraries become text.
fn sent(error: DataFusionError) -> DataFusionError {
    sent_copy(&error)
}

fn sent_copy(error: &DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::External(error) => DataFusionError::External(error.to_string().into()),
        DataFusionError::Shared(error) => DataFusionError::Shared(Arc::new(sent_copy(error))),
        DataFusionError::Context(context, error) => {
            DataFusionError::Context(context.clone(), Box::new(sent_copy(error)))
        }
        DataFusionError::ArrowError(error, _) => {
            let copy = match error.as_ref() {
                ArrowError::DivideByZero => ArrowError::DivideByZero,
                ArrowError::CastError(text) => ArrowError::CastError(text.clone()),
                error => ArrowError::ComputeError(error.to_string()),
            };
            DataFusionError::ArrowError(Box::new(copy), None)
        }
        DataFusionError::Execution(text) => DataFusionError::Execution(text.clone()),
        DataFusionError::ResourcesExhausted(text) => {
            DataFusionError::ResourcesExhausted(text.clone())
        }
        error => DataFusionError::Internal(error.to_string()),
    }
}

/// Encodes and decodes a batch.
fn transfer(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.finish()?;
    let bytes = writer.into_inner()?;
    let batches = StreamReader::try_new(bytes.as_slice(), None)?;
    let batch = batches.into_iter().next().transpose()?;
    batch.ok_or_else(|| internal_datafusion_err!("a batch is missing"))
}
