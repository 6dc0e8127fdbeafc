//! Limits the memory that parallel jobs take together.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The memory of one large job, divided into equal slots for parallel jobs: a small job takes one slot, a large job
/// takes all. Slots are granted in the order of requests, so that small jobs do not starve a large one. Clones share
/// the slots.
#[derive(Clone, Debug)]
pub(crate) struct JobSlots {
    free: Arc<Semaphore>,
    total: u32,
}

impl JobSlots {
    /// Creates `total` slots, at least one.
    pub(crate) fn new(total: usize) -> Self {
        let total = u32::try_from(total.max(1)).unwrap_or(u32::MAX >> 4);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Maximum number of parallel jobs.
    pub(crate) fn total(&self) -> usize {
        self.total as usize
    }

    /// Returns the number of slots for a job of a size, where `whole` is the size of a job that takes all slots.
    pub(crate) fn needed(&self, size: u64, whole: u64) -> u32 {
        let slots = (u128::from(size) * u128::from(self.total)).div_ceil(u128::from(whole.max(1)));
        u32::try_from(slots).map_or(self.total, |slots| slots.clamp(1, self.total))
    }

    /// Returns the share of a limit that belongs to `slots` slots.
    pub(crate) fn part(&self, limit: u64, slots: u32) -> u64 {
        let part = u128::from(limit) * u128::from(slots) / u128::from(self.total);
        u64::try_from(part).map_or(limit, |part| part.min(limit))
    }

    /// Waits until `slots` slots are free. Dropping the permit frees them. Never returns `None`, because the semaphore
    /// is never closed.
    pub(crate) async fn acquire(&self, slots: u32) -> Option<SemaphorePermit<'_>> {
        self.free.acquire_many(slots.min(self.total)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_takes_slots_by_its_size_and_at_most_all() {
        let slots = JobSlots::new(16);
        let needed = [0, 1, 2 << 20, (2 << 20) + 1, 8 << 20, 32 << 20, u64::MAX]
            .map(|bytes| slots.needed(bytes, 32 << 20));
        assert_eq!(needed, [1, 1, 1, 2, 4, 16, 16]);
        assert_eq!([1, 4, 16].map(|slots_of_job| slots.part(32, slots_of_job)), [2, 8, 32]);
    }

    #[tokio::test]
    async fn a_large_job_runs_alone_and_before_later_jobs() {
        let slots = JobSlots::new(4);
        let small = slots.acquire(1).await.unwrap();
        let large = slots.acquire(4);
        futures::pin_mut!(large);
        assert!(futures::poll!(&mut large).is_pending());
        let late = slots.acquire(1);
        futures::pin_mut!(late);
        assert!(futures::poll!(&mut late).is_pending());
        drop(small);
        let large = large.await.unwrap();
        assert!(futures::poll!(&mut late).is_pending());
        drop(large);
        assert!(late.await.is_some());
    }
}
