//! The roles of columns: which table they belong to, which of them are tags, and which one is the time.

use std::str::FromStr;

use arrow_array::timezone::Tz;
use chrono::format::{Item, StrftimeItems};
use neap_schema::{TIME_COLUMN, TableNameError, validate_table_name};

use crate::{columnar::error::MappingError, line_protocol::Precision};

/// The roles of the columns of record batches.
#[derive(Clone, Debug, Default)]
pub struct ColumnMapping {
    /// The table of all rows.
    pub table: String,
    /// The columns that are tags. Other columns are fields.
    pub tags: TagColumns,
    /// The column that holds the time.
    pub time: TimeColumn,
}

/// The choice of the columns that are tags.
#[derive(Clone, Debug, Default)]
pub enum TagColumns {
    /// Columns whose metadata names the type of a tag under `iox::column::type`, and dictionaries of texts without such
    /// metadata.
    #[default]
    ByType,
    /// The columns with these names, which is also their order in a new table. Numbers and booleans are stored as text.
    Named(Vec<String>),
}

/// The time of a row.
#[derive(Clone, Debug, Default)]
pub struct TimeColumn {
    /// The name of the column. `None` is `time`, which may be absent: rows then have the default time of the request.
    pub name: Option<String>,
    /// The format of texts and numbers.
    pub format: TimeFormat,
    /// The zone of times without an offset; `None` is UTC. Does not apply to numbers.
    pub zone: Option<Tz>,
}

/// The format of times that are texts or numbers. Arrow's timestamps and dates have a format of their own.
///
/// # Examples
///
/// ```
/// use neap_rows::{columnar::TimeFormat, line_protocol::Precision};
///
/// let format: TimeFormat = "ms".parse()?;
/// assert_eq!(format, TimeFormat::Unit(Precision::Millisecond));
/// assert!("%d.%m.%Y".parse::<TimeFormat>().is_ok());
/// assert!("iso".parse::<TimeFormat>().is_err());
/// # Ok::<(), neap_rows::columnar::MappingError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// Integers are in the precision of the request, texts are integers or RFC 3339.
    #[default]
    Auto,
    /// RFC 3339. The offset, the time of day and the `T` are optional.
    Rfc3339,
    /// A number in this unit, which may have a fraction.
    Unit(Precision),
    /// A pattern of `strftime`, such as `%d.%m.%Y %H:%M`.
    Strftime(String),
}

impl FromStr for TimeFormat {
    type Err = MappingError;

    /// Parses the value of an option: `auto`, `rfc3339`, a unit such as `ms`, or a pattern that contains `%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = match text {
            "auto" => return Ok(Self::Auto),
            "rfc3339" => return Ok(Self::Rfc3339),
            "s" | "second" => Precision::Second,
            "ms" | "millisecond" => Precision::Millisecond,
            "us" | "microsecond" => Precision::Microsecond,
            "ns" | "nanosecond" => Precision::Nanosecond,
            pattern => {
                if !pattern.contains('%') || has_unknown_items(pattern) {
                    return Err(MappingError::TimeFormat(pattern.to_owned()));
                }
                return Ok(Self::Strftime(pattern.to_owned()));
            }
        };
        Ok(Self::Unit(unit))
    }
}

/// Returns whether a pattern contains a conversion that `strftime` does not have.
fn has_unknown_items(pattern: &str) -> bool {
    StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error))
}

impl ColumnMapping {
    /// Returns the mapping of columns with metadata to a table.
    pub fn for_table(table: impl Into<String>) -> Self {
        Self { table: table.into(), ..Self::default() }
    }

    /// Checks the parts that do not depend on the columns.
    pub(crate) fn check(&self) -> Result<(), MappingError> {
        match validate_table_name(&self.table) {
            Err(TableNameError::Empty) => return Err(MappingError::NoTable),
            named => named?,
        }
        match &self.time.format {
            TimeFormat::Strftime(pattern) if has_unknown_items(pattern) => {
                Err(MappingError::TimeFormat(pattern.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl TimeColumn {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(TIME_COLUMN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_format_is_a_word_a_unit_or_a_pattern() {
        let format = |text: &str| text.parse::<TimeFormat>().ok();
        assert_eq!(format("rfc3339"), Some(TimeFormat::Rfc3339));
        assert_eq!(format("ms"), Some(TimeFormat::Unit(Precision::Millisecond)));
        assert_eq!(format("%d.%m.%Y"), Some(TimeFormat::Strftime("%d.%m.%Y".to_owned())));
        assert_eq!(format("iso"), None);
        assert_eq!(format("%Y-%!"), None);
    }
}
