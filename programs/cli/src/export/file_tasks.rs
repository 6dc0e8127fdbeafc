//! Blocking work on files, whose end can be waited for.

use std::sync::Arc;

use tokio::sync::RwLock;

use super::{ExportError, ExportResult};

/// Runs blocking work on separate threads. The work goes on if its caller stops waiting.
#[derive(Debug, Default)]
pub(super) struct FileTasks {
    /// Work in progress holds a read lock.
    running: Arc<RwLock<()>>,
}

impl FileTasks {
    /// Runs work and returns its outcome.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> ExportResult<T> + Send + 'static,
    ) -> ExportResult<T> {
        let running = Arc::clone(&self.running).read_owned().await;
        let task = move || {
            let done = work();
            drop(running);
            done
        };
        let done = tokio::task::spawn_blocking(task).await;
        done.unwrap_or_else(|error| Err(ExportError::Interrupted(error.to_string())))
    }

    /// Waits until no work is in progress.
    pub(super) async fn finished(&self) {
        drop(self.running.write().await);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    };

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_whose_caller_stopped_waiting_is_waited_for() {
        let tasks = FileTasks::default();
        let (release, released) = mpsc::channel::<()>();
        let is_written = Arc::new(AtomicBool::new(false));
        let written = Arc::clone(&is_written);
        let work = tasks.run(move || {
            released.recv().ok();
            written.store(true, Ordering::SeqCst);
            Ok(())
        });
        // Polled once, so that the work begins; then dropped.
        assert!(work.now_or_never().is_none());
        assert!(tasks.finished().now_or_never().is_none());
        release.send(()).unwrap();
        tasks.finished().await;
        assert!(is_written.load(Ordering::SeqCst));
        assert_eq!(tasks.run(|| Ok(7)).await.unwrap(), 7);
    }
}
