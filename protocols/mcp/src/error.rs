//! Failures of a tool call, in a form from which an agent can correct its next call.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::ApiUnavailable;

/// A failed tool call.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum ToolError {
    /// The arguments do not fit the schema of the tool.
    #[error("invalid arguments: {0}")]
    #[strum(serialize = "invalid_arguments")]
    Arguments(String),
    #[error("the statement has no condition on time, so it would read the whole history")]
    NoTimeBound,
    /// The tool changes data, and this server only reads.
    #[error("this server is read-only")]
    ReadOnly,
    #[error("the server answered {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the server did not answer: {0}")]
    Unavailable(#[from] ApiUnavailable),
    #[error("the call did not end within {} s and was cancelled", .0.as_secs())]
    #[strum(serialize = "timeout")]
    TimedOut(Duration),
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the server's answer can't be read: {0}")]
    UnexpectedAnswer(String),
}

impl ToolError {
    /// Returns the error as the structured content of a result.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "kind": self.kind(), "message": self.to_string() });
        if let Self::Refused { status, .. } = self {
            error["status"] = json!(status.as_u16());
        }
        if let Some(hint) = self.hint() {
            error["hint"] = json!(hint);
        }
        json!({ "error": error })
    }

    fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns what the agent may do next.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoTimeBound => Some(
                "add a condition such as time >= now() - INTERVAL '1 hour', or set whole_history to true if the \
                 question is about all rows",
            ),
            Self::ReadOnly => {
                Some("the operator allows writes with --allow-writes or --mcp-allow-writes")
            }
            Self::TimedOut(_) => Some(
                "narrow the time range, name the columns, or aggregate; explain shows the plan",
            ),
            Self::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED => Some("the token is missing or invalid"),
                StatusCode::FORBIDDEN => Some("the token lacks the permission; do not try again"),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    Some("the server is busy; try again later")
                }
                _ => None,
            },
            _ => None,
        }
    }
}
