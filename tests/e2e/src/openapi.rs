//! Every operation of the OpenAPI description of InfluxDB 3 Enterprise, where the description is present beside the
//! project. `tests/clients/test_openapi.py` sends the requests, and `data/openapi-exceptions.txt` lists the operations
//! that Neap does not serve, with the reasons.

use neap_test_inputs::{InputOrigin, skip};

use crate::{
    clients::TestProgram,
    harness::{NeapProcess, StoreFixture, repository},
};

#[test]
fn every_operation_is_served_or_is_an_exception() {
    let description =
        repository().join("../shared/contract/openapi/influxdb3-enterprise-3.10.yaml");
    if !description.is_file() {
        skip(InputOrigin::External, "shared/contract/openapi: no description of operations");
        return;
    }
    let Some(program) = TestProgram::python("test_openapi") else {
        return;
    };
    let place = StoreFixture::directory();
    let server = NeapProcess::serve_with_tokens(&place, &["--user-auth-type", "basic"]);
    let token = server.first_token();
    let exceptions = repository().join("tests/e2e/data/openapi-exceptions.txt");
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_OPENAPI", description)
        .env("NEAP_COMPATIBILITY", repository().join("docs/compatibility.md"))
        .env("NEAP_OPENAPI_EXCEPTIONS", exceptions)
        .run(server.folder());
}
