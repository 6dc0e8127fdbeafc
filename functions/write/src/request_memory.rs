//! Limits the bytes held by all requests in progress.

use std::{sync::Arc, time::Duration};

use neap_bucket::World;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::WriteFailure;

/// Bytes per permit of the semaphore.
const UNIT_BYTES: usize = 1024;

/// Maximum wait for bytes to become free.
const MAX_MEMORY_WAIT: Duration = Duration::from_secs(1);

/// Maximum bytes held at once.
#[derive(Debug)]
pub(crate) struct RequestMemory {
    units: Arc<Semaphore>,
    all_units: u32,
    world: World,
}

/// Memory reserved for a request. Dropping it returns the bytes.
#[derive(Debug)]
pub struct RequestMemoryReservation {
    units: OwnedSemaphorePermit,
}

impl RequestMemoryReservation {
    /// Adds another reservation to this one.
    pub fn merge(&mut self, other: Self) {
        self.units.merge(other.units);
    }
}

impl RequestMemory {
    pub(crate) fn new(bytes: usize, world: World) -> Self {
        let all_units = units(bytes).min(u32::MAX >> 4);
        Self {
            units: Arc::new(Semaphore::new(all_units as usize)),
            all_units,
            world,
        }
    }

    pub(crate) fn reserved_bytes(&self) -> usize {
        let free = self.units.available_permits();
        (self.all_units as usize).saturating_sub(free) * UNIT_BYTES
    }

    /// Reserves `bytes`, or the whole budget if `bytes` exceeds it.
    /// Fails with `Busy` if the bytes do not become free in time.
    pub(crate) async fn reserve(
        &self,
        bytes: usize,
    ) -> Result<RequestMemoryReservation, WriteFailure> {
        self.acquire(units(bytes).min(self.all_units)).await
    }

    /// Reserves more for a request that turns out to need `bytes` in total. The sum with `held` never exceeds the whole
    /// budget.
    /// Fails with `Busy` if the bytes do not become free in time.
    pub(crate) async fn reserve_up_to(
        &self,
        bytes: usize,
        held: &RequestMemoryReservation,
    ) -> Result<RequestMemoryReservation, WriteFailure> {
        let held = u32::try_from(held.units.num_permits()).unwrap_or(u32::MAX);
        self.acquire(units(bytes).min(self.all_units).saturating_sub(held)).await
    }

    async fn acquire(&self, units: u32) -> Result<RequestMemoryReservation, WriteFailure> {
        let acquired = Arc::clone(&self.units).acquire_many_owned(units);
        match self.world.timeout(MAX_MEMORY_WAIT, acquired).await {
            Some(Ok(units)) => Ok(RequestMemoryReservation { units }),
            // The semaphore is never closed.
            Some(Err(_)) | None => Err(WriteFailure::Busy),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_free_bytes_for_a_limited_time() {
        let budget = RequestMemory::new(10 * UNIT_BYTES, World::system());
        let most = budget.reserve(9 * UNIT_BYTES).await.unwrap();
        let _rest = budget.reserve(1).await.unwrap();
        let refused = budget.reserve(1).await;
        assert!(matches!(refused, Err(WriteFailure::Busy)));
        drop(most);
        assert!(budget.reserve(9 * UNIT_BYTES).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_growing_request_does_not_wait_for_its_own_bytes() {
        let budget = RequestMemory::new(10 * UNIT_BYTES, World::system());
        let first = budget.reserve(3 * UNIT_BYTES).await.unwrap();
        let more = budget.reserve_up_to(usize::MAX, &first).await.unwrap();
        assert_eq!(more.units.num_permits(), 7);
        drop(more);
        let none = budget.reserve_up_to(UNIT_BYTES, &first).await.unwrap();
        assert_eq!(none.units.num_permits(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_larger_than_the_budget_takes_all_of_it() {
        let budget = RequestMemory::new(UNIT_BYTES, World::system());
        let all = budget.reserve(usize::MAX).await.unwrap();
        assert!(budget.reserve(1).await.is_err());
        drop(all);
        assert!(budget.reserve(1).await.is_ok());
    }
}
