//! Tests of the grammar: accepted lines, and the error texts of refused lines.

use super::*;
use crate::line_protocol::{LineErrorKind, ParseError, tests::points::Field};

const NO_FIELDS: &str = "No fields were provided";
const NEED_SPACE: &str = "Expected at least one space character, got end of input";
const BACKSLASH: &str =
    "Measurements, tag keys and values, and field keys may not end with a backslash";

fn refusal(line: &str) -> String {
    let parsed = parse_text(line);
    assert_eq!((parsed.lines, parsed.rows, parsed.tables.len()), (1, 0, 0), "{line}");
    assert_eq!(parsed.errors[0].original_line, line);
    parsed.errors[0].error_message.clone()
}

fn only_point(line: &str) -> points::Point {
    let parsed = parse_text(line);
    assert_eq!(messages(&parsed), [], "{line}");
    let mut points: Vec<_> = points_by_table(&parsed).into_values().flatten().collect();
    assert_eq!(points.len(), 1);
    points.remove(0)
}

#[test]
fn malformed_series_are_refused() {
    let pairs = "
        ,t=1 v=1 ==> Invalid measurement was provided
        , ==> Invalid measurement was provided
        m, ==> Expected tag key, got end of input
        m,t=1, ==> Expected tag key, got end of input
        m, v=1 ==> Expected tag key, got ` v=1`
        m,=a v=1 5 ==> Expected tag key, got `=a v=1 5`
        m,=abcdefghijk v=1 ==> Expected tag key, got `=abcdefghi...`
        m,t= ==> Expected tag value, got end of input
        m,t= v=1 5 ==> Expected tag value, got ` v=1 5`
        m,t=,u=12345678 v=1 ==> Expected tag value, got `,u=1234567...`
        m,t ==> Tag set malformed: could not find equals sign in `t`
        m,, ==> Tag set malformed: could not find equals sign in `,`
        m,t v=1 ==> Tag set malformed: could not find equals sign in `t v=1`
        m,t=1,u=2,w v=1 ==> Tag set malformed: could not find equals sign in `t=1,u=2,w ...`
        m,t=1,u=2,, v=1 ==> Tag set malformed: could not find equals sign in `t=1,u=2,, ...`
        m,t,u=1 v=1 ==> Tag set malformed: could not find equals sign in `t,u=1 v=1`
        m,t=1,u=2,t=3 v=1 ==> Must not contain duplicate tags, but 't' was repeated
    ";
    for (line, message) in neap_test_inputs::text_pairs(pairs).chain([
        ("\0 v=1", "Invalid measurement was provided"),
        ("m\\\0 v=1", "Invalid measurement was provided"),
        ("m", NEED_SPACE),
        ("m,t=1", NEED_SPACE),
        (
            "m\tabcdefghijk v=1",
            "Expected at least one space character, got `\tabcdefghijk v=1`",
        ),
        ("m\0 v=1", "Expected at least one space character, got `\0 v=1`"),
        ("m,t=a\tb v=1", "Expected at least one space character, got `\tb v=1`"),
        ("m,\tt=1 v=1", "Expected tag key, got `\tt=1 v=1`"),
        ("m,t\tx=1 v=1", "Tag set malformed: could not find equals sign in `t\tx=1 v=1`"),
        ("m\\", BACKSLASH),
        ("m\\\\ v=1", BACKSLASH),
        ("m,t\\\\=1 v=1", BACKSLASH),
        ("m,t=a\\\\,u=1 v=1", BACKSLASH),
        ("m v\\\\=1", BACKSLASH),
        ("m v=1,w\\\\=1", BACKSLASH),
    ]) {
        assert_eq!(refusal(line), message, "{line}");
    }
}

#[test]
fn a_line_needs_a_field() {
    for line in [
        "m v",
        "m v= 1",
        "m v =1",
        "m ",
        "m   ",
        "m 5",
        "m =1",
        "m,t=1 ",
        "m \"a b\"=1",
        "m v\t=1",
        "m\"x y\" v=1",
        "m,t=\"a b\" v=1",
        "this is not line protocol!!",
        "m a,b=1",
        "m v=\t1",
    ] {
        assert_eq!(refusal(line), NO_FIELDS, "{line}");
    }
    for value in ["", "NaN", "+1", "+.5", ".", "-.", ".e5", "inf", "\"abc", "abc\"", "--1"] {
        assert_eq!(refusal(&format!("m v={value}")), NO_FIELDS, "{value}");
    }
}

