//! Bodies of requests that have begun to arrive and are not complete.
//!
//! Such a request takes none of the places of those that are worked on, so it holds up nobody by being slow. What it
//! does take is bounded here: the head, and the memory that was set aside for the announced body. Beyond a limit, the
//! body that has gone without progress for the longest time is given up: of the client that has too many, or of the one
//! that has the most.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use neap_http::ClientNetwork;

/// The most of what bodies may be that are not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IncomingLimits {
    /// Bodies of all clients together.
    pub(super) bodies: usize,
    /// Bodies of one client.
    pub(super) bodies_of_client: usize,
    /// Announced bytes of the stalled bodies of all clients together.
    pub(super) stalled_bytes: usize,
    /// Announced bytes of the stalled bodies of one client.
    pub(super) stalled_bytes_of_client: usize,
}

impl IncomingLimits {
    /// The limits beside so many requests that are worked on, and so many bytes that stalled bodies may hold.
    pub(super) fn new(requests: usize, stalled_bytes: usize, max_body_bytes: usize) -> Self {
        Self {
            bodies: requests.max(1),
            bodies_of_client: (requests / 2).max(1),
            // The largest body that is allowed may also be slow.
            stalled_bytes: stalled_bytes.max(max_body_bytes),
            stalled_bytes_of_client: (stalled_bytes / 2).max(max_body_bytes),
        }
    }
}

/// Why a body was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// Its client has too many.
    OfClient,
    /// All clients together have too many.
    OfAll,
}

/// The bodies that are not complete.
#[derive(Debug)]
pub(super) struct IncomingBodies {
    limits: IncomingLimits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    clients: BTreeMap<ClientNetwork, ClientBodies>,
    bodies: usize,
    stalled_bytes: usize,
    /// The progress that was made last.
    progress: u64,
}

/// The bodies of a client, by when they made progress last.
#[derive(Debug, Default)]
struct ClientBodies {
    bodies: BTreeMap<u64, Entry>,
    stalled_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    signal: Arc<Signal>,
    announced_bytes: usize,
    is_stalled: bool,
}

/// Tells the task that reads a body that it was given up.
#[derive(Debug, Default)]
struct Signal {
    excess: OnceLock<Excess>,
    waker: AtomicWaker,
}

impl IncomingBodies {
    /// None yet.
    pub(super) fn new(limits: IncomingLimits) -> Self {
        Self {
            limits,
            table: Mutex::default(),
        }
    }

