//! Bodies of requests that have begun to arrive and are incomplete.
//!
//! A request with an incomplete body holds no request permit, so a slow client does not block others. This module
//! bounds its resources: the head, and the memory reserved for the announced body. Above a limit, the body without
//! progress for the longest time is aborted: one of the client that exceeds its own limit, or one of the client with
//! the largest total.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use neap_http::ClientNetwork;

/// Limits on incomplete bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IncomingBodyLimits {
    /// Maximum number of bodies of all clients.
    pub(super) bodies: usize,
    /// Maximum number of bodies per client.
    pub(super) bodies_of_client: usize,
    /// Maximum announced bytes of stalled bodies of all clients.
    pub(super) stalled_bytes: usize,
    /// Maximum announced bytes of stalled bodies per client.
    pub(super) stalled_bytes_of_client: usize,
}

impl IncomingBodyLimits {
    /// Derives the limits from the number of concurrent requests, the bytes that stalled bodies may hold, and the
    /// maximum size of a body.
    pub(super) fn new(requests: usize, stalled_bytes: usize, max_body_bytes: usize) -> Self {
        Self {
            bodies: requests.max(1),
            bodies_of_client: (requests / 2).max(1),
            // A single body of the maximum size may be slow.
            stalled_bytes: stalled_bytes.max(max_body_bytes),
            stalled_bytes_of_client: (stalled_bytes / 2).max(max_body_bytes),
        }
    }
}

/// The limit that caused an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitExceeded {
    /// The limit per client.
    PerClient,
    /// The limit for all clients.
    Total,
}

/// Registry of incomplete bodies.
#[derive(Debug)]
pub(super) struct IncomingBodies {
    limits: IncomingBodyLimits,
    table: Mutex<BodyTable>,
}

#[derive(Debug, Default)]
struct BodyTable {
    clients: BTreeMap<ClientNetwork, ClientBodies>,
    bodies: usize,
    stalled_bytes: usize,
    /// Sequence number of the last progress.
    progress: u64,
}

/// The bodies of a client, ordered by their last progress.
#[derive(Debug, Default)]
struct ClientBodies {
    bodies: BTreeMap<u64, BodyEntry>,
    stalled_bytes: usize,
}

#[derive(Debug)]
struct BodyEntry {
    signal: Arc<AbortSignal>,
    announced_bytes: usize,
    is_stalled: bool,
}

/// Signals an abort to the task that reads the body.
#[derive(Debug, Default)]
struct AbortSignal {
    excess: OnceLock<LimitExceeded>,
    waker: AtomicWaker,
}

impl IncomingBodies {
    /// Creates an empty registry.
    pub(super) fn new(limits: IncomingBodyLimits) -> Self {
        Self { limits, table: Mutex::default() }
    }

    /// Adds a body of a client. It may be aborted immediately.
    pub(super) fn add(
        self: &Arc<Self>,
        client: ClientNetwork,
        announced_bytes: usize,
    ) -> IncomingBody {
        let entry = BodyEntry { signal: Arc::default(), announced_bytes, is_stalled: false };
        let signal = Arc::clone(&entry.signal);
        let mut table = self.table();
        let place = table.insert(client, entry);
        table.enforce(client, &self.limits);
        drop(table);
        IncomingBody { all: Arc::clone(self), client, place, signal }
    }

    fn table(&self) -> MutexGuard<'_, BodyTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyTable {
    fn insert(&mut self, client: ClientNetwork, entry: BodyEntry) -> u64 {
        self.progress += 1;
        self.bodies += 1;
        let bodies = self.clients.entry(client).or_default();
        bodies.bodies.insert(self.progress, entry);
        self.progress
    }

    fn remove(&mut self, client: ClientNetwork, place: u64) -> Option<BodyEntry> {
        let bodies = self.clients.get_mut(&client)?;
        let entry = bodies.bodies.remove(&place)?;
        self.bodies -= 1;
        if entry.is_stalled {
            bodies.stalled_bytes -= entry.announced_bytes;
            self.stalled_bytes -= entry.announced_bytes;
        }
        if bodies.bodies.is_empty() {
            self.clients.remove(&client);
        }
        Some(entry)
    }

    fn stall(&mut self, client: ClientNetwork, place: u64) {
        let Some(bodies) = self.clients.get_mut(&client) else {
            return;
        };
        if let Some(entry) = bodies.bodies.get_mut(&place)
            && !entry.is_stalled
        {
            entry.is_stalled = true;
            bodies.stalled_bytes += entry.announced_bytes;
            self.stalled_bytes += entry.announced_bytes;
        }
    }

    /// Aborts bodies until the limits hold. Only the limits of `client` and the global limits can be exceeded.
    fn enforce(&mut self, client: ClientNetwork, limits: &IncomingBodyLimits) {
        let of = |table: &Self| table.clients.get(&client).map_or((0, 0), ClientBodies::size);
        while of(self).0 > limits.bodies_of_client {
            self.abort_longest_stalled(client, |_| true, LimitExceeded::PerClient);
        }
        while of(self).1 > limits.stalled_bytes_of_client {
            self.abort_longest_stalled(client, |entry| entry.is_stalled, LimitExceeded::PerClient);
        }
        while self.bodies > limits.bodies {
            let Some(largest) = self.largest(|bodies| bodies.size().0) else {
                return;
            };
            self.abort_longest_stalled(largest, |_| true, LimitExceeded::Total);
        }
        while self.stalled_bytes > limits.stalled_bytes {
            let Some(largest) = self.largest(|bodies| bodies.size().1) else {
                return;
            };
            self.abort_longest_stalled(largest, |entry| entry.is_stalled, LimitExceeded::Total);
        }
    }

