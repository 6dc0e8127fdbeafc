//! The options of a parse.

use crate::precision::Precision;

/// A dialect of line protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Line protocol of InfluxDB 3.
    #[default]
    InfluxDb,
    /// Line protocol of QuestDB, which its clients send over HTTP as text, protocol version 1. Accepts everything that
    /// InfluxDB 3 accepts, and timestamps in microseconds as field values (`5t`, stored as integers), `NaN` for an
    /// absent field, and a backslash before a newline in strings, which is dropped.
    QuestDb,
}

/// The options of [`crate::parse()`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The unit of the timestamps.
    pub precision: Precision,
    /// The dialect of the body.
    pub dialect: Dialect,
    /// The time of lines without a timestamp, in nanoseconds since the Unix epoch. It is truncated toward zero to the
    /// precision.
    pub default_time_ns: i64,
    /// Whether to stop at the first refused line, because nothing is stored in that case.
    pub stop_at_first_error: bool,
    /// The limits of each table.
    pub limits: SchemaLimits,
    /// The limit on the number of tables; `None` is no limit.
    pub tables: Option<TableLimit>,
    /// Maximum number of cells, that is rows times columns, of all tables of the body together. A column counts as a
    /// few more rows than it has, because an empty column takes memory, too.
    ///
    /// Absent values take as much memory as others: without the limit, a small body whose lines all have different
    /// fields would take unbounded memory. A cell takes about 8 bytes, besides the text of strings.
    pub max_cells: Option<usize>,
    /// Maximum number of refused lines to report.
    pub max_errors: Option<usize>,
}

/// Maximum number of columns of a table, including existing columns; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchemaLimits {
    /// Maximum number of tags and fields together; `time` does not count.
    pub max_columns_per_table: Option<usize>,
    /// Maximum number of tags.
    pub max_tags_per_table: Option<usize>,
}

/// A limit on the number of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimit {
    /// The number of existing tables, including those of other databases.
    pub count: usize,
    /// The maximum number of tables.
    pub limit: usize,
}
