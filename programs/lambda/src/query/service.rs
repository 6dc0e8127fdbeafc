//! The common parts of functions that answer queries and write rows: the query function and the engine function.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use axum::{BoxError, Router};
use clap::{Args, builder::BoolishValueParser};
use neap_bucket::{ProtocolRules, World};
use neap_catalog::{Catalog, HardDelete, TokenHash};
use neap_http::ApiError;
use neap_identity::IdentityService;
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{Executor, QueryEngine, QueryError, QuerySettings, StoreRequests};
use neap_row_delete::RowDeleter;
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::WriteService;

use crate::{
    http::{HttpFunction, RouteProvider},
    http_service::{self, complete_routes, http_function, prepare_catalog},
    options::{
        AccessOptions, CommonOptions, HttpOptions, MemoryAmount, OptionsError, parse_count,
        parse_duration, parse_nonzero_duration,
    },
    store::FunctionStore,
    write::WriteServiceOptions,
};

/// Maximum disk space for spilling in bytes: part of the 512 MB that every function has.
const SPILL_BYTES: u64 = 384 << 20;

/// Options of functions that answer queries and write rows.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueryServiceOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    pub(crate) writes: WriteServiceOptions,
    #[command(flatten)]
    queries: QueryEngineOptions,
}

impl QueryServiceOptions {
    /// Opens the store.
    pub(crate) fn open(&self, world: &World) -> Result<FunctionStore, OptionsError> {
        self.writes.open(&self.common, world)
    }
}

/// Options of functions that answer queries.
#[derive(Args, Clone, Debug)]
struct QueryEngineOptions {
    /// Maximum duration of a query, from its start to the end of its response; the function's timeout applies as well
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "5m")]
    query_timeout: Duration,

    /// Maximum number of rows in a query result; a larger result ends with an error. Unlimited by default
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    max_result_rows: Option<usize>,

    /// Maximum number of windows of time that a query fills for one series
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "5000000")]
    max_windows: usize,

    /// Maximum number of concurrent queries; others wait
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    max_concurrent_queries: usize,

    /// The memory of all running queries together, in bytes or as a percentage of the function's memory
    #[arg(long, value_name = "BYTES|PERCENT", default_value = "30%")]
    exec_mem_pool_bytes: MemoryAmount,

    /// Maximum staleness of results, for queries that set none
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    max_staleness: Duration,

    /// Number of this instance's queries that `system.queries` keeps
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    query_log_size: usize,

    /// Answer queries of last and distinct value caches from the tables instead of the caches
    #[arg(long, value_parser = BoolishValueParser::new())]
    disable_caches: bool,
}

/// The store, the catalog, and the options of a function. The write service is created on first use.
#[derive(Debug)]
pub(crate) struct QueryService {
    pub(crate) options: QueryServiceOptions,
    pub(crate) opened: FunctionStore,
    pub(crate) catalog: Arc<Catalog>,
    operator_hash: Option<TokenHash>,
    writes: OnceLock<Arc<WriteService>>,
}

/// The parts of a function that exist when the catalog has been read.
pub(crate) struct QueryServiceParts {
    #[cfg(feature = "engine")]
    pub(crate) rules: ProtocolRules,
    pub(crate) tail: TailReader,
    pub(crate) writes: Arc<WriteService>,
    /// It can delete rows.
    pub(crate) engine: QueryEngine,
}

impl QueryService {
    /// Creates the service without sending requests to the store.
    ///
    /// # Errors
    /// An option is invalid.
    pub(crate) fn new(
        options: &QueryServiceOptions,
        opened: FunctionStore,
    ) -> Result<Self, OptionsError> {
        Ok(Self {
            catalog: options.writes.catalog(&opened),
            operator_hash: options.access.operator_hash()?,
            options: options.clone(),
            opened,
            writes: OnceLock::new(),
        })
    }

    /// Reads the catalog, and creates the parts that depend on it.
    ///
    /// # Errors
    /// The catalog can't be read, or the engine can't be started.
    pub(crate) async fn assemble(&self) -> Result<QueryServiceParts, ApiError> {
        let rules = prepare_catalog(&self.catalog, self.operator_hash.as_ref()).await?;
        let tail = self.tail();
        let engine = self.engine(tail.clone(), rules)?;
        let writes = self.writes.get_or_init(|| {
            let QueryServiceOptions { common, writes, .. } = &self.options;
            Arc::new(writes.write_service(common, &self.opened, &self.catalog, rules))
        });
        Ok(QueryServiceParts {
            #[cfg(feature = "engine")]
            rules,
            tail,
            writes: Arc::clone(writes),
            engine: engine.with_deleter(Arc::clone(writes) as Arc<dyn RowDeleter>),
        })
    }

    /// Returns the service that signs users in; `None` if the options let no users sign in.
    pub(crate) fn identity(&self) -> Result<Option<Arc<IdentityService>>, OptionsError> {
        self.options.access.identity(&self.catalog)
    }

    /// Creates the function that answers the requests of `served`.
    pub(crate) fn http_function(&self, served: Arc<dyn RouteProvider>) -> HttpFunction {
        http_function(&self.options.http, &self.opened, served, fault_of_body)
    }

    /// Adds the monitoring routes and the layers that apply to every response.
    pub(crate) fn complete(&self, routes: Router) -> Router {
        complete_routes(routes, &self.opened, &self.catalog, &self.options.access)
    }

    /// Flushes waiting batches and disables batching, because the instance is about to end.
    pub(crate) fn begin_shutdown(&self) {
        if let Some(writes) = self.writes.get() {
            writes.begin_shutdown();
        }
    }

    fn settings(&self) -> QuerySettings {
        let percent = |percent| self.options.common.memory_percent(percent);
        let queries = &self.options.queries;
        QuerySettings {
            memory_pool_bytes: queries
                .exec_mem_pool_bytes
                .bytes_of(self.options.common.memory_bytes()),
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
            hard_delete: HardDelete::After(self.options.writes.limits.hard_delete_default_duration),
            with_authentication: !self.options.access.without_auth,
            ..QuerySettings::default()
        }
    }

    /// Builds the engine. It can't delete rows yet.
    fn engine(&self, tail: TailReader, rules: ProtocolRules) -> Result<QueryEngine, QueryError> {
        let (bucket, catalog) = (&self.opened.bucket, &self.catalog);
        let settings = self.settings();
        let settings = QuerySettings {
            executor: Executor::with_threads(settings.partitions)?,
            ..settings
        };
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(catalog),
            tail,
            rules,
            SnapshotSettings {
                retained_bytes: self.options.common.memory_percent(5),
                max_tail_bytes: self.options.common.memory_percent(10),
                ..SnapshotSettings::default()
            },
        ));
        let engine =
            QueryEngine::new(bucket.clone(), Arc::clone(catalog), manifests, snapshots, settings)?;
        engine.set_store_requests(StoreRequests {
            stores: self.opened.counters.clone(),
            since: self.opened.opened_at,
        });
        Ok(engine)
    }

    fn tail(&self) -> TailReader {
        let settings = TailReaderSettings {
            cache_bytes: self.options.common.memory_percent(5) as u64,
            ..TailReaderSettings::default()
        };
        TailReader::new(self.opened.bucket.clone(), settings)
    }
}

/// Returns the error for a response body that broke off.
fn fault_of_body(error: BoxError) -> ApiError {
    match error.downcast::<QueryError>() {
        Ok(error) => ApiError::from(*error),
        Err(error) => http_service::fault_of_body(error),
    }
}
