//! Objects with names that end in `.parquet`, as other tools read them.
//!
//! `tests/clients/read_objects.py` runs these tools; `NEAP_CLIENTS_PYTHON` names an interpreter with its libraries
//! (`scripts/test --all` installs them).

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{ServerClient, StoreFixture, output_of, program, repository};
use neap_test_inputs::{InputOrigin, skip};

/// Checks a bucket in the folder of a store in which a flush has put several sections into one object: other tools open
/// every object with the name of a Parquet file, and find the rows of a table in those of its sections.
pub(crate) fn check_readable(
    place: &StoreFixture,
    server: &ServerClient,
    database: &str,
    table: &str,
) {
    let Some(python) = std::env::var_os("NEAP_CLIENTS_PYTHON") else {
        skip(
            InputOrigin::Installed,
            "NEAP_CLIENTS_PYTHON names no interpreter that has the client libraries",
        );
        return;
    };
    let files = format!(
        "SELECT path, row_count, min_time, max_time FROM system.parquet_files WHERE table_name = '{table}' \
         AND path LIKE '%.parquet'"
    );
    let files = server.query(database, &files);
    let time = |file: &Value, name: &str| file[name].as_i64().unwrap();
    let first = files.iter().map(|file| time(file, "min_time")).min();
    let last = files.iter().map(|file| time(file, "max_time")).max();
    let (first, last) = (first.expect("a file"), last.expect("a file"));
    let keys = files.iter().map(|file| file["path"].as_str().unwrap());
    let sql = "SELECT writer, round, late, epoch_ns(time) AS time FROM files ORDER BY writer, time";
    let folder = place.folder().to_str().unwrap();
    let scripts = repository().join("tests/clients");
    let mut command = program(Path::new(&python), &scripts);
    command.args(["-B", "read_objects.py", folder, sql]).args(keys);
    let output = output_of(command, b"").succeeded();
    let found: Value = serde_json::from_str(&output).unwrap();
    assert!(found["opened"].as_u64().unwrap() >= files.len() as u64);

    let bundles = "SELECT path FROM system.parquet_files WHERE path LIKE '%.bundle'";
    assert_ne!(server.query(database, bundles), [] as [Value; 0]);

    let sql = format!(
        "SELECT writer, round, late, CAST(time AS BIGINT) AS time FROM {table} \
         WHERE CAST(time AS BIGINT) BETWEEN {first} AND {last} ORDER BY writer, time"
    );
    assert_eq!(found["rows"], json!(server.query(database, &sql)));
}
