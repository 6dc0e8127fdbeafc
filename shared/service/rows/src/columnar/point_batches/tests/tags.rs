//! Tests of the tags that the tables of a request have in common: their dictionaries, and the memory that counts.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, cast::AsArray, types::Int32Type};

use super::validate;
use crate::columnar::point_batches::{ColumnConflict, PointBatches};

#[test]
fn a_tag_that_every_row_has_takes_no_memory_for_absent_values() {
    let mut points = PointBatches::new();
    let table = points.table("m");
    for (time, rack) in [(1, ""), (2, "r"), (3, "r")] {
        table.begin_row(time);
        table.tag("host", "a").unwrap();
        table.tag("rack", rack).unwrap();
        table.float("value", 1.0).unwrap();
    }
    let parsed = validate(points);
    let batch = &parsed.tables[0].batch;
    assert!(batch["host"].nulls().is_none());
    assert_eq!(batch["rack"].null_count(), 1);
}

#[test]
fn the_room_that_tags_of_a_new_table_take_at_first_is_counted() {
    let grown_after = |rows: i64| {
        let mut points = PointBatches::new();
        for time in 0..rows {
            let table = points.table("a");
            table.begin_row(time);
            table.float("value", 1.0).unwrap();
        }
        let before = points.size_bytes();
        let table = points.table("b");
        table.begin_row(1);
        for tag in 0..100 {
            table.tag(&format!("tag{tag}"), "x").unwrap();
        }
        points.size_bytes() - before
    };
    // Each tag has keys for as many rows as the table before has.
    assert!(grown_after(128) - grown_after(1) >= 100 * 127 * 4);
}

fn add_host(points: &mut PointBatches, table: &str, host: &str) {
    let table = points.table(table);
    table.begin_row(1);
    table.tag("host", host).unwrap();
    table.float("value", 1.0).unwrap();
}

