//! The errors of shipping.

use std::time::Duration;

use super::{part::PartError, source::SiteSourceError, target::SiteTargetError};

/// The reason why shipping stops.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The site can't be read.
    #[error(transparent)]
    Source(#[from] SiteSourceError),
    /// Rows can't be read.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The receiving cluster does not answer, or refuses a part.
    #[error("{0}")]
    Target(#[from] SiteTargetError),
    /// The receiving cluster has a position that the site has never had.
    #[error(
        "the receiving cluster is at position '{0}', which this database has never had: it is a copy, or was restored from one; \
         ship it under another name"
    )]
    UnknownPosition(String),
    /// The receiving cluster has lost rows of the site, as one that is restored from an older copy.
    #[error(
        "the receiving cluster is at an earlier position than before, and the rows in between are no longer kept for it here"
    )]
    EarlierPosition,
}

impl ShipError {
    /// Returns whether the work may succeed later without a change by an operator.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Target(error) => matches!(error, SiteTargetError::Temporary { .. }),
            Self::Source(error) => {
                !matches!(error, SiteSourceError::Refused(_) | SiteSourceError::MissingSegment(_))
            }
            Self::Part(_) | Self::UnknownPosition(_) | Self::EarlierPosition => false,
        }
    }

    /// Returns the time that the receiving cluster asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Target(SiteTargetError::Temporary { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}
