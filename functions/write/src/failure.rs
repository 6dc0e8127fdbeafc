//! What a write is told when not all of it is stored.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_catalog::CatalogError;
use neap_line_protocol::{LineError, LineErrorKind, ParseError};
use neap_wal::{EncodeError, WriteError};

/// How long a client waits that found the server busy.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a write is not stored, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum WriteFailure {
    /// The body has no lines.
    #[error("incoming write was empty")]
    Empty,
    /// The whole body is refused.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A line is refused and nothing is stored, since the request is to be stored as a whole.
    #[error("line {} is refused: {}", .0.line_number, .0.error_message)]
    Rejected(LineError),
    /// Some lines are refused; the others, if there are any, are stored.
    #[error("{refused} lines are refused")]
    Partial {
        /// The refused lines, in the order of the body; at most [`crate::WriteService::MAX_ERRORS`].
        errors: Vec<LineError>,
        /// The number of refused lines.
        refused: usize,
        /// The number of the others.
        rows: usize,
        /// The stamp of the lines that are stored; `None` when there are none, or not yet (`no_sync`).
        stamp: Option<Stamp>,
    },
    /// The database can't be used, tables or columns can't be created, or a catalog or the manifest can't
    /// be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The rows are not acknowledged.
    #[error(transparent)]
    Tail(#[from] WriteError),
    /// The rows can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Too many bytes are being worked on.
    #[error("too many bytes of requests are under way")]
    Busy,
    /// The catalog changed again and again while the request was judged by it.
    #[error("the catalog changes too fast")]
    Contended,
}

impl WriteFailure {
    /// The stamp that was taken for the request, whether or not a segment exists.
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Partial { stamp, .. } => *stamp,
            Self::Tail(error) => error.stamp(),
            _ => None,
        }
    }

    /// How long to wait before the request is sent again; `None` when that is of no use, or nothing is
    /// known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Tail(error) => error.retry_after(),
            Self::Busy | Self::Contended => Some(RETRY_AFTER),
            _ => None,
        }
    }

    /// Whether lines are refused because a ceiling is reached.
    pub fn is_limit(&self) -> bool {
        let of_limit = |error: &LineError| error.kind == LineErrorKind::Limit;
        match self {
            Self::Partial { errors, .. } => errors.iter().any(of_limit),
            Self::Catalog(CatalogError::Limit(_)) => true,
            _ => false,
        }
    }
}
