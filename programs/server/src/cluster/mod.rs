//! Distributed queries: this process as a coordinator, and as a worker of others.

mod advertised_url;
mod options;

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use neap_bucket::{MAX_PEM_BYTES, read_limited_file};
use neap_catalog::{Catalog, NodeReader};
use neap_cluster::{
    ClientSecurity, ClusterDistributor, WorkerChannels, WorkerDirectory, WorkerDirectoryParts,
    WorkerPortStats, WorkerServer, WorkerServerParts, check_ca, worker_version,
};
use neap_distributed::{
    ClusterTickets, DEFAULT_MAX_TASKS, DistributedPlanner, DistributionSettings, Exchange,
    TaskCounters, WorkerSettings, worker,
};
use neap_http::TlsAcceptorSource;
use neap_scan::{IoRuntime, ScanEnvironment};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use self::options::ClusterArgs;
use super::{
    ServeError,
    options::{ServeArgs, ServeMode},
    server_context::ServerContext,
    tls::{TlsContext, TlsFiles, TlsVersion},
};

/// Maximum time for a connection to a worker, and for its answer to a request before its rows. It covers the decoding of
/// a plan on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// The name of a coordinator without a name.
const UNNAMED_COORDINATOR: &str = "neap";

/// The parts of distributed queries in a process that answers queries.
#[derive(Debug)]
pub(super) struct ClusterMember {
    tickets: Arc<ClusterTickets>,
    channels: WorkerChannels,
    environment: Arc<ScanEnvironment>,
    pub(super) directory: Arc<WorkerDirectory>,
    pub(super) port_stats: Arc<WorkerPortStats>,
    version: String,
}

impl ClusterMember {
    /// Creates the parts. They send no requests before a query needs workers.
    pub(super) fn new(
        args: &ServeArgs,
        base: &ServerContext,
        environment: Arc<ScanEnvironment>,
        build: &str,
    ) -> Self {
        let io_runtime = IoRuntime::new(Handle::current());
        let tickets = ClusterTickets::new(Arc::clone(&base.catalog), base.world.clone());
        let tickets = Arc::new(tickets);
        let channels = WorkerChannels::new(
            client_security(&args.cluster),
            io_runtime.clone(),
            base.world.clone(),
        );
        let version = worker_version(build);
        let directory = WorkerDirectory::new(WorkerDirectoryParts {
            reader: NodeReader::new(base.bucket.clone()),
            tickets: Arc::clone(&tickets),
            channels: channels.clone(),
            version: version.clone(),
            coordinator: coordinator(args),
            catalog: Arc::clone(&base.catalog),
            io_runtime,
            world: base.world.clone(),
        });
        Self {
            tickets,
            channels,
            environment,
            directory: Arc::new(directory),
            port_stats: Arc::default(),
            version,
        }
    }

    /// Returns the distributor of the process's queries.
    pub(super) fn distributor(
        &self,
        args: &ServeArgs,
        base: &ServerContext,
    ) -> Arc<ClusterDistributor> {
        let settings = DistributionSettings {
            bytes_per_worker: args.cluster.distributed_bytes_per_worker as u64,
            max_workers: args.cluster.distributed_max_workers,
            exchange: Exchange::Workers,
            start_timeout: START_TIMEOUT,
        };
        let planner = DistributedPlanner::new(
            Arc::clone(&self.environment),
            Arc::clone(&self.directory) as _,
            Arc::new(self.channels.clone()),
            settings,
            base.world.clone(),
        )
        .with_tickets(self.tickets.issuer(&coordinator(args)));
        Arc::new(ClusterDistributor::new(planner))
    }

    /// Creates the worker of this process, and the counters of its tasks.
    fn worker_parts(
        &self,
        tls: Option<TlsContext>,
        world: &neap_bucket::World,
    ) -> (WorkerServerParts, TaskCounters) {
        let settings = WorkerSettings {
            version: self.version.clone(),
            max_tasks: DEFAULT_MAX_TASKS,
            tickets: Some(self.tickets.verifier()),
            channels: Arc::new(self.channels.clone()),
            start_timeout: START_TIMEOUT,
        };
        let (worker, counters) = worker(Arc::clone(&self.environment), settings, world.clone());
        let parts = WorkerServerParts {
            worker,
            tickets: Arc::clone(&self.tickets),
            tls: tls.map(|tls| -> TlsAcceptorSource { Arc::new(move || tls.acceptor()) }),
            stats: Arc::clone(&self.port_stats),
            world: world.clone(),
        };
        (parts, counters)
    }
}

/// Returns whether queries of this process may run on workers.
pub(super) fn is_coordinator(args: &ServeArgs) -> bool {
    args.does(ServeMode::Query) && args.cluster.distributed_max_workers > 1
}

