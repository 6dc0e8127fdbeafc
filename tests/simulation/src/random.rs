//! The random numbers of a schedule: one stream, drawn in the order in which the schedule requests them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A seeded generator of random numbers (SplitMix64): small, fast, and stable across versions.
#[derive(Debug)]
pub(crate) struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(crate) fn number(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number in `[0, 1)`.
    pub(crate) fn fraction(&self) -> f64 {
        // 53 bits, the precision of an `f64`.
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn happens(&self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&self, limit: usize) -> usize {
        usize::try_from(self.number() % limit.max(1) as u64).unwrap_or(0)
    }

    pub(crate) fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Returns an exponentially distributed duration with this mean, limited to 20 times the mean.
    pub(crate) fn around(&self, mean: Duration) -> Duration {
        mean.mul_f64((-(1.0 - self.fraction()).ln()).min(20.0))
    }
}
