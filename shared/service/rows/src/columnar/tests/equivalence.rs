//! Shows that validation of batches and parsing of the same rows as line protocol have the same results.

use std::{fmt::Write, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, StringArray,
    StringViewArray, TimestampNanosecondArray, UInt64Array, types::Int8Type,
};
use neap_schema::AutoCreate;
use neap_test_inputs::cases;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    SchemaLimits, TableLimit,
    columnar::{LineEncoder, LineRows, NumberedBatch},
    line_protocol::{Precision, parse},
};

#[derive(Clone, Debug)]
struct Row {
    tags: [Option<String>; 2],
    float: Option<f64>,
    integer: Option<i64>,
    unsigned: Option<u64>,
    text: Option<String>,
    boolean: Option<bool>,
    time: Option<i64>,
}

fn row() -> impl Strategy<Value = Row> {
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    (
        [option::of("[ab]{1,2}"), option::of("[ab]")],
        option::of(finite),
        option::of(any::<i64>()),
        option::of(any::<u64>()),
        option::of("[a-c ]{0,3}"),
        option::of(any::<bool>()),
        option::of(prop_oneof![0i64..10_000_000_000, any::<i64>()]),
    )
        .prop_map(|(tags, float, integer, unsigned, text, boolean, time)| Row {
            tags,
            float,
            integer,
            unsigned,
            text,
            boolean,
            time,
        })
}

