//! The threads of a connection.

use std::{pin::pin, sync::OnceLock, time::Duration};

use neap_bucket::World;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::errors::Error;

/// The interval at which a waiting call looks for signals, such as that of Ctrl-C.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Threads for requests to the store. Queries compute on others.
const IO_THREADS: usize = 2;

/// The process that started the first threads. A fork of it has none of them, but their locks and queues as they were at that
/// moment, so that threads of its own could wait forever.
static FIRST_PROCESS: OnceLock<u32> = OnceLock::new();

fn is_fork() -> bool {
    *FIRST_PROCESS.get_or_init(std::process::id) != std::process::id()
}

fn forked() -> PyErr {
    Error::new_err(
        "this process is a fork of one that had connected, which does not work: start processes by spawn or forkserver",
    )
}

/// The runtime of a connection.
#[derive(Debug)]
pub(crate) struct ProcessRuntime {
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
    world: World,
}

impl ProcessRuntime {
    /// Starts the threads.
    ///
    /// # Errors
    /// This process is a fork of one that started some.
    pub(crate) fn start() -> PyResult<Self> {
        if is_fork() {
            return Err(forked());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("neapdb")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime), world: World::system() })
    }

    /// Returns the runtime.
    ///
    /// # Errors
    /// This process is a fork of the one that started it.
    fn get(&self) -> PyResult<&Runtime> {
        self.runtime.as_ref().filter(|_| !is_fork()).ok_or_else(forked)
    }

    /// Waits for work with the interpreter's lock released. A signal whose handler raises an exception drops the work.
    pub(crate) fn wait<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Future<Output = T> + Send,
    ) -> PyResult<T> {
        let runtime = self.get()?;
        let mut work = pin!(work);
        loop {
            let turn = || {
                let pending = work.as_mut();
                runtime.block_on(async { self.world.timeout(SIGNAL_INTERVAL, pending).await })
            };
            if let Some(result) = py.detach(turn) {
                return Ok(result);
            }
            py.check_signals()?;
        }
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if is_fork() {
            std::mem::forget(runtime);
        } else {
            // Waiting for its threads could block the interpreter.
            runtime.shutdown_background();
        }
    }
}
