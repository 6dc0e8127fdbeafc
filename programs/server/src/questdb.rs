//! The listener for QuestDB's clients over TCP.

use std::sync::Arc;

use neap_catalog::Catalog;
use neap_http::{Metrics, TlsAcceptorSource};
use neap_questdb::{KeyPolicy, QuestDbListener, QuestDbParts, QuestDbSettings};
use neap_write::WriteService;

use super::{ServeArgs, ServeError, memory::MemoryPlan, tls::TlsContext};

/// Minimum memory for received lines, in bytes, also for processes with little memory.
const MIN_BUFFERED_BYTES: usize = 4 << 20;

/// Listens on the address of the option, if it is set.
///
/// # Errors
/// The address can't be listened on. The process does not accept writes.
pub(super) async fn listen(
    args: &ServeArgs,
    writes: Option<&Arc<WriteService>>,
    catalog: &Arc<Catalog>,
    metrics: &Metrics,
    tls: Option<TlsContext>,
) -> Result<Option<QuestDbListener>, ServeError> {
    let Some((address, database)) = args.questdb_bind.as_ref().zip(args.default_database.as_ref())
    else {
        return Ok(None);
    };
    let writes = writes.ok_or(ServeError::NoIngest("--questdb-bind"))?;
    let parts = QuestDbParts {
        writes: Arc::clone(writes),
        catalog: Arc::clone(catalog),
        metrics: metrics.clone(),
        tls: tls.map(|tls| -> TlsAcceptorSource { Arc::new(move || tls.acceptor()) }),
    };
    let memory = MemoryPlan::new(args.memory_limit, args.query_memory());
    let buffered = buffered_bytes(&memory);
    let settings = QuestDbSettings {
        max_buffered_bytes: buffered,
        max_batch_bytes: (buffered / 4).clamp(1 << 20, 8 << 20),
        max_line_bytes: (buffered / 4).clamp(1 << 20, 2 << 20),
        ..QuestDbSettings::new(database, key_policy(args))
    };
    let listener = QuestDbListener::bind(address, settings, parts)
        .await
        .map_err(|error| ServeError::Listen { address: address.clone(), error })?;
    Ok(Some(listener))
}

/// Returns the memory for received lines of all connections, in bytes. It is a part of the memory for request bodies.
pub(super) fn buffered_bytes(memory: &MemoryPlan) -> usize {
    (memory.bodies / 4).max(MIN_BUFFERED_BYTES)
}

fn key_policy(args: &ServeArgs) -> KeyPolicy {
    match (args.access.without_auth, args.questdb_without_auth) {
        (true, _) => KeyPolicy::Open,
        (false, true) => KeyPolicy::Optional,
        (false, false) => KeyPolicy::Required,
    }
}
