//! The write function.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use clap::{Parser, builder::BoolishValueParser};
use neap_bucket::{ProtocolRules, StoreKind, World};
use neap_catalog::{Catalog, DatabaseAction, HardDelete, TokenHash, validate_database_name};
use neap_console::{
    PageBucket, SessionServer, bucket_page_routes, document_routes, session_routes,
};
use neap_http::{ApiError, ENDPOINTS, EndpointAccess, EndpointFunction, Kind};
use neap_identity::IdentityService;
use neap_wal::{TailWriter, TailWriterSettings};
use neap_write::{LegacyWrites, WriteService, WriteServiceParts, WriteSettings};

use crate::{
    REVISION, VERSION,
    http::RouteProvider,
    http_service::{
        HttpOnlyFunction, complete_routes, fault_of_body, http_function, prepare_catalog,
    },
    interface::{
        EventSource, Interface, PrefixAccess,
        StoreAction::{Abort, Get, List, Put},
    },
    options::{
        AccessOptions, CommonOptions, HttpOptions, LimitOptions, OptionsError, parse_count,
        parse_duration, parse_nonzero_duration,
    },
    runtime::{Function, Program},
    store::FunctionStore,
};

/// Options of the write function.
#[derive(Clone, Debug, Parser)]
#[command(name = "neap-lambda-write")]
pub struct WriteFunctionOptions {
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    http: HttpOptions,
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    writes: WriteServiceOptions,

    /// Serve the page of the console, whose files are below `console/` in the bucket
    #[arg(long, value_parser = BoolishValueParser::new())]
    console_from_bucket: bool,

    /// Serve only the paths that write rows: for a function URL, whose requests no gateway limits, so that nobody signs
    /// in there
    #[arg(long, value_parser = BoolishValueParser::new())]
    writes_only: bool,
}

impl AsRef<CommonOptions> for WriteFunctionOptions {
    fn as_ref(&self) -> &CommonOptions {
        &self.common
    }
}

/// Options of functions that write rows.
#[derive(clap::Args, Clone, Debug)]
pub struct WriteServiceOptions {
    #[command(flatten)]
    pub(crate) limits: LimitOptions,

    /// Maximum time for receiving the body of a write
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "30s")]
    pub(crate) http_timeout: Duration,

    /// The database of writes that name none, such as those of QuestDB's clients
    #[arg(long, value_name = "NAME")]
    pub(crate) default_database: Option<String>,

    /// Maximum number of tables that one write creates
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value_t = WriteSettings::MAX_NEW_TABLES)]
    pub(crate) max_new_tables: usize,

    /// What /write and /api/v2/write do with the valid lines of a request if others are refused: store them, as InfluxDB 1
    /// and 2 do (partial), or refuse them as well, as InfluxDB 3 does (strict)
    #[arg(long, value_name = "MODE", default_value = "partial")]
    pub(crate) legacy_writes: LegacyWrites,

    /// Minimum interval between two segments of a database. The default is 0s if an instance handles one event at a
    /// time, because there is nothing to batch, and 1s if it handles several
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) wal_flush_interval: Option<Duration>,

    /// Segments of a database that an instance may write before the flush interval ends. An instance starts with all of
    /// them, and regains one for each interval without a segment
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) wal_flush_burst: u32,
}

impl WriteServiceOptions {
    /// Returns the settings of the segment writer.
    pub(crate) fn writer(&self, common: &CommonOptions, kind: StoreKind) -> TailWriterSettings {
        let usual = match kind {
            StoreKind::Network if common.function_concurrency > 1 => TailWriterSettings::NETWORK,
            _ => TailWriterSettings::LOCAL,
        };
        TailWriterSettings {
            flush_interval: self.wal_flush_interval.unwrap_or(usual.flush_interval),
            // Instances start at any time, so a burst of each would be no limit of the PUTs of all.
            flush_burst: self.wal_flush_burst,
            max_in_flight_bytes: common.memory_percent(10).max(32 << 20),
            ..usual
        }
    }

