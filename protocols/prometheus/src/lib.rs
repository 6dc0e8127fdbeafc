//! The messages and routes of Prometheus's remote write and remote read, and their mapping to tables.
//!
//! | item | description |
//! |---|---|
//! | [`decompress`], [`compress`] | blocks of snappy, with a limit before memory is allocated |
//! | [`decode_write`] | both versions of remote write as points |
//! | [`tag_of_label`], [`label_of_tag`], the names of fields | the mapping of series to tables |
//! | [`decode_read`], [`ReadRequest`], [`ReadResponse`], [`ChunkedReadResponse`] | the messages of remote read |
//! | [`XorChunkBuilder`], [`encode_frame`] | the parts of a streamed answer |
//! | `remote_read`, `remote_write` | the routes, each behind a feature of its name |
//!
//! # Mapping
//!
//! A metric is a table, a label is a tag, and a sample is a row with the float field `value`, as in InfluxDB 1. An empty
//! label is absent. Times are stored in nanoseconds. A float column has no `NaN` and no infinity: such a sample has the
//! string field `non_finite` instead, with `stale`, `NaN`, `+Inf` or `-Inf`. A native histogram is a row with the float
//! fields `count` and `sum`, and the string field `histogram`, which is JSON. Exemplars of all metrics are rows of
//! the table `prometheus_exemplars`.

mod error;
mod frame;
mod histogram;
mod histogram_validation;
mod messages;
mod read_request;
#[cfg(feature = "remote-read")]
pub mod remote_read;
#[cfg(feature = "remote-write")]
pub mod remote_write;
mod snappy;
#[cfg(test)]
mod test_messages;
mod wire;
mod write;
mod xor_chunk;

pub use error::{DecodeError, WireProblem};
pub use frame::encode_frame;
pub use histogram_validation::HistogramDefect;
pub use messages::{
    BucketSpan, Chunk, ChunkEncoding, ChunkedReadResponse, ChunkedSeries, Histogram,
    HistogramCount, HistogramZeroCount, Label, LabelMatcher, MatcherType, Query, QueryResult,
    ReadHints, ReadRequest, ReadResponse, ResponseType, Sample, TimeSeries,
};
pub use neap_schema::prometheus::{
    COUNT_FIELD, EXEMPLARS_FIELDS, EXEMPLARS_TABLE, EXEMPLARS_TAGS, HISTOGRAM_FIELD,
    METADATA_FIELDS, METADATA_METRIC_TAG, METADATA_TABLE, NAME_LABEL, NAN_BITS, NON_FINITE_FIELD,
    STALE_BITS, SUM_FIELD, VALUE_FIELD, label_of_tag, non_finite_name, non_finite_value,
    tag_of_label,
};
pub use prost::Message;
pub use read_request::decode_read;
pub use snappy::{compress, decompress, decompressed_len};
pub use write::{
    DecodedWrite, MetricMetadata, RefusedValues, RowKind, SeriesExemplar, WriteVersion,
    decode_write,
};
pub use xor_chunk::{MAX_CHUNK_SAMPLES, XorChunkBuilder};
