//! Pauses of long computations, in which other tasks run and a query can be cancelled.

use tokio::task::yield_now;

/// The number of samples that are visited before other tasks run.
const SAMPLES_PER_TURN: usize = 100_000;

/// Counts the samples that a computation visits.
#[derive(Debug, Default)]
pub(crate) struct WorkCounter {
    visited: usize,
}

impl WorkCounter {
    /// Counts samples. Lets other tasks run after each [`SAMPLES_PER_TURN`].
    pub(crate) async fn count(&mut self, samples: usize) {
        self.visited = self.visited.saturating_add(samples);
        if self.visited > SAMPLES_PER_TURN {
            self.visited = 0;
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn other_tasks_run_after_many_samples() {
        let mut work = WorkCounter::default();
        assert!(work.count(SAMPLES_PER_TURN).now_or_never().is_some());
        assert!(work.count(1).now_or_never().is_none());
        assert!(work.count(1).now_or_never().is_some());
    }
}
