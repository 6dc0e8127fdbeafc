//! Every type in the text formats.

use arrow::array::{Int64Builder, ListBuilder, MapBuilder, NullArray, StringBuilder, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::*;

/// Returns a value and a null as `data_type`.
fn number(value: i64, data_type: DataType) -> ArrayRef {
    cast(&Int64Array::from(vec![Some(value), None]), &data_type).unwrap()
}

fn strings(data_type: DataType) -> ArrayRef {
    cast(&StringArray::from(vec![Some("a \"b\", c"), None]), &data_type).unwrap()
}

fn time(value: i64, unit: TimeUnit, zone: Option<&str>) -> ArrayRef {
    let plain = number(value, DataType::Timestamp(unit, None));
    match zone {
        None => plain,
        // The cast keeps the instant only if it starts from UTC.
        Some(zone) => {
            let utc = number(value, DataType::Timestamp(unit, Some("UTC".into())));
            cast(&utc, &DataType::Timestamp(unit, Some(zone.into()))).unwrap()
        }
    }
}

fn interval(text: &str) -> ArrayRef {
    let texts = StringArray::from(vec![Some(text), None]);
    cast(&texts, &DataType::Interval(IntervalUnit::MonthDayNano)).unwrap()
}

fn list(item: &str) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value([Some("x"), None, Some(item)]);
    builder.append_null();
    Arc::new(builder.finish())
}

fn selector() -> ArrayRef {
    let fields = vec![
        Arc::new(Field::new("value", DataType::Float64, true)),
        Arc::new(Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), true)),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![22.5, 0.0])),
        Arc::new(TimestampNanosecondArray::from(vec![1_704_096_000_000_000_000, 0])),
    ];
    let nulls = Some(vec![true, false].into());
    Arc::new(StructArray::new(fields.into(), columns, nulls))
}

fn map_of_numbers() -> ArrayRef {
    let mut builder = MapBuilder::new(None, Int64Builder::new(), StringBuilder::new());
    builder.keys().append_value(1);
    builder.values().append_value("\"one\"");
    builder.append(true).unwrap();
    builder.append(false).unwrap();
    Arc::new(builder.finish())
}

/// Returns a column per type, each with one value and one null.
fn every_type() -> Vec<(&'static str, ArrayRef)> {
    const MOMENT: i64 = 1_704_096_000; // 2024-01-01T08:00:00Z
    let dictionary = |values| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    vec![
        ("null", Arc::new(NullArray::new(2))),
        ("boolean", number(1, DataType::Boolean)),
        ("int8", number(-8, DataType::Int8)),
        ("int16", number(-16, DataType::Int16)),
        ("int32", number(-32, DataType::Int32)),
        ("int64", number(i64::MIN, DataType::Int64)),
        ("uint8", number(8, DataType::UInt8)),
        ("uint16", number(16, DataType::UInt16)),
        ("uint32", number(32, DataType::UInt32)),
        ("uint64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("float16", number(16, DataType::Float16)),
        ("float32", number(32, DataType::Float32)),
        ("float64", number(64, DataType::Float64)),
        ("decimal", number(-1, DataType::Decimal128(10, 2))),
        ("utf8", strings(DataType::Utf8)),
        ("large utf8", strings(DataType::LargeUtf8)),
        ("utf8 view", strings(DataType::Utf8View)),
        ("tag", strings(dictionary(DataType::Utf8))),
        (
            "uint8 keys",
            strings(DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))),
        ),
        ("number tag", number(7, dictionary(DataType::Int64))),
        ("binary", strings(DataType::Binary)),
        ("date32", number(19_723, DataType::Date32)),
        ("date64", number(MOMENT * 1000, DataType::Date64)),
        ("time64", number(28_800_000_000_001, DataType::Time64(TimeUnit::Nanosecond))),
        ("time s", time(MOMENT, TimeUnit::Second, None)),
        ("time ms", time(MOMENT * 1_000 + 1, TimeUnit::Millisecond, None)),
        ("time us", time(MOMENT * 1_000_000 + 10, TimeUnit::Microsecond, None)),
        ("time ns", time(MOMENT * 1_000_000_000 + 1, TimeUnit::Nanosecond, None)),
        ("time utc", time(MOMENT, TimeUnit::Second, Some("UTC"))),
        ("time paris", time(MOMENT, TimeUnit::Second, Some("Europe/Paris"))),
        (
            "time london",
            time(MOMENT * 1_000, TimeUnit::Millisecond, Some("Europe/London")),
        ),
        ("time 10000", time(253_402_300_800, TimeUnit::Second, None)),
        ("duration ns", number(1_000_000, DataType::Duration(TimeUnit::Nanosecond))),
        ("duration s", number(90, DataType::Duration(TimeUnit::Second))),
        ("interval", interval("1 month 2 days 3 seconds")),
        ("list", list("a \"b\", c")),
        ("struct", selector()),
        ("map of numbers", map_of_numbers()),
    ]
}

