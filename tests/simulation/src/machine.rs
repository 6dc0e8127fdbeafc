//! Machines that run instances, with faulty clocks, freezes and sudden death.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use neap_bucket::Clock;
use tokio::sync::Notify;

/// The time at which every schedule begins, in microseconds since the Unix epoch.
pub(crate) const BEGIN_MICROS: i64 = 1_700_000_000_000_000;

/// The true time of a schedule, which no component of the product sees: Tokio's paused clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VirtualTime(tokio::time::Instant);

impl VirtualTime {
    /// Starts a schedule now. Requires a paused runtime.
    pub(crate) fn begin() -> Self {
        Self(tokio::time::Instant::now())
    }

    /// Returns the time since the schedule began.
    pub(crate) fn now(&self) -> Duration {
        self.0.elapsed()
    }

    pub(crate) fn micros(&self) -> i64 {
        BEGIN_MICROS + micros(self.now())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the time that the simulation makes"
    )]
    pub(crate) async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The clocks of a machine that stop while it is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspension {
    /// No clock stops: the process was stopped.
    NoClockStops,
    /// The monotonic clock stops: the machine was suspended.
    MonotonicClockStops,
    /// Both clocks stop: a virtual machine was paused, and its wall clock has not been corrected yet.
    BothClocksStop,
}

#[derive(Debug, Default)]
struct MachineState {
    wall_offset: i64,
    lost: Duration,
    freeze: Option<(Duration, Duration)>,
    dead: bool,
    deceptions: u64,
}

impl MachineState {
    /// Returns the total time for which the machine has been frozen.
    fn total_freeze_time(&self, now: Duration) -> Duration {
        let current = self
            .freeze
            .map_or(Duration::ZERO, |(since, until)| now.min(until).saturating_sub(since));
        self.lost + current
    }
}

/// A machine. Everything that an instance does passes [`Machine::pass`].
#[derive(derive_more::Debug)]
#[debug("{name}")]
pub(crate) struct Machine {
    name: String,
    time: VirtualTime,
    suspension: Suspension,
    state: Mutex<MachineState>,
    died: Notify,
}

impl Machine {
    pub(crate) fn new(
        name: String,
        time: VirtualTime,
        suspension: Suspension,
        skew: f64,
    ) -> Arc<Self> {
        let state = MachineState { wall_offset: signed_micros(skew), ..MachineState::default() };
        Arc::new(Self {
            name,
            time,
            suspension,
            state: Mutex::new(state),
            died: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, MachineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Freezes the machine for this long.
    pub(crate) fn freeze(&self, duration: Duration) {
        let now = self.time.now();
        let mut state = self.state();
        if self.suspension == Suspension::BothClocksStop {
            state.deceptions += 1;
        }
        let until = match state.freeze {
            Some((since, until)) if until > now => {
                state.freeze = Some((since, until.max(now + duration)));
                return;
            }
            _ => now + duration,
        };
        state.lost = state.total_freeze_time(now);
        state.freeze = Some((now, until));
    }

    /// Moves the wall clock by some seconds, as NTP does.
    pub(crate) fn step_wall(&self, by: f64) {
        let mut state = self.state();
        if by < 0.0 && self.suspension != Suspension::NoClockStops {
            state.deceptions += 1;
        }
        state.wall_offset += signed_micros(by);
    }

    /// Returns the number of events after which neither clock can determine how much time has passed. No rule that
    /// relies on the clocks of the machine detects such an event.
    pub(crate) fn undetectable_time_jumps(&self) -> u64 {
        self.state().deceptions
    }

    /// Kills the machine permanently: all calls that wait for it never return.
    pub(crate) fn kill(&self) {
        self.state().dead = true;
        self.died.notify_waiters();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub(crate) async fn died(&self) {
        let died = self.died.notified();
        if !self.is_dead() {
            died.await;
        }
    }

    /// Returns as soon as the machine is not frozen. Never returns if it is dead.
    pub(crate) async fn pass(&self) {
        loop {
            let now = self.time.now();
            let until = {
                let state = self.state();
                if state.dead {
                    None
                } else {
                    Some(state.freeze.map_or(now, |(_, until)| until))
                }
            };
            match until {
                None => pending().await,
                Some(until) if until > now => self.time.sleep(until - now).await,
                Some(_) => return,
            }
        }
    }

    fn monotonic(&self) -> Duration {
        let now = self.time.now();
        match self.suspension {
            Suspension::NoClockStops => now,
            _ => now.saturating_sub(self.state().total_freeze_time(now)),
        }
    }

    fn wall_micros(&self) -> i64 {
        let state = self.state();
        let stood = match self.suspension {
            Suspension::BothClocksStop => micros(state.total_freeze_time(self.time.now())),
            _ => 0,
        };
        self.time.micros() - stood + state.wall_offset
    }
}

/// Converts seconds of either sign to microseconds.
pub(crate) fn signed_micros(seconds: f64) -> i64 {
    let magnitude = micros(Duration::from_secs_f64(seconds.abs()));
    if seconds < 0.0 { -magnitude } else { magnitude }
}

#[derive(Clone, Debug)]
pub(crate) struct SimClock(pub(crate) Arc<Machine>);

impl Clock for SimClock {
    fn wall_micros(&self) -> i64 {
        self.0.wall_micros()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let machine = Arc::clone(&self.0);
        Box::pin(async move {
            let end = machine.monotonic().saturating_add(duration);
            loop {
                machine.pass().await;
                let now = machine.monotonic();
                if now >= end {
                    return;
                }
                machine.time.sleep(end - now).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_freeze_stops_the_machine_and_the_clocks_of_its_suspension() {
        for (suspension, wall, monotonic) in [
            (Suspension::NoClockStops, 110, 110),
            (Suspension::MonotonicClockStops, 110, 10),
            (Suspension::BothClocksStop, 10, 10),
        ] {
            let time = VirtualTime::begin();
            let machine = Machine::new("m".to_owned(), time, suspension, 3.0);
            let clock = SimClock(Arc::clone(&machine));
            time.sleep(Duration::from_secs(10)).await;
            machine.freeze(Duration::from_secs(100));
            machine.pass().await;
            assert_eq!(time.now().as_secs(), 110);
            assert_eq!(clock.monotonic().as_secs(), monotonic);
            assert_eq!((clock.wall_micros() - BEGIN_MICROS) / 1_000_000, wall + 3);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_interrupted_by_a_freeze_lasts_its_monotonic_time() {
        for (suspension, slept) in
            [(Suspension::NoClockStops, 60), (Suspension::MonotonicClockStops, 65)]
        {
            let time = VirtualTime::begin();
            let machine = Machine::new("m".to_owned(), time, suspension, 0.0);
            let sleep = SimClock(Arc::clone(&machine)).sleep(Duration::from_secs(10));
            let freeze = async {
                time.sleep(Duration::from_secs(5)).await;
                machine.freeze(Duration::from_secs(55));
            };
            futures::join!(sleep, freeze);
            assert_eq!(time.now().as_secs(), slept);
        }
    }
}