    /// Returns the settings of the write service. `no_sync` is disabled because Lambda freezes the instance after a
    /// response.
    fn service(&self, common: &CommonOptions) -> WriteSettings {
        WriteSettings {
            max_request_bytes: self.limits.max_http_request_size,
            body_timeout: self.http_timeout,
            no_sync_allowed: false,
            max_bytes_in_flight: common.memory_percent(40),
            hard_delete: HardDelete::After(self.limits.hard_delete_default_duration),
            default_database: self.default_database(),
            legacy_writes: self.legacy_writes,
            max_new_tables: self.max_new_tables,
            ..WriteSettings::default()
        }
    }

    /// Returns the database of requests that name none.
    pub(crate) fn default_database(&self) -> Option<String> {
        let name = self.default_database.clone();
        name.filter(|name| !name.is_empty())
    }

    /// Creates the catalog of a bucket, with the configured limits.
    pub(crate) fn catalog(&self, opened: &FunctionStore) -> Arc<Catalog> {
        let catalog = Catalog::new(opened.bucket.clone(), opened.margins, None);
        Arc::new(catalog.with_limits(self.limits.catalog.limits()))
    }

    pub(crate) fn write_service(
        &self,
        common: &CommonOptions,
        opened: &FunctionStore,
        catalog: &Arc<Catalog>,
        rules: ProtocolRules,
    ) -> WriteService {
        let settings = self.writer(common, opened.kind);
        WriteService::new(WriteServiceParts {
            catalog: Arc::clone(catalog),
            writer: TailWriter::new(opened.bucket.clone(), rules, settings, None),
            rules,
            metrics: opened.metrics.clone(),
            settings: self.service(common),
        })
    }

    /// Opens the store, unless the name of the default database is invalid.
    pub(crate) fn open(
        &self,
        common: &CommonOptions,
        world: &World,
    ) -> Result<FunctionStore, OptionsError> {
        let name = self.default_database.as_deref().filter(|name| !name.is_empty());
        let checked = name.map_or(Ok(()), validate_database_name);
        checked.map_err(|error| OptionsError::Unusable {
            option: "default-database",
            reason: error.to_string(),
        })?;
        Ok(FunctionStore::open(&common.store, world)?)
    }
}

/// Creates the routes of the write function on first use, when the catalog has been read.
#[derive(Debug)]
pub(crate) struct WriteRouteProvider {
    options: WriteFunctionOptions,
    opened: FunctionStore,
    catalog: Arc<Catalog>,
    operator_hash: Option<TokenHash>,
    identity: Option<Arc<IdentityService>>,
    service: OnceLock<Arc<WriteService>>,
}

impl WriteRouteProvider {
    pub(crate) fn new(
        options: &WriteFunctionOptions,
        opened: FunctionStore,
    ) -> Result<Self, OptionsError> {
        let catalog = options.writes.catalog(&opened);
        Ok(Self {
            operator_hash: options.access.operator_hash()?,
            identity: options.access.identity(&catalog)?,
            catalog,
            options: options.clone(),
            opened,
            service: OnceLock::new(),
        })
    }
}

