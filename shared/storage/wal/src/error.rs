//! Errors of writes that are not acknowledged.

use std::time::Duration;

use neap_bucket::{Stamp, StoreError};

use crate::StampError;

/// The default time that a client waits before it retries.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The time that a client waits while the tail is too long: about the duration of a flush.
const RETRY_AFTER_FLUSH: Duration = Duration::from_secs(5);

/// The time that a client waits while too many deletes are pending: about the duration of a merge.
const RETRY_AFTER_MERGE: Duration = Duration::from_secs(60);

/// Reasons why a write was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum WriteError {
    /// The request has neither rows nor deletes.
    #[error("the write has no rows")]
    Empty,
    /// The rows of the request exceed a segment, or the memory for segments in flight.
    #[error(
        "the rows of the request take up {bytes} bytes when they are stored (limit: {limit} bytes): send them in \
         several requests"
    )]
    TooLarge {
        /// The encoded size, in bytes.
        bytes: usize,
        limit: usize,
    },
    /// The row deletes of one request exceed the maximum size.
    #[error("the deletes of one request take up {bytes} bytes (limit: {limit} bytes)")]
    DeletesTooLarge {
        /// The stored size, in bytes.
        bytes: usize,
        limit: usize,
    },
    /// Too many bytes are queued or in flight.
    #[error("{in_flight} bytes are queued or in flight (limit: {limit} bytes)")]
    Overloaded { in_flight: usize, limit: usize },
    /// The tail of the database is too long ([`crate::Backpressure::Stop`]).
    #[error("too many segments are waiting to be compacted")]
    TailTooLong,
    /// Row deletes arrive faster than they are applied. The request was not put.
    #[error("{bytes} bytes of deletes are waiting to be applied (limit: {limit} bytes)")]
    TooManyDeletes {
        /// The bytes of pending deletes: those in the manifest, and those of this writer in the tail or in flight.
        bytes: u64,
        /// The maximum bytes of pending deletes for which another request is admitted.
        limit: u64,
    },
    /// Earlier states of the database have too many row deletes. The request was not put.
    #[error(
        "{bytes} bytes of applied deletes are kept for the time-travel period (limit: {limit} bytes)"
    )]
    TooManyAppliedDeletes {
        /// The bytes of applied deletes in the manifest.
        bytes: u64,
        /// The maximum bytes of applied deletes for which another request is admitted.
        limit: u64,
    },
    #[error("the time of the store is not known yet")]
    NoClock,
    /// The tail can't be listed, so the write can't be ordered after those of other instances. The request was not put.
    #[error("the tail of the database can't be listed: {reason}")]
    TailNotListed { reason: String },
    /// The write can't be ordered after the stamp that it names. The request was not put.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// Rule W1: the request waited too long before its stamp. The request was not put.
    #[error("the write waited {} ms (limit: {} ms)", waited.as_millis(), limit.as_millis())]
    WaitedTooLong {
        /// The stamp that the request would have had.
        stamp: Stamp,
        /// The time that the request waited, by the clock that shows the longest time.
        waited: Duration,
        limit: Duration,
    },
    /// The proof of catalogs and manifest is too old. The request was not put. The caller revalidates them and retries
    /// once.
    #[error("the catalog was last validated {} ms ago (limit: {} ms)", age.as_millis(), limit.as_millis())]
    ProofExpired {
        /// The stamp that the request would have had.
        stamp: Stamp,
        age: Duration,
        limit: Duration,
    },
    /// The stamp is not above the low-water mark, so the segment would be void. The request was not put.
    #[error("the store's clock went back: stamp {stamp} is not above the low-water mark {mark}")]
    NotAboveMark {
        /// The stamp that the request would have had.
        stamp: Stamp,
        mark: Stamp,
    },
    /// The store refuses the PUT: missing permissions, no such bucket, a full disk. Nothing was stored.
    #[error("the store refused the write: {error}")]
    Refused {
        /// The stamp of the segment that does not exist.
        stamp: Stamp,
        error: StoreError,
    },
    /// The segment exists or may exist, but the write must not be acknowledged.
    #[error("the write was not acknowledged: {doubt}")]
    NotAcknowledged {
        /// The stamp of the segment.
        stamp: Stamp,
        doubt: NotAcknowledged,
    },
    #[error("the writer is shutting down")]
    ShuttingDown,
}

/// Reasons why a PUT is not acknowledged (rule W2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum NotAcknowledged {
    /// The PUT was not answered: it may have taken effect, or may do so later.
    #[error("{0}")]
    NoAnswer(String),
    #[error("the store's answer has no date")]
    NoDate,
    #[error("the store's date is {} ms away from the stamp (limit: {} ms)", distance.as_millis(), limit.as_millis())]
    DateTooFar {
        /// The distance between the `Date` and the stamp.
        distance: Duration,
        limit: Duration,
    },
    /// The PUT took too long by one of the clocks.
    #[error("the PUT took {} ms (limit: {} ms)", took.as_millis(), limit.as_millis())]
    SlowPut { took: Duration, limit: Duration },
}

/// The class of a write error. Determines the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteErrorKind {
    /// The request is invalid and a retry does not help: 400.
    BadRequest,
    /// The request is too large: 413.
    TooLarge,
    /// The request can be retried: 503 with Retry-After.
    Unavailable,
}

impl WriteError {
    /// Returns the stamp that was taken for the request, whether or not a segment exists.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::WaitedTooLong { stamp, .. }
            | Self::ProofExpired { stamp, .. }
            | Self::NotAboveMark { stamp, .. }
            | Self::Refused { stamp, .. }
            | Self::NotAcknowledged { stamp, .. } => Some(*stamp),
            Self::Empty
            | Self::TooLarge { .. }
            | Self::DeletesTooLarge { .. }
            | Self::Overloaded { .. }
            | Self::TailTooLong
            | Self::TooManyDeletes { .. }
            | Self::TooManyAppliedDeletes { .. }
            | Self::NoClock
            | Self::TailNotListed { .. }
            | Self::Stamp(_)
            | Self::ShuttingDown => None,
        }
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> WriteErrorKind {
        match self {
            Self::Empty | Self::Stamp(StampError::FarAhead { .. }) => WriteErrorKind::BadRequest,
            Self::TooLarge { .. } | Self::DeletesTooLarge { .. } => WriteErrorKind::TooLarge,
            _ => WriteErrorKind::Unavailable,
        }
    }

    /// Returns the time to wait before a retry; `None` if a retry does not help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            _ if self.kind() != WriteErrorKind::Unavailable => None,
            Self::Stamp(StampError::Ahead { wait, .. }) => Some((*wait).max(RETRY_AFTER)),
            Self::TailTooLong => Some(RETRY_AFTER_FLUSH),
            Self::TooManyDeletes { .. } | Self::TooManyAppliedDeletes { .. } => {
                Some(RETRY_AFTER_MERGE)
            }
            _ => Some(RETRY_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_errors_have_a_retry_time() {
        let after = Stamp::from_u64(1);
        let (ahead, wait) = (Duration::from_secs(20), Duration::from_secs(15));
        let later = WriteError::from(StampError::Ahead { after, ahead, wait });
        assert_eq!(later.kind(), WriteErrorKind::Unavailable);
        assert_eq!(later.retry_after(), Some(wait));
        let never = WriteError::from(StampError::FarAhead { after, ahead });
        assert_eq!(never.kind(), WriteErrorKind::BadRequest);
        assert_eq!(never.retry_after(), None);
        assert_eq!(WriteError::Empty.retry_after(), None);
        assert_eq!(WriteError::NoClock.retry_after(), Some(RETRY_AFTER));
    }
}
