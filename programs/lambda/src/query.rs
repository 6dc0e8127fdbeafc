//! The query function.

mod distribution;
mod invoke;
mod refused_routes;
mod service;
mod store_access;
mod tasks;
mod view_refresh;
mod worker_version;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::Router;
use clap::Parser;
use lambda_runtime::FunctionResponse;
use neap_assembly::NotifierOptions;
use neap_bucket::World;
use neap_distributed::{
    ClusterTickets,
    invocation::{TASK_EVENT_PREFIX, TaskInvoker},
};
use neap_http::{ApiError, EndpointFunction, Kind};
use neap_identity::IdentityService;
use neap_query::{Notifier, QueryEngine};
use neap_scan::IoRuntime;
use neap_wal::TailReader;
use serde_json::value::RawValue;
use tokio::{runtime::Handle, sync::OnceCell};

pub use self::distribution::DistributionOptions;
pub(crate) use self::service::{QueryService, QueryServiceOptions};
use self::{
    distribution::{DistributorParts, InvocationDistributor},
    invoke::FunctionInvoker,
    refused_routes::refused_routes,
    store_access::QUERY_ACCESS,
    tasks::{TaskService, refusal},
    view_refresh::{REFRESH_VIEWS, is_refresh, refresh_views},
};
use crate::{
    http::{HttpFunction, RouteProvider},
    interface::{EventSource, Interface, ScheduleInput},
    options::{CommonOptions, OptionsError},
    runtime::{BufferedReply, EventFailure, EventReply, Function, Program},
    store::FunctionStore,
};

/// Options of the query function.
#[derive(Clone, Debug, Parser)]
#[command(name = "neap-lambda-query")]
pub struct QueryFunctionOptions {
    #[command(flatten)]
    service: QueryServiceOptions,
    #[command(flatten)]
    distribution: DistributionOptions,
    #[command(flatten)]
    notifications: NotifierOptions,
}

impl AsRef<CommonOptions> for QueryFunctionOptions {
    fn as_ref(&self) -> &CommonOptions {
        &self.service.common
    }
}

/// Creates the routes of the query function on first use, when the catalog has been read.
#[derive(Debug)]
pub(crate) struct QueryRouteProvider {
    distribution: DistributionOptions,
    service: QueryService,
    identity: Option<Arc<IdentityService>>,
    /// Sends notifications about alerts; `None` if there are no targets.
    notifier: Option<Arc<Notifier>>,
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
    pub(crate) fn new(
        options: &QueryFunctionOptions,
        opened: FunctionStore,
    ) -> Result<Self, OptionsError> {
        let service = QueryService::new(&options.service, opened)?;
        let world = service.opened.bucket.world();
        let distribution = &options.distribution;
        let invoker = (distribution.distributed_max_workers > 0).then(|| {
            FunctionInvoker::new(
                &distribution.distributed_function,
                &distribution.distributed_function_version,
                distribution.lambda_endpoint.as_deref(),
                &options.service.common.store.aws,
                world,
            )
        });
        let catalog = Arc::clone(&service.catalog);
        Ok(Self {
            notifier: options
                .notifications
                .notifier()
                .map_err(|error| OptionsError::Queries(error.to_string()))?,
            invoker: invoker.transpose()?.map(|invoker| Arc::new(invoker) as Arc<dyn TaskInvoker>),
            tickets: Arc::new(ClusterTickets::new(catalog, world.clone())),
            distribution: distribution.clone(),
            identity: service.identity()?,
            service,
            components: OnceCell::new(),
        })
    }

    async fn components(&self) -> Result<&QueryComponents, ApiError> {
        self.components.get_or_try_init(|| self.assemble()).await
    }

    async fn assemble(&self) -> Result<QueryComponents, ApiError> {
        let parts = self.service.assemble().await?;
        let engine = parts
            .engine
            .with_row_writer(parts.writes as _)
            .with_views()
            .with_exports(self.service.opened.uploads.clone())
            .with_identity(self.identity.clone())
            .with_notifier(self.notifier.clone());
        self.with_workers(engine, parts.tail)
    }

