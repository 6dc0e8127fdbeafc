//! Rows of a bulk write that replace each other, because their table has no tags.
//!
//! Rows with the same time and tags are one row. If many rows of a table without tags have the same time, almost always a tag
//! column was forgotten, and the rows of all its values but one would be lost. So such a write does not create a table, and
//! gets a warning if the table exists.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use arrow_array::{cast::AsArray, types::TimestampNanosecondType};
use http::{HeaderMap, HeaderName};
use neap_catalog::DatabaseCatalog;
use neap_http::{ApiError, Kind};
use neap_rows::line_protocol::{ParsedBody, TableRows};
use neap_schema::{COLUMN_TYPE_METADATA_KEY, ColumnType, TIME_COLUMN};
use serde::{Deserialize, Serialize};

/// The header of a bulk write whose rows may replace each other: `true` or `false`.
pub const ALLOW_DUPLICATES_HEADER: HeaderName = HeaderName::from_static("x-neap-allow-duplicates");

/// The header of an answer with the warning about rows that have replaced each other.
pub const WARNING_HEADER: HeaderName = HeaderName::from_static("x-neap-warning");

/// Minimum time between two warnings in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The share of the rows that may have the time of another one: a tenth.
const MAX_DUPLICATE_SHARE: usize = 10;

/// Maximum number of columns that a refusal names.
const MAX_NAMED_COLUMNS: usize = 10;

/// Whether rows of a table without tags are checked for equal times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateCheck {
    /// They are not.
    #[default]
    Off,
    /// They are refused if they create the table; otherwise, the answer has a warning.
    On,
    /// They are refused, because the table was created for them.
    NewTable,
}

impl DuplicateCheck {
    /// Returns the check of a bulk write with these headers.
    ///
    /// # Errors
    /// `Invalid`: the header is neither `true` nor `false`.
    pub fn requested(headers: &HeaderMap) -> Result<Self, ApiError> {
        match headers.get(ALLOW_DUPLICATES_HEADER).map(|value| value.as_bytes()) {
            None | Some(b"false") => Ok(Self::On),
            Some(b"true") => Ok(Self::Off),
            Some(_) => {
                let text =
                    format!("header {ALLOW_DUPLICATES_HEADER} is neither `true` nor `false`");
                Err(ApiError::text(Kind::Invalid, text))
            }
        }
    }
}

/// The rows of a write that have the time of another one of its rows, in a table without tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateRows {
    /// The number of rows.
    pub rows: usize,
    /// The number of rows that another one replaces.
    pub duplicates: usize,
}

impl fmt::Display for DuplicateRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, duplicates } = self;
        write!(
            f,
            "{duplicates} of {rows} rows have the time of another row, which replaces them, because the table has no tags"
        )
    }
}

/// The reason why a write does not create a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingTags {
    /// The table.
    pub table: String,
    /// The rows that would replace each other.
    pub duplicates: DuplicateRows,
    /// The columns with texts, which could be tags.
    pub candidates: Vec<String>,
}

impl MissingTags {
    /// Returns the message for a caller who does not send headers.
    pub fn reason(&self) -> String {
        let Self {
            table,
            duplicates,
            candidates,
        } = self;
        let named: Vec<_> = candidates
            .iter()
            .take(MAX_NAMED_COLUMNS)
            .map(|name| format!("'{name}'"))
            .collect();
        let hint = if named.is_empty() {
            String::new()
        } else {
            format!(" (columns with texts: {})", named.join(", "))
        };
        format!(
            "table '{table}' is not created: {duplicates}; name the columns that are tags{hint}"
        )
    }
}

impl fmt::Display for MissingTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason();
        write!(f, "{reason}, or send {ALLOW_DUPLICATES_HEADER}: true")
    }
}

impl std::error::Error for MissingTags {}

/// Limits warnings in the log.
#[derive(Debug, Default)]
pub(crate) struct WarningLimit(Mutex<Option<Duration>>);

