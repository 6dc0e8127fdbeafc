//! Common client libraries, against a server that requires tokens.
//!
//! `tests/clients` contains their tests, in Python; `NEAP_CLIENTS_PYTHON` names an interpreter with the libraries
//! (`scripts/test` installs them).

mod telegraf;

use std::{fs::File, time::Duration};

use crate::harness::{NeapProcess, StoreFixture, program, repository, wait_for};
use neap_test_inputs::{InputOrigin, skip};

/// Maximum duration of the tests of one library.
const LIMIT: Duration = Duration::from_secs(240);

/// The database of requests without a database.
const DEFAULT_DATABASE: &str = "quest";

/// Starts a server for clients, and returns it with an admin token.
fn serve(place: &StoreFixture, flags: &[&str]) -> (NeapProcess, String) {
    let all: Vec<_> = ["--default-database", DEFAULT_DATABASE]
        .iter()
        .chain(flags)
        .copied()
        .collect();
    let server = NeapProcess::serve_with_tokens(place, &all);
    let token = server.first_token();
    (server, token)
}

/// Runs a Python test module.
fn run(module: &str) {
    let Some(python) = std::env::var_os("NEAP_CLIENTS_PYTHON") else {
        skip(
            InputOrigin::Installed,
            "NEAP_CLIENTS_PYTHON names no interpreter that has the client libraries",
        );
        return;
    };
    let place = StoreFixture::memory();
    let (server, token) = serve(&place, &[]);
    let log = server.folder().join("clients.log");
    let mut command = program(python.as_ref(), &repository().join("tests/clients"));
    command
        .args(["-B", "-m", "unittest", "-v", module])
        .env("HOME", server.folder())
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_DEFAULT_DATABASE", DEFAULT_DATABASE)
        .stdout(File::create(&log).unwrap())
        .stderr(File::options().append(true).open(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let status = wait_for("end of the tests of a client", LIMIT, || {
        child.try_wait().unwrap()
    });
    let log = std::fs::read_to_string(log).unwrap();
    assert!(status.success(), "{module}: {status}\n{log}");
}

#[test]
fn influxdb_client_writes_and_deletes() {
    run("test_influxdb_client");
}

#[test]
fn influxdb_writes_queries_and_drops() {
    run("test_influxdb");
}

#[test]
fn influxdb3_python_writes() {
    run("test_influxdb3_python");
}

#[test]
fn questdb_writes_over_http() {
    run("test_questdb");
}
