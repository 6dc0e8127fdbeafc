//! Tests of points against a database, and against the same points as line protocol.

mod tags;

use std::{fmt::Write, sync::Arc};

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int32Type},
};
use neap_schema::ColumnType;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::line_protocol::{
    Options, ParsedBody, Precision, RowSource, SchemaView, TableView, parse,
};

/// A database with a table `old`, which has the tag `host` and the float `value`.
struct OneTable;

impl SchemaView for OneTable {
    fn table(&self, name: &str) -> Option<Arc<TableView>> {
        let columns = [("host", ColumnType::Tag), ("value", ColumnType::Float)];
        (name == "old").then(|| Arc::new(TableView::new(columns)))
    }
}

fn options() -> Options {
    Options::with_precision(Precision::Nanosecond)
}

fn validate(points: PointBatches) -> ParsedBody {
    let rows = points.into_rows().unwrap();
    rows.validate(&OneTable, &options()).unwrap()
}

fn messages(parsed: &ParsedBody) -> Vec<(usize, &str)> {
    let errors = parsed.errors.iter();
    errors.map(|error| (error.line_number, error.error_message.as_str())).collect()
}

/// Returns a batch with its columns in the order of their names.
fn sorted(batch: &RecordBatch) -> RecordBatch {
    let mut order: Vec<usize> = (0..batch.num_columns()).collect();
    order.sort_by_key(|index| batch.schema_ref().field(*index).name());
    batch.project(&order).unwrap()
}

#[test]
fn rows_of_several_tables_may_be_mixed() {
    let mut points = PointBatches::new();
    for (table, host, value) in [("b", "x", 1.0), ("a", "x", 2.0), ("b", "y", 3.0)] {
        let table = points.table(table);
        table.begin_row(5);
        table.tag("host", host).unwrap();
        table.float("value", value).unwrap();
    }
    let parsed = validate(points);
    assert_eq!((parsed.lines, parsed.rows), (3, 3));
    let names: Vec<_> = parsed.tables.iter().map(|table| &table.name).collect();
    assert_eq!(names, ["b", "a"]);
    let batch = &parsed.tables[0].batch;
    let values = batch["value"].as_primitive::<Float64Type>();
    assert_eq!(values.values(), &[1.0, 3.0]);
    assert_eq!(batch["host"].as_dictionary::<Int32Type>().values().len(), 2);
}

#[test]
fn a_value_of_another_type_leaves_the_row_as_it_was() {
    let mut points = PointBatches::new();
    let table = points.table("m");
    table.begin_row(1);
    table.float("value", 1.0).unwrap();
    table.begin_row(2);
    let conflict = table.integer("value", 2).unwrap_err();
    assert_eq!(
        conflict.to_string(),
        "invalid column type for column 'value', expected iox::column_type::field::float, got iox::column_type::field::integer"
    );
    table.float("value", 2.0).unwrap();
    let repeated = table.float("value", 3.0).unwrap_err();
    assert_eq!(repeated, ColumnConflict::Repeated("value".to_owned()));
    assert_eq!(table.float("", 3.0), Err(ColumnConflict::Unnamed));
    let parsed = validate(points);
    let values = parsed.tables[0].batch["value"].as_primitive::<Float64Type>();
    assert_eq!(values.values(), &[1.0, 2.0]);
}

#[test]
fn a_discarded_row_leaves_nothing_but_its_number() {
    let mut points = PointBatches::new();
    let table = points.table("m");
    table.begin_row(1);
    table.tag("host", "a").unwrap();
    table.float("value", 1.0).unwrap();
    table.begin_row(2);
    table.tag("host", "b").unwrap();
    table.string("state", "on").unwrap();
    table.discard_row();
    assert_eq!(table.float("value", 2.0), Err(ColumnConflict::NoRow));
    table.discard_row();
    table.begin_row(3);
    table.boolean("state", true).unwrap();
    table.begin_row(4);
    table.tag("host", "c").unwrap();
    assert_eq!(points.row_count(), 4);
    let parsed = validate(points);
    assert_eq!(messages(&parsed), [(4, "No fields were provided")]);
    let batch = &parsed.tables[0].batch;
    assert_eq!(batch["time"].len(), 2);
    assert!(batch["host"].is_null(1));
    assert!(batch["state"].as_boolean().value(1));
}

