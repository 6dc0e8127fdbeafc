//! The layout of series in the rows of an InfluxQL answer. The planner creates it; answer formats read it.

mod group_key;

pub use group_key::{GroupKey, GroupTag, MEASUREMENT_COLUMN};

/// The interface of an answer. Some statements return different columns in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerInterface {
    /// `/api/v3/query_influxql`: one table of rows.
    V3,
    /// `/query`: rows grouped by series.
    V1,
}

/// The assignment of rows to series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeriesLayout {
    /// The values of these columns identify the series.
    Columns(GroupKey),
    /// All rows belong to one series, which may have a name.
    Single(Option<&'static str>),
}

impl SeriesLayout {
    /// Returns the layout with one series for each table. The first column names the table.
    pub fn by_table() -> Self {
        Self::Columns(GroupKey::default())
    }
}
