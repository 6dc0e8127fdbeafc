//! The statements and lines of a history, and the rows of answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::{
    Cell, CellValues, ReadAnswer, ReadPath, ReadSelection, Table, TableRead, TagWindow,
    WindowAggregates,
};

/// The name of the last value cache, and the number of rows that it has of each tag.
pub(super) const LAST_CACHE: &str = "newest";
pub(super) const CACHED_ROWS: usize = 2;
/// The name of the distinct value cache.
pub(super) const DISTINCT_CACHE: &str = "tags";
/// The lengths of the windows of the view, and of the view of this view, in seconds.
pub(super) const SHORT_WINDOW: u64 = 10;
pub(super) const LONG_WINDOW: u64 = 30;
/// The table of the rows that the trigger has received.
pub(super) const DELIVERED: &str = "delivered";

/// Returns the name of the view with windows of this length.
pub(super) fn view_name(seconds: u64) -> String {
    format!("{}_{seconds}s", Table::Samples.name())
}

/// Returns the query of a view, in windows of this length.
pub(super) fn view_query(seconds: u64) -> String {
    let window = format!("date_bin(INTERVAL '{seconds} seconds', time) AS time, series");
    match seconds {
        LONG_WINDOW => format!(
            "SELECT {window}, sum(n) AS n, sum(total) AS total, min(least) AS least, max(most) AS most FROM {} \
             GROUP BY 1, series",
            view_name(SHORT_WINDOW)
        ),
        _ => windows_of_source(seconds, ""),
    }
}

/// Returns the query of the windows of the source.
fn windows_of_source(seconds: u64, condition: &str) -> String {
    format!(
        "SELECT date_bin(INTERVAL '{seconds} seconds', time) AS time, series, count(v) AS n, sum(v) AS total, \
         min(v) AS least, max(v) AS most FROM {}{condition} GROUP BY 1, series",
        Table::Samples.name()
    )
}

/// Returns the names of the fields of a table.
fn fields(table: Table) -> &'static [&'static str] {
    match table {
        Table::Fields | Table::Samples => &["v", "w"],
        _ => &["v"],
    }
}

/// Returns the statement of a read.
pub(super) fn select(read: &TableRead) -> String {
    let TableRead { table, tag, selection, path, .. } = *read;
    let condition = tag.map_or_else(String::new, |tag| format!(" WHERE series = '{tag}'"));
    let (name, fields) = (table.name(), fields(table).join(", "));
    let seconds = "CAST(time AS BIGINT) / 1000000000 AS t";
    let rows = |of: &str| format!("SELECT series, {fields}, {seconds} FROM {of}");
    match (selection, path) {
        (ReadSelection::Rows, _) => rows(name) + &condition,
        (ReadSelection::Deliveries, _) => rows(DELIVERED) + &condition,
        (ReadSelection::Newest(_), ReadPath::Cache) => {
            rows(&format!("last_cache('{name}', '{LAST_CACHE}')")) + &condition
        }
        (ReadSelection::Newest(_), _) => rows(&format!(
            "(SELECT DISTINCT ON (series) series, {fields}, time FROM {name}{condition} ORDER BY series, time DESC)"
        )),
        (ReadSelection::Tags, ReadPath::Cache) => {
            format!("SELECT series FROM distinct_cache('{name}', '{DISTINCT_CACHE}'){condition}")
        }
        (ReadSelection::Tags, _) => format!("SELECT DISTINCT series FROM {name}{condition}"),
        (ReadSelection::Windows(length), path) => {
            let of = match path {
                ReadPath::View => view_name(length) + &condition,
                _ => format!("({})", windows_of_source(length, &condition)),
            };
            format!("SELECT series, n, total, least, most, {seconds} FROM {of}")
        }
    }
}

pub(super) fn answer(read: &TableRead, rows: &[Value]) -> ReadAnswer {
    match read.selection {
        ReadSelection::Rows | ReadSelection::Newest(_) | ReadSelection::Deliveries => {
            ReadAnswer::Cells(cells(read.table, rows))
        }
        ReadSelection::Tags => ReadAnswer::Tags(rows.iter().map(tag).collect()),
        ReadSelection::Windows(_) => ReadAnswer::Windows(windows(rows)),
    }
}

fn tag(row: &Value) -> u32 {
    row["series"].as_str().unwrap().parse().unwrap()
}

fn cells(table: Table, rows: &[Value]) -> CellValues {
    let mut values = CellValues::new();
    for row in rows {
        let (tag, time) = (tag(row), row["t"].as_u64().unwrap());
        for (field, name) in (0..).zip(fields(table)) {
            let cell = Cell { table, tag, time, field };
            if let Some(value) = row[name].as_i64() {
                let former = values.insert(cell, value);
                assert_eq!(former, None, "{cell:?} is in two rows");
            }
        }
    }
    values
}

fn windows(rows: &[Value]) -> BTreeMap<TagWindow, WindowAggregates> {
    let mut windows = BTreeMap::new();
    for row in rows {
        let (tag, start) = (tag(row), row["t"].as_u64().unwrap());
        let count = row["n"].as_u64().unwrap();
        if count == 0 {
            continue;
        }
        let value = |name: &str| row[name].as_i64().unwrap();
        let aggregates = WindowAggregates {
            count,
            sum: value("total"),
            least: value("least"),
            most: value("most"),
        };
        let window = TagWindow { tag, start };
        let former = windows.insert(window, aggregates);
        assert_eq!(former, None, "{window:?} is in two rows");
    }
    windows
}

/// Returns values as line protocol.
pub(super) fn lines(values: &CellValues) -> String {
    let mut points: BTreeMap<(Table, u32, u64), Vec<String>> = BTreeMap::new();
    for (cell, value) in values {
        let name = fields(cell.table)[usize::from(cell.field)];
        let point = (cell.table, cell.tag, cell.time);
        points.entry(point).or_default().push(format!("{name}={value}i"));
    }
    let lines = points.into_iter().map(|((table, tag, time), fields)| {
        format!("{},series={tag} {} {time}\n", table.name(), fields.join(","))
    });
    lines.collect()
}

/// Returns a time of the first day of 1970.
pub(super) fn date(seconds: u64) -> String {
    let (minutes, second) = (seconds / 60, seconds % 60);
    format!("1970-01-01T{:02}:{:02}:{second:02}Z", minutes / 60, minutes % 60)
}
