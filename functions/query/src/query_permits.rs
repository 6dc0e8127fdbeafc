//! The permits of running queries, whose number can change while queries run.
//!
//! ```text
//!   acquire -> permit held -> dropped -> available for the next query
//!                                   \
//!                                    surplus after a lower limit: the permit is removed
//! ```
//!
//! A lower limit cancels no query: it removes the available permits at once, and the others when their queries end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The permits of a process. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct QueryPermits(Arc<QueryPermitsInner>);

#[derive(Debug)]
struct QueryPermitsInner {
    semaphore: Arc<Semaphore>,
    count: Mutex<PermitCount>,
}

#[derive(Clone, Copy, Debug)]
struct PermitCount {
    /// The number of queries that may run.
    limit: usize,
    /// The number of held permits above the limit, which are removed when they are dropped.
    surplus: usize,
}

impl QueryPermits {
    /// The maximum number of permits.
    pub(crate) const MAX: usize = Semaphore::MAX_PERMITS;

    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(Self::MAX);
        let count = Mutex::new(PermitCount { limit, surplus: 0 });
        let semaphore = Arc::new(Semaphore::new(limit));
        Self(Arc::new(QueryPermitsInner { semaphore, count }))
    }

    /// The number of queries that may run.
    pub(crate) fn limit(&self) -> usize {
        self.0.count().limit
    }

    /// Changes the number of queries that may run, at most [`MAX`](Self::MAX).
    pub(crate) fn set_limit(&self, limit: usize) {
        let limit = limit.min(Self::MAX);
        let mut count = self.0.count();
        if limit >= count.limit {
            let added = limit - count.limit;
            let kept = added.min(count.surplus);
            count.surplus -= kept;
            self.0.semaphore.add_permits(added - kept);
        } else {
            let removed = count.limit - limit;
            let available = self.0.semaphore.forget_permits(removed);
            count.surplus += removed - available;
        }
        count.limit = limit;
    }

    /// Waits for a permit; `None` if there will be none.
    pub(crate) async fn acquire(&self) -> Option<HeldPermit> {
        let permit = Arc::clone(&self.0.semaphore).acquire_owned().await.ok()?;
        Some(HeldPermit { permit: Some(permit), permits: Arc::clone(&self.0) })
    }
}

impl QueryPermitsInner {
    fn count(&self) -> MutexGuard<'_, PermitCount> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit that a query holds. Dropping it lets another query run.
#[derive(Debug)]
pub(crate) struct HeldPermit {
    permit: Option<OwnedSemaphorePermit>,
    permits: Arc<QueryPermitsInner>,
}

impl Drop for HeldPermit {
    fn drop(&mut self) {
        let mut count = self.permits.count();
        if count.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            count.surplus -= 1;
            permit.forget();
        }
        // Otherwise the permit becomes available while the count is locked, so that a concurrent change sees it.
        self.permit = None;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Acquires a permit if one is available now.
    fn acquire(permits: &QueryPermits) -> Option<HeldPermit> {
        permits.acquire().now_or_never().flatten()
    }

    #[test]
    fn a_lower_limit_takes_effect_when_queries_end() {
        let permits = QueryPermits::new(3);
        let mut held: Vec<_> = (0..3).filter_map(|_| acquire(&permits)).collect();
        assert_eq!(held.len(), 3);
        permits.set_limit(1);
        held.pop();
        held.pop();
        assert!(acquire(&permits).is_none(), "one query still runs");
        held.pop();
        let one = acquire(&permits);
        assert!(one.is_some());
        assert!(acquire(&permits).is_none());
    }

    #[test]
    fn a_higher_limit_takes_effect_at_once() {
        let permits = QueryPermits::new(1);
        let one = acquire(&permits);
        assert!(one.is_some());
        assert!(acquire(&permits).is_none());
        permits.set_limit(2);
        let other = acquire(&permits);
        assert!(other.is_some());
        assert!(acquire(&permits).is_none());
        assert_eq!(permits.limit(), 2);
    }

    #[test]
    fn available_permits_agree_with_the_limit_after_any_changes() {
        let permits = QueryPermits::new(4);
        let mut held: Vec<_> = (0..3).filter_map(|_| acquire(&permits)).collect();
        for limit in [1, 3, 2, 5, QueryPermits::MAX, 2] {
            permits.set_limit(limit);
        }
        held.clear();
        let all: Vec<_> = std::iter::from_fn(|| acquire(&permits)).collect();
        assert_eq!(all.len(), 2);
    }
}
