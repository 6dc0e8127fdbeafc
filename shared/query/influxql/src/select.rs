//! The `SELECT` statement.

use crate::{Condition, Expr, Literal, Regex};

/// A query for rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The columns of the answer; at least one.
    pub fields: Vec<Field>,
    /// The sources of the rows; at least one.
    pub from: Vec<SelectSource>,
    /// `WHERE`.
    pub condition: Option<Condition>,
    /// `GROUP BY`; empty without the clause. At most one is [`Dimension::Time`].
    pub group_by: Vec<Dimension>,
    /// `FILL(...)`.
    pub fill: Option<Fill>,
    /// `ORDER BY time`.
    pub order: Option<TimeOrder>,
    /// `LIMIT`: maximum rows per series.
    pub limit: Option<u64>,
    /// `OFFSET`: rows skipped in each series.
    pub offset: Option<u64>,
    /// `SLIMIT`: maximum series.
    pub slimit: Option<u64>,
    /// `SOFFSET`: series skipped.
    pub soffset: Option<u64>,
    /// `TZ('Area/City')`: the name as written.
    pub time_zone: Option<String>,
}

/// `SELECT ... INTO ...`: a query whose rows are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectInto {
    /// The query.
    pub select: Select,
    /// The tables that get its rows.
    pub target: IntoTarget,
}

/// One column of the answer, or several with a wildcard.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The value.
    pub expr: Expr,
    /// `AS`.
    pub alias: Option<String>,
}

/// A source of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectSource {
    /// A table, or all tables whose names match.
    Measurement(Measurement),
    /// A query in parentheses.
    Subquery(Box<Select>),
}

/// Tables: `name`, `rp.name`, `db.rp.name`, `db..name`, with a regular expression in place of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The database, if named. [`extract_database`](crate::Statement::extract_database) takes it out. In a query of
    /// several databases, it is the name of the stored database, which includes the retention policy.
    pub database: Option<String>,
    /// The retention policy, if named. [`extract_database`](crate::Statement::extract_database) takes it out too.
    pub retention_policy: Option<String>,
    /// The names of the tables.
    pub name: MeasurementName,
}

/// Selects tables by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementName {
    /// The table of this name.
    Name(String),
    /// All tables whose names match.
    Regex(Regex),
}

/// The tables that `INTO` names: `name`, `rp.name`, `db.rp.name`, `db..name`, with `:MEASUREMENT` in place of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntoTarget {
    /// The database, if named; otherwise that of the query.
    pub database: Option<String>,
    /// The retention policy, if named.
    pub retention_policy: Option<String>,
    /// The table; with `:MEASUREMENT` (`None`), each row goes to the table with the name of its source.
    pub table: Option<String>,
}

/// One element of `GROUP BY`.
#[derive(Clone, Debug, PartialEq)]
pub enum Dimension {
    /// `time(every[, offset])`.
    Time {
        /// The length of a window.
        every: WindowLength,
        /// The shift of the windows: a duration, or a time (a string, `now()`, a sum of these).
        offset: Option<Expr>,
    },
    /// One tag.
    Tag(String),
    /// All tags whose names match.
    Regex(Regex),
    /// All tags: `*`.
    Wildcard,
}

/// The length of the windows of `GROUP BY time(...)`, above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowLength {
    /// Nanoseconds.
    Nanos(i64),
    /// Months of the calendar, of which a year has twelve.
    Months(u32),
}

/// The values of windows without rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// `fill(null)`: a row without value. The default.
    Null,
    /// `fill(none)`: no row.
    None,
    /// `fill(previous)`: the value of the previous window.
    Previous,
    /// `fill(linear)`: a value interpolated between the neighbouring windows.
    Linear,
    /// `fill(0)`: this number; always an integer, unsigned or float.
    Value(Literal),
}

/// The time order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeOrder {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}
