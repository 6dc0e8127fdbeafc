//! Fuzz tests: no input panics, each line is either stored or reported, and stored points can be written as lines
//! again.

use super::*;
use crate::{Dialect, Precision};

const OPTIONS: Options = Options {
    dialect: Dialect::InfluxDb,
    precision: Precision::Nanosecond,
    default_time_ns: 7,
    stop_at_first_error: false,
    limits: crate::SchemaLimits {
        max_columns_per_table: Some(20),
        max_tags_per_table: Some(10),
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
    let rows: usize = parsed
        .tables
        .iter()
        .map(|table| table.batch.num_rows())
        .sum();
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

#[test]
fn any_bytes_are_stored_or_reported() {
    bolero::check!().with_iterations(10_000).for_each(check);
}

#[test]
fn any_sequence_of_tokens_is_stored_or_reported() {
    const TOKENS: [&str; 32] = [
        "m", "m", "a", "b", "time", ",", ",", "=", "=", "=", " ", " ", " ", "\n", "\n", "\"", "\"",
        "\\", "#", "1", "-2", "3i", "4u", "5.5e1", "t", "FALSE", "\"x\"", "\t", "\r", "\0", "é",
        "m,a=1 b=",
    ];
    bolero::check!()
        .with_iterations(20_000)
        .for_each(|choices: &[u8]| {
            let body: String = choices
                .iter()
                .map(|choice| TOKENS[usize::from(*choice) % TOKENS.len()])
                .collect();
            check(body.as_bytes());
        });
}
