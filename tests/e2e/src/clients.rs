//! Client libraries as people have them, against a server that asks for tokens.
//!
//! `tests/clients` holds what they do, in Python; `NEAP_CLIENTS_PYTHON` is an interpreter that has the libraries
//! (`scripts/test` installs them).

mod telegraf;

use std::{fs::File, time::Duration};

use crate::harness::{Neap, Place, program, repository, wait_for};
use neap_test_inputs::{Input, skip};

/// The longest that the tests of a library may take.
const LIMIT: Duration = Duration::from_secs(240);

/// The database of requests that name none.
const DEFAULT_DATABASE: &str = "quest";

/// A server for clients, and the token that may do everything.
fn serve(place: &Place, flags: &[&str]) -> (Neap, String) {
    let all: Vec<_> = ["--default-database", DEFAULT_DATABASE]
        .iter()
        .chain(flags)
        .copied()
        .collect();
    let server = Neap::serve_with_tokens(place, &all);
    let token = server.first_token();
    (server, token)
}

/// Runs a module of tests in Python.
fn run(module: &str) {
    let Some(python) = std::env::var_os("NEAP_CLIENTS_PYTHON") else {
        skip(
            Input::Installed,
            "NEAP_CLIENTS_PYTHON names no interpreter that has the client libraries",
        );
        return;
    };
    let place = Place::memory();
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
