//! Fuzz tests: no input panics, each line is either stored or reported, and stored points can be written as lines
//! again. In the QuestDB dialect, the lines of a stream are those of a body.

use super::*;
use crate::line_protocol::{Dialect, Precision};

const OPTIONS: Options = Options {
    dialect: Dialect::InfluxDb,
    precision: Precision::Nanosecond,
    default_time_ns: 7,
    stop_at_first_error: false,
    limits: crate::SchemaLimits {
        max_columns_per_table: Some(20),
        max_tags_per_table: Some(10),
        auto_create: neap_schema::AutoCreate::All,
    },
    tables: None,
    max_cells: Some(100_000),
    max_errors: None,
};

fn check(body: &[u8]) {
    let Ok(parsed) = parse(body, &TestDatabase::default(), &OPTIONS) else {
        assert!(std::str::from_utf8(body).is_err());
        return;
    };
    assert_eq!(parsed.rows + parsed.errors.len(), parsed.lines);
    let rows: usize = parsed.tables.iter().map(|table| table.batch.num_rows()).sum();
    assert_eq!(rows, parsed.rows);
    TestDatabase::default().apply(&parsed);
    for (name, points) in points_by_table(&parsed) {
        for point in points {
            let line = point.to_line(|| true);
            let again = parse(line.as_bytes(), &TestDatabase::default(), &OPTIONS).unwrap();
            assert_eq!(messages(&again), [], "{line:?}");
            assert_eq!(points_by_table(&again)[&name], [point], "{line:?}");
        }
    }
}

/// Checks a body in the QuestDB dialect, whole and as a stream of lines.
fn check_questdb(body: &[u8]) {
    let options = Options { dialect: Dialect::QuestDb, ..OPTIONS };
    let parsed = parse(body, &TestDatabase::default(), &options).unwrap();
    assert_eq!(parsed.rows + parsed.errors.len(), parsed.lines);
    assert!(parsed.errors.len() <= 1);
    TestDatabase::default().apply(&parsed);
    let rows: usize = points_by_table(&parsed).values().map(Vec::len).sum();
    assert_eq!(rows, parsed.rows);

    let mut whole_lines = 0;
    while let Some(length) = crate::line_protocol::questdb_line_length(&body[whole_lines..]) {
        assert!(length > 0);
        whole_lines += length;
    }
    let streamed = parse(&body[..whole_lines], &TestDatabase::default(), &options).unwrap();
    assert!(streamed.lines <= parsed.lines);
    assert!(streamed.errors.is_empty() || streamed.errors == parsed.errors);
}

#[test]
fn any_bytes_are_stored_or_reported() {
    bolero::check!().with_iterations(10_000).for_each(check);
}

#[test]
fn any_bytes_of_questdb_are_stored_or_reported() {
    bolero::check!().with_iterations(10_000).for_each(check_questdb);
}

#[test]
fn any_sequence_of_questdb_values_is_stored_or_reported() {
    const PIECES: [&[u8]; 32] = [
        b"m",
        b"m",
        b",t=1",
        b" ",
        b" ",
        b" ",
        b"a=",
        b"b=",
        b",c=",
        b",d=",
        b"=\x10",
        b"=\x10",
        b"=\x0e\n",
        b"=\x0e\n\x01",
        b"=\x17",
        b"=\x17\x02\x01",
        b"\x01\0\0\0",
        b"\x02\0\0\0",
        b"\n\0\0\0",
        b"\0\0\0\0\0\0\xf0?",
        b"\n\n\n\n\n\n\n\n",
        b"\n",
        b"\n",
        b"\"",
        b"\"x\"",
        b"\\",
        b"1.5",
        b"5",
        b"n",
        b"t",
        b"0x1i",
        b"d",
    ];
    bolero::check!().with_iterations(20_000).for_each(|choices: &[u8]| {
        let body: Vec<u8> = choices
            .iter()
            .flat_map(|choice| PIECES[usize::from(*choice) % PIECES.len()])
            .copied()
            .collect();
        check_questdb(&body);
    });
}

#[test]
fn any_sequence_of_tokens_is_stored_or_reported() {
    const TOKENS: [&str; 32] = [
        "m", "m", "a", "b", "time", ",", ",", "=", "=", "=", " ", " ", " ", "\n", "\n", "\"", "\"",
        "\\", "#", "1", "-2", "3i", "4u", "5.5e1", "t", "FALSE", "\"x\"", "\t", "\r", "\0", "é",
        "m,a=1 b=",
    ];
    bolero::check!().with_iterations(20_000).for_each(|choices: &[u8]| {
        let body: String = choices
            .iter()
            .map(|choice| TOKENS[usize::from(*choice) % TOKENS.len()])
            .collect();
        check(body.as_bytes());
    });
}
