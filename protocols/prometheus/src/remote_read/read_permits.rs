//! Limits the number of answers that are in memory at once, because each of them may take 64 MiB.

use std::{sync::Arc, time::Duration};

use neap_bucket::World;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::remote_read::failure::{ReadFailure, ReadResult};

/// The number of answers that are in memory at once.
pub(crate) const MAX_ANSWERS: usize = 2;

/// The right to have an answer in memory. Dropping it returns the right.
#[derive(Debug)]
pub(crate) struct ReadPermit {
    _permit: OwnedSemaphorePermit,
}

/// The rights of all requests.
#[derive(Clone, Debug)]
pub(crate) struct ReadPermits {
    free: Arc<Semaphore>,
}

impl ReadPermits {
    pub(crate) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_ANSWERS)) }
    }

    /// Waits for the right to have an answer.
    ///
    /// # Errors
    /// `Busy`: no right becomes free in time.
    pub(crate) async fn acquire(&self, world: &World, wait: Duration) -> ReadResult<ReadPermit> {
        let permit = Arc::clone(&self.free).acquire_owned();
        match world.timeout(wait, permit).await {
            Some(Ok(permit)) => Ok(ReadPermit { _permit: permit }),
            // The semaphore is never closed.
            Some(Err(_)) | None => Err(ReadFailure::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_for_others_for_a_limited_time() {
        let (permits, world) = (ReadPermits::new(), World::system());
        let acquire = || permits.acquire(&world, Duration::from_secs(1));
        let first = acquire().await.unwrap();
        let _second = acquire().await.unwrap();
        assert!(matches!(acquire().await, Err(ReadFailure::Busy)));
        drop(first);
        assert!(acquire().await.is_ok());
    }
}
