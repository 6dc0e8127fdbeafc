//! The threads of the worker.

use std::io;

use neap_query::THREAD_STACK_BYTES;
use tokio::runtime::{Builder, Handle, Runtime};

use super::answer_body::{THREAD_NAME, ThreadMonitor};

/// The threads that execute tasks. They end when this is dropped, without waiting for running tasks.
#[derive(Debug)]
pub(super) struct WorkerThreads {
    pub(super) handle: Handle,
    pub(super) monitor: ThreadMonitor,
    runtime: Option<Runtime>,
}

impl WorkerThreads {
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .max_blocking_threads(threads.max(1) * 4)
            .thread_name(THREAD_NAME)
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            monitor: ThreadMonitor::new(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for WorkerThreads {
    fn drop(&mut self) {
        self.monitor.end();
        if let Some(runtime) = self.runtime.take() {
            // The last owner may be dropped inside a task, which must not block.
            runtime.shutdown_background();
        }
    }
}
