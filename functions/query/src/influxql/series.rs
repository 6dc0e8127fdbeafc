//! Which series the rows of an answer belong to.

use super::group_key::GroupKey;

/// Which of the two interfaces an answer is for: some have other columns in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `/api/v3/query_influxql`: one table of rows.
    V3,
    /// `/query`: rows by series.
    V1,
}

/// Which series the rows of an answer belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Series {
    /// Those that columns tell.
    Of(GroupKey),
    /// All are of one, which may have a name.
    One(Option<&'static str>),
}

impl Series {
    /// The rows of each table, named in the first column, are a series.
    pub(super) fn of_tables() -> Self {
        Self::Of(GroupKey::default())
    }
}
