//! The protocol over the standard input and output: one JSON document per line.

use std::sync::Arc;

use neap_bucket::World;
use rmcp::ServiceExt;

use crate::{HttpApi, WriteAccess, server::ToolServer};

/// The protocol ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The first messages are not those of the protocol, or the input ended.
    #[error("the agent did not start the protocol: {0}")]
    Handshake(String),
    /// The server ended before the input.
    #[error("the server ended: {0}")]
    Ended(String),
}

/// Answers an agent until it closes the input.
///
/// # Errors
/// [`StdioError`].
pub async fn serve_stdio(
    api: Arc<dyn HttpApi>,
    writes: WriteAccess,
    version: &'static str,
    world: World,
) -> Result<(), StdioError> {
    let server = ToolServer { api, writes, world, version };
    let started = server.serve((tokio::io::stdin(), tokio::io::stdout()));
    let running = started.await.map_err(|error| StdioError::Handshake(error.to_string()))?;
    match running.waiting().await {
        Ok(_) => Ok(()),
        Err(error) => Err(StdioError::Ended(error.to_string())),
    }
}
