//! Errors of requests to a server.

use std::{borrow::Cow, error::Error, time::Duration};

use neap_bucket::with_causes;
use neap_http_client::PathSegmentError;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// The outcome of a request.
pub(super) type ClientResult<T = ()> = Result<T, ClientError>;

/// Error of a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("server responded with error [{status}]: {message}", message = refusal_message(.body))]
    Refused {
        status: StatusCode,
        /// Text of the response, truncated if it is long.
        body: String,
        retry_after: Option<Duration>,
    },
    /// The connection could not be established; nothing was sent.
    #[error("cannot connect to {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// The connection broke or timed out before the response was complete.
    #[error("no complete answer from {url}: {reason}")]
    Interrupted { url: String, reason: String },
    #[error("unexpected response from {url}: {reason}")]
    UnexpectedResponse { url: String, reason: String },
    /// The server's address, the token or the certificates are invalid.
    #[error("{0}")]
    Settings(String),
    /// A name can't be in the path of a request; nothing was sent.
    #[error(transparent)]
    Name(#[from] PathSegmentError),
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

    /// Makes a connection failure retryable if the server has answered before, because it may be restarting.
    pub(crate) fn retryable_if(self, was_answered: bool) -> Self {
        match self {
            Self::Unreachable { url, reason } if was_answered => Self::Interrupted { url, reason },
            error => error,
        }
    }

    /// Returns what a user can do about the error.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED => Some(
                "The server requires a valid token: pass it with --token, set NEAP_AUTH_TOKEN, or sign in with \
                 `neap auth login`",
            ),
            Self::Unreachable { reason, .. } if reason.contains("Connection refused") => Some(
                "No server answers at this address: start one with `neap serve`, or name another address with --host \
                 or NEAP_HOST_URL",
            ),
            Self::Unreachable { url, reason }
                if url.starts_with("https:") && reason.contains("InvalidContentType") =>
            {
                Some("The server at this address has no TLS: use http://")
            }
            Self::Interrupted { url, reason }
                if url.starts_with("http:") && reason.contains("invalid HTTP version") =>
            {
                Some("The server at this address may require TLS: use https://")
            }
            _ => None,
        }
    }

    /// Returns the code of a refusal, if it has one.
    pub(crate) fn code(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Refusal {
            code: String,
        }

        let Self::Refused { body, .. } = self else {
            return None;
        };
        let refusal: Refusal = serde_json::from_str(body).ok()?;
        Some(refusal.code)
    }
}

/// Returns the message of a refusal, which servers wrap in JSON as `error`, and InfluxDB 2 as `message`. A body with more than
/// that is returned as it is.
pub(crate) fn refusal_message(body: &str) -> Cow<'_, str> {
    let Ok(Value::Object(members)) = serde_json::from_str(body) else {
        return Cow::Borrowed(body);
    };
    let message = members.get("error").or_else(|| members.get("message"));
    match message {
        Some(Value::String(message)) if !members.contains_key("data") => {
            Cow::Owned(message.clone())
        }
        _ => Cow::Borrowed(body),
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
    if error.is_timeout() {
        return "the time is over".to_owned();
    }
    error.source().map_or_else(|| error.to_string(), with_causes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_connections_say_what_to_do() {
        let unreachable = |url: &str, reason: &str| ClientError::Unreachable {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        for (error, hint) in [
            (
                unreachable(
                    "http://127.0.0.1:8181/",
                    "tcp connect error: Connection refused (os error 111)",
                ),
                Some("start one with `neap serve`"),
            ),
            (
                unreachable(
                    "https://127.0.0.1:8181/",
                    "received corrupt message of type InvalidContentType",
                ),
                Some("use http://"),
            ),
            (
                ClientError::Interrupted {
                    url: "http://127.0.0.1:8181/".to_owned(),
                    reason: "invalid HTTP version parsed".to_owned(),
                },
                Some("use https://"),
            ),
            (unreachable("http://nowhere/", "dns error"), None),
        ] {
            match (error.hint(), hint) {
                (Some(text), Some(part)) => assert!(text.contains(part), "{text}"),
                (text, part) => assert_eq!(text, part, "{error}"),
            }
        }
    }

    #[test]
    fn a_refusal_is_shown_without_the_json_around_its_message() {
        let pairs = r#"
            {"error":"database not found: x"} ==> database not found: x
            {"error": "no token"} ==> no token
            {"error":"'t' is an alias of 'u'","code":"name is an alias"} ==> 't' is an alias of 'u'
            {"code":"invalid","message":"no \"org\""} ==> no "org"
            table not found ==> table not found
            {"error":5} ==> {"error":5}
            ["error"] ==> ["error"]
            {"error":"partial write","data":[{"line_number":1}]} ==> {"error":"partial write","data":[{"line_number":1}]}
        "#;
        for (body, message) in neap_test_inputs::text_pairs(pairs).chain([("", "")]) {
            assert_eq!(refusal_message(body), message);
        }
    }
}
