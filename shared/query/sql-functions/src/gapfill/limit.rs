//! The limit on the bins of a group.

use datafusion::common::{Result, exec_err};
use datafusion::prelude::SessionConfig;

use crate::bins::Binning;

/// The maximum number of bins that a gap-filling query has in each group. An extension of the session's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapFillLimit(pub u64);

impl GapFillLimit {
    /// The limit of sessions that set none.
    pub const DEFAULT: Self = Self(5_000_000);

    pub(super) fn of_session(config: &SessionConfig) -> Self {
        let limit = config.get_extension::<Self>();
        limit.map_or(Self::DEFAULT, |limit| *limit)
    }

    /// Checks the number of bins between two times.
    /// Fails if there are more bins than the limit.
    pub(super) fn check(self, binning: &Binning, lower: i64, upper: i64) -> Result<()> {
        let Self(limit) = self;
        let bins = binning.count_between(lower, upper);
        if bins > limit {
            return exec_err!(
                "the query has {bins} windows of time for each series, more than {limit}, the limit of this server; use \
                 longer windows, a shorter range of time, or windows without filling"
            );
        }
        Ok(())
    }
}
