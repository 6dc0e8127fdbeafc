//! Tests of line protocol as clients of InfluxDB 1 and 2 send it.

use super::*;
use crate::line_protocol::{Dialect, FieldConflict, LineErrorKind, ParseError};

const OPTIONS: Options = Options {
    precision: crate::line_protocol::Precision::Nanosecond,
    dialect: Dialect::LegacyInfluxDb,
    default_time_ns: 0,
    stop_at_first_error: false,
    limits: crate::SchemaLimits {
        max_columns_per_table: None,
        max_tags_per_table: None,
        auto_create: neap_schema::AutoCreate::All,
    },
    tables: None,
    max_cells: None,
    max_errors: None,
};

fn parse_legacy(body: &[u8]) -> ParsedBody {
    parse(body, &TestDatabase::default(), &OPTIONS).unwrap()
}

#[test]
fn a_tag_value_that_ends_with_a_backslash_refuses_its_line() {
    for (line, key, value) in [
        (r"Disk,check=C:\,host=h v=1 5", "check", "C:,host=h"),
        (r"Disk,host=h,check=C:\,os=win,x=y v=1", "check", "C:,os=win"),
        (r"m,a=x\\\,b=y v=1", "a", r"x\,b=y"),
        (r"m,a=x\=y\,b\=z=1,c=d v=1", "a", "x=y,b=z=1"),
    ] {
        let body = format!("m v=1\n{line}\nm v=2 2");
        for dialect in [Dialect::LegacyInfluxDb, Dialect::QuestDb] {
            let options = Options { dialect, ..OPTIONS };
            let parsed = parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap();
            let message = format!(
                r"the value of tag '{key}' is read as '{value}', because the backslash escapes the comma: remove a backslash at the end of a value, or write `=` in a value as `\=`"
            );
            assert_eq!(messages(&parsed), [(2, message)], "{line}");
            assert_eq!(parsed.errors[0].kind, LineErrorKind::Parse);
        }
        assert_eq!(parse_legacy(body.as_bytes()).rows, 2);
        // InfluxDB 3 allows an unescaped equals sign in a value.
        assert_eq!(messages(&parse_text(line)), [], "{line}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_name_of_a_table() {
    let body = "\u{feff}cpu v=1 1\ncpu v=2 2\n\u{feff}cpu v=3 3";
    for dialect in [Dialect::InfluxDb, Dialect::LegacyInfluxDb, Dialect::QuestDb] {
        let options = Options { dialect, ..OPTIONS };
        let parsed = parse(body.as_bytes(), &TestDatabase::default(), &options).unwrap();
        let tables: Vec<&str> = parsed.tables.iter().map(|table| table.name.as_str()).collect();
        assert_eq!((tables, parsed.rows), (vec!["cpu"], 3), "{dialect:?}");
    }
    let refused = parse_text("cpu v=1\n\u{feff}cpu v=x");
    assert_eq!(refused.errors[0].line_number, 2);
    assert_eq!(refused.errors[0].original_line, "\u{feff}cpu v=x");
}

#[test]
fn escaped_commas_and_unescaped_equals_signs_are_part_of_values() {
    for line in [
        r"m,a=x\,y v=1",
        r"m,a=x\,b\=y v=1",
        r"m,a=http://h/?b=c v=1",
        r"m,a=b=c\,d v=1",
        r"m,a=b\ c=d v=1",
        r"m\,a=b v=1",
        r"m,a\,b=c v=1",
        r#"m,a=b s="x\,y=z""#,
    ] {
        let (legacy, current) = (parse_legacy(line.as_bytes()), parse_text(line));
        assert_eq!(messages(&legacy), [], "{line}");
        assert_eq!(points_by_table(&legacy), points_by_table(&current));
    }
}

#[test]
fn bytes_that_are_not_utf8_refuse_their_line() {
    let body = b"m,t=caf\xe9 v=1 1\nm,t=a v=2 2\nm,t=a s=\"\xff\n\" 3\nm,t=a v=4 4";
    let parsed = parse_legacy(body);
    let message = "the line is not UTF-8".to_owned();
    assert_eq!(messages(&parsed), [(1, message.clone()), (3, message)]);
    assert_eq!(parsed.errors[0].original_line, "m,t=caf\u{fffd} v=1 1");
    assert_eq!(parsed.rows, 2);
    let whole = Options { stop_at_first_error: true, ..OPTIONS };
    let refused = parse(body, &TestDatabase::default(), &whole);
    assert!(matches!(refused, Err(ParseError::NotUtf8(_))));
}

#[test]
fn conflicts_of_fields_name_their_table_and_types() {
    let database =
        TestDatabase::with_table("vm", &[("name", ColumnType::String), ("host", ColumnType::Tag)]);
    let body = b"vm name=123 1\nvm host=1 1\nvm,name=x v=1 1\nnew v=1 1\nnew v=1i 2";
    let parsed = parse(body, &database, &OPTIONS).unwrap();
    let conflicts: Vec<_> = parsed.errors.iter().map(|error| &error.conflict).collect();
    let conflict = |table: &str, field: &str, existing, input| FieldConflict {
        table: table.to_owned(),
        field: field.to_owned(),
        existing,
        input,
    };
    let string = conflict("vm", "name", ColumnType::String, ColumnType::Float);
    let float = conflict("new", "v", ColumnType::Float, ColumnType::Integer);
    assert_eq!(conflicts, [&Some(string), &None, &None, &Some(float)]);
}
