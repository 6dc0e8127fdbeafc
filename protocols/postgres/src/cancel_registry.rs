//! The connections whose queries clients can cancel, by number and secret.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neap_bucket::World;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// The open connections of a listener. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CancelRegistry(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    last: i32,
    open: HashMap<i32, CancelEntry>,
}

/// What cancels the query of a connection.
#[derive(derive_more::Debug)]
#[debug("CancelEntry {{ .. }}")]
struct CancelEntry {
    secret: i32,
    query: CancellationToken,
}

impl CancelRegistry {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection until the result is dropped.
    pub(crate) fn register(&self, world: &World) -> RegisteredConnection {
        let mut random = [0; 4];
        world.entropy.fill_secret(&mut random);
        let secret = i32::from_be_bytes(random);
        let mut connections = self.lock();
        loop {
            connections.last = connections.last.checked_add(1).unwrap_or(1);
            if !connections.open.contains_key(&connections.last) {
                break;
            }
        }
        let process = connections.last;
        let query = CancellationToken::new();
        connections.open.insert(process, CancelEntry { secret, query });
        RegisteredConnection { registry: self.clone(), process, secret }
    }

    /// Cancels the query of a connection, if the secret is right.
    pub(crate) fn cancel(&self, process: i32, secret: &[u8]) {
        if let Some(open) = self.lock().open.get(&process)
            && bool::from(open.secret.to_be_bytes().as_slice().ct_eq(secret))
        {
            open.query.cancel();
        }
    }
}

#[derive(derive_more::Debug)]
#[debug("RegisteredConnection {{ process: {process:?}, .. }}")]
pub(crate) struct RegisteredConnection {
    registry: CancelRegistry,
    pub(crate) process: i32,
    pub(crate) secret: i32,
}

impl RegisteredConnection {
    /// Returns the token that is cancelled when a client cancels the next query. Earlier requests have no effect on it.
    pub(crate) fn begin_query(&self) -> CancellationToken {
        let query = CancellationToken::new();
        self.follow(&query);
        query
    }

    /// Lets clients cancel a query that began before others.
    pub(crate) fn follow(&self, query: &CancellationToken) {
        if let Some(open) = self.registry.lock().open.get_mut(&self.process) {
            open.query = query.clone();
        }
    }
}

impl Drop for RegisteredConnection {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_of_a_connection_cancels_its_query() {
        let (registry, world) = (CancelRegistry::default(), World::system());
        let (one, other) = (registry.register(&world), registry.register(&world));
        let earlier = one.begin_query();
        let query = one.begin_query();
        registry.cancel(other.process, &one.secret.to_be_bytes());
        registry.cancel(one.process, &one.secret.wrapping_add(1).to_be_bytes());
        registry.cancel(one.process, b"");
        assert!(!query.is_cancelled());
        registry.cancel(one.process, &one.secret.to_be_bytes());
        assert!(query.is_cancelled() && !earlier.is_cancelled());
        assert!(!one.begin_query().is_cancelled());
        let (process, secret) = (one.process, one.secret);
        drop(one);
        registry.cancel(process, &secret.to_be_bytes());
    }
}
