//! Limits how often something happens.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use neap_bucket::World;

/// Allows one event in each interval.
#[derive(Debug)]
pub(crate) struct EventInterval {
    world: World,
    interval: Duration,
    last: Mutex<Option<Duration>>,
}

impl EventInterval {
    pub(crate) fn new(world: World, interval: Duration) -> Self {
        Self { world, interval, last: Mutex::default() }
    }

    /// Returns whether the event may happen now. If so, it counts as happened.
    pub(crate) fn allows(&self) -> bool {
        let now = self.world.clock.monotonic();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = last.is_none_or(|last| now.saturating_sub(last) >= self.interval);
        if allowed {
            *last = Some(now);
        }
        allowed
    }
}
