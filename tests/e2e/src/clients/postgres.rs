//! Clients of PostgreSQL, on the same machine without TLS, and then with TLS.
//!
//! `scripts/test --all` installs the programs from Debian's packages, where it can.
//!
//! | variable | names |
//! |---|---|
//! | `NEAP_SQLALCHEMY_PYTHON` | an interpreter with SQLAlchemy 2 and pandas |
//! | `NEAP_PSQL` | the program `psql` |
//! | `NEAP_JAVA` | the program `java` of a JDK |
//! | `NEAP_POSTGRES_JDBC` | the driver of PostgreSQL for Java, a file |
//! | `NEAP_GO` | the program `go`; Debian's packages have put its libraries into `/usr/share/gocode` |
//! | `NEAP_PHP` | the program `php` with its modules for PostgreSQL |

use std::ffi::OsStr;

use super::{
    TestProgram, TlsServer,
    other_databases::{free_address, installed},
    serve,
};
use crate::harness::{NeapProcess, StoreFixture};

/// Debian's folder of libraries for Go.
const GO_LIBRARIES: &str = "/usr/share/gocode";

/// Runs a test program against a server without TLS, and then against one with TLS.
fn run_without_and_with_tls(program: impl Fn() -> Option<TestProgram>) {
    let Some(without_tls) = program() else { return };
    let address = free_address();
    let (server, token) = serve(&StoreFixture::memory(), &["--postgres-bind", &address]);
    watching(without_tls, &server)
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", token)
        .env("NEAP_POSTGRES_ADDRESS", address)
        .run(server.folder());
    drop(server);

    let Some(with_tls) = program() else { return };
    let address = free_address();
    let server = TlsServer::start_with(&["--postgres-bind", &address]);
    watching(with_tls, &server.process)
        .env("NEAP_URL", server.url())
        .env("NEAP_TOKEN", server.token())
        .env("NEAP_CA_FILE", server.certificate())
        .env("NEAP_POSTGRES_ADDRESS", address.replace("127.0.0.1", "localhost"))
        .run(server.process.folder());
}

/// Tells a program which process is the server, whose memory it watches.
fn watching(program: TestProgram, server: &NeapProcess) -> TestProgram {
    program.env("NEAP_SERVER_PID", server.pid().as_raw_nonzero().to_string())
}

/// Returns a program in `tests/clients` that gets an address of PostgreSQL; `None` if Python is not installed.
fn client(command: &[&OsStr]) -> Option<TestProgram> {
    TestProgram::python_program("postgres_program.py", command)
}

#[test]
fn psycopg_and_asyncpg_query_and_write() {
    run_without_and_with_tls(|| TestProgram::python("test_postgres"));
}

#[test]
fn sqlalchemy_and_pandas_query_write_and_inspect() {
    run_without_and_with_tls(|| TestProgram::sqlalchemy("test_postgres_sqlalchemy"));
}

#[test]
fn psql_queries_describes_and_copies() {
    let Some(psql) = installed("NEAP_PSQL") else {
        return;
    };
    run_without_and_with_tls(|| {
        Some(TestProgram::python("test_postgres_psql")?.env("NEAP_PSQL", &psql))
    });
}

#[test]
fn postgresql_for_javascript_queries_and_writes() {
    let Some(node) = installed("NEAP_CLIENTS_NODE") else {
        return;
    };
    let command = [node.as_os_str(), "--test".as_ref(), "node/postgres.test.js".as_ref()];
    run_without_and_with_tls(|| client(&command));
}

#[test]
fn jdbc_queries_and_writes() {
    let (Some(java), Some(driver)) = (installed("NEAP_JAVA"), installed("NEAP_POSTGRES_JDBC"))
    else {
        return;
    };
    let command = [
        java.as_os_str(),
        // Less than the large answer.
        "-Xmx64m".as_ref(),
        "-cp".as_ref(),
        driver.as_os_str(),
        "postgres/Postgres.java".as_ref(),
    ];
    run_without_and_with_tls(|| client(&command));
}

#[test]
fn postgresql_for_go_queries_and_writes() {
    let Some(go) = installed("NEAP_GO") else {
        return;
    };
    let command = [go.as_os_str(), "run".as_ref(), "postgres/postgres.go".as_ref()];
    // The second run finds the libraries compiled.
    let cache = tempfile::tempdir().unwrap();
    run_without_and_with_tls(|| {
        let program = client(&command)?;
        Some(
            program
                .env("GO111MODULE", "off")
                .env("GOPATH", GO_LIBRARIES)
                .env("GOCACHE", cache.path()),
        )
    });
}

#[test]
fn postgresql_for_php_queries_and_writes() {
    let Some(php) = installed("NEAP_PHP") else {
        return;
    };
    let command = [php.as_os_str(), "postgres/postgres.php".as_ref()];
    run_without_and_with_tls(|| client(&command));
}
