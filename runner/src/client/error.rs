//! Why a request to a server failed.

use std::{error::Error, fmt::Write, time::Duration};

use reqwest::StatusCode;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused it.
    #[error("server responded with error [{status}]: {body}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The text of the answer, cut if it is long.
        body: String,
        /// When the server asks to try again.
        retry_after: Option<Duration>,
    },
    /// No connection could be made: nothing was sent.
    #[error("cannot connect to {url}: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The connection broke or the time was over before the whole answer was there.
    #[error("no complete answer from {url}: {reason}")]
    Interrupted {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The answer is not what a Neap server answers.
    #[error("{url} answers something else than expected: {reason}")]
    NotUnderstood {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The server's address, the token or the certificates are no good.
    #[error("{0}")]
    Settings(String),
}

impl ClientError {
    /// The error of a request to `url` by what the HTTP library says.
    pub(crate) fn of_request(url: &reqwest::Url, error: &reqwest::Error) -> Self {
        let (url, reason) = (url.to_string(), innermost_reasons(error));
        if error.is_connect() {
            Self::Unreachable { url, reason }
        } else {
            Self::Interrupted { url, reason }
        }
    }
}

/// The causes of an error, without the address, which the message has already.
fn innermost_reasons(error: &reqwest::Error) -> String {
    let mut reasons = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let separator = if reasons.is_empty() { "" } else { ": " };
        write!(reasons, "{separator}{error}").ok();
        cause = error.source();
    }
    match (reasons.is_empty(), error.is_timeout()) {
        (_, true) => "the time is over".to_owned(),
        (true, false) => error.to_string(),
        (false, false) => reasons,
    }
}