#[async_trait]
impl RouteProvider for WriteRouteProvider {
    async fn routes(&self) -> Result<Router, ApiError> {
        let access = &self.options.access;
        let rules = prepare_catalog(&self.catalog, self.operator_hash.as_ref()).await?;
        let (common, writes) = (&self.options.common, &self.options.writes);
        let service = self.service.get_or_init(|| {
            let service = writes.write_service(common, &self.opened, &self.catalog, rules);
            Arc::new(
                service
                    .with_identity(self.identity.clone())
                    .with_first_credentials(access.creates_first_credentials()),
            )
        });
        let metrics = &self.opened.metrics;
        let session = session_routes(SessionServer {
            catalog: Arc::clone(&self.catalog),
            requires_tokens: !access.without_auth,
            has_users: self.identity.is_some(),
            version: VERSION,
            revision: REVISION,
            mode: "lambda".to_owned(),
            node_id: None,
            assistant_model: None,
        });
        let page = bucket_page_routes(PageBucket {
            bucket: self.opened.bucket.clone(),
            links: self.opened.links.clone(),
            is_on: self.options.console_from_bucket,
        });
        let routes = neap_write::router(Arc::clone(service))
            .merge(page)
            .merge(session)
            .merge(document_routes(Arc::clone(&self.catalog)))
            .merge(neap_influxdb2::router(Arc::clone(service)))
            .merge(neap_prometheus::remote_write::router(Arc::clone(service), metrics))
            .merge(neap_otlp::router(Arc::clone(service)));
        Ok(if self.options.writes_only {
            routes.layer(from_fn(refuse_other_paths))
        } else {
            routes
        })
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

/// The access of the endpoints that write rows. Those that also replace or delete others need more.
const WRITE_ACCESS: EndpointAccess = EndpointAccess::Database(&[DatabaseAction::Append]);

fn writes_rows(path: &str) -> bool {
    ENDPOINTS.iter().any(|endpoint| {
        endpoint.path == path
            && endpoint.function == EndpointFunction::Write
            && endpoint.access == WRITE_ACCESS
    })
}

/// Refuses the request if its path does not write rows.
async fn refuse_other_paths(request: Request, next: Next) -> Result<Response, ApiError> {
    if !writes_rows(request.uri().path()) {
        let text = "only rows are written here: send other requests to the API";
        return Err(ApiError::json(Kind::NotFound, text));
    }
    Ok(next.run(request).await)
}

/// The `neap-lambda-write` binary.
#[derive(Debug)]
pub struct WriteProgram;

impl Program for WriteProgram {
    type Options = WriteFunctionOptions;

    const INTERFACE: Interface = Interface {
        function: "write",
        endpoints: &[EndpointFunction::Every, EndpointFunction::Write],
        events: &[EventSource::Http],
        store: &[
            PrefixAccess::new("catalog", &[Get, Put]),
            PrefixAccess::new("console/", &[Get]),
            PrefixAccess::new("db/", &[List, Get, Put]),
            PrefixAccess::new("tail/", &[List, Put]),
            // If objects are there, a missing catalog is lost.
            PrefixAccess::new("data/", &[List]),
            PrefixAccess::new("results/", &[Get, Put, Abort]),
        ],
        calls: &["s3express:CreateSession"],
    };

    fn open(
        options: &WriteFunctionOptions,
        world: &World,
    ) -> Result<Arc<dyn Function>, OptionsError> {
        let opened = options.writes.open(&options.common, world)?;
        let served = Arc::new(WriteRouteProvider::new(options, opened.clone())?);
        let http = http_function(&options.http, &opened, served, fault_of_body);
        Ok(Arc::new(HttpOnlyFunction(http)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::parse;

    #[test]
    fn an_instance_waits_for_the_flush_interval_only_if_it_handles_several_events() {
        let interval = |flags: &[&str], kind: StoreKind| {
            let arguments: Vec<&str> = ["neap"].iter().chain(flags).copied().collect();
            let options = parse::<WriteFunctionOptions>(&arguments).unwrap();
            let settings = options.writes.writer(&options.common, kind);
            assert_eq!(settings.flush_burst, 0);
            settings.flush_interval
        };
        let several = ["--function-concurrency", "64"];
        let second = Duration::from_secs(1);
        assert_eq!(interval(&several, StoreKind::Network), second);
        assert_eq!(interval(&[], StoreKind::Network), Duration::ZERO);
        // A directory costs nothing for each segment.
        assert_eq!(interval(&several, StoreKind::Directory), Duration::ZERO);
        let chosen = ["--function-concurrency", "64", "--wal-flush-interval", "2s"];
        assert_eq!(interval(&chosen, StoreKind::Network), 2 * second);
    }

    #[test]
    fn paths_with_line_protocol_and_the_other_formats_of_rows_write_rows() {
        let paths: Vec<&str> = ENDPOINTS
            .iter()
            .map(|endpoint| endpoint.path)
            .filter(|path| writes_rows(path))
            .collect();
        assert_eq!(
            paths,
            [
                "/api/v3/write_lp",
                "/api/v2/write",
                "/write",
                "/api/v1/write",
                "/api/v1/prom/write",
                "/v1/metrics",
                "/v1/logs",
                "/v1/traces",
            ]
        );
    }
}
