//! The query function.

mod distribution;
mod invoke;
mod refused_routes;
mod store_access;
mod tasks;
mod view_refresh;
mod worker_version;

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use axum::{BoxError, Router};
use clap::{Args, Parser, builder::BoolishValueParser};
use lambda_runtime::FunctionResponse;
use neap_bucket::{ProtocolRules, World};
use neap_catalog::{Catalog, HardDelete};
use neap_distributed::{
    ClusterTickets,
    invocation::{TASK_EVENT_PREFIX, TaskInvoker},
};
use neap_http::{ApiError, EndpointFunction, Kind};
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{Executor, QueryEngine, QueryError, QuerySettings, StoreRequests};
use neap_row_delete::RowDeleter;
use neap_tables::IoRuntime;
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::WriteService;
use serde_json::value::RawValue;
use tokio::{runtime::Handle, sync::OnceCell};

pub use self::distribution::DistributionOptions;
use self::{
    distribution::{DistributorParts, InvocationDistributor},
    invoke::FunctionInvoker,
    refused_routes::refused_routes,
    store_access::QUERY_ACCESS,
    tasks::{TaskService, refusal},
    view_refresh::{REFRESH_VIEWS, is_refresh, refresh_views},
};
use crate::{
    http::{HttpFunction, HttpFunctionParts, RouteProvider},
    http_service::{self, catalog_unavailable, complete_routes},
    interface::{EventSource, Interface, ScheduleInput},
    options::{
        AccessOptions, CommonOptions, HttpOptions, MemoryAmount, OptionsError, parse_count,
        parse_duration, parse_nonzero_duration,
    },
    runtime::{BufferedReply, EventFailure, EventReply, Function, Program},
    store::FunctionStore,
    write::WriteServiceOptions,
};

/// Maximum disk space for spilling in bytes: part of the 512 MB that every function has.
const SPILL_BYTES: u64 = 384 << 20;

/// Options of the query function.
#[derive(Clone, Debug, Parser)]
#[command(name = "neap-lambda-query")]
pub struct QueryFunctionOptions {
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    writes: WriteServiceOptions,
    #[command(flatten)]
    queries: QueryEngineOptions,
    #[command(flatten)]
    distribution: DistributionOptions,
}

impl AsRef<CommonOptions> for QueryFunctionOptions {
    fn as_ref(&self) -> &CommonOptions {
        &self.common
    }
}

/// Options of functions that answer queries.
#[derive(Args, Clone, Debug)]
pub struct QueryEngineOptions {
    /// Maximum duration of a query, from its start to the end of its response; the function's timeout applies as well
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "5m")]
    pub(crate) query_timeout: Duration,

    /// Maximum number of rows in a query result; a larger result ends with an error. Unlimited by default
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    pub(crate) max_result_rows: Option<usize>,

    /// Maximum number of windows of time that a query fills for one series
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "5000000")]
    pub(crate) max_windows: usize,

    /// Maximum number of concurrent queries; others wait
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    pub(crate) max_concurrent_queries: usize,

    /// The memory of all running queries together, in bytes or as a percentage of the function's memory
    #[arg(long, value_name = "BYTES|PERCENT", default_value = "30%")]
    pub(crate) exec_mem_pool_bytes: MemoryAmount,

    /// Maximum staleness of results, for queries that set none
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    pub(crate) max_staleness: Duration,

    /// Number of this instance's queries that `system.queries` keeps
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) query_log_size: usize,

    /// Answer queries of last and distinct value caches from the tables instead of the caches
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub(crate) disable_caches: bool,
}

/// Builds a query engine from the options and the store.
#[derive(Debug)]
pub(crate) struct QueryEngineBuilder<'a> {
    pub(crate) common: &'a CommonOptions,
    pub(crate) access: &'a AccessOptions,
    pub(crate) writes: &'a WriteServiceOptions,
    pub(crate) queries: &'a QueryEngineOptions,
    pub(crate) opened: &'a FunctionStore,
    pub(crate) catalog: &'a Arc<Catalog>,
}

