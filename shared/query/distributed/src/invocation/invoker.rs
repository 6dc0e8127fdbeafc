//! The interface to the service that invokes functions.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// Reason why an invocation has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The service refused the invocation for now. Nothing ran.
    #[error("the invocation was throttled: {0}")]
    Throttled(String),
    /// The service did not answer. The function may have run.
    #[error("no answer to the invocation: {0}")]
    Unavailable(String),
    /// The function crashed or timed out.
    #[error("the invocation failed: {0}")]
    Failed(String),
    /// The service refuses such invocations: there is no such function, or no permission.
    #[error("the invocation was refused: {0}")]
    Refused(String),
}

/// Invokes the function whose invocations are workers.
#[async_trait]
pub trait TaskInvoker: fmt::Debug + Send + Sync + 'static {
    /// Sends an event and returns the reply. Dropping the future ends the connection. The invocation then ends by
    /// itself, at the time limit in the event.
    ///
    /// # Errors
    /// There is no reply.
    async fn invoke(&self, event: Bytes, limit: Duration) -> Result<Bytes, InvokeError>;
}
