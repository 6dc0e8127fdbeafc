//! Messages of remote write as points.
//!
//! ```text
//! version 1   WriteRequest { timeseries { labels, samples, exemplars, histograms }, metadata }
//! version 2   Request { symbols, timeseries { labels_refs, samples, histograms, exemplars, metadata } }
//!                     │
//!                     ▼ read from borrowed bytes
//!             SeriesWriter: the labels and the values of one series ── a row for each value ──► PointBatches
//! ```
//!
//! A message that is not protobuf is refused as a whole. A series whose labels cannot be stored is refused alone.

mod decoded_write;
mod exemplar;
mod labels;
mod series;
#[cfg(test)]
mod tests;
mod version_1;
mod version_2;

use crate::DecodeError;

pub use self::{
    decoded_write::{DecodedWrite, MetricMetadata, RefusedValues, RowKind},
    exemplar::SeriesExemplar,
};

/// The versions of remote write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteVersion {
    /// `prometheus.WriteRequest`, with labels as text.
    One,
    /// `io.prometheus.write.v2.Request`, with a table of symbols.
    Two,
}

/// Decodes a decompressed request.
///
/// # Errors
/// The message is not protobuf, or its points take more than `max_bytes` of memory.
pub fn decode_write(
    message: &[u8],
    version: WriteVersion,
    max_bytes: usize,
) -> Result<DecodedWrite<'_>, DecodeError> {
    match version {
        WriteVersion::One => version_1::decode(message, max_bytes),
        WriteVersion::Two => version_2::decode(message, max_bytes),
    }
}
