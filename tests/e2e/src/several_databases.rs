//! InfluxQL statements over several databases: answers, permissions and costs over HTTP.

use reqwest::Url;
use serde_json::{Value, json};

use crate::{
    harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, pause},
    request_budget::{REVALIDATION_AGE, costs},
};

/// Answers a statement, with `cpu` in the database `first` as its default.
fn influxql(server: &ServerClient, method: &str, q: &str) -> Reply {
    let mut url: Url = "http://localhost/query?db=first&epoch=s".parse().unwrap();
    url.query_pairs_mut().append_pair("q", q);
    let path = format!("{}?{}", url.path(), url.query().unwrap());
    Reply::receive(server.request(method, &path)).unwrap()
}

/// Returns the rows of the only series of an answer.
fn rows(reply: &Reply) -> Value {
    let mut answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    answer["results"][0]["series"][0]["values"].take()
}

fn fill(server: &ServerClient) {
    server.write("first", "cpu,host=a v=1i 10");
    server.write("second", "cpu,host=a v=20i 20");
    server.write("second/week", "cpu,host=a v=300i 30");
}

const SOURCES: &str = "cpu, second..cpu, second.week.cpu";

#[test]
fn a_statement_reads_the_databases_that_its_token_may_read() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.with_token(&server.first_token());
    fill(&admin);
    let reader = |databases: &[&str]| {
        let permissions = json!([{
            "resource_type": "db",
            "resource_names": databases,
            "actions": ["read", "write"],
        }]);
        let body = json!({ "token_name": databases.join("-"), "permissions": permissions });
        let path = "/api/v3/enterprise/configure/token";
        let request = admin
            .request("POST", path)
            .header("content-type", "application/json")
            .body(body.to_string());
        let created: Value =
            serde_json::from_slice(&Reply::receive(request).unwrap().bytes).unwrap();
        server.with_token(created["token"].as_str().unwrap())
    };
    let all = reader(&["first", "second"]);
    let first = reader(&["first"]);
    let q = format!("SELECT v FROM {SOURCES} GROUP BY host");
    for allowed in [&admin, &all] {
        let answer = influxql(allowed, "GET", &q);
        assert_eq!(rows(&answer), json!([[10, 1], [20, 20], [30, 300]]));
        assert_eq!(answer.header("x-neap-as-of"), None);
    }
    let nested = "SELECT sum(m) FROM (SELECT max(v) AS m FROM second.week./c/, cpu)";
    assert_eq!(rows(&influxql(&all, "GET", nested)), json!([[0, 300]]));
    let explained = influxql(&all, "GET", &format!("EXPLAIN {q}"));
    assert_contains!(explained.text(), "second/week.cpu");
    let into = q.replace("SELECT v", "SELECT v INTO copy");
    assert_eq!(rows(&influxql(&all, "POST", &into)), json!([[0, 3]]));
    for (server, status) in [(&first, 403), (&*server, 401)] {
        for (method, q) in [("GET", q.as_str()), ("GET", nested), ("POST", &into)] {
            assert_eq!(influxql(server, method, q).status, status, "{q}");
        }
    }
    let missing = influxql(&admin, "GET", "SELECT v FROM cpu, nowhere..cpu");
    assert_contains!(missing.text(), "database not found: nowhere");
}

#[test]
fn a_statement_costs_the_requests_of_each_of_its_databases() {
    let place = StoreFixture::directory().with_standard_margins();
    let writer = NeapProcess::serve_with(&place, &["--mode", "ingest"]);
    fill(&writer);
    pause(REVALIDATION_AGE);
    let querier = NeapProcess::serve_with(&place, &["--mode", "query"]);
    let sum = |source: &str| {
        let answer = influxql(&querier, "GET", &format!("SELECT sum(v) FROM {source}"));
        rows(&answer)[0][1].as_i64()
    };
    assert_eq!(sum(SOURCES), Some(321));
    let one = "1 get database_catalog, 1 get manifest, 1 list tail";
    costs(&querier, one, || assert_eq!(sum("second..cpu"), Some(20)));
    costs(&querier, &one.replace('1', "3"), || assert_eq!(sum(SOURCES), Some(321)));
}
