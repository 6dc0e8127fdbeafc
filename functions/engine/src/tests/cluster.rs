//! A test environment: a store in memory and any number of processes on it, each with a writer and an engine.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow_array::{cast::AsArray, types::TimestampNanosecondType};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use neap_bucket::{
    Bucket, CallHook, Clock, CountingStore, FaultyStore, Key, ListRequest, MemoryStore,
    OperationCounts, PausedClock, ProtocolMargins, ProtocolRules, SegmentName, Stamp, Store,
    StoreFaults, World,
};
use neap_catalog::{Catalog, EngineLogs, NewTrigger, Trigger, TriggerSpecification};
use neap_http::Metrics;
use neap_schema::{DatabaseId, TIME_COLUMN};
use neap_wal::{
    Segment, SegmentObserver, TailReader, TailReaderSettings, TailWriter, TailWriterSettings,
};
use neap_write::{Precision, WriteOptions, WriteService, WriteServiceParts, WriteSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    CompletedRun, DatabaseAccess, DatabaseAccessError, Engine, EngineParts, EngineSettings,
    PluginCall, PluginCallError, PluginCodeSettings, PluginCodeStore, PluginInput, PluginRuntime,
    PluginWriteOptions, PythonPluginRuntime, QueryRows, RunError, TriggerKey, WorkerPool,
    WorkerSettings,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// 14 November 2023, 22:13:20.
const EPOCH_MICROS: i64 = 1_700_000_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartedRun {
    pub(super) engine: usize,
    pub(super) trigger: String,
    pub(super) stamp: Option<SegmentName>,
    /// The timestamps of the rows by table, in their order.
    pub(super) rows: Vec<(String, Vec<i64>)>,
    /// The tick of a schedule, in microseconds since the epoch.
    pub(super) tick: Option<i64>,
}

/// The behaviour of a fake plugin after its start is recorded.
pub(super) type PluginBehavior = Arc<
    dyn Fn(PluginCall) -> BoxFuture<'static, Result<CompletedRun, PluginCallError>> + Send + Sync,
>;

/// The record of all runs of all processes, and the behaviour of the fake plugins.
#[derive(Default)]
pub(super) struct FakePluginState {
    pub(super) began: Mutex<Vec<StartedRun>>,
    /// The segments with a successful run, by trigger.
    pub(super) succeeded: Mutex<Vec<(String, SegmentName)>>,
    part: Mutex<Option<PluginBehavior>>,
    /// The number of active runs of each trigger, and its maximum.
    pub(super) running: Mutex<BTreeMap<String, (usize, usize)>>,
}

impl FakePluginState {
    /// Sets the behaviour of plugins from now on.
    pub(super) fn play<F>(&self, part: impl Fn(PluginCall) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<CompletedRun, PluginCallError>> + Send + 'static,
    {
        *self.part.lock().unwrap() = Some(Arc::new(move |call| part(call).boxed()));
    }

    pub(super) fn take(&self) -> Vec<StartedRun> {
        std::mem::take(&mut *self.began.lock().unwrap())
    }

    /// Returns the timestamps of all rows that a trigger was given.
    pub(super) fn times(&self, trigger: &str) -> Vec<i64> {
        let began = self.began.lock().unwrap();
        let of_trigger = began.iter().filter(|run| run.trigger == trigger);
        let rows = of_trigger.flat_map(|run| run.rows.iter().flat_map(|(_, times)| times.clone()));
        rows.collect()
    }

    pub(super) fn ticks(&self, trigger: &str) -> Vec<i64> {
        let began = self.began.lock().unwrap();
        let of_trigger = began.iter().filter(|run| run.trigger == trigger);
        let ticks = of_trigger.filter_map(|run| run.tick);
        ticks.map(|tick| (tick - EPOCH_MICROS) / 1_000).collect()
    }
}

pub(super) fn finished() -> CompletedRun {
    CompletedRun {
        queued: BTreeMap::new(),
        response: None,
        took: Duration::ZERO,
    }
}

pub(super) fn exception() -> PluginCallError {
    PluginCallError::Failed(RunError::Plugin { text: "ValueError: no".to_owned(), traceback: None })
}

/// The fake plugins of one process.
#[derive(derive_more::Debug)]
#[debug("FakePlugins {{ .. }}")]
struct FakePlugins {
    engine: usize,
    played: Arc<FakePluginState>,
    is_stopped: AtomicBool,
}

/// Counts an active run until it is dropped.
struct ActiveRunGuard<'a>(&'a FakePluginState, String);

impl<'a> ActiveRunGuard<'a> {
    fn start(played: &'a FakePluginState, trigger: &str) -> Self {
        let mut running = played.running.lock().unwrap();
        let (now, most) = running.entry(trigger.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        Self(played, trigger.to_owned())
    }
}

impl Drop for ActiveRunGuard<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().get_mut(&self.1).unwrap().0 -= 1;
    }
}

