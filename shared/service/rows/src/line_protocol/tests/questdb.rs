//! Tests of the values of the QuestDB dialect, and of their refusal in the InfluxDB dialect.

use super::*;
use crate::line_protocol::{Dialect, Precision, parse_part, tests::points::Field};

pub(super) const OPTIONS: Options = Options {
    precision: Precision::Nanosecond,
    dialect: Dialect::QuestDb,
    default_time_ns: 7,
    stop_at_first_error: false,
    limits: crate::SchemaLimits {
        max_columns_per_table: None,
        max_tags_per_table: None,
        auto_create: neap_schema::AutoCreate::All,
    },
    tables: None,
    max_cells: Some(1 << 20),
    max_errors: None,
};

pub(super) fn parse_questdb(body: &[u8]) -> ParsedBody {
    parse(body, &TestDatabase::default(), &OPTIONS).unwrap()
}

fn parse_influx(body: &str) -> ParsedBody {
    let options = Options { dialect: Dialect::InfluxDb, ..OPTIONS };
    parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap()
}

/// Returns the points of a body whose lines are all accepted.
fn accepted(body: &[u8]) -> Vec<points::Point> {
    let parsed = parse_questdb(body);
    assert_eq!(messages(&parsed), [], "{}", body.escape_ascii());
    points_by_table(&parsed).into_values().flatten().collect()
}

fn fields(line: impl AsRef<[u8]>) -> BTreeMap<String, Field> {
    let points = accepted(line.as_ref()).into_iter();
    points.flat_map(|point| point.fields).collect()
}

pub(super) fn refusal(line: impl AsRef<[u8]>) -> String {
    let line = line.as_ref();
    let parsed = parse_questdb(line);
    let shown = line.escape_ascii();
    assert_eq!((parsed.lines, parsed.rows), (1, 0), "{shown}");
    parsed.errors[0].error_message.clone()
}

fn string(text: &str) -> Field {
    Field::String(text.to_owned())
}

#[test]
fn timestamps_in_fields_are_integers() {
    for (text, value) in [
        ("1700000000000001t", 1_700_000_000_000_001),
        ("-1t", -1),
        ("17n", 17),
        ("17m", 17),
        ("9223372036854775807t", i64::MAX),
    ] {
        let line = format!("m,s=a v={text},w=t 5");
        let expected = [("v", Field::Integer(value)), ("w", Field::Boolean(true))]
            .map(|(name, field)| (name.to_owned(), field));
        assert_eq!(fields(line), expected.into());
    }
    for (line, number) in
        [("m v=9223372036854775808t 5", "9223372036854775808"), ("m v=1.5n 5", "1.5")]
    {
        let message = format!("Unable to parse integer value `{number}`");
        assert_eq!(refusal(line), message);
    }
}

#[test]
fn the_time_of_a_row_can_have_a_unit() {
    for (timestamp, time) in [
        ("", 7),
        (" 5", 5),
        (" 5n", 5),
        (" 5t", 5_000),
        (" 5m ", 5_000_000),
        (" -5t", -5_000),
    ] {
        let points = accepted(format!("m v=1{timestamp}").as_bytes());
        assert_eq!(points[0].time, time, "{timestamp}");
    }
    for (timestamp, message) in [
        (" 5x", "Could not parse entire line. Found trailing content: `x`"),
        (" 5nt", "Could not parse entire line. Found trailing content: `t`"),
        (" n", "Could not parse entire line. Found trailing content: ` n`"),
        (
            " 9223372036854775807t",
            "timestamp, 9223372036854775807, out of range for precision: Microsecond",
        ),
    ] {
        assert_eq!(refusal(format!("m v=1{timestamp}")), message);
    }
}

