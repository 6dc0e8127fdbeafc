//! The messages of remote read, and the parts of remote write that are not read from borrowed bytes.

use prost::{Enumeration, Message, Oneof};

/// A request of remote read.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRequest {
    /// The queries.
    #[prost(message, repeated, tag = "1")]
    pub queries: Vec<Query>,
    /// The types of answers that the client accepts, the preferred one first. Without any, it accepts samples.
    #[prost(enumeration = "ResponseType", repeated, tag = "2")]
    pub accepted_response_types: Vec<i32>,
}

/// The types of answers of remote read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ResponseType {
    /// One message with all samples.
    Samples = 0,
    /// A stream of messages with compressed chunks of samples.
    StreamedXorChunks = 1,
}

/// A query of remote read.
#[derive(Clone, PartialEq, Message)]
pub struct Query {
    /// The first time, in milliseconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub start_timestamp_ms: i64,
    /// The last time, in milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub end_timestamp_ms: i64,
    /// The conditions on the labels of a series. All of them must hold.
    #[prost(message, repeated, tag = "3")]
    pub matchers: Vec<LabelMatcher>,
    /// What the client does with the samples.
    #[prost(message, optional, tag = "4")]
    pub hints: Option<ReadHints>,
}

/// A condition on a label.
#[derive(Clone, PartialEq, Message)]
pub struct LabelMatcher {
    /// The comparison.
    #[prost(enumeration = "MatcherType", tag = "1")]
    pub kind: i32,
    /// The name of the label. An absent label is an empty label.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The value or the pattern.
    #[prost(string, tag = "3")]
    pub value: String,
}

/// The comparisons of a [`LabelMatcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum MatcherType {
    /// The label has the value.
    Equal = 0,
    /// The label has another value.
    NotEqual = 1,
    /// The whole label matches the pattern.
    Regex = 2,
    /// The whole label does not match the pattern.
    NotRegex = 3,
}

/// What a client does with the samples of a query. Times are in milliseconds.
#[derive(Clone, PartialEq, Message)]
pub struct ReadHints {
    /// The step of the query.
    #[prost(int64, tag = "1")]
    pub step_ms: i64,
    /// The function that is applied to the samples.
    #[prost(string, tag = "2")]
    pub func: String,
    /// The first time that the client needs.
    #[prost(int64, tag = "3")]
    pub start_ms: i64,
    /// The last time that the client needs.
    #[prost(int64, tag = "4")]
    pub end_ms: i64,
}

/// The answer of remote read with all samples.
#[derive(Clone, PartialEq, Message)]
pub struct ReadResponse {
    /// The results in the order of the queries.
    #[prost(message, repeated, tag = "1")]
    pub results: Vec<QueryResult>,
}

/// The result of a query.
#[derive(Clone, PartialEq, Message)]
pub struct QueryResult {
    /// The series in the order of their labels.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A series with its samples.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// The labels in the order of their names.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The samples in the order of their times.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// The native histograms in the order of their times.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A label of a series.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct Label {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A number at a time.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// The time in milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A native histogram at a time, as in both versions of remote write.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// The number of observations.
    #[prost(oneof = "HistogramCount", tags = "1, 2")]
    pub count: Option<HistogramCount>,
    /// The sum of the observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// The resolution of the buckets.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// The width of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// The number of observations in the zero bucket.
    #[prost(oneof = "HistogramZeroCount", tags = "6, 7")]
    pub zero_count: Option<HistogramZeroCount>,
    /// The used negative buckets.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// The counts of the negative buckets of an integer histogram, as differences from the bucket before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// The counts of the negative buckets of a float histogram.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// The used positive buckets.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// The counts of the positive buckets of an integer histogram, as differences from the bucket before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// The counts of the positive buckets of a float histogram.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// Whether the counter was reset: 0 unknown, 1 yes, 2 no, 3 the histogram is a gauge.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// The time in milliseconds since the Unix epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// The upper bounds of custom buckets.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
}

/// The number of observations of a histogram.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum HistogramCount {
    /// Of an integer histogram.
    #[prost(uint64, tag = "1")]
    Integer(u64),
    /// Of a float histogram.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// The number of observations in the zero bucket of a histogram.
#[derive(Clone, Copy, PartialEq, Oneof)]
pub enum HistogramZeroCount {
    /// Of an integer histogram.
    #[prost(uint64, tag = "6")]
    Integer(u64),
    /// Of a float histogram.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// Consecutive buckets.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BucketSpan {
    /// The distance to the previous span, or the index of the first bucket.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// The number of buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// A message of a streamed answer.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedReadResponse {
    /// Series in the order of their labels. A series may continue in the next message.
    #[prost(message, repeated, tag = "1")]
    pub chunked_series: Vec<ChunkedSeries>,
    /// The index of the query.
    #[prost(int64, tag = "2")]
    pub query_index: i64,
}

/// A series with chunks of samples.
#[derive(Clone, PartialEq, Message)]
pub struct ChunkedSeries {
    /// The labels in the order of their names.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// The chunks in the order of their times.
    #[prost(message, repeated, tag = "2")]
    pub chunks: Vec<Chunk>,
}

/// Compressed samples.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Chunk {
    /// The time of the first sample, in milliseconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub min_time_ms: i64,
    /// The time of the last sample, in milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub max_time_ms: i64,
    /// The encoding.
    #[prost(enumeration = "ChunkEncoding", tag = "3")]
    pub encoding: i32,
    /// The samples.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
}

/// The encodings of a [`Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum ChunkEncoding {
    /// Not known.
    Unknown = 0,
    /// Floats, see [`crate::XorChunkBuilder`].
    Xor = 1,
}