/// Returns the hosts of each row, and those of the dictionary.
fn hosts(batch: &RecordBatch) -> (Vec<String>, Vec<String>) {
    let column = batch["host"].as_dictionary::<Int32Type>();
    let texts = column.values().as_string::<i32>();
    let values: Vec<String> = texts.iter().flatten().map(str::to_owned).collect();
    let keys = column.keys().values().iter();
    let rows = keys.map(|key| values[usize::try_from(*key).unwrap()].clone());
    (rows.collect(), values)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn tables_with_the_same_values_share_a_dictionary() {
    let mut points = PointBatches::new();
    for host in ["x", "y", "x", "z"] {
        for table in ["a", "b"] {
            add_host(&mut points, table, host);
        }
    }
    add_host(&mut points, "c", "x");
    let parsed = validate(points);
    let values = |table: usize| {
        let batch = &parsed.tables[table].batch;
        let values = batch["host"].as_dictionary::<Int32Type>().values();
        (Arc::clone(values), hosts(batch).0)
    };
    let [(a, of_a), (b, of_b), (c, of_c)] = [0, 1, 2].map(values);
    assert!(Arc::ptr_eq(&a, &b));
    assert_eq!(of_a, ["x", "y", "x", "z"]);
    assert_eq!(of_b, of_a);
    assert_eq!((c.len(), of_c), (1, vec!["x".to_owned()]));
}

#[test]
fn a_table_with_some_of_the_values_has_those_in_the_order_of_its_rows() {
    let mut points = PointBatches::new();
    for (table, rows) in [
        ("a", ["x", "y", "z", "x"]),
        ("b", ["z", "x", "z", "x"]),
        ("c", ["y", "y", "w", "y"]),
    ] {
        for host in rows {
            add_host(&mut points, table, host);
        }
    }
    let parsed = validate(points);
    let all: Vec<_> = parsed.tables.iter().map(|table| hosts(&table.batch)).collect();
    let expected = [
        (vec!["x", "y", "z", "x"], vec!["x", "y", "z"]),
        (vec!["z", "x", "z", "x"], vec!["z", "x"]),
        (vec!["y", "y", "w", "y"], vec!["y", "w"]),
    ];
    assert_eq!(all.len(), expected.len());
    for ((rows, values), expected) in all.iter().zip(expected) {
        assert_eq!((rows, values), (&texts(&expected.0), &texts(&expected.1)));
    }
}

#[test]
fn a_value_is_added_by_its_number() {
    let mut points = PointBatches::new();
    let host = points.tag("host");
    assert_eq!(points.tag("host"), host);
    assert_eq!(points.tag_value(host, ""), None);
    let x = points.tag_value(host, "x").unwrap();
    let y = points.tag_value(host, "y").unwrap();
    for (table, value) in [("a", x), ("a", y), ("b", y), ("a", x)] {
        let table = points.table(table);
        table.begin_row(1);
        table.tag_value(value).unwrap();
        let repeated = table.tag("host", "x").unwrap_err();
        assert_eq!(repeated, ColumnConflict::Repeated("host".to_owned()));
        table.float("value", 1.0).unwrap();
        table.discard_row();
        assert_eq!(table.tag_value(value), Err(ColumnConflict::NoRow));
        table.begin_row(1);
        table.float("value", 1.0).unwrap();
        table.tag_value(value).unwrap();
    }
    let table = points.table("a");
    table.begin_row(1);
    let value = points.tag("value");
    let value = points.tag_value(value, "x").unwrap();
    let conflict = points.table("a").tag_value(value).unwrap_err();
    assert!(matches!(conflict, ColumnConflict::Type { .. }));
    points.table("a").discard_row();
    let parsed = validate(points);
    let all: Vec<_> = parsed.tables.iter().map(|table| hosts(&table.batch).0).collect();
    assert_eq!(all, [vec!["x", "y", "x"], vec!["y"]]);
}

/// Returns by how much a row with a host makes the points grow.
fn growth(points: &mut PointBatches, table: &str, host: &str) -> usize {
    let before = points.size_bytes();
    add_host(points, table, host);
    points.size_bytes() - before
}

#[test]
fn a_text_counts_for_each_table_that_has_it() {
    let text = "x".repeat(10_000);
    let mut points = PointBatches::new();
    let mut is_counted = |table, host: &str| growth(&mut points, table, host) >= text.len();
    assert!(is_counted("a", &text));
    assert!(!is_counted("a", &text));
    assert!(!is_counted("a", "y"));
    assert!(!is_counted("a", &text));
    assert!(is_counted("b", &text));
    assert!(!is_counted("b", "y"));
    assert!(!is_counted("b", &text));
}

#[test]
fn tables_that_take_turns_count_no_more_than_all_values() {
    let text = "x".repeat(10_000);
    let mut points = PointBatches::new();
    for _ in 0..100 {
        for (table, host) in [("a", &*text), ("a", "y"), ("b", &text), ("b", "y")] {
            add_host(&mut points, table, host);
        }
    }
    // Once for all tables, once for each of them, and the rows.
    assert!(points.size_bytes() < 3 * text.len() + 400 * 64);
}

#[test]
fn each_table_counts() {
    let mut points = PointBatches::new();
    add_host(&mut points, "a", "x");
    for table in 0..100 {
        let grown = growth(&mut points, &format!("b{table}"), "x");
        assert!(grown > 2 * 512, "{grown}");
    }
}

#[test]
fn dictionaries_take_little_more_memory_than_their_values() {
    let mut points = PointBatches::new();
    let hosts: Vec<String> = (0..1_000).map(|host| format!("host{host}")).collect();
    for host in &hosts {
        add_host(&mut points, "all", host);
    }
    add_host(&mut points, "first", &hosts[0]);
    add_host(&mut points, "other first", &hosts[0]);
    add_host(&mut points, "last", &hosts[999]);
    let parsed = validate(points);
    let values = |table: usize| {
        let hosts = parsed.tables[table].batch["host"].as_dictionary::<Int32Type>();
        Arc::clone(hosts.values())
    };
    assert_eq!(values(0).len(), 1_000);
    for table in 1..4 {
        let bytes = values(table).get_buffer_memory_size();
        assert!(bytes <= 256, "{bytes}");
    }
    assert!(Arc::ptr_eq(&values(1), &values(2)));
}

#[test]
fn a_value_of_other_points_is_refused() {
    let mut others = PointBatches::new();
    let host = others.tag("host");
    let values = ["x", "y"].map(|text| others.tag_value(host, text).unwrap());
    let mut points = PointBatches::new();
    add_host(&mut points, "m", "x");
    points.table("m").begin_row(2);
    let refused = points.table("m").tag_value(values[1]);
    assert_eq!(refused, Err(ColumnConflict::ForeignTag));
}

#[test]
fn dictionaries_have_the_values_of_the_rows_and_none_of_discarded_ones() {
    let values = |discards: bool| {
        let mut points = PointBatches::new();
        let table = points.table("m");
        for (time, host) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
            table.begin_row(time);
            table.tag("host", host).unwrap();
            table.float("value", 1.0).unwrap();
            if discards && host == "b" {
                table.discard_row();
            }
        }
        let parsed = validate(points);
        let hosts = parsed.tables[0].batch["host"]
            .as_dictionary::<Int32Type>()
            .values()
            .as_string::<i32>();
        hosts.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values(false), ["a", "b", "c"]);
    assert_eq!(values(true), ["a", "c"]);
}

#[test]
fn an_empty_tag_is_absent() {
    let mut points = PointBatches::new();
    let table = points.table("m");
    table.begin_row(7);
    let before = points.size_bytes();
    let table = points.table("m");
    table.tag("host", "").unwrap();
    assert_eq!(points.size_bytes(), before);
    let table = points.table("m");
    table.float("value", 1.0).unwrap();
    let parsed = validate(points);
    assert!(parsed.tables[0].batch.column_by_name("host").is_none());
}
