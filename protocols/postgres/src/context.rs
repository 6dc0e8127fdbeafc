//! The limits and components that all connections share.

use std::{sync::Arc, time::Duration};

use neap_bucket::World;
use neap_http::PendingConnections;
use neap_query::QueryEngine;
use neap_sql_changes::ChangeExecutor;
use neap_write::WriteService;
use tokio_util::sync::CancellationToken;

use crate::{
    cancel_registry::CancelRegistry, credential::CredentialChecker, metrics::ConnectionMetrics,
    wire::WireLimits,
};

/// The limits of a [`PostgresListener`](crate::PostgresListener).
#[derive(Clone, Copy, Debug)]
pub struct PostgresSettings {
    /// Maximum number of connections; others wait in the accept queue of the operating system.
    pub max_connections: usize,
    /// Maximum number of them whose clients have not presented a password.
    pub max_pending: usize,
    /// Maximum bytes of a message: a statement, the values of its placeholders, a part of `COPY`.
    pub max_message_bytes: usize,
    /// Maximum bytes of the messages of all connections together, besides 64 KiB for each.
    pub max_buffered_bytes: usize,
    /// Maximum bytes of the rows that a transaction holds until `COMMIT`.
    pub max_transaction_bytes: usize,
    /// Maximum age of the snapshot of a transaction. Older states may not be readable any more.
    pub max_snapshot_age: Duration,
    /// Maximum time from the start of a connection to the end of its startup.
    pub startup_timeout: Duration,
    /// Maximum time between two messages.
    pub idle_timeout: Duration,
    /// Maximum time between two messages while rows of a transaction or of a `COPY` wait in memory, which writes of all clients
    /// share.
    pub pending_rows_timeout: Duration,
    /// Maximum time in which a client takes a part of an answer, or completes a message.
    pub transfer_timeout: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            max_connections: 160,
            max_pending: PendingConnections::USUAL_MAX,
            max_message_bytes: 16 << 20,
            max_buffered_bytes: 64 << 20,
            max_transaction_bytes: 16 << 20,
            max_snapshot_age: Duration::from_secs(3600),
            startup_timeout: Duration::from_secs(10),
            // Pools keep connections open.
            idle_timeout: Duration::from_secs(3600),
            pending_rows_timeout: Duration::from_secs(300),
            transfer_timeout: Duration::from_secs(30),
        }
    }
}

/// The components that all connections share.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionContext {
    pub(crate) queries: Arc<QueryEngine>,
    pub(crate) writes: Option<Arc<WriteService>>,
    /// Executes changes outside of transactions.
    pub(crate) changes: ChangeExecutor,
    pub(crate) credentials: CredentialChecker,
    pub(crate) registry: CancelRegistry,
    pub(crate) pending: PendingConnections,
    pub(crate) metrics: ConnectionMetrics,
    pub(crate) settings: PostgresSettings,
    pub(crate) limits: WireLimits,
    pub(crate) world: World,
    pub(crate) stop: CancellationToken,
}