impl Row {
    fn to_line(&self) -> String {
        let mut line = "m".to_owned();
        for (name, tag) in ["t", "s"].iter().zip(&self.tags) {
            if let Some(tag) = tag {
                write!(line, ",{name}={tag}").unwrap();
            }
        }
        let fields: Vec<String> = [
            self.float.map(|value| format!("float={value}")),
            self.integer.map(|value| format!("integer={value}i")),
            self.unsigned.map(|value| format!("unsigned={value}u")),
            self.text.as_ref().map(|value| format!("text=\"{value}\"")),
            self.boolean.map(|value| format!("boolean={value}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        write!(line, " {}", fields.join(",")).unwrap();
        if let Some(time) = self.time {
            write!(line, " {time}").unwrap();
        }
        line + "\n"
    }
}

/// Returns the rows as a batch. Times are integers, because lines have the precision of the request, too.
fn to_batch(rows: &[Row], encoding: usize) -> RecordBatch {
    let tag = |index: usize| -> ArrayRef {
        let texts = rows.iter().map(|row| row.tags[index].as_deref());
        match encoding % 3 {
            0 => Arc::new(texts.collect::<DictionaryArray<Int8Type>>()),
            1 => Arc::new(texts.collect::<StringArray>()),
            _ => Arc::new(texts.collect::<StringViewArray>()),
        }
    };
    let texts = rows.iter().map(|row| row.text.as_deref());
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("s", tag(1)),
        ("float", Arc::new(rows.iter().map(|row| row.float).collect::<Float64Array>())),
        ("t", tag(0)),
        ("integer", Arc::new(rows.iter().map(|row| row.integer).collect::<Int64Array>())),
        (
            "unsigned",
            Arc::new(rows.iter().map(|row| row.unsigned).collect::<UInt64Array>()),
        ),
        (
            "text",
            if encoding.is_multiple_of(2) {
                Arc::new(texts.collect::<StringArray>())
            } else {
                Arc::new(texts.collect::<DictionaryArray<Int8Type>>())
            },
        ),
        (
            "boolean",
            Arc::new(rows.iter().map(|row| row.boolean).collect::<BooleanArray>()),
        ),
    ];
    let time: Int64Array = rows.iter().map(|row| row.time).collect();
    columns.push(("time", Arc::new(time)));
    batch(columns)
}

/// Generates tables that have some of the columns, each with the type of the rows or with one that conflicts with it.
fn database() -> impl Strategy<Value = TestDatabase> {
    let existing = [
        ("boolean", [ColumnType::Boolean, ColumnType::Float]),
        ("t", [ColumnType::Tag, ColumnType::Integer]),
        ("other", [ColumnType::Float; 2]),
        ("text", [ColumnType::String, ColumnType::Boolean]),
        ("integer", [ColumnType::Integer; 2]),
    ];
    let choices = vec(option::of(0..10usize), existing.len());
    option::of(choices).prop_map(move |choices| {
        let Some(choices) = choices else {
            return TestDatabase::default();
        };
        let columns: Vec<_> = existing
            .iter()
            .zip(choices)
            .filter_map(|((name, types), choice)| Some((*name, types[usize::from(choice? == 0)])))
            .collect();
        TestDatabase::with_table("m", &columns)
    })
}

fn options() -> impl Strategy<Value = Options> {
    (
        prop_oneof![Just(Precision::Auto), Just(Precision::Second), Just(Precision::Nanosecond)],
        any::<i64>(),
        prop_oneof![4 => Just(false), 1 => Just(true)],
        option::of(0..9usize),
        option::of(0..4usize),
        option::of(0..2usize),
        option::of(100..800usize),
        option::of(0..4usize),
        prop_oneof![
            4 => Just(AutoCreate::All),
            1 => Just(AutoCreate::Columns),
            1 => Just(AutoCreate::None)
        ],
    )
        .prop_map(
            |(
                precision,
                default_time_ns,
                stop_at_first_error,
                columns,
                tags,
                tables,
                cells,
                errors,
                auto_create,
            )| {
                Options {
                    precision,
                    default_time_ns,
                    stop_at_first_error,
                    limits: SchemaLimits {
                        max_columns_per_table: columns,
                        max_tags_per_table: tags,
                        auto_create,
                    },
                    tables: tables.map(|limit| TableLimit { count: 0, limit }),
                    max_cells: cells,
                    max_errors: errors,
                    ..Options::default()
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1000)))]

    #[test]
    fn batches_have_the_result_of_the_same_rows_as_lines(
        rows in vec(row(), 0..30),
        split in 0..30usize,
        encoding in 0..6usize,
        database in database(),
        options in options(),
    ) {
        let text: String = rows.iter().map(Row::to_line).collect();
        let expected = parse(text.as_bytes(), &database, &options).unwrap();
        let (first, second) = rows.split_at(split.min(rows.len()));
        let batches = vec![to_batch(first, encoding), to_batch(second, encoding + 1)];
        let mapping = mapping(named_tags(&["t", "s"]), TimeColumn::default());
        let columnar = ColumnarRows::new(mapping, batches).unwrap();
        let got = columnar.validate(&database, &options).unwrap();

        prop_assert_eq!((got.lines, got.rows), (expected.lines, expected.rows));
        prop_assert_eq!(messages(&got), messages(&expected));
        let kinds = |parsed: &ParsedBody| -> Vec<_> {
            parsed.errors.iter().map(|error| error.kind).collect()
        };
        prop_assert_eq!(kinds(&got), kinds(&expected));
        prop_assert_eq!(got.tables.len(), expected.tables.len());
        for (got, expected) in got.tables.iter().zip(&expected.tables) {
            prop_assert_eq!(&got.name, &expected.name);
            prop_assert_eq!(got.is_new, expected.is_new);
            prop_assert_eq!(&got.new_columns, &expected.new_columns);
            prop_assert_eq!(&got.batch, &expected.batch);
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    "[a-c,= \"\\\\é]{0,6}[a-cé\"]"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]
    #[test]
    fn encoded_lines_have_the_result_of_their_rows(
        rows in vec((option::of(any_text()), option::of(any_text()), any::<i64>()), 1..20),
        start in proptest::sample::select(vec!["", "#", "\t", "\r", "\r\n"]),
        names in [any_text(), any_text(), any_text()],
        limit in 1..200usize,
    ) {
        let [table, tag, field] = names;
        let table = format!("{start}{table}");
        let mut mapping = mapping(named_tags(&[&format!("t{tag}")]), TimeColumn::default());
        mapping.table = table;
        mapping.time.format = crate::columnar::TimeFormat::Unit(Precision::Nanosecond);
        let tags: StringArray = rows.iter().map(|row| row.0.as_deref()).collect();
        let texts: StringArray = rows.iter().map(|row| row.1.as_deref()).collect();
        let times: Int64Array = rows.iter().map(|row| Some(row.2)).collect();
        let batch = batch(vec![
            (&format!("t{tag}"), Arc::new(tags)),
            (&format!("f{field}"), Arc::new(texts)),
            ("time", Arc::new(times)),
        ]);
        let numbered = NumberedBatch { first_row: 1, batch: batch.clone(), refused: Vec::new(), has_tag_dictionaries: false };
        let encoder = LineEncoder::new(&numbered, &mapping, Precision::Auto);
        if !matches!(start, "" | "\r") {
            prop_assert!(encoder.is_err());
            prop_assert!(ColumnarRows::new(mapping, vec![batch]).is_err());
            return Ok(());
        }
        let mut encoder = encoder.unwrap();
        let mut text = String::new();
        let mut lines = LineRows::default();
        while encoder.encode(&mut lines, limit) {
            text += &std::mem::take(&mut lines.text);
        }
        text += &lines.text;
        let database = TestDatabase::default();
        let options = Options { precision: Precision::Nanosecond, ..Options::default() };
        let parsed = parse(text.as_bytes(), &database, &options).unwrap();
        let columnar = ColumnarRows::new(mapping, vec![batch]).unwrap();
        let expected = columnar.validate(&database, &options).unwrap();

        prop_assert_eq!(messages(&parsed), [], "{}", text);
        prop_assert_eq!(parsed.rows, expected.rows);
        prop_assert_eq!(&lines.errors, &expected.errors);
        let numbers: Vec<_> = (1..=rows.len()).filter(|row| rows[row - 1].1.is_some()).collect();
        prop_assert_eq!(lines.rows, numbers);
        for (got, expected) in parsed.tables.iter().zip(&expected.tables) {
            prop_assert_eq!(&got.name, &expected.name);
            prop_assert_eq!(&got.batch, &expected.batch);
        }
    }
}

#[test]
fn timestamps_and_metadata_of_influxdb_need_no_mapping() {
    let time: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1, 2]));
    let fields = vec![
        ColumnType::Float.arrow_field("v"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![1.5, 2.5])),
        Arc::new(
            vec!["a", "a"]
                .into_iter()
                .collect::<DictionaryArray<arrow_array::types::Int32Type>>(),
        ),
        time,
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mapping = mapping(TagColumns::ByType, TimeColumn::default());
    let rows = ColumnarRows::new(mapping, vec![batch]).unwrap();
    let database = TestDatabase::default();
    let got = rows.validate(&database, &Options::default()).unwrap();
    let options = Options::with_precision(Precision::Nanosecond);
    let lines = b"m,host=a v=1.5 1\nm,host=a v=2.5 2";
    let expected = parse(lines, &database, &options).unwrap();
    assert_eq!(got.tables[0].batch, expected.tables[0].batch);
}
