//! The samples in a range before a time.

use std::sync::Arc;

use crate::{histogram::FloatHistogram, value::SampleValue};

/// A number and its time in milliseconds.
pub(crate) type FloatSample = (i64, f64);

/// A histogram and its time in milliseconds.
pub(crate) type HistogramSample = (i64, Arc<FloatHistogram>);

/// The number of removed samples up to which they are kept in front of the others.
const MAX_REMOVED: usize = 64;

/// A queue whose content is contiguous.
#[derive(Debug)]
struct Queue<T> {
    /// The content, behind samples that were removed.
    samples: Vec<(i64, T)>,
    removed: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { samples: Vec::new(), removed: 0 }
    }
}

impl<T> Queue<T> {
    fn content(&self) -> &[(i64, T)] {
        self.samples.get(self.removed..).unwrap_or_default()
    }

    fn remove_until(&mut self, time: i64) {
        self.removed += self.content().partition_point(|(sample_time, _)| *sample_time <= time);
        if self.removed > MAX_REMOVED && self.removed * 2 > self.samples.len() {
            self.samples.drain(..self.removed);
            self.removed = 0;
        }
    }

    /// Removes the last sample if it has this time.
    fn remove_last_at(&mut self, time: i64) {
        if self.content().last().is_some_and(|(last, _)| *last == time) {
            self.samples.pop();
        }
    }
}

/// The samples in a range, ascending by time.
#[derive(Debug, Default)]
pub(crate) struct Window {
    floats: Queue<f64>,
    histograms: Queue<Arc<FloatHistogram>>,
}

impl Window {
    /// Adds a sample. It replaces one of the same time.
    pub(crate) fn push(&mut self, time: i64, value: SampleValue) {
        self.floats.remove_last_at(time);
        self.histograms.remove_last_at(time);
        match value {
            SampleValue::Float(value) => self.floats.samples.push((time, value)),
            SampleValue::Histogram(value) => self.histograms.samples.push((time, value)),
        }
    }

    /// Removes the samples up to a time.
    pub(crate) fn remove_until(&mut self, time: i64) {
        self.floats.remove_until(time);
        self.histograms.remove_until(time);
    }

    pub(crate) fn floats(&self) -> &[FloatSample] {
        self.floats.content()
    }

    pub(crate) fn histograms(&self) -> &[HistogramSample] {
        self.histograms.content()
    }

    /// Returns the number of samples in memory, and the bytes that they take.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let histograms = &self.histograms.samples;
        let bytes = histograms.iter().map(|(_, histogram)| histogram.memory_size());
        let samples = self.floats.samples.len() + histograms.len();
        (samples, samples * size_of::<FloatSample>() + bytes.sum::<usize>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_leave_the_window_at_its_start() {
        let mut window = Window::default();
        for time in 0..1_000 {
            window.push(time, SampleValue::Float(0.0));
            window.remove_until(time - 10);
            assert!(window.floats().len() <= 10);
            assert!(window.usage().0 <= 2 * MAX_REMOVED);
        }
        assert_eq!(window.floats().first(), Some(&(990, 0.0)));
    }

    #[test]
    fn each_histogram_takes_its_own_memory() {
        let mut window = Window::default();
        window.push(1, FloatHistogram::default().into());
        let large = FloatHistogram { positive: vec![(0, 1.0); 1_000], ..FloatHistogram::default() };
        window.push(2, large.into());
        assert!(window.usage().1 > 16_000);
    }

    #[test]
    fn a_sample_replaces_one_of_the_same_time() {
        let mut window = Window::default();
        window.push(1, SampleValue::Float(1.0));
        window.push(1, SampleValue::Float(2.0));
        assert_eq!(window.floats(), [(1, 2.0)]);
        window.push(1, FloatHistogram::default().into());
        assert!(window.floats().is_empty());
        assert_eq!(window.histograms().len(), 1);
    }
}
