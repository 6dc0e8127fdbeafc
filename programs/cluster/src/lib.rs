//! Query workers in other processes: their membership in the bucket, and the connections between them.
//!
//! ```text
//!   coordinator                                     worker
//!     |  WorkerDirectory: nodes/ in the bucket         |  WorkerServer: the worker port
//!     |  WorkerChannels  ── gRPC, TLS, tickets ──────► |    gate ─► tasks on threads of their own
//!     |                                                |  WorkerChannels ──► other workers
//! ```
//!
//! The processes of a cluster trust each other by a secret in the root catalog, which signs a ticket for each request
//! ([`neap_distributed::ClusterTickets`]).

mod client;
mod directory;
mod distributor;
mod event_interval;
mod known_workers;
mod server;
mod stats;

use std::time::Duration;

pub(crate) use self::client::CONNECT_TIMEOUT;
pub use self::{
    client::{ClientSecurity, WorkerChannels, check_ca},
    directory::{WorkerCounts, WorkerDirectory, WorkerDirectoryParts},
    distributor::ClusterDistributor,
    server::{WorkerServer, WorkerServerParts},
    stats::WorkerPortStats,
};

/// Time without data after which each side of a connection with running requests checks that the other one answers.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Time after which a check without an answer closes the connection.
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Version of the requests between processes, and of the plans in them. It increases when a worker of the previous
/// version could not execute a plan, or would answer it differently.
const PROTOCOL_VERSION: u32 = 1;

/// Returns the version of a worker. Workers and coordinators of different builds do not work together, because a plan
/// names functions and operators of its build.
pub fn worker_version(build: &str) -> String {
    format!("{PROTOCOL_VERSION}/{build}")
}

#[cfg(test)]
mod tests;
