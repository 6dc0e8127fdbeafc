//! Tickets: the permission of a coordinator to let a worker execute tasks of one query on one database.
//!
//! ```text
//!   x-neap-ticket: base64url(JSON of the ticket) "." base64url(HMAC-SHA256 of the first part)
//! ```
//!
//! The coordinator signs one ticket for each task. A worker passes the ticket of its task on when it reads the rows of
//! another worker.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use neap_bucket::World;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

/// The header of tickets.
pub const TICKET_HEADER: &str = "x-neap-ticket";

/// The maximum length of the header, in bytes.
const MAX_TICKET_BYTES: usize = 4 << 10;

/// Separates the codes of tickets from other uses of the cluster secret.
const CONTEXT: &[u8] = b"neap worker ticket 1\0";

/// The maximum difference between the clocks of two processes.
pub(crate) const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);

/// Maximum time between the signature of a task's ticket and the start of the task. It covers connections, repeated
/// invocations and cold starts. Rows of the task are read until the ticket expires.
const SET_TASK_LIFETIME: Duration = Duration::from_secs(60);

/// The reason why a ticket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum TicketError {
    #[error("the request has no ticket")]
    Missing,
    #[error("the ticket is malformed")]
    Malformed,
    #[error("the ticket was not signed by a process of this cluster")]
    Forged,
    /// The ticket is too old.
    #[error("the ticket has expired")]
    Expired,
    #[error("the ticket names no task")]
    NoTask,
    #[error("the ticket was already used for its task")]
    Replayed,
    #[error("the worker has accepted too many tickets; try again later")]
    TooMany,
    /// The tasks of the ticket may not read this database.
    #[error("the ticket does not allow database {0}")]
    OtherDatabase(DatabaseId),
}

/// The permission to execute tasks of one query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// The id, which is unique for each attempt of each query.
    pub id: Uuid,
    /// The database that the tasks read.
    pub database: DatabaseId,
    /// The name of the coordinator.
    pub coordinator: String,
    /// The end of the permission, in microseconds since the Unix epoch.
    pub expires: i64,
    /// The task that the ticket sets; `None` if it only reads the rows of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskPermit>,
}

/// The permission to set one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskPermit {
    /// The name of the task, unique within the query.
    pub name: String,
    /// The time until which the task may be set, in microseconds since the Unix epoch. A worker remembers the ticket
    /// until then.
    pub until: i64,
}

impl Ticket {
    /// Creates a ticket that expires after `lifetime`.
    pub fn new(
        world: &World,
        database: DatabaseId,
        coordinator: impl Into<String>,
        lifetime: Duration,
    ) -> Self {
        let id = uuid::Builder::from_random_bytes(world.entropy.next_u128().to_be_bytes());
        let lifetime = i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX);
        Self {
            id: id.into_uuid(),
            database,
            coordinator: coordinator.into(),
            expires: world.clock.wall_micros().saturating_add(lifetime),
            task: None,
        }
    }

    /// Returns the ticket for setting one task within [`SET_TASK_LIFETIME`] from `now_micros`.
    #[must_use]
    pub fn for_task(&self, name: impl Into<String>, now_micros: i64) -> Self {
        let lifetime = i64::try_from(SET_TASK_LIFETIME.as_micros()).unwrap_or(i64::MAX);
        let until = now_micros.saturating_add(lifetime).min(self.expires);
        Self {
            task: Some(TaskPermit { name: name.into(), until }),
            ..self.clone()
        }
    }

    /// Checks that the ticket has not expired. The clocks of the processes may differ by 30 s.
    ///
    /// # Errors
    /// `Expired`.
    pub fn check_time(&self, now_micros: i64) -> Result<(), TicketError> {
        check_expiry(self.expires, now_micros)
    }
}

impl TaskPermit {
    /// Checks that the task may still be set. The clocks of the processes may differ by 30 s.
    /// Fails with `Expired`.
    pub(crate) fn check_time(&self, now_micros: i64) -> Result<(), TicketError> {
        check_expiry(self.until, now_micros)
    }
}

fn check_expiry(expires: i64, now_micros: i64) -> Result<(), TicketError> {
    let tolerance = i64::try_from(MAX_CLOCK_DIFFERENCE.as_micros()).unwrap_or(i64::MAX);
    if now_micros > expires.saturating_add(tolerance) {
        Err(TicketError::Expired)
    } else {
        Ok(())
    }
}

