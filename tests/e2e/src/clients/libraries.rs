//! Requests of client libraries that do not run in the tests, because no package registry of the tests has them: the
//! exchanges in `tests/clients/libraries`, and the tickets of Arrow Flight in `tests/clients/test_client_tickets.py`.
//!
//! They follow the source code that each exchange names, and expect what this code reads: statuses, headers, content
//! types, and the texts and members of errors that it looks for.

use super::{TestProgram, exchange::replay, run};

#[test]
fn influxdb3_go_writes_and_reads_errors() {
    replay("libraries/influxdb3_go.json");
}

#[test]
fn influxdb3_java_writes_and_reads_errors() {
    replay("libraries/influxdb3_java.json");
}

#[test]
fn influxdb3_csharp_writes_and_reads_errors() {
    replay("libraries/influxdb3_csharp.json");
}

#[test]
fn influxdb_client_go_connects_writes_and_queries() {
    replay("libraries/influxdb_client_go.json");
}

#[test]
fn influxdb_client_java_connects_and_writes() {
    replay("libraries/influxdb_client_java.json");
}

#[test]
fn influxdb_client_csharp_connects_and_writes() {
    replay("libraries/influxdb_client_csharp.json");
}

#[test]
fn tickets_of_the_clients_for_go_java_and_csharp_are_answered() {
    run(TestProgram::python("test_client_tickets"));
}
