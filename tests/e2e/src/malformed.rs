//! Refused requests over real connections: the exact status and body. If InfluxDB 3 Core 3.10 gives an answer of its
//! own, the answer is the same, except for the differences listed in the comparison with it.

mod configure;
mod lines;
mod queries;
mod transport;

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, tests};

/// The body size limit in these tests, in bytes.
pub(crate) const LIMIT: &str = "1000000";

const CHARACTERS: &str = "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens";

/// A request and its expected answer.
#[derive(Debug)]
pub(crate) struct MalformedRequest {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
    status: u16,
    pub(crate) answer: String,
}

fn case(
    method: &'static str,
    target: impl Into<String>,
    body: impl Into<Vec<u8>>,
    status: u16,
    answer: impl Into<String>,
) -> MalformedRequest {
    let (target, body, answer) = (target.into(), body.into(), answer.into());
    MalformedRequest { method, target, headers: Vec::new(), body, status, answer }
}

impl MalformedRequest {
    fn with(mut self, header: &'static str, value: &'static str) -> Self {
        self.headers.push((header, value));
        self
    }
}

/// Returns `{"error": message}`.
fn error(message: &str) -> String {
    serde_json::json!({ "error": message }).to_string()
}

/// Returns the error body of `/api/v2`.
fn v2(message: &str) -> String {
    serde_json::json!({ "code": "invalid", "message": message }).to_string()
}

/// Starts a server with one table.
fn stage() -> NeapProcess {
    let server =
        NeapProcess::serve_with(&StoreFixture::memory(), &["--max-http-request-size", LIMIT]);
    server.write("w", "known,t=a v=1i 1");
    server
}

fn check(cases: &[MalformedRequest]) {
    let server = stage();
    check_on(&server, cases);
    assert!(!server.log().contains("panic"), "{}", server.log());
}

/// Checks that every request is refused with its expected answer, and that nothing changed.
pub(crate) fn check_on(server: &ServerClient, cases: &[MalformedRequest]) {
    for case in cases {
        let mut request = server.request(case.method, &case.target).body(case.body.clone());
        for (header, value) in &case.headers {
            request = request.header(*header, *value);
        }
        let reply = Reply::receive(request).unwrap();
        let shown = String::from_utf8_lossy(&case.body[..case.body.len().min(200)]);
        let shown = format!("{} {} {:?}\n{shown}", case.method, case.target, case.headers);
        let answer = (reply.status, reply.text());
        assert_eq!(answer, (case.status, case.answer.clone()), "{shown}");
        for header in ["content-type", "access-control-allow-origin", "allow", "x-neap-stamp"] {
            assert_eq!(reply.header(header), None, "{header}: {shown}");
        }
        assert!(reply.header("cluster-uuid").is_some(), "{shown}");
    }
    let columns = server.query(
        "w",
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'iox'",
    );
    assert_eq!(columns.len(), 3, "nothing that was refused has changed anything: {columns:?}");
}

/// Returns all requests, except those with malformed connections.
pub(crate) fn all_cases() -> Vec<MalformedRequest> {
    let mut cases = lines::cases();
    cases.extend(queries::cases());
    cases.extend(configure::cases());
    cases.extend(unknown_paths());
    cases
}

#[test]
fn refused_writes_have_the_expected_errors() {
    let cases = lines::cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    check(&cases);
}

tests! {
    refused_queries_have_the_expected_errors => check(&queries::cases());
    refused_changes_of_databases_and_tables_have_the_expected_errors => check(&configure::cases());
    unknown_paths_and_methods_are_not_found => check(&unknown_paths());
}

/// Returns requests for paths and methods that do not exist.
fn unknown_paths() -> Vec<MalformedRequest> {
    let nowhere = [
        ("GET", "/index.html"),
        ("GET", "/nope"),
        ("GET", "//ping"),
        ("GET", "/api/v3/write_lp?db=w"),
        ("POST", "/api/v3/write_lp/?db=w"),
        ("PUT", "/api/v3/write_lp?db=w"),
        ("DELETE", "/api/v3/write_lp?db=w"),
        ("PATCH", "/api/v3/write_lp?db=w"),
        ("GET", "/api/v2/write?bucket=w"),
        ("PUT", "/api/v2/write?bucket=w"),
        ("DELETE", "/api/v2/write?bucket=w"),
        ("PATCH", "/api/v2/write?bucket=w"),
        ("GET", "/write?db=w"),
        ("PUT", "/write?db=w"),
        ("DELETE", "/write?db=w"),
        ("PATCH", "/write?db=w"),
        ("PUT", "/api/v3/query_sql"),
        ("DELETE", "/api/v3/query_sql"),
        ("PUT", "/api/v3/query_influxql"),
        ("PUT", "/query?db=w&q=SELECT%20v%20FROM%20known"),
        ("PATCH", "/api/v3/configure/database"),
        ("GET", "/api/v3/configure/table"),
        ("GET", "/api/v3/configure/database/retention_period?db=w"),
        ("DELETE", "/health"),
        ("POST", "/health"),
        ("PUT", "/ping"),
        ("POST", "/metrics"),
        ("TRACE", "/ping"),
        ("INVENTED", "/ping"),
    ];
    let cases = nowhere.map(|(method, target)| case(method, target, "", 404, "Not found"));
    cases.into()
}
