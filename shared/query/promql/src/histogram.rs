//! Native histograms with float counts.

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
    /// The indexes and counts of buckets of positive observations, ascending; see [`bucket_counts`].
    pub positive: Vec<(i32, f64)>,
    /// The indexes and counts of buckets of negative observations, ascending by their absolute value.
    pub negative: Vec<(i32, f64)>,
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

/// Returns the indexes and counts of the buckets of spans. A span has an offset, which is the number of empty buckets since the
/// previous span or the index of the first bucket, and a number of buckets. `None` if there are not as many counts as buckets.
#[must_use]
pub fn bucket_counts(
    spans: impl IntoIterator<Item = (i32, u32)>,
    counts: &[f64],
) -> Option<Vec<(i32, f64)>> {
    let mut buckets = Vec::with_capacity(counts.len());
    let mut remaining = counts.iter();
    let mut next_index = 0_i32;
    for (offset, length) in spans {
        next_index = next_index.checked_add(offset)?;
        for _ in 0..length {
            buckets.push((next_index, *remaining.next()?));
            next_index = next_index.checked_add(1)?;
        }
    }
    remaining.next().is_none().then_some(buckets)
}
