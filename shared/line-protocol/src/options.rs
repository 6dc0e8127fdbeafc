//! How a body is to be parsed.

use crate::precision::Precision;

/// Whose line protocol a body is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// That of InfluxDB 3.
    #[default]
    InfluxDb,
    /// That of QuestDB, whose clients send it over HTTP as text, protocol version 1: all that InfluxDB 3 takes, and
    /// timestamps in microseconds as the values of fields (`5t`, stored as integers), `NaN` for a field that is
    /// absent, and strings in which a backslash before a newline is dropped.
    QuestDb,
}

/// How a body is to be parsed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The unit of the timestamps.
    pub precision: Precision,
    /// Whose line protocol it is.
    pub dialect: Dialect,
    /// The time, in nanoseconds since the Unix epoch, of lines without timestamp. It is truncated
    /// toward zero to the precision.
    pub default_time_ns: i64,
    /// Whether to stop at the first line that is refused, because nothing will be stored then.
    pub stop_at_first_error: bool,
    /// The limits of each table.
    pub limits: SchemaLimits,
    /// How many tables may be created; `None` is any number.
    pub tables: Option<TableLimit>,
    /// The most cells, that is rows times columns, that the tables of the body may have together. A
    /// column counts as a few rows more than it has, because an empty one takes memory too.
    ///
    /// Absent values take as much memory as others: a small body whose lines all have different fields
    /// would otherwise grow without bound. A cell takes about 8 bytes, besides the text of strings.
    pub max_cells: Option<usize>,
    /// The most refused lines to report.
    pub max_errors: Option<usize>,
}

/// The most columns that a table may have, counting those it has already; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchemaLimits {
    /// The most tags and fields together; `time` does not count.
    pub max_columns_per_table: Option<usize>,
    /// The most tags.
    pub max_tags_per_table: Option<usize>,
}

/// How many tables there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimit {
    /// How many there are, those of other databases too.
    pub count: usize,
    /// The most.
    pub limit: usize,
}
