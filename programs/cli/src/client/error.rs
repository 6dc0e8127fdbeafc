//! Errors of requests to a server.

use std::{error::Error, fmt::Write, time::Duration};

use reqwest::StatusCode;

/// Error of a request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused the request.
    #[error("server responded with error [{status}]: {body}")]
    Refused {
        /// HTTP status of the response.
        status: StatusCode,
        /// Text of the response, truncated if it is long.
        body: String,
        /// Time after which the server asks to retry.
        retry_after: Option<Duration>,
    },
    /// The connection could not be established; nothing was sent.
    #[error("cannot connect to {url}: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The connection broke or timed out before the response was complete.
    #[error("no complete answer from {url}: {reason}")]
    Interrupted {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The response is not that of a Neap server.
    #[error("unexpected response from {url}: {reason}")]
    UnexpectedResponse {
        /// The server.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The server's address, the token or the certificates are invalid.
    #[error("{0}")]
    Settings(String),
}

impl ClientError {
    /// Converts an error of the HTTP library for a request to `url`.
    pub(crate) fn of_request(url: &reqwest::Url, error: &reqwest::Error) -> Self {
        let (url, reason) = (address(url), innermost_reasons(error));
        if error.is_connect() {
            Self::Unreachable { url, reason }
        } else {
            Self::Interrupted { url, reason }
        }
    }
}

/// Returns the address of a server without the user and the password that it may contain.
pub(super) fn address(url: &reqwest::Url) -> String {
    let mut address = url.clone();
    // An address without a host has neither.
    address.set_username("").ok();
    address.set_password(None).ok();
    address.into()
}

/// Returns the causes of an error, without the address, which the message already contains.
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
