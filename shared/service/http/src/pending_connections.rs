//! Bounds the connections whose clients have not authenticated yet.
//!
//! Such a connection costs its client nothing, so a few clients could open as many as a port accepts, and lock out the
//! others. When there are too many, one of the client that has the most ends: the one that has waited for the longest time,
//! because a client that has a password presents it at once.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::ClientNetwork;

/// The connections of a port whose clients have not authenticated. Clones share them.
#[derive(Clone, Debug)]
pub struct PendingConnections {
    max: usize,
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
    /// The usual maximum number: enough for the pools of some programs that connect at the same time.
    pub const USUAL_MAX: usize = 64;

    /// Returns no connections, with a maximum number of them.
    pub fn new(max: usize) -> Self {
        Self { max, waiting: Arc::default() }
    }

    /// Admits a connection from an address. If there are too many, another one is displaced.
    pub fn admit(&self, address: IpAddr) -> PendingConnection {
        let client = ClientNetwork::from_address(Some(address));
        let displaced = CancellationToken::new();
        let mut waiting = lock(&self.waiting);
        if waiting.connections.len() >= self.max {
            waiting.displace_one();
        }
        let number = waiting.next_number;
        waiting.next_number += 1;
        let connection = WaitingConnection { client, displaced: displaced.clone() };
        waiting.connections.insert(number, connection);
        PendingConnection { number, displaced, waiting: Arc::clone(&self.waiting) }
    }

    /// Displaces a connection, if there is one, because a port has no place for another one.
    pub(crate) fn displace_one(&self) {
        lock(&self.waiting).displace_one();
    }
}

impl WaitingConnections {
    /// Displaces the oldest connection of the client that has the most.
    fn displace_one(&mut self) {
        let mut counts = BTreeMap::<ClientNetwork, usize>::new();
        for waiting in self.connections.values() {
            *counts.entry(waiting.client).or_default() += 1;
        }
        let chosen = self
            .connections
            .iter()
            .max_by_key(|(number, waiting)| (counts.get(&waiting.client), Reverse(**number)));
        let oldest = chosen.map(|(number, _)| *number);
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
    fn the_oldest_connection_is_displaced() {
        let pending = PendingConnections::new(3);
        let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
        let connections = admit(&pending, &addresses);
        assert_eq!(displaced(&connections), [true, true, false, false, false]);
    }

    #[test]
    fn a_client_with_many_connections_displaces_its_own() {
        let pending = PendingConnections::new(3);
        let addresses = [
            "192.0.2.1",
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8::3",
            "2001:db8::4",
            "192.0.2.2",
        ];
        let connections = admit(&pending, &addresses);
        assert_eq!(displaced(&connections), [false, true, true, true, false, false]);
    }

    #[test]
    fn released_and_ended_connections_do_not_count() {
        let pending = PendingConnections::new(2);
        let released = admit(&pending, &["192.0.2.1"; 2]);
        for connection in &released {
            connection.release();
        }
        drop(admit(&pending, &["192.0.2.1"; 2]));
        let connections = admit(&pending, &["192.0.2.1"; 2]);
        pending.displace_one();
        assert_eq!(displaced(&released), [false, false]);
        assert_eq!(displaced(&connections), [true, false]);
    }
}
