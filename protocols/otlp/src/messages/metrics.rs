//! Messages of metrics. Times are in nanoseconds since the Unix epoch; 0: unknown.

use super::{
    KeyValue,
    json::{
        double, doubles, hex, integer, integers, optional_double, optional_integer, or_default,
    },
};

/// The flag of a data point that has no value, because its source ended.
pub(crate) const NO_RECORDED_VALUE: u32 = 1;

/// The temporality of values that are totals since a start.
pub(crate) const CUMULATIVE: i32 = 2;

messages! {
    /// A metric without its data points.
    MetricHeader {
        name: String = (string, tag = "1"), "or_default";
    }

    /// A sum without its data points.
    SumHeader {
        aggregation_temporality: i32 = (int32, tag = "2"), "integer";
        is_monotonic: bool = (bool, tag = "3"), "or_default";
    }

    /// A data point of a gauge or a sum.
    NumberPoint {
        attributes: Vec<KeyValue> = (message, repeated, tag = "7"), "or_default";
        start_time_unix_nano: u64 = (fixed64, tag = "2"), "integer";
        time_unix_nano: u64 = (fixed64, tag = "3"), "integer";
        as_double: Option<f64> = (double, optional, tag = "4"), "optional_double";
        as_int: Option<i64> = (sfixed64, optional, tag = "6"), "optional_integer";
        exemplars: Vec<Exemplar> = (message, repeated, tag = "5"), "or_default";
        flags: u32 = (uint32, tag = "8"), "integer";
    }

    /// A data point of a histogram with explicit bounds.
    HistogramPoint {
        attributes: Vec<KeyValue> = (message, repeated, tag = "9"), "or_default";
        start_time_unix_nano: u64 = (fixed64, tag = "2"), "integer";
        time_unix_nano: u64 = (fixed64, tag = "3"), "integer";
        count: u64 = (fixed64, tag = "4"), "integer";
        sum: Option<f64> = (double, optional, tag = "5"), "optional_double";
        bucket_counts: Vec<u64> = (fixed64, repeated, tag = "6"), "integers";
        explicit_bounds: Vec<f64> = (double, repeated, tag = "7"), "doubles";
        exemplars: Vec<Exemplar> = (message, repeated, tag = "8"), "or_default";
        flags: u32 = (uint32, tag = "10"), "integer";
        min: Option<f64> = (double, optional, tag = "11"), "optional_double";
        max: Option<f64> = (double, optional, tag = "12"), "optional_double";
    }

    /// A data point of an exponential histogram. Bucket `i` ends at `2^((i + 1) / 2^scale)`.
    ExponentialPoint {
        attributes: Vec<KeyValue> = (message, repeated, tag = "1"), "or_default";
        start_time_unix_nano: u64 = (fixed64, tag = "2"), "integer";
        time_unix_nano: u64 = (fixed64, tag = "3"), "integer";
        count: u64 = (fixed64, tag = "4"), "integer";
        sum: Option<f64> = (double, optional, tag = "5"), "optional_double";
        scale: i32 = (sint32, tag = "6"), "integer";
        zero_count: u64 = (fixed64, tag = "7"), "integer";
        positive: Option<ExponentialBuckets> = (message, optional, tag = "8");
        negative: Option<ExponentialBuckets> = (message, optional, tag = "9");
        flags: u32 = (uint32, tag = "10"), "integer";
        exemplars: Vec<Exemplar> = (message, repeated, tag = "11"), "or_default";
        min: Option<f64> = (double, optional, tag = "12"), "optional_double";
        max: Option<f64> = (double, optional, tag = "13"), "optional_double";
        zero_threshold: f64 = (double, tag = "14"), "double";
    }

    /// The buckets of an exponential histogram on one side of zero.
    ExponentialBuckets {
        /// The index of the first bucket.
        offset: i32 = (sint32, tag = "1"), "integer";
        bucket_counts: Vec<u64> = (uint64, repeated, tag = "2"), "integers";
    }

    /// A data point of a summary.
    SummaryPoint {
        attributes: Vec<KeyValue> = (message, repeated, tag = "7"), "or_default";
        start_time_unix_nano: u64 = (fixed64, tag = "2"), "integer";
        time_unix_nano: u64 = (fixed64, tag = "3"), "integer";
        count: u64 = (fixed64, tag = "4"), "integer";
        sum: f64 = (double, tag = "5"), "double";
        quantile_values: Vec<QuantileValue> = (message, repeated, tag = "6"), "or_default";
        flags: u32 = (uint32, tag = "8"), "integer";
    }

    /// The value at a quantile, which is between 0 and 1.
    QuantileValue {
        quantile: f64 = (double, tag = "1"), "double";
        value: f64 = (double, tag = "2"), "double";
    }

    /// A measurement that is an example of those that a data point sums up.
    Exemplar {
        filtered_attributes: Vec<KeyValue> = (message, repeated, tag = "7"), "or_default";
        time_unix_nano: u64 = (fixed64, tag = "2"), "integer";
        as_double: Option<f64> = (double, optional, tag = "3"), "optional_double";
        as_int: Option<i64> = (sfixed64, optional, tag = "6"), "optional_integer";
        span_id: Vec<u8> = (bytes = "vec", tag = "4"), "hex";
        trace_id: Vec<u8> = (bytes = "vec", tag = "5"), "hex";
    }
}
