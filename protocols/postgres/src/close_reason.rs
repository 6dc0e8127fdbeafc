//! The reasons why connections are closed.

use neap_sql_changes::{SqlError, SqlState};

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CloseReason {
    /// The client ended it.
    Client,
    /// The connection broke.
    Broken(String),
    /// The client did not complete the startup in time.
    SlowStartup,
    /// The client had not presented a password when others connected, and there were too many such clients.
    Displaced,
    /// The client has no valid password.
    Unauthenticated,
    /// The client may not send its password without TLS.
    Unencrypted,
    /// The database does not exist, or the client may not use it.
    Database,
    /// The client sent nothing for a long time.
    Idle,
    /// The client sent nothing for some time, while rows that it had sent were held in memory.
    PendingRows,
    /// The client did not read its answer, or a message did not arrive in time.
    Stalled,
    /// A message is malformed.
    Malformed,
    /// A message is longer than allowed, or there is no memory for it.
    Memory,
    /// The connection only asked to cancel a query.
    Cancelling,
    /// The server stops.
    Stopped,
    /// An answer can't be encoded.
    Internal(String),
}

impl CloseReason {
    /// Returns the value of the label `reason`.
    pub(crate) fn label(&self) -> &'static str {
        self.into()
    }

    /// Returns the error that the client gets before the connection is closed; `None`: it can't receive one.
    pub(crate) fn last_error(&self) -> Option<SqlError> {
        let (state, message) = match self {
            Self::Idle => (
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            Self::PendingRows => (
                SqlState::IDLE_IN_TRANSACTION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout: rows of the transaction or of COPY were held",
            ),
            Self::Malformed => (SqlState::PROTOCOL_VIOLATION, "malformed message"),
            Self::Memory => (
                SqlState::OUT_OF_MEMORY,
                "the message is longer than this server allows, or there is no memory for it",
            ),
            Self::Stopped => {
                (SqlState::ADMIN_SHUTDOWN, "terminating connection because the server stops")
            }
            _ => return None,
        };
        Some(SqlError::new(state, message))
    }
}
