//! Sources of time, sleep and randomness: everything that is not a pure function of its input.
//!
//! Code takes a [`World`] in its constructor and uses no other source of time or randomness, so that a test can stop
//! and skew the clocks and replay a run from one seed.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    future::{BoxFuture, Either, select},
    pin_mut,
};
use rand::{
    Rng, SeedableRng, TryRngCore,
    rngs::{OsRng, StdRng},
};

/// The clocks of one machine.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time in microseconds since the Unix epoch. It may jump either way.
    fn wall_micros(&self) -> i64;

    /// Time since an arbitrary fixed point. It never goes back, but may stop while the machine is suspended.
    fn monotonic(&self) -> Duration;

    /// Waits for `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is given"
    )]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is given"
    )]
    fn wall_micros(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else is given"
    )]
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A reading of the wall clock and of the monotonic clock. Measures elapsed time correctly even if one of the clocks
/// stopped or was set back.
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    wall_micros: i64,
    monotonic: Duration,
}

impl ClockReading {
    /// Reads both clocks.
    pub fn now(clock: &dyn Clock) -> Self {
        Self {
            wall_micros: clock.wall_micros(),
            monotonic: clock.monotonic(),
        }
    }

    /// Returns the time since this reading: the longer of the two clocks' measurements.
    pub fn elapsed(&self, clock: &dyn Clock) -> Duration {
        let wall = clock.wall_micros().saturating_sub(self.wall_micros);
        let wall = Duration::from_micros(u64::try_from(wall).unwrap_or(0));
        clock.monotonic().saturating_sub(self.monotonic).max(wall)
    }
}

/// A random number generator that is seeded once. It uses a cipher (ChaCha): without the seed, its output cannot be
/// predicted.
#[derive(Debug)]
pub struct Entropy {
    rng: Mutex<StdRng>,
    seeded_by_os: bool,
}

impl Entropy {
    /// Seeds from the operating system.
    pub fn from_os() -> Self {
        Self { rng: Mutex::new(StdRng::from_os_rng()), seeded_by_os: true }
    }

    /// Seeds from a number. The same seed gives the same numbers.
    pub fn from_seed(seed: u64) -> Self {
        Self {
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            seeded_by_os: false,
        }
    }

    fn with<R>(&self, draw: impl FnOnce(&mut StdRng) -> R) -> R {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// 64 random bits.
    pub fn next_u64(&self) -> u64 {
        self.with(|rng| rng.random())
    }

    /// 128 random bits.
    pub fn next_u128(&self) -> u128 {
        self.with(|rng| rng.random())
    }

    /// Fills a buffer.
    pub fn fill(&self, buffer: &mut [u8]) {
        self.with(|rng| rng.fill(buffer));
    }

    /// Fills a buffer with secret bytes. If this generator was seeded by the operating system, the bytes come from the
    /// operating system on each call, because two copies of this process's memory, such as a virtual machine that is
    /// started twice from one snapshot, would otherwise produce equal secrets.
    pub fn fill_secret(&self, buffer: &mut [u8]) {
        if !self.seeded_by_os || OsRng.try_fill_bytes(buffer).is_err() {
            self.fill(buffer);
        }
    }

    /// Returns a random duration below `limit`, for jitter.
    pub fn below(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.with(|rng| rng.random::<f64>()))
    }
}

/// Time, sleep and randomness, as one value to pass down.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{future, time::Duration};
///
/// use neap_bucket::World;
///
/// let world = World::system();
/// let limit = Duration::from_millis(1);
/// assert_eq!(world.timeout(limit, async { 7 }).await, Some(7));
/// assert_eq!(world.timeout(limit, future::pending::<()>()).await, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct World {
    /// The clocks of the machine.
    pub clock: Arc<dyn Clock>,
    /// The source of ids, nonces and jitter.
    pub entropy: Arc<Entropy>,
}

impl World {
    /// Returns the clocks of this machine and a generator that is seeded by the operating system.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(Entropy::from_os()),
        }
    }

    /// Returns these clocks and a generator with a seed.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { clock, entropy: Arc::new(Entropy::from_seed(seed)) }
    }

    /// Reads this machine's clocks.
    pub fn clock_reading(&self) -> ClockReading {
        ClockReading::now(self.clock.as_ref())
    }

    /// Returns the time since `moment`: the longer of the two clocks' measurements.
    pub fn elapsed(&self, moment: &ClockReading) -> Duration {
        moment.elapsed(self.clock.as_ref())
    }

    /// Runs `future` for at most `limit`. Returns `None` on timeout.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let sleep = self.clock.sleep(limit);
        pin_mut!(future);
        match select(future, sleep).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}
