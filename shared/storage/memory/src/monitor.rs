//! Compares the resident memory of the process with its limit.

use std::{fmt, time::Duration};

use neap_bucket::World;
use tokio::sync::watch;

use crate::{MemoryPressure, PressureLevel, pressure::PressureState, resident_bytes};

/// Interval between measurements. A fast writer fills about 10 MiB in this time.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// Resident memory at which the pressure is high, in percent of the limit.
const HIGH_PERCENT: usize = 80;

/// Resident memory at which the pressure is critical, in percent of the limit.
const CRITICAL_PERCENT: usize = 87;

/// Resident memory at which the memory counts as full, in percent of the limit.
const FULL_PERCENT: usize = 94;

/// Resident memory at which running work is ended, in percent of the limit.
const EXHAUSTED_PERCENT: usize = 97;

/// Distance below a level at which the pressure leaves that level, in percent of the limit.
const HYSTERESIS_PERCENT: usize = 3;

/// Interval in which memory that is used only for speed is freed, while the pressure is high.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);

/// Interval in which running work is ended, while the memory is exhausted. It is longer than the end of a query takes, so that
/// the next one ends only if this is not enough.
const END_INTERVAL: Duration = Duration::from_millis(250);

/// Fill of the unflushed tail at which writes are delayed, in percent of its bound.
const DELAYED_PERCENT: u64 = 50;

/// Delay of a write when the tail has reached its bound.
const WRITE_DELAY_AT_BOUND: Duration = Duration::from_secs(1);

/// Maximum delay of a write.
const MAX_WRITE_DELAY: Duration = Duration::from_secs(4);

/// Measures the memory of this process and publishes the pressure.
///
/// # Examples
///
/// ```
/// use neap_memory::{MemoryMonitor, PressureLevel};
///
/// // The unflushed tail has 60 of at most 100 bytes.
/// let monitor = MemoryMonitor::new(1 << 40).with_tail(100, || 60);
/// let pressure = monitor.pressure();
/// assert_eq!(monitor.look(), PressureLevel::Low);
/// assert_eq!(pressure.level(), PressureLevel::High);
/// assert!(!pressure.write_delay().is_zero());
/// ```
pub struct MemoryMonitor {
    limit_bytes: usize,
    state: watch::Sender<PressureState>,
    read: fn() -> Option<usize>,
    tail: Option<TailGauge>,
}

/// The bound and the present size of the unflushed tail, which queries have to read.
struct TailGauge {
    bound_bytes: u64,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for MemoryMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMonitor")
            .field("limit_bytes", &self.limit_bytes)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl MemoryMonitor {
    /// Creates a monitor with this limit.
    pub fn new(limit_bytes: usize) -> Self {
        Self::with_reader(limit_bytes, resident_bytes)
    }

    fn with_reader(limit_bytes: usize, read: fn() -> Option<usize>) -> Self {
        Self {
            limit_bytes,
            state: watch::Sender::default(),
            read,
            tail: None,
        }
    }

    /// Also delays writes as the unflushed bytes come near a bound.
    #[must_use]
    pub fn with_tail(
        self,
        bound_bytes: u64,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let read = Box::new(read);
        Self { tail: Some(TailGauge { bound_bytes, read }), ..self }
    }

    /// Returns the memory limit of the process, in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Returns a handle to the pressure that this monitor publishes.
    pub fn pressure(&self) -> MemoryPressure {
        MemoryPressure::from_state(self.state.subscribe())
    }

    /// Measures the memory, publishes the pressure, and returns the level of the memory.
    pub fn look(&self) -> PressureLevel {
        let before = *self.state.borrow();
        let held = (self.read)().unwrap_or_default();
        let memory = level_of(held, self.limit_bytes, before.memory);
        let fill = self.tail.as_ref().map_or(0, TailGauge::fill_percent);
        let of_tail = if fill >= DELAYED_PERCENT {
            PressureLevel::High
        } else {
            PressureLevel::Low
        };
        let now = PressureState {
            memory,
            level: memory.max(of_tail),
            write_delay: delay_at(fill),
        };
        if now != before {
            self.state.send_replace(now);
        }
        if memory != before.memory {
            let (held, limit) = (held >> 20, self.limit_bytes >> 20);
            match memory {
                level if level >= PressureLevel::Critical => {
                    tracing::warn!(held, limit, ?level, "memory runs short (MiB): new work waits");
                }
                level => tracing::debug!(held, limit, ?level, "memory pressure (MiB)"),
            }
        }
        memory
    }

    /// Measures the memory periodically. While the pressure is high, calls `relieve` at once and then every second, which frees
    /// memory that is used only for speed. While the memory is exhausted, calls `end_work` four times a second, which ends one
    /// piece of running work. Never returns.
    pub async fn run(&self, world: &World, relieve: impl Fn(), end_work: impl Fn()) {
        let mut relief = Repetition::every(RELIEF_INTERVAL);
        let mut ends = Repetition::every(END_INTERVAL);
        loop {
            let level = self.look();
            let now = world.clock.monotonic();
            if relief.is_due(level >= PressureLevel::High, now) {
                relieve();
            }
            if ends.is_due(level >= PressureLevel::Exhausted, now) {
                end_work();
            }
            world.clock.sleep(SAMPLE_INTERVAL).await;
        }
    }
}

/// Something that is done at once when a state begins, and then periodically while it lasts.
struct Repetition {
    interval: Duration,
    last: Option<Duration>,
}

impl Repetition {
    fn every(interval: Duration) -> Self {
        Self { interval, last: None }
    }

