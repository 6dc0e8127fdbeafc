//! The queries that run for clients, so that clients can cancel them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neap_catalog::Actor;
use neap_http::Caller;
use tokio_util::sync::CancellationToken;

/// The running queries by id. A client may execute the same ticket several times, so an id is not unique.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancellableQueries(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    queries: BTreeMap<(String, u64), RegisteredQuery>,
    /// The number of the next query.
    next: u64,
}

#[derive(Debug)]
struct RegisteredQuery {
    cancellation: CancellationToken,
    /// The token of the sender.
    owner: Option<Actor>,
}

/// A registered query. Dropping it ends the registration.
#[derive(Debug)]
pub(crate) struct CancellableQuery {
    registry: CancellableQueries,
    key: (String, u64),
    cancellation: CancellationToken,
}

impl CancellableQueries {
    /// Registers a query under an id.
    pub(crate) fn register(&self, id: &str, caller: &Caller) -> CancellableQuery {
        let cancellation = CancellationToken::new();
        let mut registry = self.lock();
        let key = (id.to_owned(), registry.next);
        registry.next += 1;
        let query = RegisteredQuery { cancellation: cancellation.clone(), owner: caller.actor() };
        registry.queries.insert(key.clone(), query);
        CancellableQuery { registry: self.clone(), key, cancellation }
    }

    /// Cancels the queries of an id that the caller sent, or all of them if the caller is an administrator. Returns
    /// whether there were any.
    pub(crate) fn cancel(&self, id: &str, caller: &Caller) -> bool {
        let registry = self.lock();
        let range = (id.to_owned(), 0)..=(id.to_owned(), u64::MAX);
        let mut found = false;
        for (_, query) in registry.queries.range(range) {
            if caller.is_admin() || query.owner == caller.actor() {
                query.cancellation.cancel();
                found = true;
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CancellableQuery {
    /// Completes when the query is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }
}

impl Drop for CancellableQuery {
    fn drop(&mut self) {
        self.registry.lock().queries.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_can_be_cancelled_while_it_is_registered() {
        let running = CancellableQueries::default();
        let caller = Caller::unrestricted();
        let query = running.register("a", &caller);
        let again = running.register("a", &caller);
        let other = running.register("b", &caller);
        drop(again);
        assert!(running.cancel("a", &caller));
        assert!(query.cancellation.is_cancelled());
        assert!(!other.cancellation.is_cancelled());
        drop(query);
        assert!(!running.cancel("a", &caller));
    }
}
