//! `neap serve`: all functions in one process, on one port.
//!
//! ```text
//!            ┌ write ──► TailWriter ──► store ◄── Flusher ◄── Flushing (backlog: bytes, number, age)
//! listener ──┤                │ passes segments in memory             │ reports flushes
//!            ├ query ──► SnapshotReader ──► store ◄── Compactor ◄── Maintenance (threads of low priority)
//!            └ engine ─► Engine (also by segments and time) ──► child processes with plugins, which query and write
//! ```
//!
//! Only the store is durable, so the process can end at any instruction. When the process is asked to stop, it accepts
//! no more connections, lets requests in progress finish within `--shutdown-timeout`, and flushes the segments that can
//! be flushed.

mod access;
mod active_count;
mod admin_token;
mod assistant_options;
mod backlog;
mod backups;
mod blocked_flushes;
mod cache_refresh;
mod clock_condition;
mod cluster;
mod components;
mod concurrency_limit;
pub mod console;
mod damage;
mod due_databases;
mod error;
mod explained_refusals;
mod first_bytes_timeout;
mod flush_task;
pub mod heap_sampling;
mod heartbeat;
mod imports;
mod incoming_bodies;
pub mod legacy_flags;
mod limits;
mod lingering_close;
mod listen_address;
mod listener;
mod logging;
mod maintenance;
mod mcp;
mod memory;
mod metrics;
mod min_rate_stream;
mod nodes;
mod options;
mod plugins;
mod postgres;
pub mod private_file;
mod profiles;
pub mod publish_options;
mod query_groups;
mod questdb;
mod readiness;
mod recovery;
mod renamed_flags;
mod request_body;
mod response_body;
mod rule_evaluation;
mod scrub;
mod server_context;
mod shutdown;
mod startup_message;
mod stop_signals;
mod sweep_schedule;
mod sync;
mod sync_options;
pub mod terminal;
mod tls;
mod traces;
mod unitless_sizes;
mod variables;
mod version;
mod view_refresh;
mod web_console;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures::future::OptionFuture;
pub use neap_assembly::{store_location, stores};
use neap_bucket::World;
use neap_catalog::{ANY_AGE, Catalog};
use neap_http::log_panics;
use neap_postgres::PostgresListener;
use neap_questdb::QuestDbListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::{
    cluster::WorkerPort,
    components::{ProcessContext, ServerComponents},
    heartbeat::{Heartbeat, OwnNode, ProcessDescription},
    listener::{Listener, ListenerSettings},
    postgres::PostgresFunctions,
    startup_message::{AuthState, StartupMessage},
    stop_signals::StopSignals,
    stores::{Stores, StoresError},
    tls::{TlsContext, TlsFiles},
    traces::{TraceExport, TracesExporter},
};
pub use self::{error::ServeError, options::ServeArgs, variables::Variables};
use crate::console::Console;

