//! Statements whose results are far larger than their inputs: the server refuses them and continues to answer.

use serde_json::json;

use crate::harness::{NeapProcess, Reply, StoreFixture, assert_contains};

/// Statements, and a part of their error message.
const STATEMENTS: &str = "
    SELECT count(*) FROM (SELECT unnest(range(1,100000000)) x FROM m) ==> range would produce
    SELECT repeat('x', 1000000000) ==> repeat would produce
    SELECT lpad('x', 2000000000) ==> lpad would produce
    SELECT rpad(tag, 2000000000) FROM m ==> rpad would produce
    SELECT array_repeat(v, 1000000000000) FROM m ==> array_repeat would produce
    SELECT array_resize([1], 1000000000000) ==> array_resize would produce
    SELECT repeat(repeat('x', 30000), 30000) ==> repeat would produce
    SELECT generate_series(1, 9000000000000000000) ==> generate_series would produce
    SELECT generate_series(TIMESTAMP '1700-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second') ==> generate_series would produce
    SELECT regexp_replace(repeat('x', 20000000), 'x', repeat('y', 1000), 'g') ==> regexp_replace would produce
    SELECT replace(repeat('x', 1000000), 'x', repeat('y', 1000)) ==> replace would produce
";

fn sql(neap: &NeapProcess, statement: &str) -> Reply {
    let body = json!({"db": "d", "q": statement, "format": "json"});
    Reply::receive(
        neap.request("POST", "/api/v3/query_sql")
            .header("Content-Type", "application/json")
            .body(body.to_string()),
    )
    .unwrap()
}

#[test]
fn statements_with_huge_results_are_refused_and_the_server_continues() {
    let neap = NeapProcess::serve(&StoreFixture::memory());
    neap.write("d", "m,tag=a v=1 1\nm,tag=b v=2 2");
    for (statement, message) in neap_test_inputs::text_pairs(STATEMENTS) {
        let refused = sql(&neap, statement);
        assert_eq!(refused.status, 400, "{statement}: {}", refused.text());
        assert_contains!(refused.text(), message);
        let next = sql(&neap, "SELECT 1 AS one");
        assert_eq!(next.text(), r#"[{"one":1}]"#, "{statement}");
    }
}
