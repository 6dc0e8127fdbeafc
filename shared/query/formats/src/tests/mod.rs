//! Tests of complete formats: framing, nulls, dictionaries, empty results and limits.

mod agreement;
mod streams;
mod types;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, RecordBatchReader, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use bytes::Bytes;

use super::*;

/// All formats whose answers are the same text or file however their rows are divided.
const ALL: [Format; 5] =
    [Format::Json, Format::JsonLines, Format::Csv, Format::Pretty, Format::Parquet];

fn encode(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(format, batches[0].schema(), FormatLimits::default());
    for batch in batches {
        encoder.write(batch, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

fn text(format: Format, batch: &RecordBatch) -> String {
    String::from_utf8(encode(format, std::slice::from_ref(batch))).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Dictionary of tag values, `None` for null.
fn tags(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<DictionaryArray<Int32Type>>())
}
/// A table of edge cases: every field type, extreme values, empty and unusual strings.
fn awkward() -> RecordBatch {
    let eight = 1_704_096_000_000_000_000;
    batch(vec![
        (
            "b",
            Arc::new(BooleanArray::from(vec![
                None,
                Some(true),
                Some(false),
                Some(true),
                None,
                None,
            ])),
        ),
        (
            "f",
            Arc::new(Float64Array::from(vec![
                Some(3.0),
                Some(-0.0),
                Some(1e300),
                Some(1e-7),
                Some(f64::NAN),
                Some(f64::NEG_INFINITY),
            ])),
        ),
        (
            "i",
            Arc::new(Int64Array::from(vec![
                None,
                Some(i64::MIN),
                Some(i64::MAX),
                Some(0),
                None,
                Some(42),
            ])),
        ),
        ("plain", tags(&[None, Some("x"), Some("x"), Some("🌡"), Some("c,d"), None])),
        (
            "field, \"key\"",
            Arc::new(StringArray::from(vec![
                None,
                Some("plain"),
                Some("quote \" and backslash \\ end"),
                Some(""),
                Some("line one\nline two"),
                Some("漢字 'ü'"),
            ])),
        ),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from(vec![
                -1,
                eight,
                eight + 1,
                eight + 1_000,
                eight + 1_000_000,
                eight,
            ])),
        ),
        (
            "u",
            Arc::new(UInt64Array::from(vec![None, Some(u64::MAX), Some(0), None, None, None])),
        ),
    ])
}

#[test]
fn json_leaves_nulls_out_and_escapes() {
    insta::assert_snapshot!(text(Format::Json, &awkward()).replace("},{", "},\n{"), @r##"
    [{"f":3.0,"time":"1969-12-31T23:59:59.999999999"},
    {"b":true,"f":-0.0,"i":-9223372036854775808,"plain":"x","field, \"key\"":"plain","time":"2024-01-01T08:00:00","u":18446744073709551615},
    {"b":false,"f":1.0e300,"i":9223372036854775807,"plain":"x","field, \"key\"":"quote \" and backslash \\ end","time":"2024-01-01T08:00:00.000000001","u":0},
    {"b":true,"f":1.0e-7,"i":0,"plain":"🌡","field, \"key\"":"","time":"2024-01-01T08:00:00.000001"},
    {"f":null,"plain":"c,d","field, \"key\"":"line one\nline two","time":"2024-01-01T08:00:00.001"},
    {"f":null,"i":42,"field, \"key\"":"漢字 'ü'","time":"2024-01-01T08:00:00"}]
    "##);
}

#[test]
fn csv_quotes_where_needed_and_has_nulls_empty() {
    insta::assert_snapshot!(text(Format::Csv, &awkward()), @r##"
    b,f,i,plain,"field, ""key""",time,u
    ,3.0,,,,1969-12-31T23:59:59.999999999,
    true,-0.0,-9223372036854775808,x,plain,2024-01-01T08:00:00,18446744073709551615
    false,1e300,9223372036854775807,x,"quote "" and backslash \ end",2024-01-01T08:00:00.000000001,0
    true,1e-7,0,🌡,,2024-01-01T08:00:00.000001,
    ,NaN,,"c,d","line one
    line two",2024-01-01T08:00:00.001,
    ,-inf,42,,漢字 'ü',2024-01-01T08:00:00,
    "##);
}

#[test]
fn pretty_aligns_by_display_width() {
    insta::assert_snapshot!(text(Format::Pretty, &awkward()), @r##"
    +-------+-------+----------------------+-------+-----------------------------+-------------------------------+----------------------+
    | b     | f     | i                    | plain | field, "key"                | time                          | u                    |
    +-------+-------+----------------------+-------+-----------------------------+-------------------------------+----------------------+
    |       | 3.0   |                      |       |                             | 1969-12-31T23:59:59.999999999 |                      |
    | true  | -0.0  | -9223372036854775808 | x     | plain                       | 2024-01-01T08:00:00           | 18446744073709551615 |
    | false | 1e300 | 9223372036854775807  | x     | quote " and backslash \ end | 2024-01-01T08:00:00.000000001 | 0                    |
    | true  | 1e-7  | 0                    | 🌡     |                             | 2024-01-01T08:00:00.000001    |                      |
    |       | NaN   |                      | c,d   | line one                    | 2024-01-01T08:00:00.001       |                      |
    |       |       |                      |       | line two                    |                               |                      |
    |       | -inf  | 42                   |       | 漢字 'ü'                    | 2024-01-01T08:00:00           |                      |
    +-------+-------+----------------------+-------+-----------------------------+-------------------------------+----------------------+
    "##);
}

#[test]
fn json_lines_are_the_elements_of_json() {
    let lines = text(Format::JsonLines, &awkward());
    assert!(lines.ends_with("}\n"));
    let joined = lines.lines().collect::<Vec<_>>().join(",");
    assert_eq!(format!("[{joined}]"), text(Format::Json, &awkward()));
}

#[test]
fn results_without_rows_are_the_same_for_no_batch_and_empty_batches() {
    let schema = awkward().schema();
    for (format, answer) in ALL.into_iter().zip(["[]", "", "", "++\n++", ""]) {
        for batches in [vec![], vec![RecordBatch::new_empty(Arc::clone(&schema)); 2]] {
            let mut out = Vec::new();
            let mut encoder = Encoder::new(format, Arc::clone(&schema), FormatLimits::default());
            for batch in &batches {
                encoder.write(batch, &mut out).unwrap();
            }
            encoder.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), answer, "{format}");
        }
    }
}

#[test]
fn a_table_without_rows_can_have_its_columns() {
    let schema = Schema::new(vec![
        Field::new("host", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
    ]);
    let table = empty_table_with_columns(b"++\n++", &schema).unwrap();
    insta::assert_snapshot!(String::from_utf8(table).unwrap(), @r"
    +------+---+
    | host | v |
    +------+---+
    +------+---+
    ");
    assert_eq!(empty_table_with_columns(b"++\n++", &Schema::empty()), None);
    assert_eq!(empty_table_with_columns(b"+---+\n| v |", &schema), None);
}

#[test]
fn an_empty_batch_between_others_writes_nothing() {
    let some = awkward();
    let none = RecordBatch::new_empty(some.schema());
    for format in ALL {
        let plain = encode(format, &[some.clone(), some.clone()]);
        let mixed =
            encode(format, &[none.clone(), some.clone(), none.clone(), some.clone(), none.clone()]);
        assert!(plain == mixed, "{format}");
    }
}

#[test]
fn a_batch_with_other_columns_is_refused() {
    let batch = awkward();
    for format in ALL {
        let mut encoder = Encoder::new(format, batch.schema(), FormatLimits::default());
        let narrow = batch.project(&[0, 1]).unwrap();
        let refusal = encoder.write(&narrow, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(refusal, "the result has 7 columns, but a batch has 2");
    }
}

#[test]
fn nulls_in_dictionaries_are_nulls() {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let keys = Int32Array::from(vec![Some(0), Some(1), None]);
    let array: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
    let none: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    let empty: ArrayRef = Arc::new(DictionaryArray::new(Int32Array::from(vec![None; 3]), none));
    let batch = batch(vec![("t", array), ("e", empty)]);
    assert_eq!(text(Format::Json, &batch), r#"[{"t":"a"},{},{}]"#);
    assert_eq!(text(Format::Csv, &batch), "t,e\na,\n,\n,\n");
}

#[test]
fn dictionaries_may_change_from_batch_to_batch() {
    let batches = [
        batch(vec![("t", tags(&[Some("a"), Some("b"), Some("a")]))]),
        batch(vec![("t", tags(&[Some("c"), Some("a"), Some("c")]))]),
    ];
    let json = String::from_utf8(encode(Format::Json, &batches)).unwrap();
    assert_eq!(json, r#"[{"t":"a"},{"t":"b"},{"t":"a"},{"t":"c"},{"t":"a"},{"t":"c"}]"#);
}

#[test]
fn dictionaries_too_large_for_the_cache_are_written_correctly() {
    for (count, length) in [(70_000, 3), (3_000, 1_000)] {
        let value = |index: i32| format!("{index}{}", "v".repeat(length));
        let values: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(value)));
        let keys = Int32Array::from_iter_values((0..count).chain(0..count));
        let batch = batch(vec![("t", Arc::new(DictionaryArray::new(keys, values)))]);
        let mut expected = String::from("t\n");
        (0..count)
            .chain(0..count)
            .for_each(|key| expected.push_str(&(value(key) + "\n")));
        assert!(text(Format::Csv, &batch) == expected);
    }
}

#[test]
fn a_table_ends_at_its_limit_with_the_number_of_further_rows() {
    let long = batch(vec![("s", Arc::new(StringArray::from(vec!["x".repeat(600); 10])))]);
    // Cells of little text, but one of them is wide.
    let mut cells = vec![String::new(); 9];
    cells.push("x".repeat(900));
    cells.push("last".to_owned());
    let wide = batch(vec![("s", Arc::new(StringArray::from(cells)))]);
    let limits = FormatLimits { table_bytes: 5_000, ..FormatLimits::default() };
    for (batch, end) in [
        (long, "\n… 18 more rows, use --format csv (format=csv over HTTP)"),
        (wide, "+---+\n… 13 more rows, use --format csv (format=csv over HTTP)"),
    ] {
        let mut encoder = Encoder::new(Format::Pretty, batch.schema(), limits);
        let mut out = Vec::new();
        for _ in 0..2 {
            encoder.write(&batch, &mut out).unwrap();
        }
        encoder.finish(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.len() < 5_100, "{}", text.len());
        assert!(text.ends_with(end), "{text}");
    }
}

fn read_parquet(file: Vec<u8>) -> (Arc<Schema>, usize, RecordBatch) {
    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    let row_groups = builder.metadata().num_row_groups();
    let reader = builder.with_batch_size(1 << 20).build().unwrap();
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().unwrap();
    (
        Arc::clone(&schema),
        row_groups,
        arrow::compute::concat_batches(&schema, &batches).unwrap(),
    )
}

#[test]
fn parquet_reads_back_with_its_arrow_types() {
    let batch = awkward();
    let (schema, row_groups, rows) =
        read_parquet(encode(Format::Parquet, std::slice::from_ref(&batch)));
    assert_eq!((schema.fields(), row_groups), (batch.schema().fields(), 1));
    assert_eq!(text(Format::Csv, &rows), text(Format::Csv, &batch));
}

#[test]
fn parquet_leaves_row_group_by_row_group() {
    let rows = 20_000;
    let numbers = (0..rows).map(|i: i64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()));
    let batch = batch(vec![("i", Arc::new(Int64Array::from_iter_values(numbers)))]);
    let limits = FormatLimits { row_group_bytes: 50_000, ..FormatLimits::default() };
    let mut encoder = Encoder::new(Format::Parquet, batch.schema(), limits);
    let mut file = Vec::new();
    let mut sizes = Vec::new();
    for part in 0..4 {
        encoder.write(&batch.slice(part * 5_000, 5_000), &mut file).unwrap();
        sizes.push(file.len());
    }
    assert!(sizes[1] > 40_000 && sizes[3] > sizes[1], "{sizes:?}");
    encoder.finish(&mut file).unwrap();
    let (_, row_groups, read) = read_parquet(file);
    assert!(row_groups > 2);
    assert_eq!(
        read.column(0).as_primitive::<Int64Type>(),
        batch.column(0).as_primitive::<Int64Type>()
    );
}
