//! File I/O outside of the threads that run asynchronous tasks.

use super::PluginCodeError;

/// Runs blocking file I/O on the blocking thread pool.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, PluginCodeError> + Send + 'static,
) -> Result<R, PluginCodeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(PluginCodeError::Io(error.to_string())))
}
