//! The bins of each group.

use datafusion::common::Result;

use super::limit::GapFillLimit;
use super::spec::GapFillSpec;
use crate::bins::{BinCursor, BinIterator, BinList, Binning};

/// An iterator over the bins of the current group.
#[derive(Debug)]
pub(super) enum GroupBins {
    /// All groups have the same bins.
    Same(BinCursor),
    /// Each group begins with the bin of its first row.
    FromFirstRow {
        binning: Binning,
        upper: i64,
        limit: GapFillLimit,
        bins: Option<BinIterator>,
        current: Option<i64>,
    },
}

impl GroupBins {
    /// Creates the bins between the bounds of `spec`. A lower bound of `i64::MIN` means no lower bound.
    pub(super) fn new(spec: &GapFillSpec) -> Self {
        match spec.lower {
            i64::MIN => Self::FromFirstRow {
                binning: spec.binning,
                upper: spec.upper,
                limit: spec.limit,
                bins: None,
                current: None,
            },
            lower => Self::Same(BinList::new(spec.binning.between(lower, spec.upper)).cursor()),
        }
    }

    /// Moves to the first bin of a group. `first` is the time of the group's first row.
    /// Fails if the group has more bins than the limit.
    pub(super) fn start(&mut self, first: Option<i64>) -> Result<()> {
        match self {
            Self::Same(cursor) => cursor.restart(),
            Self::FromFirstRow { binning, upper, limit, bins, current } => {
                if let Some(first) = first {
                    limit.check(binning, first, *upper)?;
                }
                *bins = first.map(|first| binning.between(first, *upper));
                *current = bins.as_mut().and_then(Iterator::next);
            }
        }
        Ok(())
    }

    /// Returns the current bin, or `None` after the last one.
    pub(super) fn current(&self) -> Option<i64> {
        match self {
            Self::Same(cursor) => cursor.current(),
            Self::FromFirstRow { current, .. } => *current,
        }
    }

    /// Moves to the next bin.
    pub(super) fn advance(&mut self) {
        match self {
            Self::Same(cursor) => cursor.advance(),
            Self::FromFirstRow { bins, current, .. } => {
                *current = bins.as_mut().and_then(Iterator::next);
            }
        }
    }
}