#[test]
fn every_type_has_its_form_in_the_text_formats() {
    let mut forms = String::new();
    for (name, array) in every_type() {
        let batch = batch(vec![(name, array)]);
        let table = text(Format::Pretty, &batch);
        let cell = table.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned();
        let json = text(Format::JsonLines, &batch);
        let (value, null) = json.split_once('\n').unwrap();
        assert_eq!(null, "{}\n", "{name}");
        let csv = text(Format::Csv, &batch);
        let fields: Vec<_> = csv.lines().skip(1).collect();
        assert_eq!(fields[1], "\"\"", "{name}");
        forms.push_str(format!("{value} | {} | {cell}", fields[0]).trim_end());
        forms.push('\n');
    }
    insta::assert_snapshot!(forms, @r##"
    {} | "" |
    {"boolean":true} | true | true
    {"int8":-8} | -8 | -8
    {"int16":-16} | -16 | -16
    {"int32":-32} | -32 | -32
    {"int64":-9223372036854775808} | -9223372036854775808 | -9223372036854775808
    {"uint8":8} | 8 | 8
    {"uint16":16} | 16 | 16
    {"uint32":32} | 32 | 32
    {"uint64":18446744073709551615} | 18446744073709551615 | 18446744073709551615
    {"float16":16.0} | 16 | 16
    {"float32":32.0} | 32.0 | 32.0
    {"float64":64.0} | 64.0 | 64.0
    {"decimal":-1.00} | -1.00 | -1.00
    {"utf8":"a \"b\", c"} | "a ""b"", c" | a "b", c
    {"large utf8":"a \"b\", c"} | "a ""b"", c" | a "b", c
    {"utf8 view":"a \"b\", c"} | "a ""b"", c" | a "b", c
    {"tag":"a \"b\", c"} | "a ""b"", c" | a "b", c
    {"uint8 keys":"a \"b\", c"} | "a ""b"", c" | a "b", c
    {"number tag":7} | 7 | 7
    {"binary":"61202262222c2063"} | 61202262222c2063 | 61202262222c2063
    {"date32":"2024-01-01"} | 2024-01-01 | 2024-01-01
    {"date64":"2024-01-01T08:00:00"} | 2024-01-01T08:00:00 | 2024-01-01T08:00:00
    {"time64":"08:00:00.000000001"} | 08:00:00.000000001 | 08:00:00.000000001
    {"time s":"2024-01-01T08:00:00"} | 2024-01-01T08:00:00 | 2024-01-01T08:00:00
    {"time ms":"2024-01-01T08:00:00.001"} | 2024-01-01T08:00:00.001 | 2024-01-01T08:00:00.001
    {"time us":"2024-01-01T08:00:00.000010"} | 2024-01-01T08:00:00.000010 | 2024-01-01T08:00:00.000010
    {"time ns":"2024-01-01T08:00:00.000000001"} | 2024-01-01T08:00:00.000000001 | 2024-01-01T08:00:00.000000001
    {"time utc":"2024-01-01T08:00:00Z"} | 2024-01-01T08:00:00Z | 2024-01-01T08:00:00Z
    {"time paris":"2024-01-01T09:00:00+01:00"} | 2024-01-01T09:00:00+01:00 | 2024-01-01T09:00:00+01:00
    {"time london":"2024-01-01T08:00:00Z"} | 2024-01-01T08:00:00Z | 2024-01-01T08:00:00Z
    {"time 10000":"+10000-01-01T00:00:00"} | +10000-01-01T00:00:00 | +10000-01-01T00:00:00
    {"duration ns":"PT0.001S"} | PT0.001S | PT0.001S
    {"duration s":"PT90S"} | PT90S | PT90S
    {"interval":"1 mons 2 days 3.000000000 secs"} | 1 mons 2 days 3.000000000 secs | 1 mons 2 days 3.000000000 secs
    {"list":["x",null,"a \"b\", c"]} | "[x, , a ""b"", c]" | [x, , a "b", c]
    {"struct":{"value":22.5,"time":"2024-01-01T08:00:00"}} | "{value: 22.5, time: 2024-01-01T08:00:00}" | {value: 22.5, time: 2024-01-01T08:00:00}
    {"map of numbers":"{1: \"one\"}"} | "{1: ""one""}" | {1: "one"}
    "##);
}
