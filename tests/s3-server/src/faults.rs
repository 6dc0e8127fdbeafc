//! What the server does wrong on purpose.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Faults of the server; none by default. Rates are probabilities from 0 to 1, drawn for each request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// How often a request is answered with 503 and has no effect.
    pub unavailable: f64,
    /// How often the connection is closed after a write took effect, with no answer.
    pub lost_replies: f64,
    /// How often a write takes effect and is answered with 500.
    pub failed_replies: f64,
    /// The longest wait before a request is handled.
    pub delay: Duration,
    /// The largest error of the `Date` header, in whole seconds, either way.
    pub date_skew: Duration,
}

/// What is to happen to one request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) unavailable: bool,
    pub(crate) lost_reply: bool,
    pub(crate) failed_reply: bool,
    pub(crate) delay: Duration,
    pub(crate) date_error_seconds: i64,
}

/// The faults in force and the chance that draws from them.
#[derive(Debug)]
pub(crate) struct Chance {
    state: Mutex<(Faults, StdRng)>,
}

impl Chance {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        Self {
            state: Mutex::new((faults, StdRng::seed_from_u64(seed))),
        }
    }

    pub(crate) fn set(&self, faults: Faults) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = faults;
    }

    pub(crate) fn draw(&self) -> Fate {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, rng) = &mut *state;
        let skew = i64::try_from(faults.date_skew.as_secs()).unwrap_or(i64::MAX);
        Fate {
            unavailable: rng.random::<f64>() < faults.unavailable,
            lost_reply: rng.random::<f64>() < faults.lost_replies,
            failed_reply: rng.random::<f64>() < faults.failed_replies,
            delay: faults.delay.mul_f64(rng.random()),
            date_error_seconds: rng.random_range(-skew..=skew),
        }
    }
}
