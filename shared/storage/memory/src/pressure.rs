//! The memory pressure of the process, for work that can wait.

use std::time::Duration;

use neap_bucket::World;
use tokio::sync::watch;

/// The level of memory pressure, by the distance of the resident memory to its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PressureLevel {
    /// Memory is available.
    #[default]
    Low,
    /// Flushes are due immediately, and memory that is used only for speed is freed.
    High,
    /// New work waits for a limited time.
    Critical,
    /// New work is refused after waiting.
    Full,
    /// Work in progress is ended.
    Exhausted,
}

/// The state that a monitor publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PressureState {
    /// The level of the resident memory alone.
    pub(crate) memory: PressureLevel,
    /// The higher of the levels of the memory and of the tail.
    pub(crate) level: PressureLevel,
    pub(crate) write_delay: Duration,
}

/// A handle to the memory pressure of the process. Clones share the state.
#[derive(Clone, Debug)]
pub struct MemoryPressure {
    state: watch::Receiver<PressureState>,
}

impl MemoryPressure {
    /// Returns the pressure of a process without a monitor: always low.
    pub fn none() -> Self {
        Self::from_state(watch::Sender::default().subscribe())
    }

    pub(crate) fn from_state(state: watch::Receiver<PressureState>) -> Self {
        Self { state }
    }

    /// Returns the present level.
    pub fn level(&self) -> PressureLevel {
        self.state.borrow().level
    }

    /// Returns the delay of a write, which keeps writes no faster than flushes.
    pub fn write_delay(&self) -> Duration {
        self.state.borrow().write_delay
    }

    /// Waits until the pressure is below critical, for at most `longest`. Returns false if the memory is full then.
    /// Work may continue at the critical level, because the allocator may keep memory that is no longer used.
    pub async fn wait_until_relieved(&self, world: &World, longest: Duration) -> bool {
        if self.level() < PressureLevel::Critical {
            return true;
        }
        let mut watched = self.state.clone();
        let relieved = watched.wait_for(|now| now.level < PressureLevel::Critical);
        // The level below shows whether the wait has succeeded.
        let _waited = world.timeout(longest, relieved).await;
        self.level() < PressureLevel::Full
    }
}

impl Default for MemoryPressure {
    fn default() -> Self {
        Self::none()
    }
}