    fn largest(&self, size: impl Fn(&ClientBodies) -> usize) -> Option<ClientNetwork> {
        let clients = self.clients.iter();
        let largest = clients.max_by_key(|(_, bodies)| size(bodies));
        largest.map(|(client, _)| *client)
    }

    /// Aborts the matching body of a client without progress for the longest time.
    fn abort_longest_stalled(
        &mut self,
        client: ClientNetwork,
        of: impl Fn(&BodyEntry) -> bool,
        excess: LimitExceeded,
    ) {
        let bodies = self.clients.get(&client);
        let place = bodies.and_then(|bodies| {
            let mut those = bodies.bodies.iter().filter(|(_, entry)| of(entry));
            those.next().map(|(place, _)| *place)
        });
        if let Some(entry) = place.and_then(|place| self.remove(client, place)) {
            // The cell is unset, because the body was just removed from the table.
            entry.signal.excess.set(excess).ok();
            entry.signal.waker.wake();
        }
    }
}

impl ClientBodies {
    /// Returns the number of bodies and the bytes of stalled bodies.
    fn size(&self) -> (usize, usize) {
        (self.bodies.len(), self.stalled_bytes)
    }
}

/// An incomplete body. Dropping it removes it from the registry.
#[derive(Debug)]
pub(super) struct IncomingBody {
    all: Arc<IncomingBodies>,
    client: ClientNetwork,
    place: u64,
    signal: Arc<AbortSignal>,
}

impl IncomingBody {
    /// Records progress of the body.
    pub(super) fn advance(&mut self) {
        let mut table = self.all.table();
        if let Some(entry) = table.remove(self.client, self.place) {
            let entry = BodyEntry { is_stalled: false, ..entry };
            self.place = table.insert(self.client, entry);
        }
    }

    /// Records that the body is stalled, which may abort it or another body.
    pub(super) fn stall(&mut self) {
        let mut table = self.all.table();
        table.stall(self.client, self.place);
        table.enforce(self.client, &self.all.limits);
    }

    /// Waits until the body is aborted.
    pub(super) fn poll_excess(&self, context: &mut Context<'_>) -> Poll<LimitExceeded> {
        self.signal.waker.register(context.waker());
        match self.signal.excess.get() {
            Some(excess) => Poll::Ready(*excess),
            None => Poll::Pending,
        }
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        self.all.table().remove(self.client, self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: IncomingBodyLimits = IncomingBodyLimits {
        bodies: 4,
        bodies_of_client: 3,
        stalled_bytes: 30,
        stalled_bytes_of_client: 20,
    };

    fn client(number: u8) -> ClientNetwork {
        ClientNetwork::from_address(Some([192, 0, 2, number].into()))
    }

    fn excess(body: &IncomingBody) -> Option<LimitExceeded> {
        body.signal.excess.get().copied()
    }

    #[test]
    fn a_client_with_too_many_bodies_loses_the_one_without_progress() {
        let all = Arc::new(IncomingBodies::new(LIMITS));
        let mut bodies: Vec<_> = (0..3).map(|_| all.add(client(1), 1)).collect();
        bodies[0].advance();
        let other = all.add(client(2), 1);
        let fourth = all.add(client(1), 1);
        let outcomes: Vec<_> = bodies.iter().map(excess).collect();
        assert_eq!(outcomes, [None, Some(LimitExceeded::PerClient), None]);
        assert_eq!((excess(&fourth), excess(&other)), (None, None));
    }

    #[test]
    fn above_the_total_limit_the_client_with_the_most_bodies_loses_one() {
        let all = Arc::new(IncomingBodies::new(LIMITS));
        let few = all.add(client(1), 1);
        let many: Vec<_> = (0..3).map(|_| all.add(client(2), 1)).collect();
        let third = all.add(client(3), 1);
        let outcomes: Vec<_> = many.iter().map(excess).collect();
        assert_eq!(outcomes, [Some(LimitExceeded::Total), None, None]);
        assert_eq!((excess(&few), excess(&third)), (None, None));
    }

    #[test]
    fn only_stalled_bodies_are_limited_by_their_bytes() {
        let all = Arc::new(IncomingBodies::new(LIMITS));
        let mut first = all.add(client(1), 15);
        let mut second = all.add(client(1), 15);
        let moving = all.add(client(1), 1_000);
        first.stall();
        assert_eq!(excess(&first), None);
        second.stall();
        assert_eq!(excess(&first), Some(LimitExceeded::PerClient));
        let mut third = all.add(client(2), 16);
        third.stall();
        assert_eq!(excess(&third), Some(LimitExceeded::Total));
        let outcomes = [excess(&second), excess(&moving)];
        assert_eq!(outcomes, [None, None]);
    }

    #[test]
    fn completed_and_progressing_bodies_free_capacity() {
        let all = Arc::new(IncomingBodies::new(LIMITS));
        for _ in 0..100 {
            let mut body = all.add(client(1), 20);
            body.stall();
            assert_eq!(excess(&body), None);
        }
        let mut bodies: Vec<_> = (0..3).map(|_| all.add(client(1), 20)).collect();
        for body in &mut bodies {
            body.stall();
            body.advance();
        }
        assert!(bodies.iter().all(|body| excess(body).is_none()));
        drop(bodies);
        let table = all.table();
        assert_eq!((table.bodies, table.stalled_bytes), (0, 0));
        assert!(table.clients.is_empty());
    }
}
