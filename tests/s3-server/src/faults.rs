//! Fault injection.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Injected faults; none by default. Rates are probabilities from 0 to 1, drawn for each request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Rate of requests that are answered with 503 and have no effect.
    pub unavailable: f64,
    /// Rate of writes that take effect, after which the connection is closed without a response.
    pub lost_replies: f64,
    /// Rate of writes that take effect and are answered with 500.
    pub failed_replies: f64,
    /// Maximum delay before a request is handled.
    pub delay: Duration,
    /// Maximum error of the `Date` header in either direction, in whole seconds.
    pub date_skew: Duration,
}

impl Faults {
    /// Returns faults that only delay requests, by at most this duration.
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// The faults drawn for one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestFaults {
    pub(crate) unavailable: bool,
    pub(crate) lost_reply: bool,
    pub(crate) failed_reply: bool,
    pub(crate) delay: Duration,
    pub(crate) date_error_seconds: i64,
}

/// The active faults and the random number generator.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    state: Mutex<(Faults, StdRng)>,
}

impl FaultInjector {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        Self { state: Mutex::new((faults, StdRng::seed_from_u64(seed))) }
    }

    pub(crate) fn set(&self, faults: Faults) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = faults;
    }

    pub(crate) fn draw(&self) -> RequestFaults {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, rng) = &mut *state;
        let skew = i64::try_from(faults.date_skew.as_secs()).unwrap_or(i64::MAX);
        RequestFaults {
            unavailable: rng.random::<f64>() < faults.unavailable,
            lost_reply: rng.random::<f64>() < faults.lost_replies,
            failed_reply: rng.random::<f64>() < faults.failed_replies,
            delay: faults.delay.mul_f64(rng.random()),
            date_error_seconds: rng.random_range(-skew..=skew),
        }
    }
}
