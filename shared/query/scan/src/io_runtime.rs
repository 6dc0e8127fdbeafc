//! The runtime that serves requests and performs all I/O of queries.

use std::panic::resume_unwind;

use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle},
};
use tracing::Instrument;

/// The runtime that performs requests to the store, the catalog and the manifests. Queries compute on threads of their
/// own, so a task that holds a connection or a lock never waits behind a computation. Cloning shares the runtime.
#[derive(Clone, Debug)]
pub struct IoRuntime(Option<Handle>);

impl IoRuntime {
    /// The runtime of this handle.
    pub fn new(handle: Handle) -> Self {
        Self(Some(handle))
    }

    /// The runtime of the caller: for simulations, which have one thread, and tests.
    pub fn of_caller() -> Self {
        Self(None)
    }

    /// Runs `work` on the runtime. Dropping the future aborts the work.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match &self.0 {
            Some(handle) => run_on(handle, work).await,
            None => work.await,
        }
    }
}

/// Runs `work` on a runtime, in the span of the caller. Dropping the future aborts the work. If the runtime shuts down first, the future never
/// completes.
///
/// # Panics
/// The work panicked.
pub async fn run_on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut task = AbortOnDrop(runtime.spawn(work.in_current_span()));
    match (&mut task.0).await.map_err(JoinError::try_into_panic) {
        Ok(output) => output,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime shuts down, and the caller with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// A task that is aborted when its owner drops it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
