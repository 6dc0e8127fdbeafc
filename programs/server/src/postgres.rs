//! The listener for clients of PostgreSQL.

use std::sync::Arc;

use neap_http::{AccessControl, Metrics, TlsAcceptorSource};
use neap_postgres::{PostgresListener, PostgresParts, PostgresSettings};
use neap_query::QueryEngine;
use neap_write::WriteService;

use super::{ServeArgs, ServeError, memory::MemoryPlan, tls::TlsContext};

/// Minimum memory for received messages, in bytes, also for processes with little memory.
const MIN_BUFFERED_BYTES: usize = 4 << 20;

/// The functions of the process that clients of PostgreSQL use.
#[derive(Clone, Copy, Debug)]
pub(super) struct PostgresFunctions<'a> {
    /// The query function, if this process answers queries.
    pub(super) queries: Option<&'a Arc<QueryEngine>>,
    /// The write function, if this process accepts writes.
    pub(super) writes: Option<&'a Arc<WriteService>>,
    /// Authenticates clients.
    pub(super) access: &'a AccessControl,
}

/// Listens on the address of the option, if it is set.
///
/// # Errors
/// The address can't be listened on. The process does not answer queries.
pub(super) async fn listen(
    args: &ServeArgs,
    functions: PostgresFunctions<'_>,
    metrics: &Metrics,
    tls: Option<TlsContext>,
) -> Result<Option<PostgresListener>, ServeError> {
    let Some(address) = &args.postgres_bind else {
        return Ok(None);
    };
    let queries = functions.queries.ok_or(ServeError::NoQuery("--postgres-bind"))?;
    let parts = PostgresParts {
        queries: Arc::clone(queries),
        writes: functions.writes.map(Arc::clone),
        access: functions.access.clone(),
        metrics: metrics.clone(),
        tls: tls.map(|tls| -> TlsAcceptorSource { Arc::new(move || tls.postgres_acceptor()) }),
    };
    let buffered = buffered_bytes(&MemoryPlan::new(args.memory_limit, args.query_memory()));
    let usual = PostgresSettings::default();
    let settings = PostgresSettings {
        max_buffered_bytes: buffered,
        max_message_bytes: (buffered / 4).min(usual.max_message_bytes),
        max_transaction_bytes: (buffered / 4).min(usual.max_transaction_bytes),
        max_snapshot_age: args.time_travel,
        transfer_timeout: args.limits.http_timeout,
        ..usual
    };
    let listener = PostgresListener::bind(address, settings, parts)
        .await
        .map_err(|error| ServeError::Listen { address: address.clone(), error })?;
    Ok(Some(listener))
}

/// Returns the memory for received messages of all connections, in bytes. It is a part of the memory for request bodies.
pub(super) fn buffered_bytes(memory: &MemoryPlan) -> usize {
    (memory.bodies / 4).max(MIN_BUFFERED_BYTES)
}
