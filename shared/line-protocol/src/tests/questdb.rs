//! Tests of the QuestDB dialect, and of its refusal in the InfluxDB dialect.

use super::*;
use crate::{Dialect, Precision, tests::points::Field};

fn parse_as(dialect: Dialect, body: &str) -> ParsedBody {
    let options = Options {
        precision: Precision::Nanosecond,
        dialect,
        ..Options::default()
    };
    parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap()
}

fn fields(line: &str) -> BTreeMap<String, Field> {
    let parsed = parse_as(Dialect::QuestDb, line);
    assert_eq!(messages(&parsed), [], "{line}");
    let points = points_by_table(&parsed).into_values().flatten();
    points.flat_map(|point| point.fields).collect()
}

fn refusal(dialect: Dialect, line: &str) -> String {
    let parsed = parse_as(dialect, line);
    assert_eq!((parsed.lines, parsed.rows), (1, 0), "{line}");
    parsed.errors[0].error_message.clone()
}

#[test]
fn timestamps_in_fields_are_integers() {
    for (text, value) in [
        ("1700000000000001t", 1_700_000_000_000_001),
        ("-1t", -1),
        ("9223372036854775807t", i64::MAX),
    ] {
        let line = format!("m,s=a v={text},w=t 5");
        let expected = [("v", Field::Integer(value)), ("w", Field::Boolean(true))];
        let expected = expected.map(|(name, field)| (name.to_owned(), field));
        assert_eq!(fields(&line), expected.into());
    }
    let refused = refusal(Dialect::QuestDb, "m v=9223372036854775808t 5");
    assert_eq!(
        refused,
        "Unable to parse integer value `9223372036854775808`"
    );
}

#[test]
fn nan_is_an_absent_value() {
    let expected = BTreeMap::from([("v".to_owned(), Field::Float(1.5))]);
    for line in ["m a=NaN,v=1.5", "m v=1.5,a=NaN 5", "m a=NaN,v=1.5,b=NaN 5"] {
        assert_eq!(fields(line), expected, "{line}");
    }
    let refused = refusal(Dialect::QuestDb, "m a=NaN 5");
    assert_eq!(
        refused,
        "a row needs a column besides its symbols and its timestamp"
    );
    // The next line is expected to have the same fields as the previous one.
    let parsed = parse_as(
        Dialect::QuestDb,
        "m a=1,b=2 1\nm a=NaN,b=3 2\nm a=4,b=NaN 3\n",
    );
    assert_eq!((parsed.rows, messages(&parsed)), (3, vec![]));
}

#[test]
fn backslashes_before_newlines_in_strings_are_dropped() {
    let expected = BTreeMap::from([("v".to_owned(), Field::String("a\nb\"\\c\\d".to_owned()))]);
    assert_eq!(fields("m v=\"a\\\nb\\\"\\\\c\\d\" 5"), expected);
    let parsed = parse_as(Dialect::InfluxDb, "m v=\"a\\\nb\" 5");
    let kept = &points_by_table(&parsed)["m"][0].fields["v"];
    assert_eq!(*kept, Field::String("a\\\nb".to_owned()));
}

#[test]
fn unsupported_values_are_refused_with_a_reason() {
    for (line, message) in [
        (
            "m,s=a 5",
            "a row needs a column besides its symbols and its timestamp",
        ),
        ("m v=Infinity 5", "an infinite number can't be stored"),
        ("m a=1,v=-Infinity 5", "an infinite number can't be stored"),
        (
            "m v=0x1fi 5",
            "a number of 256 bits (0x...i) can't be stored: send it as a string",
        ),
        (
            "m v==\u{10}\0\0\0\0\0\0\0@ 5",
            "binary values can't be read: use version 1 of the protocol (protocol_version=1)",
        ),
        ("m,s=a\\\nb v=1 5", "a symbol can't contain a newline"),
        ("m v=x 5", "No fields were provided"),
        (
            "m a=1,v=x 5",
            "Could not parse entire line. Found trailing content: `v=x 5`",
        ),
    ] {
        assert_eq!(refusal(Dialect::QuestDb, line), message, "{line:?}");
    }
}

#[test]
fn the_influxdb_dialect_refuses_questdb_extensions() {
    for line in [
        "m v=5t 5",
        "m v=NaN 5",
        "m a=1,v=NaN 5",
        "m v=Infinity 5",
        "m v=0x1fi 5",
        "m,s=a 5",
    ] {
        let message = refusal(Dialect::InfluxDb, line);
        assert!(
            message == "No fields were provided" || message.starts_with("Could not parse"),
            "{line}: {message}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn lines_of_influxdb_mean_the_same(
        body in r#"(m,t=[a-c] (v=-?[0-9]{1,4}(\.[0-9]{1,3}|i)?|s="[a-c\\" ]{0,4}"|b=(t|F|true))(,w=[0-9]u)?( [0-9]{1,6})?\n){1,5}"#
    ) {
        let influx = parse_as(Dialect::InfluxDb, &body);
        let quest = parse_as(Dialect::QuestDb, &body);
        proptest::prop_assert_eq!(points_by_table(&influx), points_by_table(&quest));
        proptest::prop_assert_eq!(influx.errors.len(), quest.errors.len());
    }
}
