//! Rows of a write that replace each other: those with the same time and tags are one row.
//!
//! A client may ask for their number, which nothing else needs. Bulk writes are checked: if many rows of a table without tags
//! have the same time, almost always a tag column was forgotten, and the rows of all its values but one would be lost. So such
//! a write does not create a table, and gets a warning if the table exists.

use std::{
    cmp::Ordering,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use arrow_array::{
    cast::AsArray,
    types::{Int32Type, TimestampNanosecondType},
};
use http::{HeaderMap, HeaderName};
use neap_catalog::DatabaseCatalog;
use neap_http::{ApiError, Kind};
use neap_rows::line_protocol::{ParsedBody, TableRows};
use neap_schema::{ColumnType, TIME_COLUMN};
use serde::{Deserialize, Serialize};

/// The header of a bulk write whose rows may replace each other: `true` or `false`.
pub const ALLOW_DUPLICATES_HEADER: HeaderName = HeaderName::from_static("x-neap-allow-duplicates");

/// The header of an answer with the warning about rows that have replaced each other.
pub const WARNING_HEADER: HeaderName = HeaderName::from_static("x-neap-warning");

/// The header of a write of line protocol whose answer has [`REPLACED_ROWS_HEADER`]: `true` or `false`.
pub const COUNT_REPLACED_HEADER: HeaderName = HeaderName::from_static("x-neap-count-replaced");

/// The header of an answer with the number of rows that another row of the request has replaced.
pub const REPLACED_ROWS_HEADER: HeaderName = HeaderName::from_static("x-neap-replaced-rows");

/// Minimum time between two warnings in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The share of the rows that may have the time of another one: a tenth.
const MAX_DUPLICATE_SHARE: usize = 10;

/// Maximum number of columns that a refusal names.
const MAX_NAMED_COLUMNS: usize = 10;

/// Whether rows of a write that replace each other are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateCheck {
    /// They are not.
    #[default]
    Off,
    /// Those of all tables are counted.
    Count,
    /// Many rows of a table without tags are refused if they create the table; otherwise, the answer has a warning.
    On,
    /// Many rows of a table without tags are refused, because the table was created for them.
    NewTable,
}

impl DuplicateCheck {
    /// Returns the check of a bulk write with these headers.
    ///
    /// # Errors
    /// `Invalid`: the header is neither `true` nor `false`.
    pub fn requested(headers: &HeaderMap) -> Result<Self, ApiError> {
        let is_off = flag(headers, ALLOW_DUPLICATES_HEADER)?;
        Ok(if is_off { Self::Off } else { Self::On })
    }

    /// Returns the check of a write of line protocol with these headers.
    ///
    /// # Errors
    /// `Invalid`: the header is neither `true` nor `false`.
    pub(crate) fn for_lines(headers: &HeaderMap) -> Result<Self, ApiError> {
        let is_counted = flag(headers, COUNT_REPLACED_HEADER)?;
        Ok(if is_counted { Self::Count } else { Self::Off })
    }
}

/// Returns the value of a header; false without it.
fn flag(headers: &HeaderMap, name: HeaderName) -> Result<bool, ApiError> {
    match headers.get(&name).map(|value| value.as_bytes()) {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => {
            let text = format!("header {name} is neither `true` nor `false`");
            Err(ApiError::text(Kind::Invalid, text))
        }
    }
}

/// The rows of a write that have the time and tags of another one of its rows: of a table without tags, or of all tables if
/// they are counted.
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
        let Self { table, duplicates, candidates } = self;
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

/// Checks the rows of a write. Returns those that replace each other, if they are counted or too many.
/// Fails if too many rows would create a table.
pub(crate) fn check(
    check: DuplicateCheck,
    parsed: &ParsedBody,
    catalog: &DatabaseCatalog,
) -> Result<Option<DuplicateRows>, MissingTags> {
    match check {
        DuplicateCheck::Off => return Ok(None),
        DuplicateCheck::Count => {
            return Ok(Some(DuplicateRows {
                rows: parsed.rows,
                duplicates: parsed.tables.iter().map(replaced_rows).sum(),
            }));
        }
        DuplicateCheck::On | DuplicateCheck::NewTable => {}
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
        tracing::warn!(database, rows, duplicates, "rows without tags have the same time");
    }
}