impl QueryEngineBuilder<'_> {
    fn settings(&self) -> QuerySettings {
        let percent = |percent| self.common.memory_percent(percent);
        let queries = self.queries;
        QuerySettings {
            memory_pool_bytes: queries
                .exec_mem_pool_bytes
                .bytes_of(self.common.memory_bytes()),
            spill_bytes: SPILL_BYTES,
            tail_bytes: percent(15),
            metadata_cache_bytes: percent(2) as u64,
            chunk_cache_bytes: percent(10) as u64,
            cache_bytes: percent(6) as u64,
            use_caches: !queries.disable_caches,
            partitions: thread::available_parallelism().map_or(1, usize::from),
            timeout: queries.query_timeout,
            // A response is in memory a second time while it is sent.
            pretty_bytes: percent(5),
            max_rows: queries.max_result_rows.map(|rows| rows as u64),
            max_windows: queries.max_windows as u64,
            concurrent_queries: queries.max_concurrent_queries.max(1),
            max_staleness: queries.max_staleness,
            query_log_size: queries.query_log_size,
            hard_delete: HardDelete::After(self.writes.limits.hard_delete_default_duration),
            with_authentication: !self.access.without_auth,
            ..QuerySettings::default()
        }
    }

    /// Builds the engine. It can't delete rows yet.
    pub(crate) fn engine(
        &self,
        tail: TailReader,
        rules: ProtocolRules,
    ) -> Result<QueryEngine, QueryError> {
        let (bucket, catalog) = (&self.opened.bucket, self.catalog);
        let settings = self.settings();
        let settings = QuerySettings {
            executor: Executor::with_threads(settings.partitions)?,
            ..settings
        };
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = SnapshotReader::new(
            manifests.clone(),
            Arc::clone(catalog),
            tail,
            rules,
            SnapshotSettings {
                retained_bytes: self.common.memory_percent(5),
                max_tail_bytes: self.common.memory_percent(10),
                ..SnapshotSettings::default()
            },
        );
        let snapshots = Arc::new(snapshots);
        let engine = QueryEngine::new(
            bucket.clone(),
            Arc::clone(catalog),
            manifests,
            snapshots,
            settings,
        )?;
        engine.set_store_requests(StoreRequests {
            stores: self.opened.counters.clone(),
            since: self.opened.opened_at,
        });
        Ok(engine)
    }

    /// Creates the reader of tails.
    pub(crate) fn tail(&self) -> TailReader {
        let settings = TailReaderSettings {
            cache_bytes: self.common.memory_percent(5) as u64,
            ..TailReaderSettings::default()
        };
        TailReader::new(self.opened.bucket.clone(), settings)
    }
}

/// Returns the error for a response body that broke off.
pub(crate) fn fault_of_body(error: BoxError) -> ApiError {
    match error.downcast::<QueryError>() {
        Ok(error) => ApiError::from(*error),
        Err(error) => http_service::fault_of_body(error),
    }
}

/// Creates the routes of the query function on first use, when the catalog has been read.
#[derive(Debug)]
pub(crate) struct QueryRouteProvider {
    options: QueryFunctionOptions,
    opened: FunctionStore,
    catalog: Arc<Catalog>,
    service: OnceLock<Arc<WriteService>>,
    /// Invokes this function; `None` if queries are not distributed.
    invoker: Option<Arc<dyn TaskInvoker>>,
    tickets: Arc<ClusterTickets>,
    components: OnceCell<QueryComponents>,
}

/// The parts of the function that exist when the catalog has been read.
#[derive(Debug)]
struct QueryComponents {
    engine: Arc<QueryEngine>,
    /// Executes tasks of other invocations; `None` if queries are not distributed.
    tasks: Option<TaskService>,
}

impl QueryRouteProvider {
    /// Creates the provider without sending requests to the store.
    ///
    /// # Errors
    /// An option is invalid.
    pub(crate) fn new(
        options: &QueryFunctionOptions,
        opened: FunctionStore,
    ) -> Result<Self, OptionsError> {
        let world = opened.bucket.world();
        let distribution = &options.distribution;
        let invoker = (distribution.distributed_max_workers > 0).then(|| {
            FunctionInvoker::new(
                &distribution.distributed_function,
                &distribution.distributed_function_version,
                distribution.lambda_endpoint.as_deref(),
                &options.common.store.aws,
                world,
            )
        });
        let catalog = options.writes.catalog(&opened);
        Ok(Self {
            invoker: invoker
                .transpose()?
                .map(|invoker| Arc::new(invoker) as Arc<dyn TaskInvoker>),
            tickets: Arc::new(ClusterTickets::new(Arc::clone(&catalog), world.clone())),
            catalog,
            options: options.clone(),
            opened,
            service: OnceLock::new(),
            components: OnceCell::new(),
        })
    }

    async fn components(&self) -> Result<&QueryComponents, ApiError> {
        self.components.get_or_try_init(|| self.assemble()).await
    }

    async fn assemble(&self) -> Result<QueryComponents, ApiError> {
        let rules = self.catalog.rules().await.map_err(catalog_unavailable)?;
        let QueryFunctionOptions {
            common,
            access,
            writes,
            queries,
            ..
        } = &self.options;
        let querying = QueryEngineBuilder {
            common,
            access,
            writes,
            queries,
            opened: &self.opened,
            catalog: &self.catalog,
        };
        let tail = querying.tail();
        let engine = querying.engine(tail.clone(), rules)?;
        let service = self.service.get_or_init(|| {
            Arc::new(writes.write_service(common, &self.opened, &self.catalog, rules))
        });
        let engine = engine
            .with_deleter(Arc::clone(service) as Arc<dyn RowDeleter>)
            .with_row_writer(Arc::clone(service) as _)
            .with_views()
            .with_exports(self.opened.uploads.clone());
        self.with_workers(engine, tail)
    }