    /// Adds workers to the engine, and the service that executes tasks for other invocations, if queries are
    /// distributed.
    fn with_workers(
        &self,
        engine: QueryEngine,
        tail: TailReader,
    ) -> Result<QueryComponents, ApiError> {
        let Some(invoker) = &self.invoker else {
            return Ok(QueryComponents { engine: Arc::new(engine), tasks: None });
        };
        let opened = &self.service.opened;
        let environment = engine.scan_environment(tail);
        let tasks = TaskService::new(
            Arc::clone(&environment),
            Arc::clone(&self.tickets),
            &opened.bucket,
            opened.uploads.clone(),
            engine.settings().partitions,
        )
        .map_err(|error| {
            tracing::error!(%error, "the threads of tasks can't be started");
            ApiError::json(Kind::Internal, "the threads of tasks can't be started")
        })?;
        let distributor = InvocationDistributor::new(DistributorParts {
            options: &self.distribution,
            environment,
            invoker: Arc::clone(invoker),
            bucket: &opened.bucket,
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
        let options = &self.service.options;
        let database = options.writes.default_database();
        let store = &options.common.store;
        Ok(neap_query::router(Arc::clone(engine))
            .merge(neap_query::export_router(Arc::clone(engine)))
            .merge(neap_query::view_router(Arc::clone(engine)))
            .merge(neap_iceberg::router(Arc::clone(engine), store))
            .merge(neap_jaeger::router(Arc::clone(engine), database.clone()))
            .merge(refused_routes())
            .merge(neap_prometheus::remote_read::router(Arc::clone(engine), database)))
    }

    fn complete(&self, routes: Router) -> Router {
        self.service.complete(routes)
    }

    fn begin_shutdown(&self) {
        self.service.begin_shutdown();
    }
}

/// The query function: answers requests, executes tasks of its other invocations, refreshes views, and evaluates rules.
#[derive(Debug)]
struct QueryFunction {
    provider: Arc<QueryRouteProvider>,
    http: HttpFunction,
}

impl QueryFunction {
    async fn components(&self) -> Result<&QueryComponents, EventFailure> {
        let components = self.provider.components().await;
        components.map_err(|error| EventFailure { kind: "Catalog", message: error.to_string() })
    }

    async fn task(&self, event: &RawValue, left: Duration) -> Result<EventReply, EventFailure> {
        let components = self.components().await?;
        let reply = match &components.tasks {
            Some(tasks) => tasks.run(event.get(), left).await,
            None => refusal("this function does not distribute queries".to_owned()),
        };
        let json = reply
            .to_json()
            .map_err(|error| EventFailure { kind: "Task", message: error.to_string() })?;
        Ok(FunctionResponse::BufferedResponse(BufferedReply::Json(json)))
    }

    async fn refresh(&self, left: Duration) -> Result<EventReply, EventFailure> {
        let world = self.provider.service.opened.bucket.world();
        let started_at = world.clock_reading();
        let engine = &self.components().await?.engine;
        let left = left.saturating_sub(world.elapsed(&started_at));
        let json = refresh_views(engine, left).await?;
        Ok(FunctionResponse::BufferedResponse(BufferedReply::Json(json)))
    }
}

#[async_trait]
impl Function for QueryFunction {
    async fn warm(&self) {
        self.http.warm().await;
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
        endpoints: &[EndpointFunction::Every, EndpointFunction::Query, EndpointFunction::Job],
        events: &[
            EventSource::Http,
            EventSource::Schedule { input: ScheduleInput { event: REFRESH_VIEWS } },
        ],
        store: QUERY_ACCESS,
        calls: &["lambda:InvokeFunction", "s3express:CreateSession"],
    };

    fn open(
        options: &QueryFunctionOptions,
        world: &World,
    ) -> Result<Arc<dyn Function>, OptionsError> {
        let opened = options.service.open(world)?;
        let provider = Arc::new(QueryRouteProvider::new(options, opened)?);
        let http = provider.service.http_function(Arc::clone(&provider) as _);
        Ok(Arc::new(QueryFunction { provider, http }))
    }
}
