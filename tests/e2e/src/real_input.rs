//! Recorded data, written in two ways and queried in each stage of its life. The tests compute the expected answers
//! from the text alone.

mod points;

use std::{fs, path::Path, time::Duration};

use neap_test_inputs::{InputOrigin, skip};
use serde_json::Value;

use crate::harness::{NeapProcess, ServerClient, StoreFixture, neap, repository, wait_for};

use self::points::{ParsedPoints, TableAggregates};

/// Maximum wait for a flush: the flush lag of a directory, some flushes, and a margin for a slow machine.
const FLUSH: Duration = Duration::from_secs(90);

/// Files of line protocol that may exist beside the repository.
const RECORDED: [&str; 4] = [
    "bay-area-weather.lp",
    "eu-wind-data.lp",
    "home-sensor-data.lp",
    "telegraf-metrics.lp",
];

/// Returns the names and texts of the inputs.
pub(crate) fn inputs() -> Vec<(String, String)> {
    let mut inputs = vec![("sample".to_owned(), include_str!("../data/sample.lp").to_owned())];
    let folder = repository().join("../shared/data");
    for name in RECORDED {
        match fs::read_to_string(folder.join(name)) {
            Ok(text) => inputs.push((name.trim_end_matches(".lp").to_owned(), text)),
            Err(error) => skip(InputOrigin::External, format_args!("shared/data/{name}: {error}")),
        }
    }
    inputs
}

/// An input, the databases that contain it, and its expected query results.
pub(crate) struct StoredInput {
    databases: [String; 2],
    expected: Vec<TableAggregates>,
}

/// Writes an input to one database over HTTP, and to another one with the command.
pub(crate) fn store(server: &ServerClient, name: &str, text: &str) -> StoredInput {
    let databases = [format!("{name}-http"), format!("{name}-command")];
    let path = format!("/api/v3/write_lp?db={}", databases[0]);
    let reply = server.request("POST", &path).body(text.to_owned()).send().unwrap();
    assert_eq!(reply.status(), 204, "{name}: {}", reply.text().unwrap());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.lp");
    fs::write(&file, text).unwrap();
    // Requests are small, so that the command splits the input between lines.
    let output = neap(&[
        "write",
        "--quiet",
        "--host",
        server.url(),
        "--database",
        &databases[1],
        "--gzip",
        "--max-request-size",
        "100KB",
        "--max-concurrent-requests",
        "1",
        "--file",
        file.to_str().unwrap(),
    ]);
    assert_eq!(output.succeeded(), "", "{name}");
    StoredInput { databases, expected: ParsedPoints::parse(text).summaries() }
}

pub(crate) fn check(server: &ServerClient, stage: &str, stored: &[StoredInput]) {
    for StoredInput { databases, expected } in stored {
        for database in databases {
            let table_rows = server.query(
                database,
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY 1",
            );
            let tables: Vec<_> = table_rows.iter().map(|row| row["table_name"].clone()).collect();
            let names: Vec<_> =
                expected.iter().map(|summary| Value::from(summary.table.as_str())).collect();
            assert_eq!(tables, names, "{stage}: {database}");
            for summary in expected {
                let rows = server.query(database, &summary.sql());
                summary.check(&rows, &format!("{stage}: {database}"));
            }
        }
    }
}

/// Returns the number of segments in a directory, flushed or not.
fn segments(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                segments(&path)
            } else {
                usize::from(path.extension().is_some_and(|extension| extension == "wal"))
            }
        })
        .sum()
}

/// Runs `neap compact`, and returns the number of segments that it flushed.
fn flush(place: &StoreFixture) -> usize {
    let out = neap(&place.after(&["compact"])).succeeded();
    let counts = out.lines().filter_map(|line| {
        let (_, text) = line.split_once(": ")?;
        text.split_once(" segments are now ")?.0.parse::<usize>().ok()
    });
    counts.sum()
}

#[test]
fn answers_over_recorded_data_are_right_at_every_stage() {
    let place = StoreFixture::directory();
    // The servers do not compact, so that only the command flushes segments.
    let server = NeapProcess::serve_with(&place, &["--mode", "ingest,query"]);
    let inputs = inputs();
    let stored: Vec<_> = inputs.iter().map(|(name, text)| store(&server, name, text)).collect();
    let points: usize = stored
        .iter()
        .flat_map(|stored| &stored.expected)
        .map(|summary| summary.points)
        .sum();
    check(&server, "written", &stored);
    let second = NeapProcess::serve_with(&place, &["--mode", "query"]);
    check(&second, "written, seen by a second process", &stored);

    let all = segments(place.folder());
    assert!(all >= 2 * stored.len(), "{all}");
    let mut flushed = 0;
    wait_for("flush of all segments", FLUSH, || {
        flushed += flush(&place);
        (flushed == all).then_some(())
    });
    println!("{} inputs, {points} points, {all} segments", stored.len());
    check(&server, "flushed", &stored);
    check(&second, "flushed, seen by a second process", &stored);

    assert!(server.stop().success());
    second.kill();
    let server = NeapProcess::serve(&place);
    check(&server, "restarted", &stored);
    assert_eq!(server.store_requests().of("get tail"), 0, "the tail is flushed");
}

#[test]
fn rows_written_on_top_of_flushed_ones_win() {
    let place = StoreFixture::directory();
    let server = NeapProcess::serve_with(&place, &["--mode", "ingest,query"]);
    let text = include_str!("../data/sample.lp");
    let first = store(&server, "sample", text);
    let all = segments(place.folder());
    let mut flushed = 0;
    wait_for("flush of all segments", FLUSH, || {
        flushed += flush(&place);
        (flushed == all).then_some(())
    });
    let more = "machine,site=north,unit=press\\ 1 temperature=1,note=\"later\" 1704067200\n\
        machine,site=east temperature=2 1704067200\n";
    for database in &first.databases {
        server.write(database, more);
    }
    let expected = ParsedPoints::parse(&format!("{text}{more}")).summaries();
    check(&server, "overwritten", &[StoredInput { databases: first.databases, expected }]);
}