#[test]
fn nan_is_an_absent_value() {
    let expected = BTreeMap::from([("v".to_owned(), Field::Float(1.5))]);
    for line in [
        &b"m a=NaN,v=1.5"[..],
        b"m v=1.5,a=NaN 5",
        b"m a=NaN,v=1.5,b=NaNd 5",
        b"m a==\x10\0\0\0\0\0\0\xf8\x7f,v=1.5 5",
        b"m a==\x0e\x21,v=1.5,b==\x0e\n\0,c==\x17\x05\0 5",
    ] {
        assert_eq!(fields(line), expected);
    }
    // The next line is expected to have the same fields as the previous one.
    let parsed = parse_questdb(b"m a=1,b=2 1\nm a=NaN,b=3 2\nm a=4,b=NaN 3\n");
    assert_eq!((parsed.rows, messages(&parsed)), (3, vec![]));
}

#[test]
fn rows_whose_values_are_all_null_are_skipped() {
    for line in [
        &b"m,s=a a=NaN 5"[..],
        b"new a=NaN,b=NaNd",
        b"m,s=a a==\x10\0\0\0\0\0\0\xf8\x7f",
        b"m a==\x0e\x21,b==\x17\x05\0 5n\r",
    ] {
        let body = [b"m,s=a v=1 1\n", line, b"\nm,s=a v=2 2\nm,s=a v=x\n"].concat();
        let (parsed, end) = parse_part(&body, &TestDatabase::default(), &OPTIONS).unwrap();
        assert_eq!((parsed.lines, parsed.rows, parsed.tables.len()), (3, 2, 1));
        assert_eq!((end.lines, end.skipped), (4, 1));
        assert_eq!(end.next_default_time_ns, 7);
        let message = "No fields were provided".to_owned();
        assert_eq!(messages(&parsed), [(4, message)]);
        assert_eq!(points_by_table(&parsed)["m"].len(), 2);
    }
    // The rest of such a line is checked.
    for line in ["m a=NaN x", "m a=NaN 5x", "m a=NaN,b", "m a=NaN,b=Infinity"] {
        refusal(line);
    }
}

#[test]
fn lines_without_a_timestamp_are_a_nanosecond_apart() {
    let body = b"m,s=a v=1\nm,s=a v=2 5\nm,s=a v=3\n# x\nm,s=b v=NaN\nn,s=a v=4\n";
    let times = |parsed: &ParsedBody| {
        let points = points_by_table(parsed);
        let times = |name| points[name].iter().map(|point| point.time).collect();
        let times: [Vec<i64>; 2] = ["m", "n"].map(times);
        times
    };
    let (parsed, end) = parse_part(body, &TestDatabase::default(), &OPTIONS).unwrap();
    assert_eq!(times(&parsed), [vec![7, 5, 8], vec![9]]);
    assert_eq!(end.next_default_time_ns, 10);
    // The times are the same wherever the lines are divided, and again.
    let (first, rest) = body.split_at(b"m,s=a v=1\nm,s=a v=2 5\n".len());
    let (_, end) = parse_part(first, &TestDatabase::default(), &OPTIONS).unwrap();
    let options = Options { default_time_ns: end.next_default_time_ns, ..OPTIONS };
    for _ in 0..2 {
        let parsed = parse(rest, &TestDatabase::default(), &options).unwrap();
        assert_eq!(times(&parsed), [vec![8], vec![9]]);
    }
    // The unit of the timestamps has no effect.
    let options = Options {
        precision: Precision::Second,
        default_time_ns: 1_500_000_000,
        ..OPTIONS
    };
    let parsed = parse(b"m v=1\nm v=2\nn v=3\n", &TestDatabase::default(), &options).unwrap();
    let expected = [vec![1_500_000_000, 1_500_000_001], vec![1_500_000_002]];
    assert_eq!(times(&parsed), expected);
}

#[test]
fn backslashes_before_line_breaks_in_strings_are_dropped() {
    let expected = BTreeMap::from([("v".to_owned(), string("a\nb\r\"\\c\\d"))]);
    assert_eq!(fields("m v=\"a\\\nb\\\r\\\"\\\\c\\d\" 5"), expected);
    let parsed = parse_influx("m v=\"a\\\nb\" 5");
    let kept = &points_by_table(&parsed)["m"][0].fields["v"];
    assert_eq!(*kept, string("a\\\nb"));
    let points = accepted(b"m,s=a\\\rb v=1 5");
    assert_eq!(points[0].tags["s"], "a\rb");
}

