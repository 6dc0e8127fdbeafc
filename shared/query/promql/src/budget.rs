//! The memory and the numbers of samples and series that an evaluation keeps.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::{error::PromqlError, series::Series};

/// The limits of an evaluation. To exceed one is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvaluationLimits {
    /// Maximum number of samples kept at the same time, including the result.
    pub samples: usize,
    /// Maximum number of steps after the first one. Prometheus counts the points of a series like this.
    pub steps: usize,
    /// Maximum number of series kept at the same time, including the result.
    pub series: usize,
}

impl Default for EvaluationLimits {
    fn default() -> Self {
        Self { samples: 50_000_000, steps: 11_000, series: 1_000_000 }
    }
}

#[derive(Debug)]
struct Usage {
    limits: EvaluationLimits,
    samples: AtomicUsize,
    series: AtomicUsize,
    /// Maximum of `samples` so far.
    peak_samples: AtomicUsize,
}

/// Adds to a count. Returns whether it stays within its limit.
fn count(counter: &AtomicUsize, more: usize, limit: usize) -> bool {
    let before = counter.fetch_add(more, Ordering::Relaxed);
    let is_allowed = before.saturating_add(more) <= limit;
    if !is_allowed {
        counter.fetch_sub(more, Ordering::Relaxed);
    }
    is_allowed
}

/// What one operation of an evaluation keeps. It is given back when the operation ends.
#[derive(Debug)]
pub(crate) struct Budget {
    usage: Arc<Usage>,
    reservation: MemoryReservation,
    samples: usize,
    series: usize,
}

impl Budget {
    /// Creates the first budget of an evaluation.
    pub(crate) fn new(limits: EvaluationLimits, memory: &Arc<dyn MemoryPool>) -> Self {
        Self {
            usage: Arc::new(Usage {
                limits,
                samples: AtomicUsize::new(0),
                series: AtomicUsize::new(0),
                peak_samples: AtomicUsize::new(0),
            }),
            reservation: MemoryConsumer::new("PromqlEvaluation").register(memory),
            samples: 0,
            series: 0,
        }
    }

    /// Creates the budget of another operation of the evaluation.
    pub(crate) fn new_empty(&self) -> Self {
        Self {
            usage: Arc::clone(&self.usage),
            reservation: self.reservation.new_empty(),
            samples: 0,
            series: 0,
        }
    }

    /// Reserves memory for samples.
    /// Fails if the limit of samples or the memory is exceeded.
    pub(crate) fn keep_samples(&mut self, samples: usize, bytes: usize) -> Result<(), PromqlError> {
        if !count(&self.usage.samples, samples, self.usage.limits.samples) {
            let text =
                "query processing would load too many samples into memory in query execution";
            return Err(PromqlError::Execution(text.to_owned()));
        }
        self.samples += samples;
        let kept = self.usage.samples.load(Ordering::Relaxed);
        self.usage.peak_samples.fetch_max(kept, Ordering::Relaxed);
        self.reservation.try_grow(bytes)?;
        Ok(())
    }

    /// Reserves memory for a series of another form.
    pub(crate) fn keep_series_of(
        &mut self,
        samples: usize,
        bytes: usize,
    ) -> Result<(), PromqlError> {
        let limit = self.usage.limits.series;
        if !count(&self.usage.series, 1, limit) {
            let text = format!("the query exceeds the limit of {limit} series");
            return Err(PromqlError::Execution(text));
        }
        self.series += 1;
        self.keep_samples(samples, bytes)
    }

    /// Reserves memory for a series.
    pub(crate) fn keep(&mut self, series: &Series) -> Result<(), PromqlError> {
        self.keep_series_of(series.values.len(), series.memory_size())
    }

    /// Gives back the memory of samples.
    pub(crate) fn release_samples(&mut self, samples: usize, bytes: usize) {
        self.usage.samples.fetch_sub(samples.min(self.samples), Ordering::Relaxed);
        self.samples = self.samples.saturating_sub(samples);
        self.reservation.shrink(bytes.min(self.reservation.size()));
    }

    /// Gives back the memory of a series without samples.
    pub(crate) fn release_series(&mut self, bytes: usize) {
        if let Some(remaining) = self.series.checked_sub(1) {
            self.usage.series.fetch_sub(1, Ordering::Relaxed);
            self.series = remaining;
        }
        self.release_samples(0, bytes);
    }

    /// Returns the maximum number of samples that the operations of the evaluation kept at once.
    pub(crate) fn peak_samples(&self) -> usize {
        self.usage.peak_samples.load(Ordering::Relaxed)
    }

    /// Returns the memory, for what outlives the evaluation.
    pub(crate) fn into_reservation(mut self) -> MemoryReservation {
        self.reservation.take()
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.usage.samples.fetch_sub(self.samples, Ordering::Relaxed);
        self.usage.series.fetch_sub(self.series, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn what_operations_keep_is_given_back_when_they_end() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1_000));
        let limits = EvaluationLimits { samples: 10, steps: 10, series: 2 };
        let first = Budget::new(limits, &pool);
        let mut second = first.new_empty();
        second.keep_series_of(6, 600).unwrap();
        let mut third = first.new_empty();
        assert!(third.keep_samples(6, 0).is_err());
        assert!(matches!(third.keep_samples(1, 600), Err(PromqlError::Storage(_))));
        second.release_samples(3, 300);
        third.keep_samples(5, 600).unwrap();
        drop(second);
        drop(third);
        assert_eq!(pool.reserved(), 0);
        assert_eq!(first.peak_samples(), 9);
        let mut fourth = first.new_empty();
        fourth.keep_samples(10, 1_000).unwrap();
        assert_eq!(fourth.into_reservation().size(), 1_000);
    }

    #[test]
    fn too_many_series_are_an_error() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1_000));
        let limits = EvaluationLimits { series: 1, ..EvaluationLimits::default() };
        let mut budget = Budget::new(limits, &pool);
        budget.keep_series_of(0, 0).unwrap();
        let error = budget.keep_series_of(0, 0).unwrap_err();
        assert_eq!(error.to_string(), "the query exceeds the limit of 1 series");
    }
}
