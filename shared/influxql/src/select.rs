//! The `SELECT` statement.

use crate::{Condition, Expr, Literal, Regex};

/// A query for rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// What is computed, at least one.
    pub fields: Vec<Field>,
    /// Where the rows come from, at least one.
    pub from: Vec<Source>,
    /// `WHERE`.
    pub condition: Option<Condition>,
    /// `GROUP BY`; empty without the clause. At most one is [`Dimension::Time`].
    pub group_by: Vec<Dimension>,
    /// `FILL(...)`.
    pub fill: Option<Fill>,
    /// `ORDER BY time`.
    pub order: Option<Order>,
    /// `LIMIT`: rows of each series.
    pub limit: Option<u64>,
    /// `OFFSET`: rows of each series that are passed over.
    pub offset: Option<u64>,
    /// `SLIMIT`: series.
    pub slimit: Option<u64>,
    /// `SOFFSET`: series that are passed over.
    pub soffset: Option<u64>,
    /// `TZ('Area/City')`: the name as written.
    pub time_zone: Option<String>,
}

/// One column, or with a wildcard several columns, of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The value.
    pub expr: Expr,
    /// `AS`.
    pub alias: Option<String>,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A table, or all tables whose names match.
    Measurement(Measurement),
    /// A query in parentheses.
    Subquery(Box<Select>),
}

/// Tables: `name`, `rp.name`, `db.rp.name`, `db..name`, with a regular expression in place of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// The database, if named. [`lift_database`](crate::Statement::lift_database) takes it out.
    pub database: Option<String>,
    /// The retention policy, if named. Like the database.
    pub retention_policy: Option<String>,
    /// Which tables.
    pub name: MeasurementName,
}

/// Which tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeasurementName {
    /// The one of this name.
    Name(String),
    /// All whose name matches.
    Regex(Regex),
}

/// One element of `GROUP BY`.
#[derive(Clone, Debug, PartialEq)]
pub enum Dimension {
    /// `time(every[, offset])`.
    Time {
        /// The length of a window in nanoseconds, above zero.
        every: i64,
        /// What windows are shifted by: a duration, or a time (a string, `now()`, a sum of these).
        offset: Option<Expr>,
    },
    /// One tag.
    Tag(String),
    /// All tags whose names match.
    Regex(Regex),
    /// All tags: `*`.
    Wildcard,
}

/// What windows without rows get.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// `fill(null)`: a row without value. The default.
    Null,
    /// `fill(none)`: no row.
    None,
    /// `fill(previous)`: the value of the window before.
    Previous,
    /// `fill(linear)`: a value between those around.
    Linear,
    /// `fill(0)`: this number; always an integer, unsigned or float.
    Value(Literal),
}

/// The order of rows in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    #[default]
    Ascending,
    /// The newest first.
    Descending,
}