/// Maximum time of the last flush.
const FINAL_FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until the process is asked to stop.
///
/// # Errors
///
/// The server can't be started.
pub async fn run(
    args: &ServeArgs,
    variables: &impl Variables,
    console: &mut Console,
    world: World,
) -> Result<(), ServeError> {
    let node = node_name(args, variables)?;
    let traces = TraceExport::start(&args.traces, node.as_deref(), &world)?;
    logging::start(args, traces.as_deref())?;
    log_panics(Arc::clone(&world.clock));
    args.renamed.warn(variables, console);
    warn(args, console);
    let signals = StopSignals::listen().map_err(ServeError::Signals)?;
    let tls = encryption(args)?;
    cluster::check(args)?;
    let is_encrypted = tls.is_some();
    if let Some(tls) = tls.clone() {
        tokio::spawn(tls.watch(world.clone()));
    }
    let mut stores =
        Stores::open(&args.store, &world)?.trusting_store_clock(args.trust_store_clock);
    stores.probe_if_unused().await?;
    let stop = CancellationToken::new();
    plugins::make_folder(args)?;
    let own = Arc::new(OwnNode::new(&stores.bucket));
    let this = ProcessContext {
        node: node.as_deref(),
        own: &own,
        stop: &stop,
        traces: traces.as_ref(),
    };
    let mut app = ServerComponents::new(args, this, &mut stores, &world).await?;
    let recovery = app.recovery.take();
    if let Some(path) = &args.access.admin_token_file {
        admin_token::install(path, &app.catalog, &world, console).await?;
    }
    if let Some(hash) = &args.access.admin_token_hash {
        admin_token::install_hash(hash, &app.catalog).await?;
    }
    if let Some(address) = args.access.recovery_address() {
        let recovery = recovery.ok_or(ServeError::NoRecovery)?;
        let (stop, world) = (stop.clone(), world.clone());
        let listening = recovery.listen(address, tls.clone(), stop, world, console);
        listening.await?;
    }
    plugins::tell(args, app.processing.as_ref(), &app.catalog, console).await?;
    let questdb =
        questdb::listen(args, app.writes.as_ref(), &app.catalog, &stores.metrics, tls.clone())
            .await?;
    let postgres = postgres::listen(
        args,
        PostgresFunctions {
            queries: app.queries.as_ref(),
            writes: app.writes.as_ref(),
            access: &app.access,
        },
        &stores.metrics,
        tls.clone(),
    )
    .await?;
    let (listener, address) = listen(args, tls, &world).await?;
    metrics::register_connections(&stores.metrics, &listener.stats());
    let worker = WorkerPort::open(args, app.cluster.as_ref(), &app.catalog, &world).await?;
    if let Some(worker) = &worker {
        metrics::register_tasks(&stores.metrics, &worker.tasks);
    }
    let process = ProcessDescription {
        own,
        node_id: node.clone(),
        modes: &args.mode,
        address: address.to_string(),
        worker: worker.as_ref().map(|worker| worker.url.to_string()),
    };
    let heartbeat = Heartbeat::begin(stores.bucket.clone(), process).await;
    let greeting = StartupMessage {
        address,
        is_encrypted,
        place: &stores.place,
        names: [node.as_deref(), args.cluster_id.as_deref()],
        questdb: questdb.as_ref().and_then(|listener| listener.address().ok()),
        postgres: postgres.as_ref().and_then(|listener| listener.address().ok()),
        worker: worker.as_ref().map(|worker| &worker.url),
        has_console: web_console::has_page(args),
        entry: entry(args, &app.catalog).await?,
        has_passwords: args.access.has_passwords(),
        program: &startup_message::program_name(),
    };
    tell_address(args, &greeting)?;
    // A closed console does not prevent the server from running.
    console.print(&greeting).ok();
    if app.catalog.rules().await?.needs_one_clock() {
        tracing::warn!(
            "the cluster has short protocol margins: its processes and its store must run on one machine"
        );
    }
    let background = maintenance::runtime(args.compaction_jobs).map_err(ServeError::Threads)?;
    let handle = background.handle();
    let listeners = Listeners {
        http: listener,
        questdb,
        postgres,
        worker,
        shutdown_timeout: args.limits.shutdown_timeout,
    };
    serve(listeners, app, heartbeat, stop, signals, world, handle).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    // An interrupted job leaves at most unreferenced objects.
    background.shutdown_background();
    Ok(())
}

/// Binds the listener for client requests, and publishes its address.
async fn listen(
    args: &ServeArgs,
    tls: Option<TlsContext>,
    world: &World,
) -> Result<(Listener, SocketAddr), ServeError> {
    let cannot_listen = |error| ServeError::Listen { address: args.http_bind.clone(), error };
    let bound = ListenerSettings {
        patience: args.limits.http_timeout,
        ..ListenerSettings::with_tls(tls)
    };
    let listener = Listener::bind(&args.http_bind, bound, world.clone())
        .await
        .map_err(cannot_listen)?;
    let address = listener.address().map_err(cannot_listen)?;
    Ok((listener, address))
}

/// The listeners for clients and for other processes.
struct Listeners {
    http: Listener,
    questdb: Option<QuestDbListener>,
    postgres: Option<PostgresListener>,
    worker: Option<WorkerPort>,
    /// Maximum time for requests in progress after the process was asked to stop.
    shutdown_timeout: Duration,
}

