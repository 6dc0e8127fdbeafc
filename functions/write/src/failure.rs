//! The failures of a write.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_catalog::CatalogError;
use neap_rows::line_protocol::{LineError, LineErrorKind, ParseError};
use neap_wal::{EncodeError, WriteError};

use crate::{DuplicateRows, MissingTags};

/// How long a client waits before a retry when the server was busy.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The reason why a write, or a part of it, is not stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteFailure {
    /// The body has no lines.
    #[error("incoming write was empty")]
    Empty,
    /// The whole body is refused.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A line is refused, and nothing is stored because the request is all-or-nothing.
    #[error("line {} is refused: {}", .0.line_number, .0.error_message)]
    Rejected(LineError),
    /// Some lines are refused; the other lines, if any, are stored.
    #[error("{refused} lines are refused")]
    Partial {
        /// The refused lines, in the order of the body; at most [`crate::WriteService::MAX_ERRORS`].
        errors: Vec<LineError>,
        /// The number of refused lines.
        refused: usize,
        /// The number of accepted lines.
        rows: usize,
        /// The stamp of the stored lines; `None` if there are none, or if they are not stored yet (`no_sync`).
        stamp: Option<Stamp>,
        /// The stored rows that replace each other, if a bulk write was checked for them.
        duplicates: Option<DuplicateRows>,
    },
    /// Many rows of a bulk write would replace each other in a new table without tags. Nothing is stored.
    #[error(transparent)]
    MissingTags(#[from] MissingTags),
    /// The request would create too many tables or columns. Nothing is created or stored.
    #[error("the write would create {count} {what}, more than {limit}: use smaller writes")]
    TooManyAdditions {
        /// `tables` or `columns`.
        what: &'static str,
        /// The number of tables or columns that the request would create.
        count: usize,
        /// The maximum number.
        limit: usize,
    },
    /// The database cannot be used, tables or columns cannot be created, or a catalog or the manifest cannot be
    /// read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The rows are not acknowledged.
    #[error(transparent)]
    Tail(#[from] WriteError),
    /// The rows cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The requests in progress hold too many bytes.
    #[error("too many request bytes are in flight")]
    Busy,
    /// The catalog kept changing while the request was validated.
    #[error("the catalog changed too often during the request")]
    Contended,
}

impl WriteFailure {
    /// Returns the stamp taken for the request, whether or not a segment exists.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Partial { stamp, .. } => *stamp,
            Self::Tail(error) => error.stamp(),
            _ => None,
        }
    }

    /// Returns the stored rows that replace each other, if a bulk write was checked for them.
    pub fn duplicates(&self) -> Option<DuplicateRows> {
        match self {
            Self::Partial { duplicates, .. } => *duplicates,
            _ => None,
        }
    }

    /// Returns how long to wait before a retry; `None` if a retry is useless or the wait is not known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Tail(error) => error.retry_after(),
            Self::Busy | Self::Contended => Some(RETRY_AFTER),
            _ => None,
        }
    }

    /// Returns whether it is certain that nothing was stored. A writer that is shutting down may have begun a put.
    pub fn stored_nothing(&self) -> bool {
        !matches!(
            self,
            Self::Partial { .. }
                | Self::Tail(WriteError::NotAcknowledged { .. } | WriteError::ShuttingDown)
        )
    }

    /// Returns whether lines are refused because a limit is reached.
    pub fn is_limit(&self) -> bool {
        let of_limit = |error: &LineError| error.kind == LineErrorKind::Limit;
        match self {
            Self::Partial { errors, .. } => errors.iter().any(of_limit),
            Self::Catalog(CatalogError::Limit(_)) => true,
            _ => false,
        }
    }
}
