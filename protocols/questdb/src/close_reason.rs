//! The reasons why connections are closed.

use neap_http::text_prefix;

use crate::connection_access::AccessError;

/// Maximum bytes of an error message in the log, because the message may repeat a part of a line.
const MAX_LOGGED_BYTES: usize = 300;

/// Why a connection was closed. The client gets no other answer than the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CloseReason {
    /// The client closed it. All its lines are stored.
    Client,
    /// The client closed it in the middle of a line, which is not stored.
    IncompleteLine,
    /// The connection broke.
    Broken(String),
    /// A line is refused. The lines before it are stored.
    RefusedLine {
        /// The number of the line in this connection, from 1. Blank lines and comments do not count.
        line: u64,
        /// The reason.
        message: String,
    },
    /// A line is longer than allowed.
    LineTooLong,
    /// A line did not arrive in time.
    SlowLine,
    /// The client did not complete the handshake in time.
    SlowHandshake,
    /// The client had not authenticated when others connected, and there were too many such clients.
    Displaced,
    /// The client has no key, or another one than that of its name.
    Unauthenticated(&'static str),
    /// The key does not permit writes to the database.
    Forbidden,
    /// The client sent nothing for a long time.
    Idle,
    /// There is no memory for a line.
    Memory,
    /// The rows could not be stored for a long time.
    Unavailable(String),
    /// The server stops.
    Stopped,
    /// A bug in the server.
    Internal(String),
}

impl From<AccessError> for CloseReason {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Revoked => {
                Self::Unauthenticated("the client's key was deleted or has expired")
            }
            AccessError::Forbidden => Self::Forbidden,
            AccessError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl CloseReason {
    /// Returns the value of the label `reason`.
    pub(crate) fn label(&self) -> &'static str {
        self.into()
    }

    /// Returns whether the client or the operator of the server should learn of it.
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(self, Self::Client | Self::Broken(_) | Self::Idle | Self::Stopped)
    }

    /// Returns the text for the log.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Client => "the client closed the connection".to_owned(),
            Self::IncompleteLine => {
                "the client closed the connection in the middle of a line, which is not stored"
                    .to_owned()
            }
            Self::Broken(error) => format!("the connection broke: {error}"),
            Self::RefusedLine { line, message } => {
                let message = text_prefix(message, MAX_LOGGED_BYTES);
                format!("line {line} of the connection is refused: {message}")
            }
            Self::LineTooLong => "a line is longer than the limit".to_owned(),
            Self::SlowLine => "a line did not arrive in time".to_owned(),
            Self::SlowHandshake => "the client did not authenticate in time".to_owned(),
            Self::Displaced => "too many clients have not authenticated".to_owned(),
            Self::Unauthenticated(reason) => (*reason).to_owned(),
            Self::Forbidden => "the key does not permit writes to the database".to_owned(),
            Self::Idle => "the client was idle".to_owned(),
            Self::Memory => "there is no memory for the lines of all connections".to_owned(),
            Self::Unavailable(error) => {
                let error = text_prefix(error, MAX_LOGGED_BYTES);
                format!("the rows could not be stored: {error}")
            }
            Self::Stopped => "the server stops".to_owned(),
            Self::Internal(error) => text_prefix(error, MAX_LOGGED_BYTES).to_owned(),
        }
    }
}