    /// Adds a body of a client, which may be given up at once.
    pub(super) fn add(
        self: &Arc<Self>,
        client: ClientNetwork,
        announced_bytes: usize,
    ) -> IncomingBody {
        let entry = Entry {
            signal: Arc::default(),
            announced_bytes,
            is_stalled: false,
        };
        let signal = Arc::clone(&entry.signal);
        let mut table = self.table();
        let place = table.insert(client, entry);
        table.enforce(client, &self.limits);
        drop(table);
        IncomingBody {
            all: Arc::clone(self),
            client,
            place,
            signal,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, client: ClientNetwork, entry: Entry) -> u64 {
        self.progress += 1;
        self.bodies += 1;
        let bodies = self.clients.entry(client).or_default();
        bodies.bodies.insert(self.progress, entry);
        self.progress
    }

    fn remove(&mut self, client: ClientNetwork, place: u64) -> Option<Entry> {
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

    /// Gives up bodies until the limits hold again. Only those of `client`, and so of all, can be beyond them.
    fn enforce(&mut self, client: ClientNetwork, limits: &IncomingLimits) {
        let of = |table: &Self| {
            table
                .clients
                .get(&client)
                .map_or((0, 0), ClientBodies::size)
        };
        while of(self).0 > limits.bodies_of_client {
            self.give_up(client, |_| true, Excess::OfClient);
        }
        while of(self).1 > limits.stalled_bytes_of_client {
            self.give_up(client, |entry| entry.is_stalled, Excess::OfClient);
        }
        while self.bodies > limits.bodies {
            let Some(largest) = self.largest(|bodies| bodies.size().0) else {
                return;
            };
            self.give_up(largest, |_| true, Excess::OfAll);
        }
        while self.stalled_bytes > limits.stalled_bytes {
            let Some(largest) = self.largest(|bodies| bodies.size().1) else {
                return;
            };
            self.give_up(largest, |entry| entry.is_stalled, Excess::OfAll);
        }
    }

    fn largest(&self, size: impl Fn(&ClientBodies) -> usize) -> Option<ClientNetwork> {
        let clients = self.clients.iter();
        let largest = clients.max_by_key(|(_, bodies)| size(bodies));
        largest.map(|(client, _)| *client)
    }

    /// Gives up the body of a client that has gone without progress for the longest time.
    fn give_up(&mut self, client: ClientNetwork, of: impl Fn(&Entry) -> bool, excess: Excess) {
        let bodies = self.clients.get(&client);
        let place = bodies.and_then(|bodies| {
            let mut those = bodies.bodies.iter().filter(|(_, entry)| of(entry));
            those.next().map(|(place, _)| *place)
        });
        if let Some(entry) = place.and_then(|place| self.remove(client, place)) {
            // Nobody else sets it: it is not in the table any more.
            entry.signal.excess.set(excess).ok();
            entry.signal.waker.wake();
        }
    }
}

impl ClientBodies {
    /// The number of bodies, and the bytes of those that are stalled.
    fn size(&self) -> (usize, usize) {
        (self.bodies.len(), self.stalled_bytes)
    }
}

/// A body that is not complete. Dropping it removes it from the others.
#[derive(Debug)]
pub(super) struct IncomingBody {
    all: Arc<IncomingBodies>,
    client: ClientNetwork,
    place: u64,
    signal: Arc<Signal>,
}

impl IncomingBody {
    /// Notes that the body has made progress.
    pub(super) fn advance(&mut self) {
        let mut table = self.all.table();
        if let Some(entry) = table.remove(self.client, self.place) {
            let entry = Entry {
                is_stalled: false,
                ..entry
            };
            self.place = table.insert(self.client, entry);
        }
    }

    /// Notes that the body makes no progress, which may be a reason to give it or another one up.
    pub(super) fn stall(&mut self) {
        let mut table = self.all.table();
        table.stall(self.client, self.place);
        table.enforce(self.client, &self.all.limits);
    }

    /// Waits until the body is given up.
    pub(super) fn poll_excess(&self, context: &mut Context<'_>) -> Poll<Excess> {
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

    const LIMITS: IncomingLimits = IncomingLimits {
        bodies: 4,
        bodies_of_client: 3,
        stalled_bytes: 30,
        stalled_bytes_of_client: 20,
    };

    fn client(number: u8) -> ClientNetwork {
        ClientNetwork::of(Some([192, 0, 2, number].into()))
    }

    fn excess(body: &IncomingBody) -> Option<Excess> {
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
        assert_eq!(outcomes, [None, Some(Excess::OfClient), None]);
        assert_eq!((excess(&fourth), excess(&other)), (None, None));
    }

    #[test]
    fn beyond_the_number_of_all_the_client_with_the_most_loses_one() {
        let all = Arc::new(IncomingBodies::new(LIMITS));
        let few = all.add(client(1), 1);
        let many: Vec<_> = (0..3).map(|_| all.add(client(2), 1)).collect();
        let third = all.add(client(3), 1);
        let outcomes: Vec<_> = many.iter().map(excess).collect();
        assert_eq!(outcomes, [Some(Excess::OfAll), None, None]);
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
        assert_eq!(excess(&first), Some(Excess::OfClient));
        let mut third = all.add(client(2), 16);
        third.stall();
        assert_eq!(excess(&third), Some(Excess::OfAll));
        let outcomes = [excess(&second), excess(&moving)];
        assert_eq!(outcomes, [None, None]);
    }

    #[test]
    fn bodies_that_are_complete_or_go_on_leave_room() {
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
