//! The check of tickets on a worker.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use neap_bucket::World;
use neap_operators::Cancellation;
use neap_schema::DatabaseId;
use tokio::sync::watch;

use crate::ticket::{Ticket, TicketError, TicketKey, ticket_header};

/// The maximum number of tasks whose tickets a worker remembers. Each takes about 200 bytes.
const MAX_REMEMBERED_TASKS: usize = 65_536;

/// The secrets of the cluster.
pub trait TicketKeys: fmt::Debug + Send + Sync {
    /// The secret that signs new tickets.
    fn current(&self) -> TicketKey;

    /// The secrets whose tickets are accepted: the current one, and an earlier one until its tickets have expired.
    fn accepted(&self) -> Vec<TicketKey>;
}

/// One secret that never changes.
impl TicketKeys for TicketKey {
    fn current(&self) -> TicketKey {
        self.clone()
    }

    fn accepted(&self) -> Vec<TicketKey> {
        vec![self.clone()]
    }
}

/// Signs the tickets of a coordinator.
#[derive(Clone, Debug)]
pub struct TicketIssuer {
    keys: Arc<dyn TicketKeys>,
    world: World,
    coordinator: String,
}

impl TicketIssuer {
    /// Signs tickets in the name of a coordinator.
    pub fn new(keys: Arc<dyn TicketKeys>, world: World, coordinator: impl Into<String>) -> Self {
        Self { keys, world, coordinator: coordinator.into() }
    }

    /// Creates the ticket of an attempt of a query, which expires after `lifetime`.
    pub fn ticket(&self, database: DatabaseId, lifetime: Duration) -> Ticket {
        Ticket::new(&self.world, database, self.coordinator.clone(), lifetime)
    }

    /// Signs the ticket that sets a task, as a copy of that of its query.
    ///
    /// # Errors
    /// The ticket can't be a header.
    pub fn sign_task(
        &self,
        ticket: &Ticket,
        task: impl Into<String>,
    ) -> Result<HeaderValue, TicketError> {
        self.sign(&ticket.for_task(task, self.world.clock.wall_micros()))
    }

    /// Signs a ticket.
    ///
    /// # Errors
    /// The ticket can't be a header.
    pub fn sign(&self, ticket: &Ticket) -> Result<HeaderValue, TicketError> {
        self.keys.current().sign(ticket)
    }
}

/// Checks the tickets of requests to a worker. Cloning shares the memory of used tickets.
#[derive(Clone, Debug)]
pub struct TicketVerifier {
    keys: Arc<dyn TicketKeys>,
    world: World,
    used: Arc<Mutex<UsedTickets>>,
    watched: WatchedTasks,
}

/// The tasks whose coordinators are connected, by ticket and task.
type WatchedTasks = Arc<Mutex<HashMap<Arc<str>, WatchedTask>>>;

/// A task whose coordinator is connected.
#[derive(Clone, Debug)]
pub(crate) struct WatchedTask {
    /// The cancellation of its operators.
    pub(crate) cancellation: Cancellation,
    /// Closes when the coordinator disconnects.
    pub(crate) connection: watch::Receiver<()>,
}

/// The connection of a coordinator while a task runs. Dropping it cancels the task.
#[derive(Debug)]
pub struct TaskWatch {
    tasks: WatchedTasks,
    key: Arc<str>,
    cancellation: Cancellation,
    _connection: watch::Sender<()>,
}

impl Drop for TaskWatch {
    fn drop(&mut self) {
        self.cancellation.cancel();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.remove(&self.key);
    }
}

impl TicketVerifier {
    /// Accepts tickets that were signed with these secrets.
    pub fn new(keys: Arc<dyn TicketKeys>, world: World) -> Self {
        Self { keys, world, used: Arc::default(), watched: Arc::default() }
    }

    /// Watches the connection of a coordinator that is about to set the task of a verified ticket. Keep the result for
    /// as long as the coordinator is connected: a task that computes without end notices nothing else.
    pub fn watch(&self, ticket: &Ticket) -> TaskWatch {
        let (key, cancellation) = (task_key(ticket), Cancellation::default());
        let (sender, connection) = watch::channel(());
        let task = WatchedTask { cancellation: cancellation.clone(), connection };
        let mut tasks = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.insert(Arc::clone(&key), task);
        drop(tasks);
        TaskWatch {
            tasks: Arc::clone(&self.watched),
            key,
            cancellation,
            _connection: sender,
        }
    }

