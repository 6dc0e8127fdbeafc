//! CPU-bound work on blocking threads.

use datafusion::common::Result;
use neap_scan::external;

/// Runs CPU-bound work on a blocking thread, because it would delay requests on an async worker thread.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(external)
}
