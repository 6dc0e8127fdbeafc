//! The input and the result of functions over ranges.

use crate::{
    annotations::Annotations,
    error::PromqlError,
    value::SampleValue,
    window::{FloatSample, HistogramSample},
};

/// The samples in a range, and what else a function computes with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeInput<'a> {
    /// The numbers, ascending by time.
    pub(crate) floats: &'a [FloatSample],
    /// The histograms, ascending by time.
    pub(crate) histograms: &'a [HistogramSample],
    /// The time of the step.
    pub(crate) at_ms: i64,
    /// The start of the range, which is excluded.
    pub(crate) start_ms: i64,
    /// The end of the range, which is included.
    pub(crate) end_ms: i64,
    /// The scalar arguments.
    pub(crate) arguments: &'a [f64],
    /// The name of the metric.
    pub(crate) metric: &'a str,
    pub(crate) annotations: &'a Annotations,
}

impl RangeInput<'_> {
    /// Returns a scalar argument.
    pub(super) fn argument(&self, position: usize) -> f64 {
        self.arguments.get(position).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.floats.iter().map(|(_, value)| *value)
    }

    /// Adds a warning if there are numbers and histograms. Returns whether there are.
    pub(super) fn is_mixed(&self) -> bool {
        let is_mixed = !self.floats.is_empty() && !self.histograms.is_empty();
        if is_mixed {
            self.annotations.warn_mixed_samples(self.metric);
        }
        is_mixed
    }

    /// Adds a hint if a function of the numbers ignores histograms.
    pub(super) fn ignore_histograms(&self) {
        if !self.floats.is_empty() && !self.histograms.is_empty() {
            self.annotations.inform_ignored_in_range(self.metric);
        }
    }
}

/// The result of a function: a sample if it has one.
pub(crate) type RangeResult = Result<Option<SampleValue>, PromqlError>;

/// Returns a number.
pub(super) fn float(value: f64) -> RangeResult {
    Ok(Some(SampleValue::Float(value)))
}