/// Returns the names of the columns with this type.
fn columns_of(table: &TableRows, wanted: ColumnType) -> impl Iterator<Item = &str> {
    let fields = table.batch.schema_ref().fields().iter();
    fields
        .filter(move |field| wanted.is_named_by(field))
        .map(|field| field.name().as_str())
}

/// Returns the rows that another one replaces, if they are more than the share that is accepted.
fn duplicates(table: &TableRows) -> Option<DuplicateRows> {
    let (rows, duplicates) = (table.batch.num_rows(), replaced_rows(table));
    let is_too_much = duplicates > rows / MAX_DUPLICATE_SHARE;
    is_too_much.then_some(DuplicateRows { rows, duplicates })
}

/// Returns the number of rows that another row with the same time and tags replaces.
fn replaced_rows(table: &TableRows) -> usize {
    let times = table
        .batch
        .column_by_name(TIME_COLUMN)
        .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>())
        .map(|column| column.values());
    let Some(times) = times else {
        return 0;
    };
    if times.is_sorted_by(|earlier, later| earlier < later) {
        return 0;
    }
    // The dictionaries of a body have each value once, so that equal keys are equal values.
    let tags: Vec<_> = columns_of(table, ColumnType::Tag)
        .filter_map(|name| table.batch.column_by_name(name)?.as_dictionary_opt::<Int32Type>())
        .collect();
    let order = |one: usize, other: usize| {
        let of_tags = || {
            let mut orders = tags.iter().map(|tag| tag.key(one).cmp(&tag.key(other)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        times.get(one).cmp(&times.get(other)).then_with(of_tags)
    };
    let mut rows: Vec<usize> = (0..times.len()).collect();
    // Takes one pass if the rows are in order, as in most files: keys ascend in the order of the values' first rows.
    rows.sort_by(|one, other| order(*one, *other));
    let pairs = rows.windows(2);
    pairs
        .filter(|pair| matches!(pair, [one, next] if order(*one, *next).is_eq()))
        .count()
}

#[cfg(test)]
mod tests {
    use neap_rows::line_protocol::{Options, parse};

    use super::*;
    use crate::schema::CatalogView;

    fn checked(setting: DuplicateCheck, lines: &str) -> Result<Option<DuplicateRows>, String> {
        let catalog = DatabaseCatalog::default();
        let parsed = parse(lines.as_bytes(), &CatalogView(&catalog), &Options::default());
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
    fn rows_with_equal_times_and_tags_are_counted_on_request() {
        let lines = "m,host=a v=1 1\nm,host=b v=1 1\nm,host=a,room=x v=1 1\nm v=1 1\nm,host=a v=2 2\n\
                     n v=1 1\nm,host=a w=1 1\nm v=2 1\nm,host=b v=2 1\nn v=2 1\nm,host=b v=3 1\n";
        let counted = DuplicateRows { rows: 11, duplicates: 5 };
        assert_eq!(checked(DuplicateCheck::Count, lines), Ok(Some(counted)));
        let counted = DuplicateRows { rows: 3, duplicates: 0 };
        let lines = "m,host=a v=1 2\nm,host=b v=1 1\nm,host=b v=1 2\n";
        assert_eq!(checked(DuplicateCheck::Count, lines), Ok(Some(counted)));
    }

    #[test]
    fn the_order_of_the_rows_is_irrelevant() {
        let descending: String = (0..50).rev().map(|row| format!("m v=1 {row}\n")).collect();
        assert_eq!(checked(DuplicateCheck::On, &descending), Ok(None));
        let refused = checked(DuplicateCheck::On, &descending.repeat(2)).unwrap_err();
        assert!(refused.contains("50 of 100 rows") && !refused.contains("texts"), "{refused}");
    }

    #[test]
    fn the_log_has_one_warning_in_ten_seconds() {
        let limit = WarningLimit::default();
        let permits = |second| limit.permits(Duration::from_secs(second));
        assert_eq!([0, 9, 10, 11, 30].map(permits), [true, false, true, false, true]);
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
        let for_lines = |value: &'static str| {
            let value = http::HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(COUNT_REPLACED_HEADER, value)]);
            DuplicateCheck::for_lines(&headers).ok()
        };
        assert_eq!(for_lines("true"), Some(DuplicateCheck::Count));
        assert_eq!(for_lines("false"), Some(DuplicateCheck::Off));
        assert_eq!(for_lines("yes"), None);
    }
}
