//! An event on its way through an instance, and how it ends.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

/// The most bytes of an event: 6 MiB.
pub(crate) const REQUEST_LIMIT: usize = 6 << 20;
/// The most bytes of a response that is not streamed: 6 MiB and 100 bytes.
pub(crate) const RESPONSE_LIMIT: usize = (6 << 20) + 100;
/// The most bytes of a response that is streamed: 200 MiB.
pub(crate) const STREAM_LIMIT: usize = 200 << 20;

/// What a function answered.
#[derive(Debug)]
pub enum Reply {
    /// A document.
    Whole(Bytes),
    /// The parts of a response as they come. A stream that ends without its end is an error.
    Stream(mpsc::Receiver<Result<Bytes, Failure>>),
}

/// Why there is no answer of the function itself.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", kind.error_type())]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// What Lambda says about it.
    pub message: String,
}

/// What happened to an event that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The function reported an error of this type.
    Reported(String),
    /// The time was over; the instance was killed.
    TimedOut,
    /// The instance ended.
    Exited,
    /// The instance did not come up.
    InitFailed,
    /// The event is larger than Lambda takes.
    RequestTooLarge,
    /// The response is larger than Lambda takes.
    ResponseTooLarge,
    /// All instances that there may be are busy.
    Throttled,
}

impl FailureKind {
    /// The name that Lambda has for it.
    pub fn error_type(&self) -> &str {
        match self {
            Self::Reported(error_type) => error_type,
            Self::TimedOut => "Sandbox.Timedout",
            Self::Exited => "Runtime.ExitError",
            Self::InitFailed => "Runtime.InitError",
            Self::RequestTooLarge => "RequestTooLargeException",
            Self::ResponseTooLarge => "Function.ResponseSizeTooLarge",
            Self::Throttled => "TooManyRequestsException",
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The document that the caller of an invocation gets.
    pub fn document(&self) -> serde_json::Value {
        json!({ "errorType": self.kind.error_type(), "errorMessage": self.message })
    }
}

/// An event that waits for its answer.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) id: String,
    pub(super) payload: Bytes,
    /// Whether the caller takes a response in parts.
    pub(super) streaming: bool,
    pub(super) reply: oneshot::Sender<Result<Reply, Failure>>,
}

impl Invocation {
    pub(super) fn fail(self, failure: Failure) {
        // A caller that has gone does not want to know.
        drop(self.reply.send(Err(failure)));
    }
}