impl WarningLimit {
    /// Returns whether a warning may be logged at this monotonic time, and counts it.
    fn permits(&self, now: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= LOG_INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

/// Checks the rows of a write. Returns those that replace each other, if they are too many.
/// Fails if the rows would create a table.
pub(crate) fn check(
    check: DuplicateCheck,
    parsed: &ParsedBody,
    catalog: &DatabaseCatalog,
) -> Result<Option<DuplicateRows>, MissingTags> {
    if check == DuplicateCheck::Off {
        return Ok(None);
    }
    let mut first_duplicates = None;
    for table in &parsed.tables {
        let has_tags = catalog.table(&table.name).is_some_and(|table| table.view().tags() > 0);
        if has_tags || columns_of(table, ColumnType::Tag).next().is_some() {
            continue;
        }
        let Some(duplicates) = duplicates(table) else {
            continue;
        };
        if table.is_new || check == DuplicateCheck::NewTable {
            return Err(MissingTags {
                table: table.name.clone(),
                duplicates,
                candidates: columns_of(table, ColumnType::String).map(str::to_owned).collect(),
            });
        }
        first_duplicates.get_or_insert(duplicates);
    }
    Ok(first_duplicates)
}

/// Logs rows that have replaced each other, unless another write was logged a moment ago.
pub(crate) fn log(limit: &WarningLimit, now: Duration, database: &str, duplicates: DuplicateRows) {
    if limit.permits(now) {
        let DuplicateRows { rows, duplicates } = duplicates;
        tracing::warn!(
            database,
            rows,
            duplicates,
            "rows without tags have the same time"
        );
    }
}

/// Returns the names of the columns with this type.
fn columns_of(table: &TableRows, wanted: ColumnType) -> impl Iterator<Item = &str> {
    let fields = table.batch.schema_ref().fields().iter();
    fields
        .filter(move |field| {
            let column_type = field.metadata().get(COLUMN_TYPE_METADATA_KEY);
            column_type.is_some_and(|column_type| column_type == wanted.metadata_value())
        })
        .map(|field| field.name().as_str())
}

/// Returns the rows that another one replaces, if they are more than the share that is accepted.
fn duplicates(table: &TableRows) -> Option<DuplicateRows> {
    let column = table.batch.column_by_name(TIME_COLUMN)?;
    let times = column.as_primitive_opt::<TimestampNanosecondType>()?.values();
    if times.is_sorted_by(|earlier, later| earlier < later) {
        return None;
    }
    let mut distinct = times.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let (rows, duplicates) = (times.len(), times.len() - distinct.len());
    let is_too_much = duplicates > rows / MAX_DUPLICATE_SHARE;
    is_too_much.then_some(DuplicateRows { rows, duplicates })
}

#[cfg(test)]
mod tests {
    use neap_rows::line_protocol::{Options, parse};

    use super::*;
    use crate::schema::CatalogView;

    fn checked(setting: DuplicateCheck, lines: &str) -> Result<Option<DuplicateRows>, String> {
        let catalog = DatabaseCatalog::default();
        let parsed = parse(
            lines.as_bytes(),
            &CatalogView(&catalog),
            &Options::default(),
        );
        check(setting, &parsed.unwrap(), &catalog).map_err(|error| error.to_string())
    }

    /// Returns rows of which the first `duplicates` ones have the same time as a row after them.
    fn rows(rows: usize, duplicates: usize) -> String {
        let line = |row: usize| format!("m host=\"h{row}\",n=1i {}\n", 1 + row.max(duplicates));
        (0..rows).map(line).collect()
    }

    #[test]
    fn a_tenth_of_the_rows_may_have_the_time_of_another_one() {
        assert_eq!(checked(DuplicateCheck::On, &rows(100, 10)), Ok(None));
        let refused = checked(DuplicateCheck::On, &rows(100, 11)).unwrap_err();
        assert_eq!(
            refused,
            "table 'm' is not created: 11 of 100 rows have the time of another row, which replaces them, because the \
             table has no tags; name the columns that are tags (columns with texts: 'host'), or send \
             x-neap-allow-duplicates: true"
        );
        assert_eq!(checked(DuplicateCheck::Off, &rows(100, 99)), Ok(None));
    }

    #[test]
    fn rows_with_tags_are_not_checked() {
        let lines: String = (0..50).map(|row| format!("m,host=h{row} v=1 7\n")).collect();
        assert_eq!(checked(DuplicateCheck::On, &lines), Ok(None));
    }

    #[test]
    fn the_order_of_the_rows_is_irrelevant() {
        let descending: String = (0..50).rev().map(|row| format!("m v=1 {row}\n")).collect();
        assert_eq!(checked(DuplicateCheck::On, &descending), Ok(None));
        let refused = checked(DuplicateCheck::On, &descending.repeat(2)).unwrap_err();
        assert!(
            refused.contains("50 of 100 rows") && !refused.contains("texts"),
            "{refused}"
        );
    }

    #[test]
    fn the_log_has_one_warning_in_ten_seconds() {
        let limit = WarningLimit::default();
        let permits = |second| limit.permits(Duration::from_secs(second));
        assert_eq!(
            [0, 9, 10, 11, 30].map(permits),
            [true, false, true, false, true]
        );
    }

    #[test]
    fn the_header_is_true_or_false() {
        let requested = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(ALLOW_DUPLICATES_HEADER, value)]);
            DuplicateCheck::requested(&headers).ok()
        };
        assert_eq!(requested("true"), Some(DuplicateCheck::Off));
        assert_eq!(requested("false"), Some(DuplicateCheck::On));
        assert_eq!(requested("yes"), None);
    }
}
