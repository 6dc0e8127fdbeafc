//! Native histograms with float counts.

/// Consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number of empty buckets since the previous span; of the first span, the index of its first bucket.
    pub offset: i32,
    /// The number of buckets.
    pub length: u32,
}

/// The knowledge of the client about a reset of the counters before a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHint {
    /// Unknown: found by a comparison of the buckets.
    #[default]
    Unknown,
    /// The counters were reset.
    Reset,
    /// The counters were not reset.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

/// A native histogram. Its counts are absolute and not cumulative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// Knowledge about a reset.
    pub reset_hint: CounterResetHint,
    /// The resolution: -4 to 8 for exponential buckets, -53 for buckets with `custom_values` as bounds.
    pub schema: i32,
    /// The absolute value that bounds the zero bucket.
    pub zero_threshold: f64,
    /// The observations in the zero bucket.
    pub zero_count: f64,
    /// The number of observations.
    pub count: f64,
    /// The sum of observations.
    pub sum: f64,
    /// The spans of the buckets of positive observations.
    pub positive_spans: Vec<Span>,
    /// The spans of the buckets of negative observations.
    pub negative_spans: Vec<Span>,
    /// The counts of the buckets of positive observations.
    pub positive_buckets: Vec<f64>,
    /// The counts of the buckets of negative observations.
    pub negative_buckets: Vec<f64>,
    /// The upper bounds of custom buckets, ascending, without the infinite one.
    pub custom_values: Vec<f64>,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramBucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the bucket contains its lower bound.
    pub lower_inclusive: bool,
    /// Whether the bucket contains its upper bound.
    pub upper_inclusive: bool,
    /// The number of observations.
    pub count: f64,
}

impl FloatHistogram {
    /// Returns the buckets that are not empty in ascending order, with the zero bucket.
    #[must_use]
    pub fn buckets(&self) -> Vec<HistogramBucket> {
        Vec::new()
    }
}
