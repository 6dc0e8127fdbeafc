//! The examples of the public guides of InfluxDB 3 and QuestDB, and of some pages of `docs`, run step by step.
//!
//! `tests/guides` has a script for each part: every command and request with our own values, its exit status or HTTP
//! status, and its output. Not included, because Neap does not support it yet:
//!
//! | shown in the guides | missing |
//! |---|---|
//! | line protocol over TCP, arrays and other binary values | versions 2 and later of QuestDB's protocol, TCP |
//!
//! The tests of client libraries run the examples of the Python and the JavaScript client, and those of Flight SQL.
//!
//! Not included, because it needs more than the test machine has: Docker, the stores of Google and Azure, the Go client,
//! JDBC, Chronograf, Superset and Grafana themselves.

use std::{fs::File, time::Duration};

use tempfile::TempDir;

use crate::harness::{neap_binary, program, repository, s3_server_binary, wait_for};

/// Variables with programs that scripts run if they are installed.
const OPTIONAL_PROGRAMS: [&str; 3] = [
    "NEAP_CLIENTS_PYTHON",
    "NEAP_INFLUXD",
    "NEAP_VICTORIA_METRICS",
];

/// Maximum duration of a script.
const LIMIT: Duration = Duration::from_secs(240);

fn follow(script: &str) {
    let folder = TempDir::new().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let log = folder.path().join("log");
    let file = File::create(&log).unwrap();
    let mut command = program("bash".as_ref(), &work);
    command
        .arg(repository().join("tests/guides").join(script))
        .env("HOME", &work)
        .env("WORK", &work)
        .env("NEAP", neap_binary())
        .env("NEAP_S3_SERVER", s3_server_binary())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    for variable in OPTIONAL_PROGRAMS {
        if let Some(path) = std::env::var_os(variable) {
            command.env(variable, path);
        }
    }
    let mut child = command.spawn().unwrap();
    let status = wait_for("end of a guide", LIMIT, || child.try_wait().unwrap());
    let log = std::fs::read_to_string(log).unwrap();
    print!("{log}");
    assert!(status.success(), "{script}: {status}");
}

#[test]
fn servers_start_on_every_store_and_together() {
    follow("serve.sh");
}

#[test]
fn tokens_are_created_and_shown() {
    follow("tokens.sh");
}

#[test]
fn rows_are_written_and_deleted() {
    follow("write.sh");
}

#[test]
fn rows_are_queried() {
    follow("query.sh");
}

#[test]
fn caches_and_indexes_are_set_up() {
    follow("caches.sh");
}

#[test]
fn plugins_are_tested_and_triggered() {
    follow("plugins.sh");
}

#[test]
fn questdb_lines_come_over_http() {
    follow("questdb.sh");
}

#[test]
fn the_python_client_writes() {
    follow("python_client.sh");
}

#[test]
fn rows_move_from_other_databases() {
    follow("migrate.sh");
}

#[test]
fn telegraf_rows_are_downsampled() {
    follow("downsampling.sh");
}
