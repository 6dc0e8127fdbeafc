//! The threads that plan and execute queries.
//!
//! ```text
//!   I/O runtime                              query threads
//!     |-- statement, snapshot, permit --------> plan, execute --> partitions
//!     |   enforces the timeout                    |
//!     | <----------- rows, by a channel ----------|
//!     | <- reads of the store, catalog, manifest -|
//! ```
//!
//! A query may compute for any length of time without yielding. On separate threads it blocks only other queries: the
//! caller enforces the timeout and cancels the query by dropping its [`QueryTaskHandle`]. Requests to the store and the catalog,
//! which other requests also wait for, run on the [`IoRuntime`]. Otherwise a starved task could hold connections, locks
//! and limits.
//!
//! A cancelled query ends when it next yields or checks its [`Cancellation`]. It holds its permit until then, so that a
//! machine that is busy with cancelled queries starts no more of them.

use std::{
    io,
    panic::resume_unwind,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use neap_operators::{Cancellation, RunningGuard};
use neap_scan::{IoRuntime, run_on};
use tracing::Instrument;

use crate::{QueryError, query_permits::HeldPermit};

/// The stack size of a thread that plans or decodes statements, in bytes. Both recurse once per operator, of which a statement may
/// have 5,000. Unused stack takes no memory.
pub const THREAD_STACK_BYTES: usize = 128 << 20;

/// Plans and executes queries. Clones share the threads, which end when the last clone is dropped, without waiting for
/// running work.
#[derive(Clone, derive_more::Debug)]
#[debug("Executor {{ has_threads: {:?}, given_up: {:?} }}", self.0.own.is_some(), self.given_up())]
pub struct Executor(Arc<ExecutorInner>);

struct ExecutorInner {
    /// `None`: queries run on the runtime of the caller.
    own: Option<Runtime>,
    io_runtime: IoRuntime,
    given_up: Arc<AtomicUsize>,
}

impl Drop for ExecutorInner {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // The last clone may be dropped inside a task, which must not block.
            own.shutdown_background();
        }
    }
}

impl Executor {
    /// Runs queries on the runtime of the caller: for simulations, which have one thread, and for tests.
    pub fn of_caller() -> Self {
        Self::new(None, IoRuntime::of_caller())
    }

    /// Runs queries on separate threads; their I/O runs on the current runtime.
    ///
    /// # Errors
    /// The threads can't be started, or there is no current runtime.
    pub fn with_threads(threads: usize) -> Result<Self, QueryError> {
        let home = Handle::try_current()
            .map_err(io::Error::other)
            .map_err(QueryError::ThreadStart)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            // For blocking reads and decoding. Each thread has a stack of the same size.
            .max_blocking_threads(threads.max(1) * 4)
            .thread_name("neap-query")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(QueryError::ThreadStart)?;
        Ok(Self::new(Some(runtime), IoRuntime::new(home)))
    }

    fn new(own: Option<Runtime>, io_runtime: IoRuntime) -> Self {
        Self(Arc::new(ExecutorInner { own, io_runtime, given_up: Arc::default() }))
    }

    /// The number of cancelled queries that still hold their permits.
    pub fn given_up(&self) -> usize {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// The number of live tasks on the query threads, including those of partitions.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        let own = self.0.own.as_ref();
        own.map_or(0, |own| own.metrics().num_alive_tasks())
    }

    /// The runtime that performs I/O.
    pub(crate) fn io_runtime(&self) -> &IoRuntime {
        &self.0.io_runtime
    }

    /// Creates the permit of a query that can be cancelled.
    pub(crate) fn query_permit(
        &self,
        permit: HeldPermit,
        cancellation: Cancellation,
    ) -> Arc<QueryPermit> {
        Arc::new(QueryPermit {
            _permit: permit,
            cancellation,
            given_up: Arc::clone(&self.0.given_up),
        })
    }

    /// Spawns the task of a query, in the span of the caller.
    pub(crate) fn spawn(
        &self,
        place: &Arc<QueryPermit>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> QueryTaskHandle {
        let work = work.in_current_span();
        QueryTaskHandle {
            task: match &self.0.own {
                Some(own) => own.spawn(work),
                None => tokio::spawn(work),
            },
            place: Arc::downgrade(place),
            is_done: false,
        }
    }

    /// Runs work that belongs to no single query. Dropping the future cancels it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match &self.0.own {
            Some(own) => run_on(own.handle(), work).await,
            None => work.await,
        }
    }
}

impl Default for Executor {
    fn default() -> Self {
        Self::of_caller()
    }
}

/// The permit of a running query. Everything that computes for the query holds it: the task that sends its rows and the
/// tasks of its partitions. It is released when the last of them ends.
#[derive(Debug)]
pub(crate) struct QueryPermit {
    _permit: HeldPermit,
    cancellation: Cancellation,
    given_up: Arc<AtomicUsize>,
}

impl QueryPermit {
    /// Cancels all work of the query.
    pub(crate) fn cancel(&self) {
        if self.cancellation.cancel() {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl QueryPermit {
    /// The guard that operators of the query hold while they run.
    pub(crate) fn guard(self: &Arc<Self>) -> Arc<RunningGuard> {
        Arc::new(RunningGuard(Arc::clone(self) as _))
    }
}

impl Drop for QueryPermit {
    fn drop(&mut self) {
        if self.cancellation.is_cancelled() {
            self.given_up.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A handle to the task of a query. Dropping it cancels the query.
#[derive(Debug)]
pub(crate) struct QueryTaskHandle {
    task: JoinHandle<()>,
    place: Weak<QueryPermit>,
    is_done: bool,
}

impl QueryTaskHandle {
    /// Marks the job as finished, because its last message was received.
    pub(crate) fn done(&mut self) {
        self.is_done = true;
    }

    /// Waits until the task ends. Returns false if the task was aborted.
    ///
    /// # Panics
    /// If the task panicked.
    pub(crate) async fn ended(&mut self) -> bool {
        let ended = (&mut self.task).await;
        self.is_done = true;
        match ended.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(()) => true,
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => false,
        }
    }
}

impl Drop for QueryTaskHandle {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.task.abort();
        if let Some(place) = self.place.upgrade() {
            place.cancel();
        }
    }
}
