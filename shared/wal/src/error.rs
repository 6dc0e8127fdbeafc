//! What a write is told when it is not acknowledged.

use std::time::Duration;

use neap_bucket::{Stamp, StoreError};

use crate::StampError;

/// How long a client waits before it tries again, unless something better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a client waits while the tail is too long: about the time that a flush takes.
const RETRY_AFTER_FLUSH: Duration = Duration::from_secs(5);

/// How long a client waits while too many deletes are pending: about the time that a merge takes.
const RETRY_AFTER_MERGE: Duration = Duration::from_secs(60);

/// Why a write was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The request has neither rows nor deletes.
    #[error("the write has no rows")]
    Empty,
    /// The rows of one table take up more than a segment. The caller splits the batch.
    #[error("the rows of one table take up {bytes} bytes; a segment takes {limit}")]
    TooLarge {
        /// The encoded size.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
    /// The row deletes of one request take up more than is allowed.
    #[error("the deletes of one request take up {bytes} bytes, of at most {limit}")]
    DeletesTooLarge {
        /// The size as it is stored.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// Too much is waiting to be put already.
    #[error("{in_flight} bytes are waiting to be written, of at most {limit}")]
    Overloaded {
        /// The bytes that are waiting or being put.
        in_flight: usize,
        /// The most that may wait.
        limit: usize,
    },
    /// The tail of the database is too long ([`crate::Pressure::Stop`]).
    #[error("too many segments are waiting to be compacted")]
    TailTooLong,
    /// Row deletes are asked for faster than they are applied; nothing was put.
    #[error("{pending} deletes are waiting to be applied, of at most {limit}")]
    TooManyDeletes {
        /// The number of deletes in the manifest and, of this writer, in the tail.
        pending: u64,
        /// The greatest number to which one is added.
        limit: u64,
    },
    /// The store has not told its time yet.
    #[error("the time of the store is not known yet")]
    NoClock,
    /// The tail can't be listed, so the write can't be ordered after those of other instances. It was not put.
    #[error("the tail of the database can't be listed: {reason}")]
    TailNotListed {
        /// The cause.
        reason: String,
    },
    /// The write can't be ordered after the stamp that it names; nothing was put.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// Rule W1: the request waited too long before its stamp; it was not put.
    #[error("the write waited {} ms, of at most {} ms", waited.as_millis(), limit.as_millis())]
    Waited {
        /// The stamp it would have had.
        stamp: Stamp,
        /// How long the request waited, by the clock that says longest.
        waited: Duration,
        /// The limit.
        limit: Duration,
    },
    /// What was read of catalogs and manifest is too old; the request was not put. The caller reads them
    /// again and tries once more.
    #[error("the catalog was proven current {} ms ago, of at most {} ms", age.as_millis(), limit.as_millis())]
    ProofExpired {
        /// The stamp it would have had.
        stamp: Stamp,
        /// The age of the proof at the stamp.
        age: Duration,
        /// The limit.
        limit: Duration,
    },
    /// The stamp is not above the low-water mark: the segment would be void. It was not put.
    #[error("the store's clock went back: stamp {stamp} is not above the mark {mark}")]
    BehindMark {
        /// The stamp it would have had.
        stamp: Stamp,
        /// The mark.
        mark: Stamp,
    },
    /// The store refuses the put: missing rights, no such bucket, a full disk. Nothing was stored.
    #[error("the store refused the write: {error}")]
    Refused {
        /// The stamp of the segment that does not exist.
        stamp: Stamp,
        /// The store's reason.
        error: StoreError,
    },
    /// The segment may exist, or does, but must not be promised.
    #[error("the write is not certain: {doubt}")]
    NotAcknowledged {
        /// The stamp of the segment.
        stamp: Stamp,
        /// Why.
        doubt: Doubt,
    },
    /// The process is ending.
    #[error("the writer is shutting down")]
    Abandoned,
}

/// Why a put is not acknowledged (rule W2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The put was not answered: it may have taken effect, or will.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer has no usable `Date`.
    #[error("the store's answer has no date")]
    NoDate,
    /// The store's `Date` is too far from the stamp.
    #[error("the store's date is {} ms away from the stamp, of at most {} ms", distance.as_millis(), limit.as_millis())]
    DateApart {
        /// How far.
        distance: Duration,
        /// The limit.
        limit: Duration,
    },
    /// The put took too long by one of the clocks.
    #[error("the put took {} ms, of at most {} ms", took.as_millis(), limit.as_millis())]
    Slow {
        /// How long.
        took: Duration,
        /// The limit.
        limit: Duration,
    },
    /// An earlier part of the request was put; this is why the rest was not.
    #[error("only a part was written: {0}")]
    Partial(String),
}

/// What the answer to a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteErrorKind {
    /// The request is wrong and will always be: 400.
    BadRequest,
    /// The request is too large: 413.
    TooLarge,
    /// The request may be tried again: 503 with Retry-After.
    Unavailable,
}

impl WriteError {
    /// The stamp that was taken for the request, whether or not a segment exists.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Waited { stamp, .. }
            | Self::ProofExpired { stamp, .. }
            | Self::BehindMark { stamp, .. }
            | Self::Refused { stamp, .. }
            | Self::NotAcknowledged { stamp, .. } => Some(*stamp),
            Self::Empty
            | Self::TooLarge { .. }
            | Self::DeletesTooLarge { .. }
            | Self::Overloaded { .. }
            | Self::TailTooLong
            | Self::TooManyDeletes { .. }
            | Self::NoClock
            | Self::TailNotListed { .. }
            | Self::Stamp(_)
            | Self::Abandoned => None,
        }
    }

    /// What the answer to the request is about.
    pub fn kind(&self) -> WriteErrorKind {
        match self {
            Self::Empty | Self::Stamp(StampError::FarAhead { .. }) => WriteErrorKind::BadRequest,
            Self::TooLarge { .. } | Self::DeletesTooLarge { .. } => WriteErrorKind::TooLarge,
            _ => WriteErrorKind::Unavailable,
        }
    }

    /// How long to wait before the request is sent again; `None` when that is of no use.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            _ if self.kind() != WriteErrorKind::Unavailable => None,
            Self::Stamp(StampError::Ahead { wait, .. }) => Some((*wait).max(RETRY_AFTER)),
            Self::TailTooLong => Some(RETRY_AFTER_FLUSH),
            Self::TooManyDeletes { .. } => Some(RETRY_AFTER_MERGE),
            _ => Some(RETRY_AFTER),
        }
    }

    /// The same after an earlier part of the request was put under `stamp`: no stamp is kept from the
    /// client, and nobody takes the request for one of which nothing exists.
    pub(crate) fn after_part(self, stamp: Option<Stamp>) -> Self {
        match stamp {
            Some(stamp) if !matches!(self, Self::NotAcknowledged { .. }) => Self::NotAcknowledged {
                stamp: self.stamp().unwrap_or(stamp),
                doubt: Doubt::Partial(self.to_string()),
            },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_succeed_later_is_to_be_retried() {
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

    #[test]
    fn a_failure_after_a_part_was_put_keeps_its_stamp() {
        let stamp = Stamp::from_u64(9);
        assert!(WriteError::NoClock.after_part(None).stamp().is_none());
        let error = WriteError::NoClock.after_part(Some(stamp));
        assert_eq!(error.stamp(), Some(stamp));
        insta::assert_snapshot!(
            error,
            @"the write is not certain: only a part was written: the time of the store is not known yet"
        );
    }
}
