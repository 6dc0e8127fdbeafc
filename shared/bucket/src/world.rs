//! Everything that is not a pure function of its input: time, waiting and chance.
//!
//! Code takes a [`World`] in its constructor and asks nothing else for the time or for randomness,
//! so that a test can stop, skew and replay them from one seed.

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

/// Time as one machine sees it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time in microseconds since the Unix epoch. It may jump either way.
    fn wall_micros(&self) -> i64;

    /// Time since some fixed moment. It never goes back, but it may stand still while the machine
    /// is suspended.
    fn monotonic(&self) -> Duration;

    /// Waits for `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The clocks of this machine.
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
        Self {
            start: std::time::Instant::now(),
        }
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

/// A moment on both clocks of a machine, for measuring a wait that either clock may have missed.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    wall_micros: i64,
    monotonic: Duration,
}

impl Moment {
    /// The present moment.
    pub fn now(clock: &dyn Clock) -> Self {
        Self {
            wall_micros: clock.wall_micros(),
            monotonic: clock.monotonic(),
        }
    }

    /// The time since this moment: the longer of what the two clocks say.
    pub fn elapsed(&self, clock: &dyn Clock) -> Duration {
        let wall = clock.wall_micros().saturating_sub(self.wall_micros);
        let wall = Duration::from_micros(u64::try_from(wall).unwrap_or(0));
        clock.monotonic().saturating_sub(self.monotonic).max(wall)
    }
}

/// A source of random numbers, seeded once: a cipher (ChaCha) whose output can't be foreseen by who does not know
/// the seed.
#[derive(Debug)]
pub struct Entropy {
    rng: Mutex<StdRng>,
    seeded_by_os: bool,
}

impl Entropy {
    /// Seeded by the operating system.
    pub fn from_os() -> Self {
        Self {
            rng: Mutex::new(StdRng::from_os_rng()),
            seeded_by_os: true,
        }
    }

    /// Seeded by a number: the same seed gives the same numbers.
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

    /// Fills a buffer with what becomes a secret. Unless this source is for a test, it comes from the operating
    /// system itself each time: a copy of this process's memory, such as a virtual machine that is started
    /// twice from one snapshot, gives no second secret that is equal.
    pub fn fill_secret(&self, buffer: &mut [u8]) {
        if !self.seeded_by_os || OsRng.try_fill_bytes(buffer).is_err() {
            self.fill(buffer);
        }
    }

    /// A random duration below `limit`, for jitter.
    pub fn below(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.with(|rng| rng.random::<f64>()))
    }
}

/// Time, waiting and chance, as one value to hand down.
#[derive(Clone, Debug)]
pub struct World {
    /// The clocks of the machine.
    pub clock: Arc<dyn Clock>,
    /// The source of ids, nonces and jitter.
    pub entropy: Arc<Entropy>,
}

impl World {
    /// The real world.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(Entropy::from_os()),
        }
    }

    /// The present moment on this machine's clocks.
    pub fn moment(&self) -> Moment {
        Moment::now(self.clock.as_ref())
    }

    /// The time since `moment`: the longer of what the two clocks say.
    pub fn elapsed(&self, moment: &Moment) -> Duration {
        moment.elapsed(self.clock.as_ref())
    }

    /// Runs `future` for at most `limit`; `None` when the time is over.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let sleep = self.clock.sleep(limit);
        pin_mut!(future);
        match select(future, sleep).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}
