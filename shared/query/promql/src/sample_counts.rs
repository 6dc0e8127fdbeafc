//! The numbers of samples that a query reads, as Prometheus counts them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{histogram::FloatHistogram, steps::Steps, value::SampleValue};

/// The memory for which a histogram counts as a sample, in bytes.
const BYTES_PER_SAMPLE: usize = 16;

/// Counts the samples that selectors read at each step of a query.
#[derive(Debug)]
pub(crate) struct SampleCounts {
    steps: Steps,
    /// Empty if samples are not counted.
    counts: Vec<AtomicUsize>,
}

impl SampleCounts {
    pub(crate) fn new(steps: Steps, is_enabled: bool) -> Self {
        let count = if is_enabled { steps.count } else { 0 };
        Self {
            steps,
            counts: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Adds the samples that a selector reads at one of its steps. Those of an expression that is evaluated once count at all steps
    /// of the query. Those below a subquery do not count, because its results do.
    pub(crate) fn add(&self, steps: Steps, step: usize, samples: impl FnOnce() -> usize) {
        let counts = if steps.count == 1 {
            self.counts.as_slice()
        } else {
            self.counts.get(step..=step).unwrap_or_default()
        };
        if counts.is_empty() || steps.is_of_subquery {
            return;
        }
        let number = samples();
        for count in counts {
            count.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Returns the numbers of the steps with their times.
    pub(crate) fn into_per_step(self) -> Vec<(i64, usize)> {
        let counts = self.counts.into_iter().map(AtomicUsize::into_inner);
        self.steps.times().zip(counts).collect()
    }
}

/// Returns the number of samples that a value counts for.
pub(crate) fn sample_size(value: &SampleValue) -> usize {
    match value {
        SampleValue::Float(_) => 1,
        SampleValue::Histogram(histogram) => histogram_size(histogram),
    }
}

/// Returns the number of samples that a histogram counts for.
pub(crate) fn histogram_size(histogram: &FloatHistogram) -> usize {
    histogram.memory_size().div_ceil(BYTES_PER_SAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_count_at_their_step_or_at_all_steps() {
        let steps = Steps::between(0, 20, 10);
        let counts = SampleCounts::new(steps, true);
        counts.add(steps, 1, || 5);
        counts.add(steps.first(), 0, || 1);
        counts.add(Steps::one(20).of_subquery(20, 0, 10), 0, || 100);
        assert_eq!(counts.into_per_step(), [(0, 1), (10, 6), (20, 1)]);
        let disabled = SampleCounts::new(steps, false);
        disabled.add(steps, 1, || unreachable!());
        assert!(disabled.into_per_step().is_empty());
    }
}