#[test]
fn a_table_without_a_usable_name_refuses_only_its_rows() {
    let mut points = PointBatches::new();
    // A carriage return is a line break only before a newline.
    for name in ["old", "", "#m", "\rm", "\r\nm", "old", "m\0"] {
        let table = points.table(name);
        table.begin_row(1);
        table.float("value", 1.0).unwrap();
    }
    let parsed = validate(points);
    assert_eq!((parsed.lines, parsed.rows), (7, 3));
    assert_eq!(
        messages(&parsed),
        [
            (2, "the rows need the name of a table"),
            (
                3,
                "the name of the table '#m' starts with '#', a tab, a line break or a byte order mark, which line protocol cannot"
            ),
            (
                5,
                r"the name of the table '\r\nm' starts with '#', a tab, a line break or a byte order mark, which line protocol cannot"
            ),
            (7, r"the name of the table 'm\0' contains a NUL character"),
        ]
    );
}

#[test]
fn many_rows_of_refused_tables_have_few_errors() {
    let mut points = PointBatches::new();
    let long = format!("#{}", "é".repeat(10_000));
    for name in ["old", "#m", &long] {
        for time in 0..2_000 {
            let table = points.table(name);
            table.begin_row(time);
            table.float("value", 1.0).unwrap();
        }
    }
    let rows = points.into_rows().unwrap();
    assert_eq!(rows.row_count(), 6_000);
    let parsed = rows.validate(&OneTable, &options()).unwrap();
    assert_eq!((parsed.lines, parsed.rows), (6_000, 2_000));
    assert_eq!(parsed.errors.len(), 1_000);
    assert_eq!(parsed.errors[999].line_number, 3_000);
    let few = Options { max_errors: Some(3), ..options() };
    let parsed = rows.validate(&OneTable, &few).unwrap();
    let numbers: Vec<_> = parsed.errors.iter().map(|it| it.line_number).collect();
    assert_eq!((parsed.lines, numbers), (6_000, vec![2_001, 2_002, 2_003]));
}

#[test]
fn the_name_of_a_refused_table_is_cut() {
    let mut points = PointBatches::new();
    let table = points.table(&format!("#{}", "é".repeat(10_000)));
    table.begin_row(1);
    table.float("value", 1.0).unwrap();
    let parsed = validate(points);
    assert!(parsed.errors[0].error_message.len() <= 500);
}

#[test]
fn a_column_named_time_refuses_its_rows() {
    let mut points = PointBatches::new();
    let table = points.table("m");
    table.begin_row(7);
    table.float("value", 1.0).unwrap();
    table.begin_row(8);
    table.tag("time", "noon").unwrap();
    table.float("value", 1.0).unwrap();
    let parsed = validate(points);
    assert_eq!(parsed.rows, 1);
    assert_eq!(parsed.errors[0].line_number, 2);
}

#[test]
fn rows_without_common_columns_take_memory_by_their_values() {
    let mut points = PointBatches::new();
    let table = points.table("m");
    for row in 0..20_000 {
        table.begin_row(row);
        table.float(&format!("f{row}"), 1.0).unwrap();
    }
    // The cells of all rows and columns would take 3 GB.
    assert!(points.size_bytes() < 30_000_000, "{}", points.size_bytes());
    let limited = Options { max_cells: Some(1_000_000), ..options() };
    let rows = points.into_rows().unwrap();
    let parsed = rows.validate(&OneTable, &limited).unwrap();
    assert!(parsed.rows > 500 && parsed.rows < 1_000, "{}", parsed.rows);
    assert_eq!(parsed.rows + parsed.errors.len(), 20_000);
}

#[derive(Clone, Debug)]
struct Point {
    table: String,
    tags: [Option<String>; 2],
    float: Option<f64>,
    integer: Option<i64>,
    unsigned: Option<u64>,
    text: Option<String>,
    boolean: Option<bool>,
    time: i64,
    /// Whether the values of tags are looked up before they are added.
    has_numbered_tags: bool,
}

fn point() -> impl Strategy<Value = Point> {
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    (
        "m|n|old",
        [option::of("[ab]{1,2}"), option::of("[ab]")],
        option::of(finite),
        option::of(any::<i64>()),
        option::of(any::<u64>()),
        option::of("[a-c ]{0,3}"),
        option::of(any::<bool>()),
        any::<i64>(),
        any::<bool>(),
    )
        .prop_map(
            |(table, tags, float, integer, unsigned, text, boolean, time, has_numbered_tags)| {
                Point {
                    table,
                    tags,
                    float,
                    integer,
                    unsigned,
                    text,
                    boolean,
                    time,
                    has_numbered_tags,
                }
            },
        )
}

