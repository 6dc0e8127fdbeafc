//! The bins that are walked for each group.

use super::exec::GapFillSpec;
use crate::bins::{BinCursor, BinList, Binning, Bins};

/// The bins of the current group, one after the other.
#[derive(Debug)]
pub(super) enum GroupBins {
    /// They are the same for all groups.
    Same(BinCursor),
    /// Each group begins with the bin of its first row.
    FromFirstRow {
        binning: Binning,
        upper: i64,
        bins: Option<Bins>,
        current: Option<i64>,
    },
}

impl GroupBins {
    /// The bins between the bounds of `spec`. A lower bound before all times (`i64::MIN`) is none.
    pub(super) fn new(spec: &GapFillSpec) -> Self {
        match spec.lower {
            i64::MIN => Self::FromFirstRow {
                binning: spec.binning,
                upper: spec.upper,
                bins: None,
                current: None,
            },
            lower => Self::Same(BinList::new(spec.binning.between(lower, spec.upper)).cursor()),
        }
    }

    /// To the first bin of a group whose first row has this time.
    pub(super) fn start(&mut self, first: Option<i64>) {
        match self {
            Self::Same(cursor) => cursor.restart(),
            Self::FromFirstRow {
                binning,
                upper,
                bins,
                current,
            } => {
                *bins = first.map(|first| binning.between(first, *upper));
                *current = bins.as_mut().and_then(Iterator::next);
            }
        }
    }

    /// The bin that is next, `None` behind the last.
    pub(super) fn current(&self) -> Option<i64> {
        match self {
            Self::Same(cursor) => cursor.current(),
            Self::FromFirstRow { current, .. } => *current,
        }
    }

    /// To the next bin.
    pub(super) fn advance(&mut self) {
        match self {
            Self::Same(cursor) => cursor.advance(),
            Self::FromFirstRow { bins, current, .. } => {
                *current = bins.as_mut().and_then(Iterator::next);
            }
        }
    }
}