#[test]
fn numbers_of_256_bits_are_strings() {
    let digits = "F".repeat(64);
    for (text, stored) in [
        ("0x1fi", "0x1f"),
        ("0xABCi", "0xabc"),
        ("0X00i", "0x00"),
        (&format!("0x{digits}i"), &format!("0x{}", digits.to_lowercase())),
    ] {
        let expected = BTreeMap::from([("v".to_owned(), string(stored))]);
        assert_eq!(fields(format!("m v={text} 5")), expected);
    }
    for (text, shown) in [
        ("0xi", "0xi"),
        ("0x1f", "0x1f "),
        ("0x1gi", "0x1g"),
        (&format!("0x1{digits}i"), "0x1FFFFFFF..."),
    ] {
        let message = format!("Unable to parse number of 256 bits `{shown}`");
        assert_eq!(refusal(format!("m v={text} 5")), message);
    }
}

#[test]
fn decimals_are_strings_in_plain_notation() {
    for (value, stored) in [
        (&b"123.45d"[..], "123.45"),
        (b"1.5e-3d", "0.0015"),
        (b"-0.50d", "-0.50"),
        (b"+7d", "7"),
        (b"=\x17\x02\x02\x30\x39", "123.45"),
        (b"=\x17\x00\x01\n", "10"),
    ] {
        let expected = BTreeMap::from([("v".to_owned(), string(stored))]);
        assert_eq!(fields([b"m v=", value, b" 5n"].concat()), expected);
    }
    for (value, message) in [
        (
            &b"1e76d"[..],
            "Unable to parse decimal value `1e76`, or it has more than 76 digits",
        ),
        (b"1e-77d", "a decimal has 77 digits after the point, more than 76"),
        (b"Infinityd", "an infinite number can't be stored"),
        (b"+1", "No fields were provided"),
        (
            b"=\x17\x4d\x01\x01",
            "a decimal has 77 digits after the point, more than 76",
        ),
        (
            b"=\x17\x00\x20\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            "a decimal has more than 76 digits",
        ),
    ] {
        assert_eq!(refusal([b"m v=", value, b" 5n"].concat()), message);
    }
}