impl Listeners {
    /// Serves until `stop`, and then for the time that requests in progress need, at most `shutdown_timeout`.
    async fn serve(self, router: Router, stop: &CancellationToken) {
        let limit = self.shutdown_timeout;
        let questdb = self.questdb.map(|listener| listener.serve(stop.cancelled(), limit));
        let postgres = self.postgres.map(|listener| listener.serve(stop.cancelled(), limit));
        let worker = self.worker.map(|worker| worker.serve(stop.clone()));
        let http = self.http.serve(router, stop.cancelled(), limit);
        tokio::join!(
            http,
            OptionFuture::from(questdb),
            OptionFuture::from(postgres),
            OptionFuture::from(worker)
        );
    }
}

/// Serves until the first signal, then shuts down gracefully; the second signal aborts the shutdown.
async fn serve(
    listeners: Listeners,
    app: ServerComponents,
    heartbeat: Heartbeat,
    stop: CancellationToken,
    signals: StopSignals,
    world: World,
    background: &Handle,
) {
    if let Some(sync) = &app.sync {
        sync.hold().await;
    }
    let (watching, watched) = (app.watching, stop.clone());
    tokio::spawn(async move { watching.run(&watched).await });
    if let Some(maintenance) = app.maintenance {
        let stop = stop.clone();
        background.spawn(async move { Arc::new(maintenance).run(&stop).await });
    }
    if let Some(backups) = app.backups {
        let stop = stop.clone();
        tokio::spawn(async move { backups.run(&stop).await });
    }
    if let Some(scrub) = app.scrub {
        let stop = stop.clone();
        tokio::spawn(async move { scrub.run(&stop).await });
    }
    if let Some(feeding) = app.feeding {
        let stop = stop.clone();
        tokio::spawn(async move { feeding.run(&stop).await });
    }
    if let Some(views) = app.views {
        let stop = stop.clone();
        tokio::spawn(async move { views.run(&stop).await });
    }
    let rules = app.rules.map(|rules| {
        let stop = stop.clone();
        tokio::spawn(async move { rules.run(&stop).await })
    });
    if let Some(worker) = app.imports {
        let stop = stop.clone();
        tokio::spawn(async move { imports::run(&worker, &stop).await });
    }
    if let Some(sync) = app.sync {
        let stop = stop.clone();
        background.spawn(async move { sync.run(&stop).await });
    }
    let beats = tokio::spawn({
        let stop = stop.clone();
        async move { heartbeat.run(&stop).await }
    });
    let plugins = app.processing.as_ref().map(|processing| {
        let engine = Arc::clone(processing.engine());
        tokio::spawn(plugins::run(engine, world.clone(), stop.clone()))
    });
    let flushing = app.flushing.map(|flushing| {
        let (stop, runtime) = (stop.clone(), Handle::current());
        // Deduplication and encoding are CPU-bound: they have a thread of their own, so that they don't block requests.
        tokio::task::spawn_blocking(move || {
            runtime.block_on(flushing.run(&stop));
            flushing
        })
    });
    // Calls of tools reach the routes through it.
    let _api = app.api;
    let work = async {
        listeners.serve(app.router, &stop).await;
        // The last writes of plugins are flushed with the rest.
        shutdown::join_tasks(plugins, rules, &world).await;
        let last = async {
            if let Some(Ok(flushing)) = OptionFuture::from(flushing).await {
                flushing.finish().await;
            }
        };
        if world.timeout(FINAL_FLUSH_TIMEOUT, last).await.is_none() {
            tracing::warn!("the last flush did not end in time; the next start continues it");
        }
        // The last record is written after all others.
        if let Ok(heartbeat) = beats.await {
            heartbeat.end().await;
        }
    };
    tokio::select! {
        () = work => tracing::info!("stopped"),
        () = signals.forward(stop.clone()) => tracing::warn!("stopped at once"),
    }
}

/// Returns the authentication state with the cluster's current tokens.
async fn entry(args: &ServeArgs, catalog: &Catalog) -> Result<AuthState, ServeError> {
    if args.access.without_auth {
        return Ok(AuthState::Open);
    }
    let root = catalog.root(ANY_AGE).await?;
    Ok(if root.value.tokens().is_empty() {
        AuthState::NoTokenYet
    } else {
        AuthState::Tokens
    })
}

