//! Client libraries, against a server that requires tokens.
//!
//! `tests/clients` contains their tests in Python and JavaScript, and `rust_client` and `questdb_client` those in Rust.
//! `scripts/test --all` installs the libraries.
//!
//! | variable | names |
//! |---|---|
//! | `NEAP_CLIENTS_PYTHON` | an interpreter with the Python libraries |
//! | `NEAP_ICEBERG_PYTHON` | an interpreter with readers of Iceberg tables |
//! | `NEAP_CLIENTS_NODE` | a Node.js; the libraries are in `tests/clients/node` |

mod exchange;
mod iceberg;
mod integrations;
mod libraries;
mod methods;
mod other_databases;
mod postgres;
mod promql;
mod questdb_client;
mod recorded_agents;
mod rust_client;
mod telegraf;
mod test_program;

use std::path::PathBuf;

use neap_test_inputs::{InputOrigin, skip};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

pub(crate) use self::{other_databases::installed, test_program::TestProgram};
use crate::harness::{NeapProcess, StoreFixture, neap_binary, repository, tests};

/// The database of requests without a database.
const DEFAULT_DATABASE: &str = "quest";

/// The operator token of a server with TLS, whose token no request without a certificate can create.
const TLS_TOKEN: &str = "apiv3_operator_of_a_server_with_tls_00000000";

/// Starts a server for clients, and returns it with an admin token.
fn serve(place: &StoreFixture, flags: &[&str]) -> (NeapProcess, String) {
    let all: Vec<_> =
        ["--default-database", DEFAULT_DATABASE].iter().chain(flags).copied().collect();
    let server = NeapProcess::serve_with_tokens(place, &all);
    let token = server.first_token();
    (server, token)
}

/// Runs a test program against a new server.
fn run(program: Option<TestProgram>) {
    let Some(program) = program else { return };
    let (server, token) = serve(&StoreFixture::memory(), &[]);
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_DEFAULT_DATABASE", DEFAULT_DATABASE)
        .run(server.folder());
}

/// Runs a test program against a new server with TLS.
fn run_with_tls(program: Option<TestProgram>) {
    let Some(program) = program else { return };
    let server = TlsServer::start();
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", server.token())
        .env("NEAP_CA_FILE", server.certificate())
        .env("NODE_EXTRA_CA_CERTS", server.certificate())
        .run(server.process.folder());
}

/// A server with TLS and a certificate of its own for `localhost`.
#[derive(Debug)]
struct TlsServer {
    process: NeapProcess,
    certificate: String,
    _folder: TempDir,
}

impl TlsServer {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let token = format!(r#"{{"token":"{TLS_TOKEN}"}}"#);
        let [certificate, key, token] = [
            ("cert.pem", cert.pem()),
            ("key.pem", signing_key.serialize_pem()),
            ("token.json", token),
        ]
        .map(|(name, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let flags = [
            "--tls-cert",
            certificate.as_str(),
            "--tls-key",
            key.as_str(),
            "--admin-token-file",
            token.as_str(),
        ];
        let all = [&flags, more].concat();
        let process = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &all);
        Self { process, certificate, _folder: folder }
    }

    fn url(&self) -> String {
        let port = self.process.url().rsplit_once(':').unwrap().1;
        format!("https://localhost:{port}")
    }

    fn token(&self) -> &'static str {
        TLS_TOKEN
    }

    /// The path of the certificate.
    fn certificate(&self) -> &str {
        &self.certificate
    }
}

/// Returns the folder with the guides, or skips the test if there is none.
fn guides() -> Option<PathBuf> {
    let folder = repository().join("../shared/guides");
    if !folder.is_dir() {
        skip(InputOrigin::External, "shared/guides: no guides");
        return None;
    }
    Some(folder)
}

tests! {
    influxdb_client_writes_and_deletes => run(TestProgram::python("test_influxdb_client"));
    influxdb_client_administers_buckets_and_tokens => run(TestProgram::python("test_influxdb_client_resources"));
    influxdb_client_queries_in_flux => run(TestProgram::python("test_influxdb_client_queries"));
    the_interfaces_of_influxdb_2_for_javascript_administer => run(TestProgram::node("influxdb2_apis.test.js"));
    dashboards_of_grafana_query => run(TestProgram::python("test_grafana_dashboards"));
    influxdb_writes_queries_and_drops => run(TestProgram::python("test_influxdb"));
    questdb_writes_over_http => run(TestProgram::python("test_questdb"));
    influxdb3_python_writes => run(TestProgram::python("test_influxdb3_python"));
    influxdb3_python_writes_batches => run(TestProgram::python("test_influxdb3_python_batches"));
    influxdb3_python_writes_files => run(TestProgram::python("test_influxdb3_python_files"));
    influxdb3_python_queries => run(TestProgram::python("test_influxdb3_python_queries"));
}

#[test]
fn influxdb3_python_does_what_the_guides_show() {
    let Some(guides) = guides() else { return };
    let program = TestProgram::python("test_influxdb3_python_guide");
    run(program.map(|program| program.env("NEAP_GUIDES", guides)));
}

#[test]
fn influxdb3_client_for_javascript_writes() {
    run(TestProgram::node("write.test.js"));
}

#[test]
fn influxdb3_client_for_javascript_queries() {
    run(TestProgram::node("query.test.js"));
}

#[test]
fn influxdb3_client_for_javascript_does_what_the_guide_shows() {
    let Some(guides) = guides() else { return };
    let program = TestProgram::node("guide.test.js");
    run(program.map(|program| program.env("NEAP_GUIDES", guides)));
}

#[test]
fn the_sdk_of_the_model_context_protocol_calls_every_tool() {
    let Some(program) = TestProgram::node("mcp.test.js") else {
        return;
    };
    let (server, token) = serve(&StoreFixture::memory(), &["--mcp-allow-writes"]);
    program
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_BIN", neap_binary())
        .run(server.folder());
}

tests! {
    pyarrow_flight_queries => run(TestProgram::python("test_flight_queries"));
    pyarrow_flight_executes_prepared_statements => run(TestProgram::python("test_flight_prepared"));
    pyarrow_flight_reads_and_writes_every_type => run(TestProgram::python("test_flight_types"));
    pyarrow_flight_writes => run(TestProgram::python("test_flight_put"));
    pyarrow_flight_reads_large_and_abandoned_answers_with_many_clients => run(TestProgram::python("test_flight_streams"));
    adbc_queries => run(TestProgram::python("test_adbc_flightsql"));
    adbc_ingests => run(TestProgram::python("test_adbc_ingest"));
    flightsql_dbapi_queries_as_superset_does => run(TestProgram::python("test_flightsql_dbapi"));
    clients_for_python_use_tls => run_with_tls(TestProgram::python("test_tls"));
    the_client_for_javascript_uses_tls => run_with_tls(TestProgram::node("tls.test.js"));
}