#[test]
fn trailing_content_is_refused() {
    for (line, rest) in [
        ("m v=1 abcdefghi", " abcdefghi"),
        ("m v=1 abcdefghij", " abcdefghi..."),
        ("m v=1 5 abcdefghijk", "abcdefghij..."),
        ("m v=1 5 6", "6"),
        ("m v=1 5\t", "\t"),
        ("m v=1\t5", "\t5"),
        ("m v=1 1.5", ".5"),
        ("m v=1 +5", " +5"),
        ("m v=1 -", " -"),
        ("m v=1 5i", "i"),
        ("m v=5..", "."),
        ("m v=5.i", "i"),
        ("m v=.5i", "i"),
        ("m v=5.e", "e"),
        ("m v=1e 5", "e 5"),
        ("m v=1.5u", "u"),
        ("m v=-7u", "u"),
        ("m v=tRUE", "RUE"),
        ("m v=\"a\"b\"", "b\""),
        ("m v=1\r 5", "\r 5"),
        // The second field is quoted without its comma, later ones with it.
        ("m v=1,", ""),
        ("m v=1,w", "w"),
        ("m v=1, w=2", " w=2"),
        ("m v=1,=2", "=2"),
        ("m v=1,w,x=2", "w,x=2"),
        ("m v=1, 5", " 5"),
        ("m v=1,w=2,", ","),
        ("m v=1,w=2,x= 5", ",x= 5"),
        ("m v=1,w=2,=3", ",=3"),
    ] {
        let message = format!("Could not parse entire line. Found trailing content: `{rest}`");
        assert_eq!(refusal(line), message, "{line}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let pairs = "
        m v=9223372036854775808i ==> Unable to parse integer value `9223372036854775808`
        m v=18446744073709551616u ==> Unable to parse unsigned integer value `18446744073709551616`
        m v=1,w=1e400 ==> Unable to parse floating-point value `1e400`
        m v=1 99999999999999999999 ==> Unable to parse timestamp value `99999999999999999999`
    ";
    for (line, message) in neap_test_inputs::text_pairs(pairs) {
        assert_eq!(refusal(line), message, "{line}");
    }
    let long = "x".repeat((1 << 20) + 1);
    for line in [format!("{long} v=1"), format!("m,t={long} v=1"), format!("m v=\"{long}\"")] {
        assert_eq!(refusal(&line), "String is greater than 1MB");
    }
}

#[test]
fn syntax_is_checked_first_and_then_fields_from_left_to_right() {
    let pairs = "
        m v=1,v=2 abc ==> Could not parse entire line. Found trailing content: ` abc`
        m,t=1 a=1,a=2,t=3 ==> invalid line protocol - multiple instances of 'a' field found
        m,t=1 t=3,a=1,a=2 ==> invalid column type for column 't', expected iox::column_type::tag, got iox::column_type::field::float
    ";
    for (line, message) in neap_test_inputs::text_pairs(pairs) {
        assert_eq!(refusal(line), message, "{line}");
    }
}

#[test]
fn names_and_tag_values_are_unescaped() {
    let point = only_point(r#"m\,\ \=\\x,k\,\ \=\\x=v\,\ \=\\=x f\,\ \=\\x="\"\\\,\n" 5"#);
    assert_eq!(point.table, r"m, \=\x");
    assert_eq!(point.tags, BTreeMap::from([(r"k, =\x".to_owned(), r"v, =\=x".to_owned())]));
    let field = Field::String(r#""\\,\n"#.to_owned());
    assert_eq!(point.fields, BTreeMap::from([(r"f, =\x".to_owned(), field)]));
    assert_eq!(point.time, 5_000_000_000);
}

#[test]
fn quotes_and_control_characters_in_names_are_ordinary() {
    let point = only_point("m\"\r,\"k\"=\"v\u{1}\" \"f\"=1i 1");
    assert_eq!(point.table, "m\"\r");
    assert_eq!(point.tags["\"k\""], "\"v\u{1}\"");
    assert_eq!(point.fields["\"f\""], Field::Integer(1));
}

#[test]
fn a_name_of_a_column_has_no_nul() {
    let parsed = parse_text("m,a\0=x v=1\nm b\0=1\nm,a=\0 v=\"\0\"");
    let message = |name| format!(r"the name of the column '{name}\0' contains a NUL character");
    assert_eq!(messages(&parsed), [(1, message("a")), (2, message("b"))]);
    assert_eq!(parsed.rows, 1);
}

#[test]
fn spaces_separate_the_parts() {
    for line in ["m v=1 5", "   m v=1 5", "\t\n m  v=1  5  ", "m v=1 5\n", "# m\n\nm   v=1 5\n#"] {
        let point = only_point(line);
        assert_eq!((point.table.as_str(), point.time), ("m", 5_000_000_000), "{line}");
    }
    only_point("m v=1 ");
}

#[test]
fn strings_may_hold_newlines() {
    let parsed = parse_text("m s=\"a\nb\" 1\nm s=\"\n\" 2\nbad");
    assert_eq!((parsed.lines, parsed.rows), (3, 2));
    assert_eq!(messages(&parsed), [(3, NEED_SPACE.to_owned())]);
    let points = &points_by_table(&parsed)["m"];
    assert_eq!(points[0].fields["s"], Field::String("a\nb".to_owned()));
    assert_eq!(points[1].fields["s"], Field::String("\n".to_owned()));
}

#[test]
fn blank_lines_and_comments_have_no_number() {
    let parsed = parse_text("# c\n\nbad1\n \t\n  bad2\r\n# bad3\nm v=1\nbad4\r");
    let errors: Vec<_> = parsed
        .errors
        .iter()
        .map(|error| (error.line_number, error.original_line.as_str(), error.kind))
        .collect();
    let kind = LineErrorKind::Parse;
    assert_eq!(errors, [(1, "bad1", kind), (2, "  bad2", kind), (4, "bad4", kind)]);
    assert_eq!(parsed.lines, 4);
}

#[test]
fn a_carriage_return_before_a_newline_is_no_part_of_the_line() {
    let text = "m v=1 1\r\n\r\n# c\r\nm,t=a s=\"x\r\ny\",b=t 2 \r\nm v=2.\r\n\
                m v=3i x\r\nm v=4\r\r\nm v=5 5\r";
    let parsed = parse_text(text);
    let trailing =
        |rest: &str| format!("Could not parse entire line. Found trailing content: `{rest}`");
    let expected = [(4, trailing(" x")), (5, trailing("\r"))];
    assert_eq!(messages(&parsed), expected);
    assert_eq!(parsed.errors[0].original_line, "m v=3i x");
    let points = &points_by_table(&parsed)["m"];
    assert_eq!(points[1].fields["s"], Field::String("x\r\ny".to_owned()));
    assert_eq!(points[1].tags["t"], "a");
    assert_eq!(points[2].fields["v"], Field::Float(2.0));
    assert_eq!(points[3].fields["v"], Field::Float(5.0));
    let seconds = [0, 1, 3].map(|row| points[row].time / 1_000_000_000);
    assert_eq!(seconds, [1, 2, 5]);
    assert_eq!((points.len(), parsed.lines), (4, 6));
}

#[test]
fn a_body_without_lines_is_empty() {
    for body in ["", "\n\n   \n", "\r\n \r\n\r", "# only\n# comments", " "] {
        let parsed = parse_text(body);
        assert_eq!((parsed.lines, parsed.rows, parsed.tables.len()), (0, 0, 0));
        assert!(parsed.errors.is_empty());
    }
}

#[test]
fn a_body_must_be_utf8() {
    let error = parse(b"m v=1\nm s=\"\xff\xfe\"", &TestDatabase::default(), &Options::default());
    let Err(error @ ParseError::NotUtf8(_)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        error.to_string(),
        "body content is not valid utf8: invalid utf-8 sequence of 1 bytes from index 11"
    );
}