fn warn(args: &ServeArgs, console: &mut Console) {
    if let Some(warning) = args.legacy.warning() {
        console.report(format_args!("warning: {warning}"));
    }
    if args.traces.traces_exporter == TracesExporter::Jaeger {
        console.report("warning: --traces-exporter jaeger has no effect here; use otlp");
    }
    for warning in args.sizes.warnings() {
        console.report(format_args!("warning: {warning}"));
    }
    if let Some(path) = &args.tls_key {
        private_file::warn("--tls-key", path, console);
    }
    if let Some(path) = &args.cluster.cluster_tls_key {
        private_file::warn("--cluster-tls-key", path, console);
    }
    let secrets = [
        ("--jwt-private-key", &args.access.users.jwt_private_key),
        ("--aws-credentials-file", &args.store.aws.aws_credentials_file),
        ("--google-service-account", &args.store.google_service_account),
        ("--assistant-key-file", &args.assistant.assistant_key_file),
        ("--sync-token-file", &args.sync.sync_token_file),
    ];
    for (option, path) in secrets {
        if let Some(path) = path {
            private_file::warn(option, path, console);
        }
    }
    if let Some(directory) = stores::data_directory(&args.store) {
        private_file::warn_of_directory(&directory, args.store.data_dir_access, console);
    }
}

/// Returns the errors in options that the parser accepts, as far as they can be detected without a start.
pub fn mistakes(args: &ServeArgs, variables: &impl Variables, world: &World) -> Vec<String> {
    let checks = [
        encryption(args).err(),
        cluster::check(args).err(),
        node_name(args, variables).err(),
        logging::filter(args).err(),
        unusable_store(args, world),
        args.publish.settings(&args.store).err().map(Into::into),
        plugins::unusable_folder(args),
        args.access.users.settings().err().map(Into::into),
        args.notifications.notifier().err().map(Into::into),
        args.assistant.assistant().err(),
        args.sync.target().err(),
    ];
    let mistakes = checks.iter().flatten();
    mistakes.map(ToString::to_string).collect()
}

/// Returns the error of opening a network store with these options, without sending a request. A directory is not
/// checked, because opening it would create it.
fn unusable_store(args: &ServeArgs, world: &World) -> Option<ServeError> {
    use neap_bucket::ObjectStoreKind::{Azure, Google, S3};

    let is_remote = matches!(args.store.kind(), S3 | Google | Azure);
    let opened = is_remote.then(|| stores::open(&args.store, world))?;
    opened.err().map(|error| StoresError::Config(error).into())
}

/// Creates the TLS context if the options ask for it. The pairing of options is checked here, because an option may
/// come from the environment, which the command-line parser does not see.
fn encryption(args: &ServeArgs) -> Result<Option<TlsContext>, ServeError> {
    let (given, missing) = match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => {
            let files = TlsFiles {
                certificates: certificates.clone(),
                key: key.clone(),
                oldest: args.tls_minimum_version,
            };
            return TlsContext::open(files).map(Some);
        }
        (None, None) => return Ok(None),
        (Some(_), None) => ("--tls-cert", "--tls-key"),
        (None, Some(_)) => ("--tls-key", "--tls-cert"),
    };
    Err(ServeError::IncompleteTls { given, missing })
}

fn node_name(args: &ServeArgs, variables: &impl Variables) -> Result<Option<String>, ServeError> {
    let Some(variable) = &args.node_id_from_env else {
        return Ok(args.node_id.clone());
    };
    if args.node_id.is_some() {
        return Err(ServeError::TwoNodeIds);
    }
    let name = variables.get(variable).map(str::to_owned);
    name.map(Some).ok_or_else(|| ServeError::NoNodeId(variable.clone()))
}

fn tell_address(args: &ServeArgs, greeting: &StartupMessage<'_>) -> Result<(), ServeError> {
    let Some(path) = &args.tcp_listener_file_path else {
        return Ok(());
    };
    // Write and rename, so that the file is never read half-written.
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, greeting.address.to_string())
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(|error| ServeError::AddressFile { path: path.display().to_string(), error })
}

#[cfg(test)]
mod tests;
