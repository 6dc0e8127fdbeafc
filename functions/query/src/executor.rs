//! The threads that plan and execute queries.
//!
//! ```text
//!   threads that serve requests             threads of queries
//!     |-- statement, snapshot, place ---------> plan, execute --> partitions
//!     |   watches the time                        |
//!     | <------------- rows, by a channel --------|
//!     | <- reads of the store, catalog, manifest -|
//! ```
//!
//! A query computes for as long as it likes between two moments at which others get a turn. On threads of its own it
//! holds up nothing but queries: whoever waits for it watches the time, and gives it up by dropping its [`Job`]. What
//! others wait for as well, a request to the store or the catalog, is not done there but at [`Home`], so that
//! connections, locks and limits are never in the hands of a task that nobody gets round to.
//!
//! A query that was given up ends when it next gives others a turn, or looks at its
//! [`Interrupt`](crate::interrupt::Interrupt). Until then it has its place among the queries that run: a machine that
//! is busy with what nobody waits for takes on no more of it.

use std::{
    fmt, io,
    panic::resume_unwind,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
};

use crate::{QueryError, interrupt::Interrupt};

/// The stack of a thread: a long statement is planned by recursion. What is not used takes no memory.
const THREAD_STACK_BYTES: usize = 128 << 20;

/// Where queries are planned and executed. Cloning shares it; the threads end with the last clone, without waiting
/// for what they are at.
#[derive(Clone)]
pub struct Executor(Arc<Threads>);

struct Threads {
    /// None: queries run on the runtime of their caller.
    own: Option<Runtime>,
    home: Home,
    given_up: Arc<AtomicUsize>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // Who drops the last clone may be a task, which must not wait.
            own.shutdown_background();
        }
    }
}

impl Executor {
    /// Runs queries on the runtime of their caller: for simulations, which have one thread, and tests.
    pub fn of_caller() -> Self {
        Self::new(None, Home(None))
    }

    /// Runs queries on threads of their own, which ask the store on the present runtime.
    ///
    /// # Errors
    /// The threads can't be started, or there is no present runtime.
    pub fn with_threads(threads: usize) -> Result<Self, QueryError> {
        let home = Handle::try_current().map_err(io::Error::other);
        let home = home.map_err(QueryError::Threads)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            // For what reads and decodes; each has a stack like the others.
            .max_blocking_threads(threads.max(1) * 4)
            .thread_name("neap-query")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(QueryError::Threads)?;
        Ok(Self::new(Some(runtime), Home(Some(home))))
    }

    fn new(own: Option<Runtime>, home: Home) -> Self {
        Self(Arc::new(Threads {
            own,
            home,
            given_up: Arc::default(),
        }))
    }

    /// The number of queries that were given up and compute nevertheless.
    pub fn given_up(&self) -> usize {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// The number of tasks that are not at their end, those of partitions among them.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        let own = self.0.own.as_ref();
        own.map_or(0, |own| own.metrics().num_alive_tasks())
    }

    /// The runtime that asks the store.
    pub(crate) fn home(&self) -> &Home {
        &self.0.home
    }

    /// A place among the queries that run, for a query that can be interrupted.
    pub(crate) fn place(&self, permit: OwnedSemaphorePermit, interrupt: Interrupt) -> Arc<Place> {
        Arc::new(Place {
            _permit: permit,
            interrupt,
            given_up: Arc::clone(&self.0.given_up),
        })
    }

    /// Begins with the work of a query.
    pub(crate) fn spawn(
        &self,
        place: &Arc<Place>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Job {
        Job {
            task: match &self.0.own {
                Some(own) => own.spawn(work),
                None => tokio::spawn(work),
            },
            place: Arc::downgrade(place),
            is_done: false,
        }
    }

    /// Does what computes for no query in particular; who drops the future gives it up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match &self.0.own {
            Some(own) => output(Abort(own.spawn(work))).await,
            None => work.await,
        }
    }
}

impl Default for Executor {
    fn default() -> Self {
        Self::of_caller()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("has_threads", &self.0.own.is_some())
            .field("given_up", &self.given_up())
            .finish()
    }
}

/// A place among the queries that run. Whatever computes for a query holds it: the task that hands its rows over,
/// and those that work on its partitions. It is free again when the last of them has ended.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    interrupt: Interrupt,
    given_up: Arc<AtomicUsize>,
}

impl Place {
    /// Has everything end that still computes for the query.
    pub(crate) fn give_up(&self) {
        if self.interrupt.set() {
            self.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.interrupt.is_set() {
            self.given_up.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The work of a query. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Job {
    task: JoinHandle<()>,
    place: Weak<Place>,
    is_done: bool,
}

impl Job {
    /// Notes that its last word was heard.
    pub(crate) fn done(&mut self) {
        self.is_done = true;
    }

    /// Waits for its end; false if it did not come to one of its own.
    ///
    /// # Panics
    /// It panicked.
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

impl Drop for Job {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.task.abort();
        if let Some(place) = self.place.upgrade() {
            place.give_up();
        }
    }
}

/// The runtime that serves requests, where the store, the catalog and the manifests are asked.
#[derive(Clone, Debug)]
pub(crate) struct Home(Option<Handle>);

impl Home {
    /// Does something there; who drops the future gives it up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match &self.0 {
            Some(home) => output(Abort(home.spawn(work))).await,
            None => work.await,
        }
    }
}

/// A task that is aborted when nobody waits for it.
struct Abort<T>(JoinHandle<T>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a task comes to.
async fn output<T>(mut task: Abort<T>) -> T {
    match (&mut task.0)
        .await
        .map_err(tokio::task::JoinError::try_into_panic)
    {
        Ok(output) => output,
        Err(Ok(panic)) => resume_unwind(panic),
        // Its runtime is being shut down, and whoever waits here with it.
        Err(Err(_)) => std::future::pending().await,
    }
}
