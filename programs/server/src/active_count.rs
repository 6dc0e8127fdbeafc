//! Counts active objects, and waits until there are none.

use std::{sync::Arc, time::Duration};

use neap_bucket::World;
use tokio::sync::watch;

/// The number of active objects. Clones share the count.
#[derive(Clone, Debug)]
pub(super) struct ActiveCount(Arc<watch::Sender<usize>>);

impl Default for ActiveCount {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

/// A guard that counts as one active object until it is dropped.
#[derive(Debug)]
pub(super) struct ActiveGuard(Arc<watch::Sender<usize>>);

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl ActiveCount {
    /// Adds one; the guard removes it.
    pub(super) fn enter(&self) -> ActiveGuard {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        ActiveGuard(Arc::clone(&self.0))
    }

    pub(super) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until the count is zero.
    pub(super) async fn wait_until_zero(&self) {
        // The receiver can't fail, because `self` holds the sender.
        self.0.subscribe().wait_for(|count| *count == 0).await.ok();
    }

    /// Waits until the count has been zero for `time`.
    pub(super) async fn wait_until_zero_for(&self, time: Duration, world: &World) {
        let mut count = self.0.subscribe();
        loop {
            count.wait_for(|count| *count == 0).await.ok();
            let active = count.wait_for(|count| *count > 0);
            if world.timeout(time, active).await.is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_last_guard_is_dropped() {
        let presence = ActiveCount::default();
        let (one, other) = (presence.enter(), presence.enter());
        assert_eq!(presence.count(), 2);
        drop(one);
        assert!(presence.wait_until_zero().now_or_never().is_none());
        drop(other);
        presence.wait_until_zero().await;
        let world = World::system();
        presence.wait_until_zero_for(Duration::from_secs(60), &world).await;
    }
}
