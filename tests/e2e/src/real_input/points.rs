//! The points of a text in line protocol, and aggregates over them. The parser is independent of Neap's.

use std::collections::BTreeMap;

use influxdb_line_protocol::{FieldValue, parse_lines};
use serde_json::Value;

/// Tags by name.
type Tags = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct ParsedPoints(BTreeMap<String, TablePoints>);

/// The fields of each point, by tags and time.
type TablePoints = BTreeMap<(Tags, i64), Fields>;

/// Fields by name.
type Fields = BTreeMap<String, PlainFieldValue>;

#[derive(Clone, Debug)]
enum PlainFieldValue {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    Text(String),
}

impl From<FieldValue<'_>> for PlainFieldValue {
    fn from(value: FieldValue<'_>) -> Self {
        match value {
            FieldValue::I64(value) => Self::Integer(value),
            FieldValue::U64(value) => Self::Unsigned(value),
            FieldValue::F64(value) => Self::Float(value),
            FieldValue::Boolean(value) => Self::Boolean(value),
            FieldValue::String(value) => Self::Text(value.to_string()),
        }
    }
}

/// Converts a timestamp to nanoseconds. Guesses its unit by its size, as InfluxDB 3 does.
fn nanoseconds(timestamp: i64) -> i64 {
    let factor = match timestamp.unsigned_abs() / 1_000_000_000 {
        0..5 => 1_000_000_000,
        5..5_000 => 1_000_000,
        5_000..5_000_000 => 1_000,
        _ => 1,
    };
    timestamp * factor
}

impl ParsedPoints {
    /// Parses a text. All lines must be valid and have timestamps.
    pub(super) fn parse(text: &str) -> Self {
        let mut points = Self::default();
        for line in parse_lines(text) {
            let line = line.unwrap();
            let tags = line
                .series
                .tag_set
                .iter()
                .flatten()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            let time = nanoseconds(line.timestamp.expect("a timestamp"));
            let table = points.0.entry(line.series.measurement.to_string()).or_default();
            let fields = table.entry((tags, time)).or_default();
            for (name, value) in line.field_set {
                fields.insert(name.to_string(), value.into());
            }
        }
        points
    }

    /// Returns the summaries of all tables, by name.
    pub(super) fn summaries(&self) -> Vec<TableAggregates> {
        self.0.iter().map(|(name, points)| summary(name, points)).collect()
    }
}

/// Aggregates over a table: expressions, and their expected values.
#[derive(Debug)]
pub(super) struct TableAggregates {
    /// The name of the table.
    pub(super) table: String,
    /// The number of its distinct points.
    pub(super) points: usize,
    columns: Vec<(String, ExpectedValue)>,
}

#[derive(Debug)]
enum ExpectedValue {
    Integer(i128),
    Float(f64),
    Text(String),
}

fn summary(table: &str, points: &TablePoints) -> TableAggregates {
    let count = |count: usize| ExpectedValue::Integer(count as i128);
    let mut columns = vec![("count(*)".to_owned(), count(points.len()))];
    let times = || points.keys().map(|(_, time)| *time);
    for (function, time) in [("min", times().min()), ("max", times().max())] {
        let expected = ExpectedValue::Integer(time.unwrap().into());
        columns.push((format!("CAST({function}(time) AS BIGINT)"), expected));
    }
    let mut tags: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in points.keys().flat_map(|(tags, _)| tags) {
        tags.entry(name).or_default().push(value);
    }
    for (name, mut values) in tags {
        let name = quoted(name);
        columns.push((format!("count({name})"), count(values.len())));
        values.sort_unstable();
        values.dedup();
        columns.push((format!("count(DISTINCT {name})"), count(values.len())));
    }
    let mut fields: BTreeMap<&str, Vec<&PlainFieldValue>> = BTreeMap::new();
    for (name, value) in points.values().flatten() {
        fields.entry(name).or_default().push(value);
    }
    for (name, values) in fields {
        let name = quoted(name);
        columns.push((format!("count({name})"), count(values.len())));
        columns.extend(aggregates(&name, &values));
    }
    TableAggregates { table: table.to_owned(), points: points.len(), columns }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns aggregates over the values of a field, which all have one type.
fn aggregates(name: &str, values: &[&PlainFieldValue]) -> Vec<(String, ExpectedValue)> {
    let mut integers: Vec<i128> = Vec::new();
    let mut floats: Vec<f64> = Vec::new();
    let mut texts: Vec<&str> = Vec::new();
    for value in values {
        match value {
            PlainFieldValue::Integer(value) => integers.push((*value).into()),
            PlainFieldValue::Unsigned(value) => integers.push((*value).into()),
            PlainFieldValue::Boolean(value) => integers.push((*value).into()),
            PlainFieldValue::Float(value) => floats.push(*value),
            PlainFieldValue::Text(value) => texts.push(value),
        }
    }
    let is_boolean = matches!(values.first(), Some(PlainFieldValue::Boolean(_)));
    let column = if is_boolean {
        format!("CAST({name} AS INT)")
    } else {
        name.to_owned()
    };
    let min_max_sum = ["min", "max", "sum"].map(|function| format!("{function}({column})"));
    let [min, max, sum] = min_max_sum;
    match (integers.is_empty(), floats.is_empty()) {
        (false, true) if texts.is_empty() => vec![
            (min, ExpectedValue::Integer(*integers.iter().min().unwrap())),
            (max, ExpectedValue::Integer(*integers.iter().max().unwrap())),
            (sum, ExpectedValue::Integer(integers.iter().sum())),
        ],
        (true, false) if texts.is_empty() => vec![
            (min, ExpectedValue::Float(floats.iter().copied().fold(f64::INFINITY, f64::min))),
            (
                max,
                ExpectedValue::Float(floats.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            ),
            (sum, ExpectedValue::Float(floats.iter().sum())),
        ],
        (true, true) => vec![
            (min, ExpectedValue::Text((*texts.iter().min().unwrap()).to_owned())),
            (max, ExpectedValue::Text((*texts.iter().max().unwrap()).to_owned())),
        ],
        _ => panic!("{name} has values of several types"),
    }
}

impl TableAggregates {
    /// Returns the statement that selects all aggregates.
    pub(super) fn sql(&self) -> String {
        let columns: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, (column, _))| format!("{column} AS c{place}"))
            .collect();
        format!("SELECT {} FROM {}", columns.join(", "), quoted(&self.table))
    }

    /// Compares the rows of an answer with the expected values.
    pub(super) fn check(&self, rows: &[Value], place: &str) {
        let [row] = rows else {
            panic!("{place}: {} rows", rows.len())
        };
        for (at, (column, expected)) in self.columns.iter().enumerate() {
            let value = &row[&format!("c{at}")];
            let is_equal = match expected {
                ExpectedValue::Integer(expected) => {
                    let signed = value.as_i64().map(i128::from);
                    signed.or(value.as_u64().map(i128::from)) == Some(*expected)
                }
                ExpectedValue::Text(expected) => value.as_str() == Some(expected),
                ExpectedValue::Float(expected) => value.as_f64().is_some_and(|value| {
                    // A sum of floats depends on the order of additions.
                    (value - expected).abs() <= 1e-9 * value.abs().max(expected.abs())
                }),
            };
            let table = &self.table;
            assert!(is_equal, "{place}: {column} of {table}: {value} instead of {expected:?}");
        }
    }
}
