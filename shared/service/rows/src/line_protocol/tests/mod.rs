//! Tests of the crate as a whole, with their helpers: a database as a schema, and rows as points.

mod corpus;
mod fuzz;
mod golden;
mod grammar;
mod legacy;
mod points;
mod questdb;
mod questdb_binary;
mod real_files;
mod round_trip;
mod schema;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use neap_schema::ColumnType;
use neap_test_inputs::{InputOrigin, skip};

use crate::{
    line_protocol::{Options, ParsedBody, parse},
    test_database::TestDatabase,
};

fn parse_text(body: &str) -> ParsedBody {
    parse(body.as_bytes(), &TestDatabase::default(), &Options::default()).unwrap()
}

/// Returns the numbers and messages of the refused lines.
fn messages(parsed: &ParsedBody) -> Vec<(usize, String)> {
    let numbered =
        |error: &crate::line_protocol::LineError| (error.line_number, error.error_message.clone());
    parsed.errors.iter().map(numbered).collect()
}

/// Reads a JSON file next to the repository, if it exists.
fn read_outside(path: &str) -> Option<serde_json::Value> {
    read_bytes_outside(path).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Reads a file next to the repository, if it exists.
fn read_bytes_outside(path: &str) -> Option<Vec<u8>> {
    let name = std::path::Path::new("shared").join(path);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared").join(path);
    std::fs::read(&path)
        .inspect_err(|error| {
            skip(InputOrigin::External, format_args!("{}: {error}", name.display()))
        })
        .ok()
}

/// Returns points by table, in the order of their lines.
fn points_by_table(parsed: &ParsedBody) -> HashMap<String, Vec<points::Point>> {
    parsed
        .tables
        .iter()
        .map(|table| (table.name.clone(), points::of_table(table)))
        .collect()
}
