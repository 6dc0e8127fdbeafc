//! Requests of Telegraf and of the OpenTelemetry Collector, from `tests/recordings`.

use super::{DEFAULT_DATABASE, TestProgram, other_databases::free_address, serve};
use crate::harness::StoreFixture;

#[test]
fn the_rows_of_telegraf_and_the_collector_are_stored() {
    let Some(program) = TestProgram::python("test_recorded_agents") else {
        return;
    };
    let address = free_address();
    let flags = ["--questdb-bind", &address, "--questdb-without-auth"];
    let (server, token) = serve(&StoreFixture::memory(), &flags);
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_DEFAULT_DATABASE", DEFAULT_DATABASE)
        .env("NEAP_QUESTDB_ADDRESS", address)
        .run(server.folder());
}
