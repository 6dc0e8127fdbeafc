//! The parameters of gap filling.

use datafusion::common::ScalarValue;

use super::limit::GapFillLimit;
use super::node::FilledColumn;
use crate::bins::Binning;

/// The parameters of gap filling, with all constants evaluated. See [`super::node::GapFill`] for the columns.
#[derive(Debug)]
pub(super) struct GapFillSpec {
    pub(super) group_columns: usize,
    pub(super) time_column: usize,
    pub(super) binning: Binning,
    /// The first instant of the time range, inclusive; `i64::MIN` if each group begins with its first row.
    pub(super) lower: i64,
    /// The last instant of the time range, inclusive; before `lower` if the range is empty.
    pub(super) upper: i64,
    pub(super) limit: GapFillLimit,
    pub(super) defaults: Vec<ScalarValue>,
    pub(super) filled: Vec<FilledColumn>,
}

impl GapFillSpec {
    /// Returns the indices of the group columns other than the time.
    pub(super) fn key_columns(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.group_columns).filter(|index| *index != self.time_column)
    }
}
