//! Bounds the connections whose clients have not authenticated yet.
//!
//! Such a connection costs its client nothing, so a few clients could open as many as a port accepts, and lock out the
//! others. When there are too many, the one that has waited for the longest time ends: a client that has a password
//! presents it at once.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::ClientNetwork;

/// Maximum numbers of connections whose clients have not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingLimits {
    /// Of all clients.
    pub connections: usize,
    /// Of one client: an address, or a /64 network of IPv6.
    pub per_client: usize,
}

impl Default for PendingLimits {
    /// Enough for the pools of some programs that connect at the same time.
    fn default() -> Self {
        Self {
            connections: 64,
            per_client: 32,
        }
    }
}

/// The connections of a port whose clients have not authenticated. Clones share them.
#[derive(Clone, Debug)]
pub struct PendingConnections {
    limits: PendingLimits,
    waiting: Arc<Mutex<WaitingConnections>>,
}

/// The connections that wait for their clients.
#[derive(Debug, Default)]
struct WaitingConnections {
    next_number: u64,
    /// By number: the oldest is the first.
    connections: BTreeMap<u64, WaitingConnection>,
}

#[derive(Debug)]
struct WaitingConnection {
    client: ClientNetwork,
    displaced: CancellationToken,
}

impl PendingConnections {
    /// Returns no connections, with limits for them.
    pub fn new(limits: PendingLimits) -> Self {
        Self {
            limits,
            waiting: Arc::default(),
        }
    }

    /// Admits a connection from an address. If there are too many of the client or of all clients, the oldest of them is
    /// displaced.
    pub fn admit(&self, address: IpAddr) -> PendingConnection {
        let client = ClientNetwork::from_address(Some(address));
        let displaced = CancellationToken::new();
        let mut waiting = lock(&self.waiting);
        waiting.make_room(client, self.limits);
        let number = waiting.next_number;
        waiting.next_number += 1;
        let connection = WaitingConnection {
            client,
            displaced: displaced.clone(),
        };
        waiting.connections.insert(number, connection);
        PendingConnection {
            number,
            displaced,
            waiting: Arc::clone(&self.waiting),
        }
    }
}

impl WaitingConnections {
    fn make_room(&mut self, client: ClientNetwork, limits: PendingLimits) {
        let of_client = self.connections.iter().filter(|(_, known)| known.client == client);
        let oldest = if of_client.clone().count() >= limits.per_client {
            of_client.map(|(number, _)| *number).next()
        } else if self.connections.len() >= limits.connections {
            self.connections.keys().next().copied()
        } else {
            None
        };
        if let Some(connection) = oldest.and_then(|number| self.connections.remove(&number)) {
            connection.displaced.cancel();
        }
    }
}

/// A connection whose client has not authenticated, until it is released or dropped.
#[derive(Debug)]
pub struct PendingConnection {
    number: u64,
    displaced: CancellationToken,
    waiting: Arc<Mutex<WaitingConnections>>,
}

impl PendingConnection {
    /// Completes when a newer connection takes the place of this one, which must end.
    pub async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// Counts the connection no more: its client has presented its password. It is not displaced any more.
    pub fn release(&self) {
        lock(&self.waiting).connections.remove(&self.number);
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.release();
    }
}

fn lock(waiting: &Mutex<WaitingConnections>) -> MutexGuard<'_, WaitingConnections> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PendingLimits = PendingLimits {
        connections: 3,
        per_client: 2,
    };

    fn admit(pending: &PendingConnections, addresses: &[&str]) -> Vec<PendingConnection> {
        let admitted = addresses.iter().map(|address| pending.admit(address.parse().unwrap()));
        admitted.collect()
    }

    fn displaced(connections: &[PendingConnection]) -> Vec<bool> {
        connections
            .iter()
            .map(|connection| connection.displaced.is_cancelled())
            .collect()
    }

    #[test]
    fn the_oldest_connection_of_a_client_is_displaced() {
        let pending = PendingConnections::new(LIMITS);
        let addresses = ["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"];
        let connections = admit(&pending, &addresses);
        assert_eq!(displaced(&connections), [false, true, false, false]);
    }

    #[test]
    fn the_oldest_connection_of_all_clients_is_displaced() {
        let pending = PendingConnections::new(LIMITS);
        let addresses = [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.4",
            "192.0.2.5",
        ];
        let connections = admit(&pending, &addresses);
        assert_eq!(displaced(&connections), [true, true, false, false, false]);
    }

    #[test]
    fn released_and_ended_connections_do_not_count() {
        let pending = PendingConnections::new(LIMITS);
        let released = admit(&pending, &["192.0.2.1"; 2]);
        for connection in &released {
            connection.release();
        }
        drop(admit(&pending, &["192.0.2.1"; 2]));
        let connections = admit(&pending, &["192.0.2.1"; 2]);
        assert_eq!(displaced(&released), [false, false]);
        assert_eq!(displaced(&connections), [false, false]);
    }
}
