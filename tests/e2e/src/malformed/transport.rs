//! Malformed HTTP and unusual but valid HTTP; and preflight, health and ping requests.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::stage;
use crate::harness::{Reply, ServerClient, assert_contains, gzip};

/// Read timeout of the client.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes, and reads until the server closes the connection.
fn exchange(server: &ServerClient, bytes: &[u8]) -> String {
    let address = server.url().strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_write_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status_line(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

#[test]
fn malformed_http_is_refused_and_does_not_affect_others() {
    let server = stage();
    let long_header =
        format!("GET /ping HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let many_headers =
        format!("GET /ping HTTP/1.1\r\nHost: h\r\n{}\r\n", "X-Many: 1\r\n".repeat(200));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(70_000));
    let head = "POST /api/v3/write_lp?db=w HTTP/1.1\r\nHost: h\r\n";
    for (bytes, expected) in [
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("\u{0}\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET /ping HTTP/9.9\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET /ping HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        (long_header, "HTTP/1.1 431 Request Header Fields Too Large"),
        (many_headers, "HTTP/1.1 431 Request Header Fields Too Large"),
        (long_target, "HTTP/1.1 414 URI Too Long"),
        (format!("{head}Content-Length: x\r\n\r\n"), "HTTP/1.1 400 Bad Request"),
        (format!("{head}Content-Length: -1\r\n\r\n"), "HTTP/1.1 400 Bad Request"),
        (
            format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nm v=1"),
            "HTTP/1.1 400 Bad Request",
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\nnot a size\r\n"),
            "HTTP/1.1 400 Bad Request",
        ),
    ] {
        let answer = exchange(&server, bytes.as_bytes());
        let shown = &bytes[..bytes.len().min(80)];
        assert_eq!(status_line(&answer), expected, "{shown:?}: {answer}");
    }
    assert_eq!(server.get("/health").text(), "OK");
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[test]
fn a_client_that_hangs_up_in_the_middle_of_a_body_writes_nothing() {
    let server = stage();
    let address = server.url().strip_prefix("http://").unwrap();
    for _ in 0..20 {
        let mut connection = TcpStream::connect(address).unwrap();
        let head = "POST /api/v3/write_lp?db=w HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n";
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(b"known,t=a v=2i 2\n").unwrap();
    }
    let rows = server.query("w", "SELECT count(*) AS n FROM known");
    assert_eq!(rows, [serde_json::json!({ "n": 1 })]);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn several_requests_share_a_connection_and_bodies_may_come_in_chunks() {
    let server = stage();
    let first = "POST /api/v3/write_lp?db=w&precision=s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nknown\r\nb\r\n,t=b v=1i 1\r\n0\r\n\r\n";
    let last = "GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = exchange(&server, format!("{first}{last}").as_bytes());
    assert_eq!(status_line(&answers), "HTTP/1.1 204 No Content", "{answers}");
    assert!(
        answers.contains("\r\n\r\nHTTP/1.1 200 OK\r\n") && answers.ends_with("\r\n\r\nOK"),
        "{answers}"
    );
    let rows = server.query("w", "SELECT count(*) AS n FROM known");
    assert_eq!(rows, [serde_json::json!({ "n": 2 })]);
}

#[test]
fn bodies_may_be_gzip_of_several_members() {
    let server = stage();
    let body = [gzip("known,t=b v=1i 1\nknown,t=c "), gzip("v=2i 1\n")].concat();
    let request = server.request("POST", "/api/v3/write_lp?db=w&precision=s");
    let reply = Reply::receive(request.header("Content-Encoding", "gzip").body(body)).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    let query = gzip(r#"{"db":"w","q":"SELECT count(*) AS n FROM known","format":"csv"}"#);
    let request = server.request("POST", "/api/v3/query_sql");
    let reply = Reply::receive(request.header("Content-Encoding", "gzip").body(query)).unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "n\n3\n"));
}

#[test]
fn preflights_of_browsers_are_answered_on_every_path() {
    let server = stage();
    for path in ["/api/v3/write_lp?db=w", "/api/v3/query_sql", "/ping", "/nope"] {
        let request = server
            .request("OPTIONS", path)
            .header("Origin", "https://example.org")
            .header("Access-Control-Request-Method", "POST");
        let reply =
            Reply::receive(request.header("Access-Control-Request-Headers", "authorization"))
                .unwrap();
        assert_eq!((reply.status, reply.text().as_str()), (204, ""), "{path}");
        for (header, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "*"),
            ("access-control-max-age", "86400"),
        ] {
            assert_eq!(reply.header(header), Some(value), "{path}: {header}");
        }
    }
}

#[test]
fn health_and_ping_answer_as_tools_expect_it() {
    let server = stage();
    for path in ["/health", "/api/v1/health"] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.text().as_str()), (200, "OK"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    for method in ["GET", "POST", "HEAD"] {
        let reply = Reply::receive(server.request(method, "/ping")).unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-influxdb-version"), Some("3.10.0"));
        assert_eq!(reply.header("x-influxdb-build"), Some("Core"));
        assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
        if method != "HEAD" {
            let body: serde_json::Value = serde_json::from_slice(&reply.bytes).unwrap();
            assert_eq!(body["product_name"], "InfluxDB 3 Core");
            assert_eq!(body["version"], "3.10.0");
            assert!(body["process_id"].is_string() && body["revision"].is_string(), "{body}");
        }
    }
    let metrics = server.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_contains!(metrics.text(), "influxdb3_write_lines_total{db=\"w\"} 1\n");
}
