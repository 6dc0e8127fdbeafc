//! The options of a parse.

use crate::{SchemaLimits, TableLimit, line_protocol::precision::Precision};

/// A dialect of line protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Line protocol of InfluxDB 3.
    #[default]
    InfluxDb,
    /// Line protocol as clients of InfluxDB 1 and 2 send it. Refuses tag values with an escaped comma and an unescaped
    /// equals sign after it, as these servers do: they come from values that end with a backslash, such as `C:\`, and
    /// would take the following tags with them. Bytes that are not UTF-8 refuse only their line.
    LegacyInfluxDb,
    /// Line protocol of QuestDB, versions 1 to 3. Accepts everything that `LegacyInfluxDb` accepts, and in addition binary
    /// floats, arrays of floats and decimals, numbers of 256 bits (`0x1fi`), timestamps as field values (`5t`, `5n`), `NaN` for an
    /// absent field, units of timestamps, and a backslash before a newline in strings, which is dropped. Arrays and
    /// decimals are stored as strings. A line whose values are all absent is skipped.
    ///
    /// Parsing stops at the first refused line, because the end of a malformed binary value is not known.
    QuestDb,
}

/// The options of [`crate::line_protocol::parse()`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The unit of the timestamps.
    pub precision: Precision,
    /// The dialect of the body.
    pub dialect: Dialect,
    /// The time of lines without a timestamp, in nanoseconds since the Unix epoch.
    ///
    /// In the dialects of InfluxDB, it is truncated toward zero to the precision. In the QuestDB dialect, it is the time of
    /// the first such line, and each further one is a nanosecond later, because QuestDB keeps all of them.
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
    /// fields would take unbounded memory. A cell takes about 8 bytes, besides the text of strings. The text of an array
    /// or decimal counts as one cell for 8 bytes, because it can be much larger than in the body.
    pub max_cells: Option<usize>,
    /// Maximum number of refused lines to report.
    pub max_errors: Option<usize>,
}

impl Options {
    /// Returns the options of lines with timestamps in this unit.
    pub fn with_precision(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }
}