/// The worker port of a process.
#[derive(Debug)]
pub(super) struct WorkerPort {
    server: WorkerServer,
    parts: WorkerServerParts,
    /// The URL at which other processes reach it.
    pub(super) url: Url,
    pub(super) tasks: TaskCounters,
    /// Maximum time for running tasks after the process was asked to stop.
    shutdown_timeout: Duration,
}

impl WorkerPort {
    /// Listens on the address of the option, if it is set, and creates the secret of the cluster if there is none.
    ///
    /// # Errors
    /// The address can't be listened on, the options contradict each other, or the root catalog can't be changed.
    pub(super) async fn open(
        args: &ServeArgs,
        member: Option<&ClusterMember>,
        catalog: &Catalog,
        world: &neap_bucket::World,
    ) -> Result<Option<Self>, ServeError> {
        let (Some(address), Some(member)) = (&args.cluster.cluster_address, member) else {
            return Ok(None);
        };
        let tls = encryption(args)?;
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.watch(world.clone()));
        }
        let cannot_listen = |error| ServeError::Listen { address: address.clone(), error };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let server = WorkerServer::bind(address, cores).await.map_err(cannot_listen)?;
        let bound = server.address().map_err(cannot_listen)?;
        let url = advertised_url::find(&args.cluster, bound, tls.is_some())?;
        catalog.ensure_cluster_secret().await?;
        let (parts, tasks) = member.worker_parts(tls, world);
        Ok(Some(Self {
            server,
            parts,
            url,
            tasks,
            shutdown_timeout: args.limits.shutdown_timeout,
        }))
    }

    /// Serves until `stop`, and then for the time that running tasks need, at most `--shutdown-timeout`.
    pub(super) async fn serve(self, stop: CancellationToken) {
        self.server.serve(self.parts, stop, self.shutdown_timeout).await;
    }
}

/// Checks the options as far as that is possible without a start.
///
/// # Errors
/// Options contradict each other, or a certificate can't be used.
pub(super) fn check(args: &ServeArgs) -> Result<(), ServeError> {
    if let Some(path) = &args.cluster.cluster_tls_ca {
        let read = read_limited_file(path, MAX_PEM_BYTES);
        let checked = read.map_err(|error| error.to_string()).and_then(|pem| check_ca(&pem));
        checked.map_err(|reason| ServeError::Tls { path: path.display().to_string(), reason })?;
    }
    encryption(args).map(drop)
}

/// Creates the TLS context of the worker port, if the options ask for it.
fn encryption(args: &ServeArgs) -> Result<Option<TlsContext>, ServeError> {
    let cluster = &args.cluster;
    if cluster.cluster_address.is_some() && !args.does(ServeMode::Query) {
        return Err(ServeError::NoQuery("--cluster-address"));
    }
    let missing = |given, missing| Err(ServeError::IncompleteTls { given, missing });
    let (certificates, key): (&PathBuf, &PathBuf) =
        match (&cluster.cluster_tls_cert, &cluster.cluster_tls_key) {
            (Some(certificates), Some(key)) => (certificates, key),
            (None, None) => return check_open_port(cluster).map(|()| None),
            (Some(_), None) => return missing("--cluster-tls-cert", "--cluster-tls-key"),
            (None, Some(_)) => return missing("--cluster-tls-key", "--cluster-tls-cert"),
        };
    if cluster.cluster_tls_ca.is_none() {
        return missing("--cluster-tls-cert", "--cluster-tls-ca");
    }
    let files = TlsFiles {
        certificates: certificates.clone(),
        key: key.clone(),
        oldest: TlsVersion::Tls13,
    };
    TlsContext::open(files).map(Some)
}

/// Checks that a worker port without TLS is reachable from this machine only, or allowed.
fn check_open_port(cluster: &ClusterArgs) -> Result<(), ServeError> {
    match &cluster.cluster_address {
        Some(address) if !cluster.cluster_without_tls && !advertised_url::is_local(address) => {
            Err(ServeError::OpenWorkerPort(address.clone()))
        }
        _ => Ok(()),
    }
}

fn client_security(cluster: &ClusterArgs) -> ClientSecurity {
    ClientSecurity {
        ca: cluster.cluster_tls_ca.clone(),
        server_name: cluster.cluster_tls_name.clone(),
        without_tls: cluster.cluster_without_tls,
    }
}

/// Returns the name of this process in tickets.
fn coordinator(args: &ServeArgs) -> String {
    let name = args.node_id.clone();
    name.unwrap_or_else(|| UNNAMED_COORDINATOR.to_owned())
}

#[cfg(test)]
mod tests;
