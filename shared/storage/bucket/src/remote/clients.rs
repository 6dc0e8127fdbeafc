//! The clients of a store, and their replacement when a session may have ended.
//!
//! A directory bucket of S3 Express answers within a session of five minutes. `object_store` renews the session a minute
//! before its end by the monotonic clock, which stands still while a machine is suspended or a function is frozen: it
//! would go on using a session that has ended. New clients begin a new session.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::ObjectStoreBackend;
use crate::Clock;

/// Maximum suspension since the clients were created. It is less than the minute that `object_store` keeps in reserve.
const MAX_SUSPENSION: Duration = Duration::from_secs(50);

/// Minimum time between two replacements because of refused requests. A store that denies everything is not asked for a
/// new session with each request.
const MIN_LIFETIME: Duration = Duration::from_secs(10);

/// The clients of a store.
#[derive(Clone)]
pub(super) struct ClientPair {
    pub(super) usual: Arc<dyn ObjectStoreBackend>,
    /// A client with the longer time limit of large requests.
    pub(super) patient: Arc<dyn ObjectStoreBackend>,
}

impl ClientPair {
    pub(super) fn new(usual: impl ObjectStoreBackend, patient: impl ObjectStoreBackend) -> Self {
        Self { usual: Arc::new(usual), patient: Arc::new(patient) }
    }
}

/// Creates clients.
pub(super) type ClientFactory =
    dyn Fn() -> Result<ClientPair, object_store::Error> + Send + Sync + 'static;

/// Clients with a session, and the readings of both clocks at their creation.
struct SessionClients {
    clients: ClientPair,
    wall_micros: i64,
    monotonic: Duration,
}

/// Supplies the clients of a store.
pub(super) enum ClientSource {
    /// The same clients for every call.
    Permanent(ClientPair),
    /// Clients with a session.
    Sessions(SessionSource),
}

/// Replaces clients whose session may have ended.
pub(super) struct SessionSource {
    create: Box<ClientFactory>,
    clock: Arc<dyn Clock>,
    current: Mutex<SessionClients>,
}

impl fmt::Debug for ClientSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.current().usual)
    }
}

impl ClientSource {
    pub(super) fn with_sessions(
        create: Box<ClientFactory>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, object_store::Error> {
        let first = SessionClients::new(create()?, clock.as_ref());
        Ok(Self::Sessions(SessionSource { create, clock, current: Mutex::new(first) }))
    }

    /// Returns the clients for a call.
    pub(super) fn current(&self) -> ClientPair {
        match self {
            Self::Permanent(clients) => clients.clone(),
            Self::Sessions(source) => source.replaced_if(SessionClients::was_suspended),
        }
    }

    /// Returns other clients for a call that the store has denied to those of [`current`](Self::current); `None` if
    /// these were created just before.
    pub(super) fn renewed(&self, denied: &ClientPair) -> Option<ClientPair> {
        let Self::Sessions(source) = self else {
            return None;
        };
        let renewed = source.replaced_if(|current, clock| {
            let lifetime = clock.monotonic().saturating_sub(current.monotonic);
            Arc::ptr_eq(&current.clients.usual, &denied.usual) && lifetime >= MIN_LIFETIME
        });
        (!Arc::ptr_eq(&renewed.usual, &denied.usual)).then_some(renewed)
    }
}

impl SessionSource {
    fn current(&self) -> MutexGuard<'_, SessionClients> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the clients; new ones if the present ones are to be replaced and can be.
    fn replaced_if(&self, is_old: impl Fn(&SessionClients, &dyn Clock) -> bool) -> ClientPair {
        let clock = self.clock.as_ref();
        let mut current = self.current();
        if is_old(&current, clock) {
            match (self.create)() {
                Ok(clients) => *current = SessionClients::new(clients, clock),
                Err(error) => tracing::warn!(%error, "a session of the store was not renewed"),
            }
        }
        current.clients.clone()
    }
}

impl SessionClients {
    fn new(clients: ClientPair, clock: &dyn Clock) -> Self {
        Self {
            clients,
            wall_micros: clock.wall_micros(),
            monotonic: clock.monotonic(),
        }
    }

    /// Returns whether the wall clock has advanced since the creation while the monotonic clock stood still.
    fn was_suspended(&self, clock: &dyn Clock) -> bool {
        let wall_micros = clock.wall_micros().saturating_sub(self.wall_micros);
        let wall = Duration::from_micros(u64::try_from(wall_micros).unwrap_or(0));
        let monotonic = clock.monotonic().saturating_sub(self.monotonic);
        wall.saturating_sub(monotonic) > MAX_SUSPENSION
    }
}

/// Returns whether a store has denied a request, as it does after the end of a session.
pub(super) fn is_denied(error: &object_store::Error) -> bool {
    use object_store::Error;

    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        error => error.to_string().contains("ExpiredToken"),
    }
}