    /// Returns whether it is done now.
    fn is_due(&mut self, lasts: bool, now: Duration) -> bool {
        let since = self.last.map(|last| now.saturating_sub(last));
        let is_due = lasts && since.is_none_or(|since| since >= self.interval);
        if !lasts {
            self.last = None;
        } else if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

impl TailGauge {
    fn fill_percent(&self) -> u64 {
        (self.read)().saturating_mul(100) / self.bound_bytes.max(1)
    }
}

/// Returns the delay of a write for a fill of the tail in percent of its bound. It grows with the square of the fill
/// above 50 %, so that writes arrive no faster than flushes remove them.
fn delay_at(fill_percent: u64) -> Duration {
    let above = fill_percent.saturating_sub(DELAYED_PERCENT).min(1_000);
    let at_bound = 100 - DELAYED_PERCENT;
    let millis = WRITE_DELAY_AT_BOUND.as_secs() * 1_000 * above * above / (at_bound * at_bound);
    Duration::from_millis(millis).min(MAX_WRITE_DELAY)
}

fn level_of(held: usize, limit: usize, before: PressureLevel) -> PressureLevel {
    let percent = held.saturating_mul(100) / limit.max(1);
    let reaches = |level: PressureLevel, from: usize| {
        let from = if before >= level {
            from - HYSTERESIS_PERCENT
        } else {
            from
        };
        percent >= from
    };
    if reaches(PressureLevel::Exhausted, EXHAUSTED_PERCENT) {
        PressureLevel::Exhausted
    } else if reaches(PressureLevel::Full, FULL_PERCENT) {
        PressureLevel::Full
    } else if reaches(PressureLevel::Critical, CRITICAL_PERCENT) {
        PressureLevel::Critical
    } else if reaches(PressureLevel::High, HIGH_PERCENT) {
        PressureLevel::High
    } else {
        PressureLevel::Low
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_level_is_reached_at_its_percentage_and_left_with_hysteresis() {
        use PressureLevel::{Critical, Exhausted, Full, High, Low};
        let levels = [79, 80, 78, 76, 87, 85, 83, 50, 94, 92, 90, 97, 95, 93];
        let mut level = Low;
        let seen: Vec<_> = levels
            .iter()
            .map(|percent| {
                level = level_of(*percent, 100, level);
                level
            })
            .collect();
        assert_eq!(
            seen,
            [
                Low, High, High, Low, Critical, Critical, High, Low, Full, Full, Critical,
                Exhausted, Exhausted, Full
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_work_continues_when_the_pressure_falls() {
        static HELD: AtomicUsize = AtomicUsize::new(95);
        let monitor = MemoryMonitor::with_reader(100, || Some(HELD.load(Ordering::Relaxed)));
        monitor.look();
        let pressure = monitor.pressure();
        assert_eq!(pressure.level(), PressureLevel::Full);
        let world = World::system();
        assert!(!pressure.wait_until_relieved(&world, Duration::from_secs(1)).await);
        HELD.store(90, Ordering::Relaxed);
        monitor.look();
        assert_eq!(pressure.level(), PressureLevel::Critical);
        assert!(pressure.wait_until_relieved(&world, Duration::from_secs(1)).await);
        HELD.store(10, Ordering::Relaxed);
        let (relieved, ()) =
            tokio::join!(pressure.wait_until_relieved(&world, Duration::from_secs(1)), async {
                _ = monitor.look()
            });
        assert!(relieved);
    }

    #[test]
    fn work_is_repeated_while_its_state_lasts() {
        let mut repetition = Repetition::every(Duration::from_secs(1));
        let moments = [
            (false, 0),
            (true, 100),
            (true, 1_050),
            (true, 1_100),
            (false, 1_200),
            (true, 1_300),
        ];
        let due =
            moments.map(|(lasts, millis)| repetition.is_due(lasts, Duration::from_millis(millis)));
        assert_eq!(due, [false, true, false, true, false, true]);
    }

    #[test]
    fn a_tail_near_its_bound_delays_writes_and_requests_a_flush() {
        use PressureLevel::{High, Low};
        static BYTES: AtomicUsize = AtomicUsize::new(0);
        let monitor = MemoryMonitor::with_reader(100, || Some(10))
            .with_tail(1_000, || BYTES.load(Ordering::Relaxed) as u64);
        let pressure = monitor.pressure();
        let mut seen = Vec::new();
        for bytes in [0, 499, 500, 750, 1_000, 9_000] {
            BYTES.store(bytes, Ordering::Relaxed);
            assert_eq!(monitor.look(), Low);
            seen.push((pressure.level(), pressure.write_delay().as_millis()));
        }
        assert_eq!(
            seen,
            [(Low, 0), (Low, 0), (High, 0), (High, 250), (High, 1_000), (High, 4_000)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_freed_at_80_percent_of_the_limit() {
        static HELD: AtomicUsize = AtomicUsize::new(79);
        let monitor = MemoryMonitor::with_reader(100, || Some(HELD.load(Ordering::Relaxed)));
        let (world, freed) = (World::system(), AtomicUsize::new(0));
        let relieve = || {
            freed.fetch_add(1, Ordering::Relaxed);
        };
        for (held, is_freed) in [(79, false), (80, true)] {
            HELD.store(held, Ordering::Relaxed);
            let watched = world.timeout(SAMPLE_INTERVAL * 10, monitor.run(&world, relieve, || {}));
            assert!(watched.await.is_none());
            assert_eq!(freed.load(Ordering::Relaxed) > 0, is_freed, "{held} %");
        }
    }

    #[tokio::test]
    async fn without_a_monitor_there_is_no_pressure() {
        let pressure = MemoryPressure::none();
        assert!(pressure.wait_until_relieved(&World::system(), Duration::ZERO).await);
    }
}