impl Point {
    fn to_line(&self) -> String {
        let mut line = self.table.clone();
        for (name, tag) in ["rack", "host"].iter().zip(&self.tags) {
            if let Some(tag) = tag {
                write!(line, ",{name}={tag}").unwrap();
            }
        }
        let fields: Vec<String> = [
            self.float.map(|value| format!("value={value}")),
            self.integer.map(|value| format!("integer={value}i")),
            self.unsigned.map(|value| format!("unsigned={value}u")),
            self.text.as_ref().map(|value| format!("text=\"{value}\"")),
            self.boolean.map(|value| format!("boolean={value}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        writeln!(line, " {} {}", fields.join(","), self.time).unwrap();
        line
    }

    fn add_to(&self, points: &mut PointBatches) -> Result<(), ColumnConflict> {
        let table = points.table(&self.table);
        table.begin_row(self.time);
        for (name, tag) in ["rack", "host"].iter().zip(&self.tags) {
            let text = tag.as_deref().unwrap_or_default();
            if self.has_numbered_tags {
                let tag = points.tag(name);
                let value = points.tag_value(tag, text);
                let table = points.table(&self.table);
                value.map_or(Ok(()), |value| table.tag_value(value))?;
            } else {
                points.table(&self.table).tag(name, text)?;
            }
        }
        let table = points.table(&self.table);
        if let Some(value) = self.float {
            table.float("value", value)?;
        }
        if let Some(value) = self.integer {
            table.integer("integer", value)?;
        }
        if let Some(value) = self.unsigned {
            table.unsigned("unsigned", value)?;
        }
        if let Some(value) = &self.text {
            table.string("text", value)?;
        }
        if let Some(value) = self.boolean {
            table.boolean("boolean", value)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn points_are_stored_like_lines(points in vec((point(), any::<bool>()), 0..60)) {
        let mut lines = String::new();
        let mut batches = PointBatches::new();
        let mut numbers = Vec::new();
        for (point, is_discarded) in &points {
            point.add_to(&mut batches).unwrap();
            if *is_discarded {
                batches.table(&point.table).discard_row();
            } else {
                lines += &point.to_line();
                numbers.push(batches.row_count());
            }
        }
        let from_lines = parse(lines.as_bytes(), &OneTable, &options()).unwrap();
        let from_points = validate(batches);
        prop_assert_eq!(from_points.rows, from_lines.rows);
        prop_assert_eq!(from_points.lines, from_lines.lines);
        let refused = |parsed: &ParsedBody| -> Vec<usize> {
            parsed.errors.iter().map(|error| error.line_number).collect()
        };
        let refused_lines: Vec<_> = refused(&from_lines)
            .iter()
            .map(|line| numbers[line - 1])
            .collect();
        prop_assert_eq!(refused(&from_points), refused_lines);
        let tables = |parsed: &ParsedBody| -> Vec<_> {
            let mut tables: Vec<_> = parsed
                .tables
                .iter()
                .map(|table| (table.name.clone(), table.is_new, sorted(&table.batch)))
                .collect();
            tables.sort_by(|a, b| a.0.cmp(&b.0));
            tables
        };
        let (points, lines) = (tables(&from_points), tables(&from_lines));
        prop_assert_eq!(points.len(), lines.len());
        for (points, lines) in points.iter().zip(&lines) {
            prop_assert_eq!((&points.0, points.1), (&lines.0, lines.1));
            prop_assert_eq!(text(&points.2), text(&lines.2));
            prop_assert!(has_exact_dictionaries(&points.2), "{:?}", points.2);
        }
    }
}

/// Whether the dictionary of each tag has the values of the rows, in the order of their first row.
fn has_exact_dictionaries(batch: &RecordBatch) -> bool {
    let mut tags = batch
        .columns()
        .iter()
        .filter_map(|column| column.as_dictionary_opt::<Int32Type>());
    tags.all(|tag| {
        let mut next = 0;
        for key in tag.keys().iter().flatten() {
            if key > next {
                return false;
            }
            next += i32::from(key == next);
        }
        usize::try_from(next).unwrap() == tag.values().len()
    })
}

/// Returns a batch as text: dictionaries with the same rows may have different values.
fn text(batch: &RecordBatch) -> String {
    let mut text = format!("{:?}\n", batch.schema());
    for column in batch.columns() {
        for row in 0..column.len() {
            let value = if column.is_null(row) {
                "null".to_owned()
            } else {
                crate::columnar::render::render_value(column.as_ref(), row)
            };
            text += &format!("{value},");
        }
    }
    text
}
