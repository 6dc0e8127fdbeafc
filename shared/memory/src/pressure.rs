//! How near the process is to its limit, for those who can wait.

use std::time::Duration;

use neap_bucket::World;
use tokio::sync::watch;

/// How near the memory that a process holds is to its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PressureLevel {
    /// There is room.
    #[default]
    Low,
    /// Flushes are due now, and what is kept only for speed goes.
    High,
    /// New work waits for a while.
    Critical,
    /// New work that has waited is refused.
    Full,
}

/// What those who can wait go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PressureState {
    /// How near the memory itself is to its limit.
    pub(crate) memory: PressureLevel,
    /// The same, or what the tail asks for.
    pub(crate) level: PressureLevel,
    /// How long each write is held up.
    pub(crate) write_delay: Duration,
}

/// The memory pressure of a process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct MemoryPressure {
    state: watch::Receiver<PressureState>,
}

impl MemoryPressure {
    /// That of a process whose memory nobody watches: always low.
    pub fn none() -> Self {
        Self::of(watch::Sender::default().subscribe())
    }

    pub(crate) fn of(state: watch::Receiver<PressureState>) -> Self {
        Self { state }
    }

    /// The level now.
    pub fn level(&self) -> PressureLevel {
        self.state.borrow().level
    }

    /// How long a write is to be held up, so that no more comes than flushes take out.
    pub fn write_delay(&self) -> Duration {
        self.state.borrow().write_delay
    }

    /// Waits until the pressure is not critical, for at most `longest`; false if the memory is full then. What is only
    /// critical may go on: the allocator may keep what nobody uses.
    pub async fn relieved(&self, world: &World, longest: Duration) -> bool {
        if self.level() < PressureLevel::Critical {
            return true;
        }
        let mut watched = self.state.clone();
        let relieved = watched.wait_for(|now| now.level < PressureLevel::Critical);
        // Whether it came to that is seen from the level.
        let _waited = world.timeout(longest, relieved).await;
        self.level() < PressureLevel::Full
    }
}

impl Default for MemoryPressure {
    fn default() -> Self {
        Self::none()
    }
}
