//! The same requests in the event format of each service.

use serde_json::json;

use crate::harness::{Reply, gzip};

use super::LambdaStack;

/// The services, by their names in the gateway.
const SERVICES: [&str; 4] = ["http_api", "rest_api", "load_balancer", "function_url"];

/// Sends a request to a service.
fn ask(stack: &LambdaStack, service: &str, method: &str, target: &str, body: Vec<u8>) -> Reply {
    ask_with(stack, service, method, target, body, &[])
}

fn ask_with(
    stack: &LambdaStack,
    service: &str,
    method: &str,
    target: &str,
    body: Vec<u8>,
    headers: &[(&str, &str)],
) -> Reply {
    let request = stack.request(method, target).header("x-lambda-local-event", service).body(body);
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    Reply::receive(request).unwrap()
}

#[test]
fn writes_and_queries_have_the_same_effect_with_every_service() {
    let stack = LambdaStack::start();
    for (time, service) in SERVICES.into_iter().enumerate() {
        let write = |headers: &[(&str, &str)], body: Vec<u8>| {
            let target = "/api/v3/write_lp?db=services&precision=second";
            let reply = ask_with(&stack, service, "POST", target, body, headers);
            assert_eq!(reply.status, 204, "{service}: {}", reply.text());
            assert!(reply.stamp().is_some() && reply.bytes.is_empty(), "{service}");
        };
        let line = |kind: &str| format!("m,by={service},kind={kind} v=\"ü & + = %26\" {time}");
        write(&[], line("plain").into_bytes());
        write(&[("content-type", "text/plain; charset=utf-8")], line("text").into_bytes());
        write(&[("content-encoding", "gzip")], gzip(line("gzip")));
    }
    for service in SERVICES {
        // Special characters, in the address and in the body.
        let sql = "SELECT count(*) AS n FROM m WHERE v = 'ü & + = %26'";
        let encoded = "SELECT%20count(*)%20AS+n%20FROM%20m%20WHERE%20v%20%3D%20%27%C3%BC%20%26%20%2B%20%3D%20%2526%27";
        let target = format!("/api/v3/query_sql?db=services&q={encoded}");
        let by_address = ask(&stack, service, "GET", &target, Vec::new());
        let body = json!({ "db": "services", "q": sql }).to_string();
        let by_body = ask(&stack, service, "POST", "/api/v3/query_sql", body.into_bytes());
        for reply in [by_address, by_body] {
            assert_eq!((reply.status, &*reply.text()), (200, r#"[{"n":12}]"#), "{service}");
            assert_eq!(reply.header("content-type"), Some("application/json"), "{service}");
        }
        let parquet = json!({ "db": "services", "q": "SELECT * FROM m", "format": "parquet" })
            .to_string()
            .into_bytes();
        let reply = ask(&stack, service, "POST", "/api/v3/query_sql", parquet);
        assert_eq!(reply.status, 200, "{service}");
        assert!(reply.bytes.starts_with(b"PAR1") && reply.bytes.ends_with(b"PAR1"), "{service}");
    }
    stack.finish();
}

#[test]
fn errors_match_the_contract_with_every_service() {
    let stack = LambdaStack::start();
    stack.write("services", "m v=1i 1");
    let no_table = r#"{"db":"services","q":"SELECT * FROM nowhere"}"#;
    for (method, target, body) in [
        ("POST", "/api/v3/write_lp?db=services", "m v="),
        ("POST", "/api/v3/write_lp?db=a.b", "m v=1"),
        ("POST", "/api/v2/write", "m v=1"),
        ("POST", "/write?db=_x", "m v=1"),
        ("POST", "/api/v3/query_sql", no_table),
        ("POST", "/api/v3/query_sql", "{"),
        ("GET", "/api/v3/query_sql?db=nowhere&q=SELECT%201", ""),
        ("GET", "/query?db=services", ""),
        ("DELETE", "/api/v3/configure/database?db=nowhere", ""),
        ("GET", "/api/v3/engine/nowhere", ""),
    ] {
        let replies = SERVICES.map(|service| {
            let reply = ask(&stack, service, method, target, body.into());
            (reply.status, reply.text())
        });
        let (status, text) = &replies[0];
        assert!((400..500).contains(status), "{method} {target}: {status} {text}");
        for reply in &replies {
            assert_eq!(reply, &replies[0], "{method} {target}");
        }
    }
    stack.finish();
}
