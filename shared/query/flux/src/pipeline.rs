//! Pipelines: a source of tables, and the operations on them.

use std::sync::Arc;

use crate::{FluxDuration, RowExpr, Span};

/// A source and the operations on its tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// The source.
    pub source: Source,
    /// The operations, the first one first.
    pub steps: Vec<Arc<Step>>,
}

/// The source of the tables of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The series of the bucket with this name or id.
    Bucket(String),
    /// The list of buckets.
    Buckets,
}

/// An operation and its position in the query.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The position of the call.
    pub span: Span,
    /// The operation.
    pub operation: Operation,
}

/// An operation on tables.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `range()`: the rows from `start` until before `stop`, in nanoseconds since the Unix epoch.
    Range {
        /// The first time.
        start: i64,
        /// The time after the last one.
        stop: i64,
    },
    /// `filter()`: the rows for which the expression is true.
    Filter(RowExpr),
    /// `group()`: tables by the values of other columns.
    Group {
        /// The columns.
        columns: Vec<String>,
        /// Whether the columns are those of the group key, or the others.
        mode: GroupMode,
    },
    /// `mean()` and others: one row for each table, with a value computed from a column.
    Aggregate {
        /// The function.
        function: Aggregate,
        /// The column.
        column: String,
    },
    /// `first()` and others: one row of each table.
    Select {
        /// The function.
        selector: Selector,
        /// The column.
        column: String,
    },
    /// `aggregateWindow()`
    Window(WindowedAggregate),
    /// `sort()`
    Sort {
        /// The columns.
        columns: Vec<String>,
        /// Whether the order is descending.
        descending: bool,
    },
    /// `limit()`: the rows of each table after the first `offset` ones, at most `rows`.
    Limit {
        /// The maximum number of rows.
        rows: u64,
        /// The number of rows before them.
        offset: u64,
    },
    /// `tail()`: the rows of each table before the last `offset` ones, at most `rows`.
    Tail {
        /// The maximum number of rows.
        rows: u64,
        /// The number of rows after them.
        offset: u64,
    },
    /// `keep()`
    Keep(ColumnChoice),
    /// `drop()`
    Drop(ColumnChoice),
    /// `rename()`: columns by their former and new names.
    Rename(Vec<(String, String)>),
    /// `map()`
    Map(MapFunction),
    /// `pivot()`
    Pivot(Pivot),
    /// `distinct()`: the distinct values of a column, as `_value`.
    Distinct(String),
    /// `schema.tagValues()`: the distinct values of a column of all series, as `_value` of one table.
    TagValues(String),
    /// `schema.tagKeys()`: the names of the columns of the group keys of all series, as `_value` of one table.
    TagKeys,
}

/// The meaning of the columns of `group()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupMode {
    /// They are the group key.
    By,
    /// All others are the group key.
    Except,
}

/// A function of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// `count()`: the number of rows.
    Count,
    /// `mean()`
    Mean,
    /// `sum()`
    Sum,
}

impl Aggregate {
    /// The name of the function.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Mean => "mean",
            Self::Sum => "sum",
        }
    }
}

/// A function that selects a row of a table. It ignores rows without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `first()`: the first row.
    First,
    /// `last()`: the last row.
    Last,
    /// `min()`: the first row with the smallest value.
    Min,
    /// `max()`: the first row with the largest value.
    Max,
}

impl Selector {
    /// The name of the function.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

/// `aggregateWindow()`: a function of the rows of each window of time.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowedAggregate {
    /// The length of the windows, either in months or in nanoseconds.
    pub every: FluxDuration,
    /// The start of one window, in nanoseconds since the Unix epoch.
    pub offset: i64,
    /// The function.
    pub function: WindowFunction,
    /// The column that the function is of.
    pub column: String,
    /// The end of a window that is the time of its row, `_time`.
    pub time_source: TimeSource,
    /// Whether windows without rows have a row.
    pub creates_empty: bool,
}

/// A function of the rows of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFunction {
    /// A value of all rows.
    Aggregate(Aggregate),
    /// One row.
    Select(Selector),
}

/// An end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// `_start`
    Start,
    /// `_stop`
    Stop,
}

/// A set of columns.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnChoice {
    /// Columns by name.
    Names(Vec<String>),
    /// The columns for whose names an expression is true. Its only column is the name.
    Condition(RowExpr),
}

/// `map()`: the columns of a row, computed from those of another one.
#[derive(Clone, Debug, PartialEq)]
pub struct MapFunction {
    /// Whether the row keeps its other columns: `{r with …}`.
    pub extends: bool,
    /// The columns and their values.
    pub columns: Vec<(String, RowExpr)>,
}

/// `pivot()`: a column for each value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pivot {
    /// The columns that identify a row of the result.
    pub row_key: Vec<String>,
    /// The column with the names of the new columns.
    pub column_key: String,
    /// The column with their values.
    pub value_column: String,
}