    /// Returns the number of tasks whose coordinators are connected.
    pub fn watched_tasks(&self) -> usize {
        let tasks = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.len()
    }

    /// Returns the task of a ticket; `None` if the transport does not watch its coordinator.
    pub(crate) fn watched(&self, ticket: &Ticket) -> Option<WatchedTask> {
        let tasks = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.get(&task_key(ticket)).cloned()
    }

    /// Checks the ticket of any request: its signature and its time.
    ///
    /// # Errors
    /// There is no ticket, or it is malformed, forged or expired.
    pub fn verify(&self, headers: &HeaderMap) -> Result<Ticket, TicketError> {
        let header = ticket_header(headers)?;
        let mut refusal = TicketError::Forged;
        for key in self.keys.accepted() {
            match key.verify(header) {
                Ok(ticket) => {
                    ticket.check_time(self.world.clock.wall_micros())?;
                    return Ok(ticket);
                }
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Checks the ticket of a request that sets a task. Each ticket sets its task once.
    ///
    /// # Errors
    /// As [`verify`](Self::verify). The ticket names no task, or its task can't be set any more, or was set before.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Ticket, TicketError> {
        let ticket = self.verify(headers)?;
        let now = self.world.clock.wall_micros();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(&ticket, now)?;
        Ok(ticket)
    }
}

/// The name of the task of a ticket.
fn task_key(ticket: &Ticket) -> Arc<str> {
    let task = ticket.task.as_ref().map(|task| task.name.as_str());
    format!("{}/{}", ticket.id, task.unwrap_or_default()).into()
}

/// The tickets that were used to set tasks, until they can't be used again.
#[derive(Debug, Default)]
struct UsedTickets {
    tasks: HashSet<Arc<str>>,
    by_expiry: BTreeSet<(i64, Arc<str>)>,
}

impl UsedTickets {
    fn insert(&mut self, ticket: &Ticket, now: i64) -> Result<(), TicketError> {
        let permit = ticket.task.as_ref().ok_or(TicketError::NoTask)?;
        permit.check_time(now)?;
        let key = task_key(ticket);
        if self.tasks.contains(&key) {
            return Err(TicketError::Replayed);
        }
        self.forget_expired(now);
        if self.tasks.len() >= MAX_REMEMBERED_TASKS {
            return Err(TicketError::TooMany);
        }
        self.tasks.insert(Arc::clone(&key));
        self.by_expiry.insert((permit.until, key));
        Ok(())
    }

    fn forget_expired(&mut self, now: i64) {
        while let Some((expires, _)) = self.by_expiry.first() {
            // A ticket is accepted for a while after its expiry, because clocks differ.
            if now.saturating_sub(*expires) <= 60_000_000 {
                return;
            }
            if let Some((_, task)) = self.by_expiry.pop_first() {
                self.tasks.remove(&task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use neap_bucket::Clock;

    use super::*;
    use crate::ticket::TICKET_HEADER;

    /// A clock that the test sets.
    #[derive(Debug, Default)]
    struct ManualClock(Mutex<i64>);

    impl Clock for ManualClock {
        fn wall_micros(&self) -> i64 {
            *self.0.lock().unwrap()
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[derive(Debug)]
    struct RotatedKeys(TicketKey, TicketKey);

    impl TicketKeys for RotatedKeys {
        fn current(&self) -> TicketKey {
            self.0.clone()
        }

        fn accepted(&self) -> Vec<TicketKey> {
            vec![self.0.clone(), self.1.clone()]
        }
    }

    fn setup() -> (Arc<ManualClock>, World) {
        let clock = Arc::new(ManualClock::default());
        let world = World::seeded(Arc::clone(&clock) as _, 1);
        (clock, world)
    }

    fn headers(issuer: &TicketIssuer, ticket: &Ticket) -> HeaderMap {
        HeaderMap::from_iter([(TICKET_HEADER.parse().unwrap(), issuer.sign(ticket).unwrap())])
    }

    #[test]
    fn a_ticket_sets_each_task_once_and_reads_rows_until_it_expires() {
        let (clock, world) = setup();
        let key = Arc::new(TicketKey::new([1; 32]));
        let issuer = TicketIssuer::new(Arc::clone(&key) as _, world.clone(), "a");
        let verifier = TicketVerifier::new(key, world);
        let ticket = issuer.ticket(DatabaseId::new(1), Duration::from_secs(10));
        let first = headers(&issuer, &ticket.for_task("1/0", 0));
        assert_eq!(verifier.admit(&first).unwrap().database, DatabaseId::new(1));
        assert_eq!(verifier.admit(&first), Err(TicketError::Replayed));
        let second = headers(&issuer, &ticket.for_task("1/1", 0));
        assert!(verifier.admit(&second).is_ok());
        assert_eq!(verifier.admit(&headers(&issuer, &ticket)), Err(TicketError::NoTask));
        assert!(verifier.verify(&first).is_ok());
        *clock.0.lock().unwrap() = 41_000_000;
        assert_eq!(verifier.verify(&first), Err(TicketError::Expired));
        assert_eq!(verifier.admit(&second), Err(TicketError::Expired));
        assert_eq!(verifier.verify(&HeaderMap::new()), Err(TicketError::Missing));
    }

    #[test]
    fn tickets_of_an_earlier_secret_are_accepted_while_it_is_listed() {
        let (_, world) = setup();
        let (old, new) = (TicketKey::new([1; 32]), TicketKey::new([2; 32]));
        let issuer = TicketIssuer::new(Arc::new(old.clone()), world.clone(), "a");
        let ticket = issuer.ticket(DatabaseId::new(1), Duration::from_secs(10));
        let request = headers(&issuer, &ticket);
        let rotated = TicketVerifier::new(Arc::new(RotatedKeys(new.clone(), old)), world.clone());
        assert_eq!(rotated.verify(&request), Ok(ticket));
        let later = TicketVerifier::new(Arc::new(new), world);
        assert_eq!(later.verify(&request), Err(TicketError::Forged));
    }

    #[test]
    fn a_task_is_cancelled_when_its_coordinator_disconnects() {
        let (_, world) = setup();
        let key = Arc::new(TicketKey::new([1; 32]));
        let issuer = TicketIssuer::new(Arc::clone(&key) as _, world.clone(), "a");
        let verifier = TicketVerifier::new(key, world);
        let ticket = issuer.ticket(DatabaseId::new(1), Duration::from_secs(10));
        let (first, second) = (ticket.for_task("1", 0), ticket.for_task("2", 0));
        let watches = [verifier.watch(&first), verifier.watch(&second)];
        let running = [&first, &second].map(|ticket| verifier.watched(ticket).unwrap());
        let [watch, _kept] = watches;
        drop(watch);
        let is_over = |task: &WatchedTask| {
            let is_closed = task.connection.has_changed().is_err();
            (task.cancellation.is_cancelled(), is_closed)
        };
        assert_eq!(is_over(&running[0]), (true, true));
        assert_eq!(is_over(&running[1]), (false, false));
        assert_eq!(verifier.watched.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_task_is_set_within_a_minute_and_its_rows_are_read_until_the_ticket_expires() {
        let (clock, world) = setup();
        let key = Arc::new(TicketKey::new([1; 32]));
        let issuer = TicketIssuer::new(Arc::clone(&key) as _, world.clone(), "a");
        let verifier = TicketVerifier::new(key, world);
        let ticket = issuer.ticket(DatabaseId::new(1), Duration::from_secs(300));
        let header = issuer.sign_task(&ticket, "1").unwrap();
        let request = HeaderMap::from_iter([(TICKET_HEADER.parse().unwrap(), header)]);
        // A minute, and 30 s by which clocks may differ.
        *clock.0.lock().unwrap() = 90_000_001;
        assert_eq!(verifier.admit(&request), Err(TicketError::Expired));
        assert!(verifier.verify(&request).is_ok());
        *clock.0.lock().unwrap() = 90_000_000;
        assert!(verifier.admit(&request).is_ok());
    }

    #[test]
    fn used_tickets_are_forgotten_when_their_tasks_cannot_be_set_again_and_limited_in_number() {
        let (_, world) = setup();
        let key = Arc::new(TicketKey::new([1; 32]));
        let issuer = TicketIssuer::new(Arc::clone(&key) as _, world, "a");
        let ticket = issuer.ticket(DatabaseId::new(1), Duration::from_secs(300));
        let mut used = UsedTickets::default();
        for task in 0..MAX_REMEMBERED_TASKS {
            used.insert(&ticket.for_task(task.to_string(), 0), 0).unwrap();
        }
        let next = ticket.for_task("next", 0);
        assert_eq!(used.insert(&next, 0), Err(TicketError::TooMany));
        let late = 121_000_000;
        assert_eq!(used.insert(&next, late), Err(TicketError::Expired));
        used.insert(&ticket.for_task("next", late), late).unwrap();
        assert_eq!((used.tasks.len(), used.by_expiry.len()), (1, 1));
    }
}