    /// Adds workers to the engine, and the service that executes tasks for other invocations, if queries are
    /// distributed.
    fn with_workers(
        &self,
        engine: QueryEngine,
        tail: TailReader,
    ) -> Result<QueryComponents, ApiError> {
        let Some(invoker) = &self.invoker else {
            return Ok(QueryComponents {
                engine: Arc::new(engine),
                tasks: None,
            });
        };
        let environment = engine.scan_environment(tail);
        let tasks = TaskService::new(
            Arc::clone(&environment),
            Arc::clone(&self.tickets),
            &self.opened.bucket,
            self.opened.uploads.clone(),
            engine.settings().partitions,
        );
        let tasks = tasks.map_err(|error| {
            tracing::error!(%error, "the threads of tasks can't be started");
            ApiError::json(Kind::Internal, "the threads of tasks can't be started")
        })?;
        let distributor = InvocationDistributor::new(DistributorParts {
            options: &self.options.distribution,
            environment,
            invoker: Arc::clone(invoker),
            bucket: &self.opened.bucket,
            tickets: Arc::clone(&self.tickets),
            io: IoRuntime::new(Handle::current()),
        });
        Ok(QueryComponents {
            engine: Arc::new(engine.with_distributor(Arc::new(distributor))),
            tasks: Some(tasks),
        })
    }
}

#[async_trait]
impl RouteProvider for QueryRouteProvider {
    async fn routes(&self) -> Result<Router, ApiError> {
        let engine = &self.components().await?.engine;
        let database = self.options.writes.default_database();
        Ok(neap_query::router(Arc::clone(engine))
            .merge(neap_query::export_router(Arc::clone(engine)))
            .merge(neap_query::view_router(Arc::clone(engine)))
            .merge(refused_routes())
            .merge(neap_prometheus::remote_read::router(
                Arc::clone(engine),
                database,
            )))
    }

    fn complete(&self, routes: Router) -> Router {
        complete_routes(routes, &self.opened, &self.catalog, &self.options.access)
    }

    fn begin_shutdown(&self) {
        if let Some(service) = self.service.get() {
            service.begin_shutdown();
        }
    }
}

/// The query function: answers requests, executes tasks of its other invocations, and refreshes views.
#[derive(Debug)]
struct QueryFunction {
    provider: Arc<QueryRouteProvider>,
    http: HttpFunction,
}

impl QueryFunction {
    async fn components(&self) -> Result<&QueryComponents, EventFailure> {
        let components = self.provider.components().await;
        components.map_err(|error| EventFailure {
            kind: "Catalog",
            message: error.to_string(),
        })
    }

    async fn task(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        let components = self.components().await?;
        let reply = match &components.tasks {
            Some(tasks) => tasks.run(event.get(), left).await,
            None => refusal("this function does not distribute queries".to_owned()),
        };
        let json = reply.to_json().map_err(|error| EventFailure {
            kind: "Task",
            message: error.to_string(),
        })?;
        Ok(FunctionResponse::BufferedResponse(BufferedReply::Json(
            json,
        )))
    }

    async fn refresh(&self, left: Duration) -> Result<EventReply, EventFailure> {
        let world = self.provider.opened.bucket.world();
        let begun = world.moment();
        let engine = &self.components().await?.engine;
        let left = left.saturating_sub(world.elapsed(&begun));
        let json = refresh_views(engine, left).await?;
        Ok(FunctionResponse::BufferedResponse(BufferedReply::Json(
            json,
        )))
    }
}

#[async_trait]
impl Function for QueryFunction {
    async fn warm(&self) {
        if let Err(error) = self.http.router().await {
            tracing::warn!(%error, "warm-up failed; the first event retries");
        }
    }

    async fn handle(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        let text = event.get();
        if text.starts_with(TASK_EVENT_PREFIX) {
            return self.task(event, left).await;
        }
        if is_refresh(text) {
            self.refresh(left).await
        } else {
            self.http.handle(event, left).await
        }
    }

    fn streams(&self) -> bool {
        self.http.streams()
    }

    fn begin_shutdown(&self) {
        self.http.begin_shutdown();
    }
}

/// The `neap-lambda-query` binary.
#[derive(Debug)]
pub struct QueryProgram;

impl Program for QueryProgram {
    type Options = QueryFunctionOptions;

    const INTERFACE: Interface = Interface {
        function: "query",
        endpoints: &[
            EndpointFunction::Every,
            EndpointFunction::Query,
            EndpointFunction::Job,
        ],
        events: &[
            EventSource::Http,
            EventSource::Schedule {
                input: ScheduleInput {
                    event: REFRESH_VIEWS,
                },
            },
        ],
        store: QUERY_ACCESS,
        calls: &["lambda:InvokeFunction", "s3express:CreateSession"],
    };

    fn open(
        options: &QueryFunctionOptions,
        world: &World,
    ) -> Result<Arc<dyn Function>, OptionsError> {
        options.writes.check()?;
        let opened = FunctionStore::open(&options.common.store, world)?;
        let provider = Arc::new(QueryRouteProvider::new(options, opened.clone())?);
        let http = HttpFunction::new(HttpFunctionParts {
            options: options.http.clone(),
            bucket: opened.bucket,
            links: opened.links,
            metrics: opened.metrics,
            served: Arc::clone(&provider) as Arc<dyn RouteProvider>,
            fault_of_body,
        });
        Ok(Arc::new(QueryFunction { provider, http }))
    }
}
