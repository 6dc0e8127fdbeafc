//! The values of samples and of queries.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use datafusion::execution::memory_pool::MemoryReservation;

use crate::{
    histogram::{CounterResetHint, FloatHistogram},
    labels::Labels,
    number::format_float,
};

/// The bits of the value that Prometheus writes when a series ends.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// Returns the number; `None` if the value is a histogram.
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Histogram(_) => None,
        }
    }

    /// Returns the bytes that the value takes besides its place.
    pub(crate) fn heap_size(&self) -> usize {
        match self {
            Self::Float(_) => 0,
            Self::Histogram(histogram) => histogram.memory_size(),
        }
    }

    /// Removes the hint of a histogram about the sample before it. A subquery may return a sample twice, or leave one out.
    pub(crate) fn without_reset_hint(self) -> Self {
        match self {
            Self::Histogram(histogram)
                if matches!(
                    histogram.reset_hint,
                    CounterResetHint::Reset | CounterResetHint::NotReset
                ) =>
            {
                FloatHistogram {
                    reset_hint: CounterResetHint::Unknown,
                    ..FloatHistogram::clone(&histogram)
                }
                .into()
            }
            other => other,
        }
    }

    /// Returns whether the sample marks the end of a series.
    pub(crate) fn is_stale(&self) -> bool {
        let value = match self {
            Self::Float(value) => value,
            Self::Histogram(histogram) => &histogram.sum,
        };
        value.to_bits() == STALE_NAN_BITS
    }
}

impl Display for SampleValue {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(value) => formatter.write_str(&format_float(*value)),
            Self::Histogram(histogram) => histogram.fmt(formatter),
        }
    }
}

impl From<FloatHistogram> for SampleValue {
    fn from(histogram: FloatHistogram) -> Self {
        Self::Histogram(Arc::new(histogram))
    }
}

/// A series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The labels.
    pub labels: Labels,
    /// The time, in milliseconds since 1970.
    pub at_ms: i64,
    /// The value.
    pub value: SampleValue,
}

/// A series at several times.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The labels.
    pub labels: Labels,
    /// The times in milliseconds since 1970, ascending, and the values.
    pub samples: Vec<(i64, SampleValue)>,
}

/// The value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// A number without labels.
    Scalar {
        /// The time, in milliseconds since 1970.
        at_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text.
    Text {
        /// The time, in milliseconds since 1970.
        at_ms: i64,
        /// The text.
        value: String,
    },
    /// Series at the time of an instant query, in the order of the answer.
    Vector(Vec<VectorSample>),
    /// Series at the steps of a range query, sorted by labels; or the samples that a range selector selects.
    Matrix(Vec<MatrixSeries>),
}

/// The numbers of samples of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleStats {
    /// The times of the steps in milliseconds since 1970, and the number of samples that selectors read at each of them. A
    /// sample counts at each step that reads it. Empty if the evaluation does not count samples.
    pub per_step: Vec<(i64, usize)>,
    /// Maximum number of samples in memory at once.
    pub peak: usize,
}

impl SampleStats {
    /// Returns the number of samples that selectors read at all steps.
    pub fn total(&self) -> usize {
        self.per_step.iter().map(|(_, samples)| samples).sum()
    }
}

/// The result of a query, with the memory that it takes.
#[derive(Debug)]
pub struct QueryResult {
    /// The value.
    pub value: QueryValue,
    /// Doubts about the query or the samples, each one starting with `PromQL warning: `.
    pub warnings: Vec<String>,
    /// Hints, each one starting with `PromQL info: `.
    pub infos: Vec<String>,
    /// The numbers of samples.
    pub samples: SampleStats,
    /// The memory of the value.
    pub reservation: MemoryReservation,
}