/// The rows that `questdb` 6.0 for Python sends for these values.
#[test]
fn rows_of_the_client_are_stored() {
    const TIME: i64 = 1_700_000_000_123_456_789;
    let recorded: [(&[u8], Field, i64); 23] = [
        (b"t v=1.5 1700000000123456789\n", Field::Float(1.5), TIME),
        (b"t v=-3i 1700000000123456789\n", Field::Integer(-3), TIME),
        (b"t v=t 1700000000123456789\n", Field::Boolean(true), TIME),
        (b"t v=17t 1700000000123456789\n", Field::Integer(17), TIME),
        (b"t v==\x10\x00\x00\x00\x00\x00\x00\xf8? 1700000000123456789n\n", Field::Float(1.5), TIME),
        (b"t v=-3i 1700000000123456789n\n", Field::Integer(-3), TIME),
        (b"t v=t 1700000000123456789n\n", Field::Boolean(true), TIME),
        (b"t v=\"a\\\"\\\n\\\\\xc3\xa9\" 1700000000123456789n\n", string("a\"\n\\é"), TIME),
        (b"t v=17t 1700000000123456789n\n", Field::Integer(17), TIME),
        (b"t v=17n 1700000000123456789n\n", Field::Integer(17), TIME),
        (b"t v=1704067200000000t 1700000000123456789n\n", Field::Integer(1_704_067_200_000_000), TIME),
        (b"t v=1i 1700000000123456t\n", Field::Integer(1), 1_700_000_000_123_456_000),
        (b"t v=1i\n", Field::Integer(1), 7),
        (b"t v==\x0e\n\x01\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x04@\x00\x00\x00\x00\x00\x00\xf8\x7f 1700000000123456789n\n", string("[1.0,2.5,null]"), TIME),
        (b"t v==\x0e\n\x02\x02\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00@\x00\x00\x00\x00\x00\x00\x08@\x00\x00\x00\x00\x00\x00\x10@ 1700000000123456789n\n", string("[[1.0,2.0],[3.0,4.0]]"), TIME),
        (b"t v==\x0e\n\x01\x00\x00\x00\x00 1700000000123456789n\n", string("[]"), TIME),
        (b"t v==\x0e\n\x02\x02\x00\x00\x00\x00\x00\x00\x00 1700000000123456789n\n", string("[]"), TIME),
        (b"t v==\x0e\n\x02\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x10@\x00\x00\x00\x00\x00\x00\x00@\x00\x00\x00\x00\x00\x00\x14@\x00\x00\x00\x00\x00\x00\x08@\x00\x00\x00\x00\x00\x00\x18@ 1700000000123456789n\n", string("[[1.0,4.0],[2.0,5.0],[3.0,6.0]]"), TIME),
        (b"t v==\x17\x02\x0209 1700000000123456789n\n", string("123.45"), TIME),
        (b"t v==\x17\x03\x02\xff\xff 1700000000123456789n\n", string("-0.001"), TIME),
        (b"t v==\x17\x00\x02\x03\xe8 1700000000123456789n\n", string("1000"), TIME),
        (b"t v==\x17\t\x10\xa3\x1f\x16Z\x9f\xea\x01:U \\\xd7Q\xc6~\xeb 1700000000123456789n\n", string("-123456789012345678901234567890.123456789"), TIME),
        (b"t v==\x17\x02\x02\x00\x00 1700000000123456789n\n", string("0.00"), TIME),
    ];
    for (line, field, time) in recorded {
        assert_eq!(crate::line_protocol::questdb_line_length(line), Some(line.len()));
        let points = accepted(line);
        assert_eq!((&points[0].fields["v"], points[0].time), (&field, time));
    }
    // The client sends -0 with 32 bytes.
    let zero = [&b"t v==\x17\x00 "[..], &[0; 32], b" 5n\n"].concat();
    assert_eq!(fields(zero)["v"], string("0"));
    let points = accepted(b"t,s=a\\ b\\,c\\=d\\\\e\" v=1i 1700000000123456789n\n");
    assert_eq!(points[0].tags["s"], "a b,c=d\\e\"");
    assert_eq!(
        refusal(b"t v==\x10\x00\x00\x00\x00\x00\x00\xf0\x7f 1700000000123456789n\n"),
        "an infinite number can't be stored"
    );
    assert_eq!(
        refusal(b"t v==\x0e\n\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x7f 1700000000123456789n\n"),
        "an infinite number can't be stored"
    );
}

#[test]
fn unsupported_values_are_refused_with_a_reason() {
    let pairs = "
        m,s=a 5 ==> a row needs a column besides its symbols and its timestamp
        m v=Infinity 5 ==> an infinite number can't be stored
        m a=1,v=-Infinity 5 ==> an infinite number can't be stored
        m v=x 5 ==> No fields were provided
        m a=1,v=x 5 ==> Could not parse entire line. Found trailing content: `v=x 5`
        m a=0.5x1i 5 ==> Could not parse entire line. Found trailing content: `x1i 5`
    ";
    for (line, message) in neap_test_inputs::text_pairs(pairs)
        .chain([("m,s=a\\\nb v=1 5", "a symbol can't contain a newline")])
    {
        assert_eq!(refusal(line), message, "{line:?}");
    }
}

