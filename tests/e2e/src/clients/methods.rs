//! All methods of client libraries, compared with the tables of `docs/client-methods.md`.

use super::{TestProgram, serve};
use crate::harness::{StoreFixture, tests};

/// Runs a test program against a new server on which users sign in by password.
fn run(program: Option<TestProgram>) {
    let Some(program) = program else { return };
    let (server, token) = serve(&StoreFixture::memory(), &["--user-auth-type", "basic"]);
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .run(server.folder());
}

tests! {
    influxdb_has_the_listed_methods => run(TestProgram::python("test_influxdb_methods"));
    influxdb_client_has_the_listed_methods => run(TestProgram::python("test_influxdb_client_methods"));
    the_asynchronous_influxdb_client_has_the_listed_methods => run(TestProgram::python("test_influxdb_client_methods_async"));
    influxdb3_python_has_the_listed_methods => run(TestProgram::python("test_influxdb3_python_methods"));
    influx_for_javascript_has_the_listed_methods => run(TestProgram::node("influx_methods.test.js"));
    the_clients_of_influxdb_2_and_3_for_javascript_have_the_listed_methods => run(TestProgram::node("client_methods.test.js"));
}
