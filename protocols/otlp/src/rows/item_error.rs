//! Reasons why a span, a log record or a data point is refused.

use neap_http::text_prefix;
use neap_rows::columnar::ColumnConflict;
use thiserror::Error;

use crate::{encoding::DecodeError, messages::KeyValue};

/// The reason why an item is refused. The other items of the request are stored.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum ItemError {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error(transparent)]
    Column(#[from] ColumnConflict),
    #[error("{0} has {1} bytes, expected {2}")]
    IdLength(&'static str, usize, usize),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} {1} is after the year 2262")]
    Time(&'static str, u64),
    #[error("{0} cannot be stored")]
    NotFinite(f64),
    #[error("the point has a float and an integer")]
    SeveralValues,
    #[error("{counts} bucket counts do not fit {bounds} bounds")]
    Buckets { counts: usize, bounds: usize },
    #[error("{of} has {count} attributes, more than {MAX_ATTRIBUTES}")]
    Attributes { of: &'static str, count: usize },
    #[error("the rows of the request take more than {0} bytes: send smaller requests")]
    RowsTooLarge(usize),
    #[error("metric '{}': {error}", text_prefix(metric, MAX_NAME_BYTES))]
    OfMetric { metric: String, error: Box<Self> },
}

/// Maximum number of attributes of a resource, a scope, or an item. Without some of them, rows of different sources would
/// be the same row, which is why the item is refused. SDKs limit spans and log records to 128.
const MAX_ATTRIBUTES: usize = 1_000;

/// Maximum size of the name of a metric in a message, in bytes.
const MAX_NAME_BYTES: usize = 100;

impl ItemError {
    /// Adds the name of the metric, if it has one.
    pub(super) fn of_metric(self, metric: &str) -> Self {
        match metric {
            "" => self,
            metric => Self::OfMetric { metric: metric.to_owned(), error: Box::new(self) },
        }
    }
}

/// Checks the number of attributes of the message `of`.
pub(super) fn check_attributes(of: &'static str, attributes: &[KeyValue]) -> Result<(), ItemError> {
    match attributes.len() {
        count if count > MAX_ATTRIBUTES => Err(ItemError::Attributes { of, count }),
        _ => Ok(()),
    }
}

/// Converts a time to nanoseconds since the Unix epoch.
pub(super) fn time_ns(name: &'static str, time_unix_nano: u64) -> Result<i64, ItemError> {
    i64::try_from(time_unix_nano).map_err(|_| ItemError::Time(name, time_unix_nano))
}

/// Converts a time that must be present.
pub(super) fn required_time_ns(name: &'static str, time_unix_nano: u64) -> Result<i64, ItemError> {
    match time_unix_nano {
        0 => Err(ItemError::Missing(name)),
        time => time_ns(name, time),
    }
}