#[async_trait]
impl PluginRuntime for FakePlugins {
    async fn run(&self, call: PluginCall) -> Result<CompletedRun, PluginCallError> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(PluginCallError::Failed(RunError::Stopping));
        }
        let trigger = call.trigger.name.clone();
        let (mut stamp, mut rows, mut tick) = (None, Vec::new(), None);
        match &call.call {
            PluginInput::Writes { tables, stamp: of } => {
                stamp = *of;
                for (table, batches) in tables {
                    let times = batches.iter().flat_map(|batch| {
                        let column = batch.column_by_name(TIME_COLUMN).unwrap();
                        column.as_primitive::<TimestampNanosecondType>().values().to_vec()
                    });
                    rows.push((table.clone(), times.collect()));
                }
            }
            PluginInput::Schedule { time } => tick = Some(time.micros()),
            PluginInput::Request { .. } => {}
        }
        self.played.began.lock().unwrap().push(StartedRun {
            engine: self.engine,
            trigger: trigger.clone(),
            stamp,
            rows,
            tick,
        });
        let _running = ActiveRunGuard::start(&self.played, &trigger);
        let part = self.played.part.lock().unwrap().clone();
        let result = match part {
            Some(part) => part(call).await,
            None => Ok(finished()),
        };
        if let (Ok(_), Some(name)) = (&result, stamp) {
            self.played.succeeded.lock().unwrap().push((trigger, name));
        }
        result
    }

    fn forget(&self, _: &TriggerKey) {}

    async fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }
}

/// The database interface of plugins, without queries.
#[derive(Debug)]
struct WriteOnlyDatabase(Arc<WriteService>);

#[async_trait]
impl DatabaseAccess for WriteOnlyDatabase {
    async fn query(
        &self,
        _: &str,
        sql: &str,
        _: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        Err(DatabaseAccessError(sql.to_owned()))
    }

    async fn write(
        &self,
        database: &str,
        lines: Bytes,
        options: PluginWriteOptions,
    ) -> Result<Option<Stamp>, DatabaseAccessError> {
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: false,
            depth: options.depth,
            no_sync: options.no_sync,
            only: options.only,
            ..WriteOptions::default()
        };
        let written = self.0.write(database, lines, options).await;
        let accepted = written.map_err(|error| DatabaseAccessError(error.to_string()))?;
        Ok(accepted.stamp)
    }
}

/// Forwards notifications of segments to the engine of its process, unless they are lost.
#[derive(Debug, Default)]
pub(super) struct EngineObserver {
    engine: OnceLock<Arc<Engine>>,
    pub(super) are_lost: AtomicBool,
}

impl SegmentObserver for EngineObserver {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        if let Some(engine) = self.engine.get()
            && !self.are_lost.load(Ordering::Relaxed)
        {
            engine.segment_put(database, segment);
        }
    }

    fn put_unknown(&self, database: DatabaseId) {
        if let Some(engine) = self.engine.get() {
            SegmentObserver::put_unknown(&**engine, database);
        }
    }
}

pub(super) struct TestProcessOptions {
    pub(super) sole_writer: bool,
    pub(super) faults: StoreFaults,
    pub(super) seed: u64,
    pub(super) hook: Option<CallHook>,
    pub(super) max_queued: usize,
    pub(super) max_decoded_bytes: usize,
    /// Whether triggers run only if their plugin is in the plugin folder.
    pub(super) plugin_folder_only: bool,
    /// The folder of Python plugins, if the process runs real plugins.
    pub(super) plugin_folder: Option<PathBuf>,
}

impl Default for TestProcessOptions {
    fn default() -> Self {
        Self {
            sole_writer: false,
            faults: StoreFaults::default(),
            seed: 1,
            hook: None,
            max_queued: EngineSettings::default().max_queued,
            max_decoded_bytes: EngineSettings::default().max_decoded_bytes,
            plugin_folder_only: false,
            plugin_folder: None,
        }
    }
}