/// The secret that signs tickets.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("TicketKey(..)")]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    /// Uses the secret of the cluster.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Signs a ticket and returns the value of its header.
    ///
    /// # Errors
    /// `Malformed` if the ticket can't be a header.
    pub fn sign(&self, ticket: &Ticket) -> Result<HeaderValue, TicketError> {
        let json = serde_json::to_vec(ticket).map_err(|_| TicketError::Malformed)?;
        let text = BASE64_URL_SAFE_NO_PAD.encode(json);
        let code = self.code(&text)?.finalize().into_bytes();
        let signed = format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(code));
        let mut header = HeaderValue::try_from(signed).map_err(|_| TicketError::Malformed)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Returns the ticket of a header, if this key signed it. Does not check its time.
    ///
    /// # Errors
    /// `Malformed` or `Forged`.
    pub fn verify(&self, header: &HeaderValue) -> Result<Ticket, TicketError> {
        if header.len() > MAX_TICKET_BYTES {
            return Err(TicketError::Malformed);
        }
        let header = header.to_str().map_err(|_| TicketError::Malformed)?;
        let (text, code) = header.split_once('.').ok_or(TicketError::Malformed)?;
        let code = BASE64_URL_SAFE_NO_PAD.decode(code).map_err(|_| TicketError::Malformed)?;
        let expected = self.code(text)?;
        // Compares in constant time.
        let equal = expected.verify_slice(&code);
        equal.map_err(|_| TicketError::Forged)?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketError::Malformed)?;
        serde_json::from_slice(&json).map_err(|_| TicketError::Malformed)
    }

    fn code(&self, text: &str) -> Result<Hmac<Sha256>, TicketError> {
        let mut code =
            Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| TicketError::Malformed)?;
        code.update(CONTEXT);
        code.update(text.as_bytes());
        Ok(code)
    }
}

/// Returns the ticket header of a request.
/// Fails with `Missing`.
pub(crate) fn ticket_header(headers: &HeaderMap) -> Result<&HeaderValue, TicketError> {
    headers.get(TICKET_HEADER).ok_or(TicketError::Missing)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use neap_bucket::SystemClock;

    use super::*;

    fn world() -> World {
        World::seeded(Arc::new(SystemClock::new()), 1)
    }

    fn ticket() -> Ticket {
        Ticket::new(&world(), DatabaseId::new(7), "node-1", Duration::from_secs(60))
    }

    #[test]
    fn a_signed_ticket_is_verified_with_the_same_key_only() {
        let key = TicketKey::new([1; 32]);
        let ticket = ticket().for_task("q/1/0", 0);
        let header = key.sign(&ticket).unwrap();
        assert_eq!(key.verify(&header), Ok(ticket));
        assert_eq!(TicketKey::new([2; 32]).verify(&header), Err(TicketError::Forged));
    }

    #[test]
    fn a_changed_ticket_is_refused() {
        let key = TicketKey::new([1; 32]);
        let header = key.sign(&ticket()).unwrap();
        let (_, code) = header.to_str().unwrap().split_once('.').unwrap();
        let other = Ticket { database: DatabaseId::new(8), ..ticket() };
        let other = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        let forged = HeaderValue::try_from(format!("{other}.{code}")).unwrap();
        assert_eq!(key.verify(&forged), Err(TicketError::Forged));
        for malformed in ["", ".", "x", "a.b.c", "ä.ö"] {
            let Ok(header) = HeaderValue::from_bytes(malformed.as_bytes()) else {
                continue;
            };
            assert!(key.verify(&header).is_err(), "{malformed}");
        }
        let long = HeaderValue::try_from("a".repeat(MAX_TICKET_BYTES + 1)).unwrap();
        assert_eq!(key.verify(&long), Err(TicketError::Malformed));
    }

    #[test]
    fn a_ticket_expires_after_its_lifetime_and_the_difference_of_clocks() {
        let ticket = ticket();
        assert_eq!(ticket.check_time(ticket.expires + 30_000_000), Ok(()));
        assert_eq!(ticket.check_time(ticket.expires + 30_000_001), Err(TicketError::Expired));
    }

    #[test]
    fn debug_output_hides_the_secret() {
        assert_eq!(format!("{:?}", TicketKey::new([3; 32])), "TicketKey(..)");
    }
}
