//! Clients and programs of other databases: QuestDB over TCP and in JavaScript, OpenTelemetry, Prometheus, InfluxDB 1; and
//! exports.
//!
//! `scripts/test --all` installs the programs from Debian's packages, where it can.
//!
//! | variable | names |
//! |---|---|
//! | `NEAP_PROMETHEUS` | the program `prometheus` |
//! | `NEAP_INFLUXD` | the program `influxd` of InfluxDB 1 |
//! | `NEAP_INFLUXQL_STATEMENTS` | how many random statements are compared with InfluxDB 1; 2,000 if not set |

use std::{ffi::OsString, net::TcpListener};

use neap_test_inputs::{InputOrigin, skip};

use super::{DEFAULT_DATABASE, TestProgram, run, serve};
use crate::harness::{StoreFixture, neap_binary, tests};

/// Returns the program that a variable names, or skips the test.
pub(crate) fn installed(variable: &str) -> Option<OsString> {
    let found = std::env::var_os(variable);
    if found.is_none() {
        skip(InputOrigin::External, format!("{variable} names no program"));
    }
    found
}

/// Returns an address that nothing listens on.
pub(super) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Runs a test program against a new server that accepts QuestDB's clients over TCP, too.
fn run_with_tcp(program: Option<TestProgram>) {
    let Some(program) = program else { return };
    let address = free_address();
    let (server, token) = serve(&StoreFixture::memory(), &["--questdb-bind", &address]);
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_DEFAULT_DATABASE", DEFAULT_DATABASE)
        .env("NEAP_QUESTDB_ADDRESS", address)
        .run(server.folder());
}

tests! {
    questdb_writes_over_tcp => run_with_tcp(TestProgram::python("test_questdb_tcp"));
    questdb_for_javascript_writes_over_http_and_tcp => run_with_tcp(TestProgram::node("questdb.test.js"));
    opentelemetry_for_python_exports_over_http_and_grpc => run(TestProgram::python("test_opentelemetry"));
    opentelemetry_for_javascript_exports => run(TestProgram::node("opentelemetry.test.js"));
    remote_write_and_remote_read_follow_the_specification => run(TestProgram::python("test_prometheus_wire"));
}

#[test]
fn prometheus_reads_what_it_has_written() {
    let Some(prometheus) = installed("NEAP_PROMETHEUS") else {
        return;
    };
    let program = TestProgram::python("test_prometheus");
    run(program.map(|program| {
        program.env("NEAP_PROMETHEUS", prometheus).env("NEAP_BINARY", neap_binary())
    }));
}

#[test]
fn influxdb_1_is_imported_in_every_way() {
    let Some(influxd) = installed("NEAP_INFLUXD") else {
        return;
    };
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let neap = neap_binary();
    let arguments = [
        "--influxd".as_ref(),
        influxd.as_os_str(),
        "--neap".as_ref(),
        neap.as_os_str(),
        "--url".as_ref(),
        server.url().as_ref(),
    ];
    let program = TestProgram::python_program("import_influxdb1.py", &arguments);
    let Some(program) = program else { return };
    program.env("NEAP_TOKEN", token).run(server.folder());
}

#[test]
fn influxql_is_answered_as_influxdb_1_does() {
    let Some(influxd) = installed("NEAP_INFLUXD") else {
        return;
    };
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    let statements = std::env::var_os("NEAP_INFLUXQL_STATEMENTS").unwrap_or_else(|| "2000".into());
    let arguments = [
        "--influxd".as_ref(),
        influxd.as_os_str(),
        "--url".as_ref(),
        server.url().as_ref(),
        "--statements".as_ref(),
        statements.as_os_str(),
    ];
    let program = TestProgram::python_program("compare_influxql.py", &arguments);
    let Some(program) = program else { return };
    program.env("NEAP_TOKEN", token).run(server.folder());
}

#[test]
fn continuous_queries_store_the_rows_of_influxdb_1() {
    let Some(influxd) = installed("NEAP_INFLUXD") else {
        return;
    };
    let (server, token) = serve(&StoreFixture::memory(), &["--rollup-interval", "1s"]);
    let arguments = [
        "--influxd".as_ref(),
        influxd.as_os_str(),
        "--url".as_ref(),
        server.url().as_ref(),
    ];
    let program = TestProgram::python_program("compare_continuous_queries.py", &arguments);
    let Some(program) = program else { return };
    program.env("NEAP_TOKEN", token).run(server.folder());
}

#[test]
fn exports_have_all_values_of_a_table() {
    let program = TestProgram::python("export_files");
    run(program.map(|program| program.env("NEAP_BIN", neap_binary())));
}