/// A process with a writer and an engine.
pub(super) struct TestProcess {
    pub(super) catalog: Arc<Catalog>,
    pub(super) bucket: Bucket,
    pub(super) service: Arc<WriteService>,
    pub(super) engine: Arc<Engine>,
    pub(super) notices: Arc<EngineObserver>,
    pub(super) logs: Arc<EngineLogs>,
    pub(super) metrics: Metrics,
    pub(super) rules: ProtocolRules,
    pub(super) store: Arc<FaultyStore>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl TestProcess {
    /// Runs the engine in the background.
    pub(super) fn start(&self) {
        let run = Arc::clone(&self.engine).run(self.stop.clone());
        *self.task.lock().unwrap() = Some(tokio::spawn(run));
    }

    pub(super) fn tail(&self) -> TailReader {
        TailReader::new(self.bucket.clone(), TailReaderSettings::default())
    }

    /// Stops the process gracefully.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.await.unwrap();
        }
    }

    /// Ends the process abruptly, like a power failure.
    pub(super) async fn crash(&self) {
        self.notices.are_lost.store(true, Ordering::Relaxed);
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            task.await.ok();
        }
    }

    pub(super) async fn write(&self, database: &str, lines: &str) -> Result<Stamp, String> {
        let options = WriteOptions::with_precision(Precision::Nanosecond);
        let body = Bytes::from(lines.to_owned());
        let written = self.service.write(database, body, options).await;
        let accepted = written.map_err(|error| error.to_string())?;
        Ok(accepted.stamp.unwrap())
    }

    pub(super) async fn id(&self, database: &str) -> DatabaseId {
        let id = self.catalog.get_or_create_database(database, MINUTE).await;
        id.unwrap()
    }

    pub(super) async fn create(&self, database: &str, trigger: NewTrigger) -> Arc<Trigger> {
        let id = self.id(database).await;
        let created = self.catalog.create_trigger(id, &trigger).await.unwrap();
        self.engine.triggers_changed();
        // Writes from now on have stamps after the trigger.
        self.bucket.world().clock.sleep(Duration::from_millis(10)).await;
        created
    }

    /// Returns the log lines of a database's triggers, with their levels.
    pub(super) async fn logged(&self, database: &str) -> Vec<String> {
        let id = self.id(database).await;
        let lines = self.logs.newest(id, 1_000).await.unwrap();
        let show = |line: neap_catalog::EngineLogLine| format!("{}: {}", line.level, line.text);
        lines.into_iter().map(show).collect()
    }

    /// Returns the sum of the samples of a metric that match the labels.
    pub(super) fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.metrics.render();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

pub(super) fn on_writes(name: &str) -> NewTrigger {
    NewTrigger::new(name, "plugin.py", TriggerSpecification::AllTablesWalWrite)
}

pub(super) struct TestCluster {
    pub(super) clock: Arc<PausedClock>,
    pub(super) store: Arc<CountingStore>,
    pub(super) played: Arc<FakePluginState>,
    margins: ProtocolMargins,
}

impl TestCluster {
    pub(super) fn new() -> Self {
        Self::with(ProtocolMargins::LOCAL)
    }

    pub(super) fn with(margins: ProtocolMargins) -> Self {
        let clock = Arc::new(PausedClock::new(EPOCH_MICROS));
        let memory = MemoryStore::new(Arc::clone(&clock) as _);
        Self {
            store: Arc::new(CountingStore::new(Arc::new(memory))),
            clock,
            played: Arc::default(),
            margins,
        }
    }

    /// Creates a cluster with a process that is the only writer and runs its engine.
    pub(super) async fn with_started_process() -> (Self, TestProcess) {
        let cluster = Self::new();
        let process = cluster.alone().await;
        process.start();
        (cluster, process)
    }

    /// Creates a cluster with two processes that share the bucket.
    pub(super) async fn with_two_processes() -> (Self, TestProcess, TestProcess) {
        let cluster = Self::new();
        let (one, other) = (cluster.other(1).await, cluster.other(2).await);
        (cluster, one, other)
    }

    /// Creates a process that is the only writer.
    pub(super) async fn alone(&self) -> TestProcess {
        let cast = TestProcessOptions { sole_writer: true, ..TestProcessOptions::default() };
        self.process(0, cast).await
    }

