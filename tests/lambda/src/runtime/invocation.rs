//! An event on its way through an instance, and its result.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

/// Maximum size of an event: 6 MiB.
pub(crate) const REQUEST_LIMIT: usize = 6 << 20;
/// Maximum size of a buffered response: 6 MiB and 100 bytes.
pub(crate) const RESPONSE_LIMIT: usize = (6 << 20) + 100;
/// Maximum size of a streamed response: 200 MiB.
pub(crate) const STREAM_LIMIT: usize = 200 << 20;

/// The response of a function.
#[derive(Debug)]
pub enum FunctionReply {
    /// A buffered response.
    Whole(Bytes),
    /// The pieces of a streamed response. A stream that breaks off ends with an error.
    Stream(mpsc::Receiver<Result<Bytes, InvocationFailure>>),
}

/// The failure of an event that got no response from the function.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", kind.error_type())]
pub struct InvocationFailure {
    /// The kind of the failure.
    pub kind: InvocationFailureKind,
    /// Lambda's error message.
    pub message: String,
}

/// The kind of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvocationFailureKind {
    /// The function reported an error of this type.
    Reported(String),
    /// The event timed out; the instance was killed.
    TimedOut,
    /// The instance ended.
    Exited,
    /// The instance did not start.
    InitFailed,
    /// The event exceeds Lambda's limit.
    RequestTooLarge,
    /// The response exceeds Lambda's limit.
    ResponseTooLarge,
    /// All instances that the limit allows are busy.
    Throttled,
    /// The caller may not invoke the function.
    Denied,
}

impl InvocationFailureKind {
    /// Returns Lambda's name for the kind.
    pub fn error_type(&self) -> &str {
        match self {
            Self::Reported(error_type) => error_type,
            Self::TimedOut => "Sandbox.Timedout",
            Self::Exited => "Runtime.ExitError",
            Self::InitFailed => "Runtime.InitError",
            Self::RequestTooLarge => "RequestTooLargeException",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Self::Throttled => "TooManyRequestsException",
            Self::Denied => "AccessDeniedException",
        }
    }
}

impl InvocationFailure {
    pub(crate) fn new(kind: InvocationFailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Returns the error document for the caller.
    pub fn document(&self) -> serde_json::Value {
        json!({ "errorType": self.kind.error_type(), "errorMessage": self.message })
    }
}

/// An event that waits for its response.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) payload: Bytes,
    /// Whether the caller accepts a streamed response.
    pub(super) streaming: bool,
    pub(super) reply: oneshot::Sender<Result<FunctionReply, InvocationFailure>>,
}

impl Invocation {
    pub(super) fn fail(self, failure: InvocationFailure) {
        // The caller may have disconnected.
        drop(self.reply.send(Err(failure)));
    }
}
