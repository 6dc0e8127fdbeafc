//! The reply of an invocation.

use std::error::Error;

use arrow::error::ArrowError;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

use super::TaskRequestError;
use crate::ticket::TicketError;

/// The class of the failure of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskFailureKind {
    /// The statement can't be executed over the data. Every worker fails in the same way.
    Execution,
    /// A value can't be converted.
    Cast,
    /// A text can't be parsed.
    Parse,
    /// A division by zero.
    DivideByZero,
    /// A number is too large.
    Overflow,
    /// The argument of a function is invalid.
    InvalidArgument,
    /// A value can't be computed.
    Compute,
    /// The worker ran out of memory.
    Memory,
    /// A temporary failure, such as a store that does not answer.
    Temporary,
    /// The worker does not accept the task: another version, or an invalid ticket.
    Refused,
    /// Any other failure.
    Internal,
}

impl TaskFailureKind {
    /// Returns the class of an error, and its text without the name of the class.
    pub(super) fn from_error(error: &DataFusionError) -> (Self, String) {
        let text = || error.strip_backtrace();
        if is_refusal(error) {
            return (Self::Refused, text());
        }
        if neap_scan::is_temporary(error) {
            return (Self::Temporary, text());
        }
        match error.find_root() {
            DataFusionError::Execution(text) => (Self::Execution, text.clone()),
            DataFusionError::ResourcesExhausted(text) => (Self::Memory, text.clone()),
            DataFusionError::ArrowError(error, _) => match error.as_ref() {
                ArrowError::CastError(text) => (Self::Cast, text.clone()),
                ArrowError::ParseError(text) => (Self::Parse, text.clone()),
                ArrowError::DivideByZero => (Self::DivideByZero, String::new()),
                ArrowError::ArithmeticOverflow(text) => (Self::Overflow, text.clone()),
                ArrowError::InvalidArgumentError(text) => (Self::InvalidArgument, text.clone()),
                ArrowError::ComputeError(text) => (Self::Compute, text.clone()),
                _ => (Self::Internal, text()),
            },
            _ => (Self::Internal, text()),
        }
    }

    /// Returns the same error as on the worker, if the statement causes it; otherwise `None`.
    pub(super) fn statement_error(self, text: &str) -> Option<DataFusionError> {
        let text = text.to_owned();
        let arrow = match self {
            Self::Execution => return Some(DataFusionError::Execution(text)),
            Self::Memory => return Some(DataFusionError::ResourcesExhausted(text)),
            Self::Cast => ArrowError::CastError(text),
            Self::Parse => ArrowError::ParseError(text),
            Self::DivideByZero => ArrowError::DivideByZero,
            Self::Overflow => ArrowError::ArithmeticOverflow(text),
            Self::InvalidArgument => ArrowError::InvalidArgumentError(text),
            Self::Compute => ArrowError::ComputeError(text),
            Self::Temporary | Self::Refused | Self::Internal => return None,
        };
        Some(DataFusionError::ArrowError(Box::new(arrow), None))
    }
}

/// Whether an error is the refusal of a ticket.
fn is_refusal(error: &DataFusionError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<TicketError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The reply of an invocation to a [`TaskRequest`](super::TaskRequest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskReply {
    /// The whole answer.
    Answer(Bytes),
    /// The answer is an object with this key and size in bytes.
    Object {
        /// The key.
        key: String,
        /// The size in bytes.
        bytes: u64,
    },
    /// The task failed.
    Failure {
        /// The class of the failure.
        kind: TaskFailureKind,
        /// The reason.
        message: String,
    },
}

/// The JSON form of a reply.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ReplyDocument {
    Answer(String),
    Object {
        key: String,
        bytes: u64,
    },
    Failure {
        kind: TaskFailureKind,
        message: String,
    },
}

impl TaskReply {
    /// Returns the reply as JSON.
    ///
    /// # Errors
    /// Serialization failed, which no reply causes.
    pub fn to_json(&self) -> Result<serde_json::Value, TaskRequestError> {
        let document = match self {
            Self::Answer(bytes) => ReplyDocument::Answer(BASE64_STANDARD.encode(bytes)),
            Self::Object { key, bytes } => {
                ReplyDocument::Object { key: key.clone(), bytes: *bytes }
            }
            Self::Failure { kind, message } => {
                ReplyDocument::Failure { kind: *kind, message: message.clone() }
            }
        };
        Ok(serde_json::to_value(document)?)
    }

    /// Parses a reply.
    ///
    /// # Errors
    /// It is not a reply to a task.
    pub fn parse(json: &[u8]) -> Result<Self, TaskRequestError> {
        Ok(match serde_json::from_slice(json)? {
            ReplyDocument::Answer(answer) => Self::Answer(BASE64_STANDARD.decode(answer)?.into()),
            ReplyDocument::Object { key, bytes } => Self::Object { key, bytes },
            ReplyDocument::Failure { kind, message } => Self::Failure { kind, message },
        })
    }
}