    /// Creates a process that shares the bucket with other writers.
    pub(super) async fn other(&self, number: usize) -> TestProcess {
        let cast =
            TestProcessOptions { seed: 100 + number as u64, ..TestProcessOptions::default() };
        self.process(number, cast).await
    }

    pub(super) async fn process(&self, number: usize, cast: TestProcessOptions) -> TestProcess {
        let world = World::seeded(Arc::clone(&self.clock) as _, cast.seed);
        let inner = Arc::clone(&self.store) as Arc<dyn Store>;
        let mut store = FaultyStore::new(inner, world.clone(), StoreFaults::default());
        if let Some(hook) = cast.hook {
            store = store.with_hook(hook);
        }
        let store = Arc::new(store);
        let bucket = Bucket::new(Arc::clone(&store) as _, world);
        let catalog = Arc::new(Catalog::new(bucket.clone(), self.margins, None));
        let rules = catalog.rules().await.unwrap();
        let notices = Arc::new(EngineObserver::default());
        let observer = Arc::clone(&notices) as _;
        let writer =
            TailWriter::new(bucket.clone(), rules, TailWriterSettings::LOCAL, Some(observer));
        let metrics = Metrics::default();
        let service = Arc::new(WriteService::new(WriteServiceParts {
            catalog: Arc::clone(&catalog),
            writer,
            rules,
            metrics: metrics.clone(),
            settings: WriteSettings::default(),
        }));
        let logs = Arc::new(EngineLogs::new(bucket.clone()));
        let plugins: Arc<dyn PluginRuntime> = match cast.plugin_folder {
            None => Arc::new(FakePlugins {
                engine: number,
                played: Arc::clone(&self.played),
                is_stopped: AtomicBool::new(false),
            }),
            Some(folder) => {
                let settings = PluginCodeSettings {
                    plugin_folder: Some(folder),
                    ..PluginCodeSettings::default()
                };
                let code = PluginCodeStore::new(settings, Arc::clone(&catalog));
                let world = bucket.world().clone();
                let workers = WorkerPool::new(WorkerSettings::default(), world);
                Arc::new(PythonPluginRuntime::new(Arc::new(code), Arc::new(workers)))
            }
        };
        let engine = Engine::new(EngineParts {
            bucket: bucket.clone(),
            catalog: Arc::clone(&catalog),
            rules,
            tail: TailReader::new(bucket.clone(), TailReaderSettings::default()),
            database: Arc::new(WriteOnlyDatabase(Arc::clone(&service))),
            plugins,
            logs: Arc::clone(&logs),
            settings: EngineSettings {
                sole_writer: cast.sole_writer,
                max_queued: cast.max_queued,
                max_decoded_bytes: cast.max_decoded_bytes,
                plugin_folder_only: cast.plugin_folder_only,
                ..EngineSettings::default()
            },
            metrics: metrics.clone(),
        });
        notices.engine.set(Arc::clone(&engine)).unwrap();
        store.set_faults(cast.faults);
        TestProcess {
            catalog,
            bucket,
            service,
            engine,
            notices,
            logs,
            metrics,
            rules,
            store,
            stop: CancellationToken::new(),
            task: Mutex::default(),
        }
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    /// Lets each run of a plugin succeed after a time, from now on.
    pub(super) fn let_runs_last(&self, duration: Duration) {
        let clock = Arc::clone(&self.clock);
        self.played.play(move |_| {
            let sleep = clock.sleep(duration);
            async move {
                sleep.await;
                Ok(finished())
            }
        });
    }

    /// Returns the requests to the store while a future runs.
    pub(super) async fn counted<T>(&self, work: impl Future<Output = T>) -> OperationCounts {
        let before = self.store.counts();
        work.await;
        self.store.counts() - before
    }

    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        let (mut keys, mut page_token) = (Vec::new(), None);
        loop {
            let request = ListRequest { prefix, start_after: None, page_token };
            let page = self.store.list(request).await.unwrap().value;
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            page_token = page.next_page_token;
            if page_token.is_none() {
                return keys;
            }
        }
    }

    pub(super) async fn segments(&self) -> Vec<(DatabaseId, SegmentName)> {
        let keys = self.keys(Key::TAIL_PREFIX).await;
        let segments = keys.into_iter().map(|key| match key.parse().unwrap() {
            Key::Segment(database, name) => (database, name),
            key => panic!("{key}"),
        });
        segments.collect()
    }
}