#[test]
fn text_must_be_utf8() {
    for (line, message) in [
        (&b"m\xff v=1 5"[..], "the table name or a symbol is not UTF-8"),
        (b"m,s=\xf0 v=1 5", "the table name or a symbol is not UTF-8"),
        (b"m v\xff=1 5", "a column name is not UTF-8"),
        (b"m v=\"\xc3\" 5", "a string is not UTF-8"),
    ] {
        assert_eq!(refusal(line), message, "{}", line.escape_ascii());
    }
    let parsed = parse_questdb(b"#\xff\nm v=\"\xc3\xa9\" 5\nm v=\"\xff\xfe\" 6\nm v=\"a\" 7");
    assert_eq!(messages(&parsed), [(2, "a string is not UTF-8".to_owned())]);
    assert_eq!(parsed.errors[0].original_line, "m v=\"\\xff\\xfe\" 6");
}

#[test]
fn the_first_value_of_a_repeated_name_counts() {
    for (line, tags, expected) in [
        ("m,s=a,s=b v=1 5", [("s", "a")].as_slice(), Field::Float(1.0)),
        ("m,s=a v=1,s=2i 5", &[("s", "a")], Field::Float(1.0)),
        ("m,s=a,t=b,s=c s=t,v=1,t=\"x\" 5", &[("s", "a"), ("t", "b")], Field::Float(1.0)),
        ("m v=1,v=2i 5", &[], Field::Float(1.0)),
        ("m v=\"x\",v=1,v=2i 5", &[], string("x")),
    ] {
        // Series and fields are recognised when the line is repeated.
        let body = format!("{line}\n{line}\n{line}");
        let points = accepted(body.as_bytes());
        assert_eq!(points.len(), 3, "{line}");
        for point in points {
            let stored = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            assert_eq!(point.tags, stored.collect(), "{line}");
            assert_eq!(point.fields, [("v".to_owned(), expected.clone())].into(), "{line}");
        }
    }
    assert_eq!(
        refusal("m,s=a s=1 5"),
        "a row needs a column besides its symbols and its timestamp"
    );
}

#[test]
fn a_symbol_of_another_row_is_no_repeated_name() {
    let parsed = parse_questdb(b"m,s=a v=1 5\nm,t=b s=\"x\",v=1 6");
    assert_eq!((parsed.rows, parsed.errors.len()), (1, 1));
    let message = &parsed.errors[0].error_message;
    assert!(message.starts_with("invalid column type for column 's'"), "{message}");
}

#[test]
fn the_influxdb_dialect_refuses_questdb_extensions() {
    for line in [
        "m v=5t 5",
        "m v=5n 5",
        "m v=1 5n",
        "m v=NaN 5",
        "m a=1,v=NaN 5",
        "m v=Infinity 5",
        "m v=0x1fi 5",
        "m v=1.5d 5",
        "m,s=a 5",
        "m v==\u{10}\0\0\0\0\0\0\0@ 5",
    ] {
        let parsed = parse_influx(line);
        assert_eq!((parsed.lines, parsed.rows), (1, 0), "{line}");
        let message = &parsed.errors[0].error_message;
        assert!(
            message == "No fields were provided" || message.starts_with("Could not parse"),
            "{line}: {message}"
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn lines_of_influxdb_mean_the_same(
        // Only one line has no timestamp, because the times of several differ in this dialect.
        body in r#"(m,t=a v=1( )?\r?\n)?(m,t=[a-c] (v=-?[0-9]{1,4}(\.[0-9]{1,3}|i)?|s="[a-c\\" ]{0,4}"|b=(t|F|true))(,w=[0-9]u)? [0-9]{1,6}\r?\n){1,5}"#
    ) {
        let influx = parse_influx(&body);
        let quest = parse_questdb(body.as_bytes());
        if influx.errors.is_empty() {
            proptest::prop_assert_eq!(points_by_table(&influx), points_by_table(&quest));
        }
        // Only the first refused line is reported, because parsing stops there.
        let (influx, quest) = (messages(&influx), messages(&quest));
        proptest::prop_assert_eq!(influx.first(), quest.first());
    }
}
