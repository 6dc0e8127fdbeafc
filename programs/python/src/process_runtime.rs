//! The threads of a connection.

use std::{pin::pin, time::Duration};

use neap_bucket::World;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::errors::Error;

/// The interval at which a waiting call looks for signals, such as that of Ctrl-C.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Threads for requests to the store. Queries compute on others.
const IO_THREADS: usize = 2;

/// The runtime of a connection, which works only in the process that started it: a fork has none of its threads.
#[derive(Debug)]
pub(crate) struct ProcessRuntime {
    /// `None` while it is dropped.
    runtime: Option<Runtime>,
    process: u32,
    world: World,
}

impl ProcessRuntime {
    /// Starts the threads.
    pub(crate) fn start() -> PyResult<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("neapdb")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            process: std::process::id(),
            world: World::system(),
        })
    }

    /// Returns the runtime.
    ///
    /// # Errors
    /// This process is a fork of the one that started it.
    fn get(&self) -> PyResult<&Runtime> {
        let own = self.runtime.as_ref().filter(|_| self.process == std::process::id());
        own.ok_or_else(|| {
            Error::new_err("the connection belongs to the process before the fork: connect again")
        })
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
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its threads could block the interpreter.
            runtime.shutdown_background();
        }
    }
}
