//! Texts of annotated CSV, as Flux's own tests and the documentation of InfluxDB 2 show them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;

use super::*;

const EIGHT: i64 = 1_704_096_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn annotated() -> AnnotatedCsvDialect {
    AnnotatedCsvDialect {
        annotations: vec![Annotation::Datatype, Annotation::Group, Annotation::Default],
        ..AnnotatedCsvDialect::default()
    }
}

fn column(
    name: &str,
    datatype: &'static str,
    is_key: bool,
    source: ColumnSource,
) -> AnnotatedColumn {
    AnnotatedColumn { name: name.to_owned(), datatype, is_key, source }
}

/// The series of a field by two tags.
fn layout() -> TableLayout {
    let time = "dateTime:RFC3339";
    TableLayout {
        columns: vec![
            column("_start", time, true, ColumnSource::Time(EIGHT)),
            column("_stop", time, true, ColumnSource::Time(EIGHT + HOUR)),
            column("_time", time, false, ColumnSource::Batch(0)),
            column("_value", "double", false, ColumnSource::Batch(1)),
            column("_field", "string", true, ColumnSource::Text("temp".to_owned())),
            column("host", "string", true, ColumnSource::Batch(2)),
            column("room", "string", true, ColumnSource::Batch(3)),
        ],
    }
}

/// The seconds, temperature, host and room of a row.
type TestRow<'a> = (i64, Option<f64>, Option<&'a str>, Option<&'a str>);

fn batch(rows: &[TestRow<'_>]) -> RecordBatch {
    let times = rows.iter().map(|row| EIGHT + row.0);
    let host: DictionaryArray<Int32Type> = rows.iter().map(|row| row.2).collect();
    let room: DictionaryArray<Int32Type> = rows.iter().map(|row| row.3).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("_time", Arc::new(TimestampNanosecondArray::from_iter_values(times))),
        ("_value", Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>())),
        ("host", Arc::new(host)),
        ("room", Arc::new(room)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn text(out: Vec<u8>) -> String {
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    text.replace("\r\n", "\n")
}

#[test]
fn tables_with_the_same_columns_share_a_header_and_others_follow_an_empty_line() {
    let mut writer = AnnotatedCsvWriter::new(annotated());
    let mut out = Vec::new();
    writer.begin_result("mean");
    writer.begin_tables(layout());
    // A tag that a series lacks is no column of its table.
    let first = [
        (0, Some(20.5), None, Some("a")),
        (0, Some(21.0), Some("one"), Some("a")),
        (10_000_000, None, Some("one"), Some("a")),
    ];
    let second = [
        (20_000_000, Some(-0.5), Some("one"), Some("a")),
        (0, Some(1e21), Some("one"), Some("b, c")),
    ];
    writer.write(&batch(&first), &mut out).unwrap();
    writer.write(&batch(&[]), &mut out).unwrap();
    writer.write(&batch(&second), &mut out).unwrap();
    writer.end_result(&mut out);
    insta::assert_snapshot!(text(out), @r#"
    #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string
    #group,false,false,true,true,false,false,true,true
    #default,mean,,,,,,,
    ,result,table,_start,_stop,_time,_value,_field,room
    ,,0,2024-01-01T08:00:00Z,2024-01-01T09:00:00Z,2024-01-01T08:00:00Z,20.5,temp,a

    #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
    #group,false,false,true,true,false,false,true,true,true
    #default,mean,,,,,,,,
    ,result,table,_start,_stop,_time,_value,_field,host,room
    ,,1,2024-01-01T08:00:00Z,2024-01-01T09:00:00Z,2024-01-01T08:00:00Z,21,temp,one,a
    ,,1,2024-01-01T08:00:00Z,2024-01-01T09:00:00Z,2024-01-01T08:00:00.01Z,,temp,one,a
    ,,1,2024-01-01T08:00:00Z,2024-01-01T09:00:00Z,2024-01-01T08:00:00.02Z,-0.5,temp,one,a
    ,,2,2024-01-01T08:00:00Z,2024-01-01T09:00:00Z,2024-01-01T08:00:00Z,1000000000000000000000,temp,one,"b, c"
    "#);
}

#[test]
fn the_dialect_chooses_header_delimiter_and_annotations() {
    let dialect = AnnotatedCsvDialect {
        has_header: false,
        delimiter: b';',
        ..AnnotatedCsvDialect::default()
    };
    let mut writer = AnnotatedCsvWriter::new(dialect);
    let mut out = Vec::new();
    writer.begin_result("_result");
    let columns = vec![
        column("a", "string", false, ColumnSource::Batch(0)),
        column("b", "boolean", false, ColumnSource::Batch(1)),
    ];
    writer.begin_tables(TableLayout { columns });
    let texts = StringArray::from(vec!["x;y", "say \"hi\"", " space", "two\nlines", "plain, here"]);
    let flags = BooleanArray::from(vec![Some(true), Some(false), None, Some(true), Some(true)]);
    let rows: [(&str, ArrayRef); 2] = [("a", Arc::new(texts)), ("b", Arc::new(flags))];
    writer.write(&RecordBatch::try_from_iter(rows).unwrap(), &mut out).unwrap();
    writer.end_result(&mut out);
    insta::assert_snapshot!(text(out), @r#"
    ;_result;0;"x;y";true
    ;_result;0;"say ""hi""";false
    ;_result;0;" space";
    ;_result;0;"two
    lines";true
    ;_result;0;plain, here;true
    "#);
}

#[test]
fn results_without_tables_are_an_empty_line_and_errors_are_tables() {
    let mut writer = AnnotatedCsvWriter::new(annotated());
    let mut out = Vec::new();
    writer.begin_result("none");
    writer.end_result(&mut out);
    writer.begin_result("broken");
    writer.write_error("a, b", &mut out);
    assert_eq!(
        text(out),
        "\n\n#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,\"a, b\",\n"
    );
}

#[test]
fn numbers_are_written_without_exponents() {
    let shown = |number: f64| {
        let mut out = Vec::new();
        push_plain_float(number, &mut out);
        String::from_utf8(out).unwrap()
    };
    let numbers = [0.0, -0.0, 1.0, 0.1, 1e-7, 1.5e-9, 1e16, 1e22, f64::NAN, f64::INFINITY];
    let texts = numbers.map(shown).join(" ");
    insta::assert_snapshot!(texts, @"0 0 1 0.1 0.0000001 0.0000000015 10000000000000000 10000000000000000000000 NaN +Inf");
}

#[test]
fn types_without_dictionaries_are_written_as_numbers() {
    let mut writer = AnnotatedCsvWriter::new(AnnotatedCsvDialect::default());
    let mut out = Vec::new();
    writer.begin_result("r");
    let columns = vec![
        column("i", "long", false, ColumnSource::Batch(0)),
        column("u", "unsignedLong", true, ColumnSource::Batch(1)),
    ];
    writer.begin_tables(TableLayout { columns });
    let integers = Int64Array::from(vec![Some(i64::MIN), None]);
    let unsigned = UInt64Array::from(vec![u64::MAX, 1]);
    let rows: [(&str, ArrayRef); 2] = [("i", Arc::new(integers)), ("u", Arc::new(unsigned))];
    writer.write(&RecordBatch::try_from_iter(rows).unwrap(), &mut out).unwrap();
    insta::assert_snapshot!(text(out), @r"
    ,result,table,i,u
    ,r,0,-9223372036854775808,18446744073709551615
    ,r,1,,1
    ");
}
