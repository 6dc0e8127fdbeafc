//! Tests of answers through the whole stack, over a store in memory.

use axum::{
    body::Body,
    routing::{get, post},
};
use http_body_util::BodyExt;
use neap_bucket::{Bucket, ProtocolMargins};
use neap_catalog::Catalog;
use tower::ServiceExt;

use super::*;
use crate::{PingAnswer, ServerInfo, health_routes, metrics_routes};

fn routes() -> Router {
    routes_with(PingAnswer::default())
}

fn routes_with(answer: PingAnswer) -> Router {
    let world = World::system();
    let bucket = Bucket::in_memory(world.clone());
    let metrics = Metrics::default();
    let common = ServiceContext {
        cluster: ClusterId::new(Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None))),
        world: world.clone(),
        metrics: metrics.clone(),
        access: AccessControl::Open,
    };
    let panics = async || -> &'static str { panic!("on purpose") };
    let server = ServerInfo::new("0.1.0", "0123abc", &world);
    let routes = Router::new()
        .route("/thing/{id}", post(async || StatusCode::NO_CONTENT))
        .route("/panic", get(panics))
        .route("/fails", get(async || ApiError::json(Kind::Unavailable, "busy")))
        .merge(health_routes(server, answer))
        .merge(metrics_routes(metrics));
    with_common_layers(routes, common)
}

/// Returns status, headers except the content length, and body. Values that differ each time are masked.
async fn send(routes: &Router, method: &str, path: &str) -> String {
    send_as(routes, method, path, &[]).await
}

/// Sends a request with headers.
async fn send_as(
    routes: &Router,
    method: &str,
    path: &str,
    sent_headers: &[(&str, &str)],
) -> String {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in sent_headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = routes.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut lines = vec![head.status.as_u16().to_string()];
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-length")
        .map(|(name, value)| format!("{name}: {}", mask(value.to_str().unwrap())))
        .collect();
    headers.sort();
    lines.append(&mut headers);
    lines.push(mask(std::str::from_utf8(&body).unwrap()));
    lines.join("\n")
}

fn mask(text: &str) -> String {
    let is_part_of_uuid = |char: char| char.is_ascii_hexdigit() || char == '-';
    let words = text.split_inclusive(|char| !is_part_of_uuid(char));
    let masked = words.map(|word| match word.get(..36) {
        Some(uuid) if uuid.chars().filter(|char| *char == '-').count() == 4 => {
            word.replace(uuid, "<uuid>")
        }
        _ => word.to_owned(),
    });
    masked.collect()
}

#[tokio::test]
async fn a_success_has_the_headers_of_every_answer() {
    insta::assert_snapshot!(send(&routes(), "GET", "/health").await, @r"
    200
    access-control-allow-origin: *
    cluster-uuid: <uuid>
    content-type: text/plain; charset=utf-8
    x-neap-request-id: <uuid>
    OK
    ");
    insta::assert_snapshot!(send(&routes(), "POST", "/thing/7").await, @r"
    204
    access-control-allow-origin: *
    cluster-uuid: <uuid>
    x-neap-request-id: <uuid>
    ");
}

#[tokio::test]
async fn ping_has_the_headers_and_body_that_clients_check() {
    let expected = send(&routes(), "GET", "/ping").await;
    insta::assert_snapshot!(expected, @r#"
    200
    access-control-allow-origin: *
    cluster-uuid: <uuid>
    content-type: application/json
    request-id: <uuid>
    x-influxdb-build: Core
    x-influxdb-version: 3.10.0
    x-neap-request-id: <uuid>
    x-neap-version: 0.1.0
    x-request-id: <uuid>
    {"process_id":"<uuid>","product_name":"InfluxDB 3 Core","revision":"0123abc","version":"3.10.0"}
    "#);
    assert_eq!(send(&routes(), "POST", "/ping").await, expected);
    let head = send(&routes(), "HEAD", "/ping").await;
    assert!(head.starts_with("200\n") && !head.contains("product_name"), "{head}");
}

#[tokio::test]
async fn clients_of_influxdb_1_get_no_content_with_the_same_headers() {
    let routes = routes();
    let expected = send_as(&routes, "GET", "/ping", &[("user-agent", "InfluxDBClient")]).await;
    insta::assert_snapshot!(expected, @r"
    204
    access-control-allow-origin: *
    cluster-uuid: <uuid>
    request-id: <uuid>
    x-influxdb-build: Core
    x-influxdb-version: 3.10.0
    x-neap-request-id: <uuid>
    x-neap-version: 0.1.0
    x-request-id: <uuid>
    ");
    for (method, name, value) in [
        ("GET", "accept", "application/x-msgpack"),
        ("HEAD", "user-agent", "KapacitorInfluxDBClient"),
        ("POST", "user-agent", "InfluxDBShell/1.8.10"),
    ] {
        let answer = send_as(&routes, method, "/ping", &[(name, value)]).await;
        assert_eq!(answer, expected, "{method} {value}");
    }
    let always = routes_with(PingAnswer::NoContent);
    assert_eq!(send(&always, "GET", "/ping").await, expected);
}

#[tokio::test]
async fn health_is_json_for_clients_of_influxdb_2() {
    let agent = [("user-agent", "influxdb-client-python/1.50.0")];
    for path in ["/health", "/api/v1/health"] {
        let answer = send_as(&routes(), "GET", path, &agent).await;
        assert!(answer.contains(r#""status":"pass""#), "{answer}");
        let answer = send_as(&routes(), "GET", path, &[("accept", "*/*")]).await;
        assert!(answer.ends_with("\nOK"), "{answer}");
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_not_found() {
    let routes = routes();
    let unknown = send(&routes, "GET", "/nope").await;
    insta::assert_snapshot!(unknown, @r"
    404
    cluster-uuid: <uuid>
    x-neap-request-id: <uuid>
    Not found
    ");
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/health/"),
        ("GET", "/thing/"),
        ("GET", "/thing/7"),
        ("POST", "/health"),
        ("DELETE", "/ping"),
        ("PATCH", "/thing/7"),
    ] {
        assert_eq!(send(&routes, method, path).await, unknown, "{method} {path}");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_on_any_path() {
    let known = send(&routes(), "OPTIONS", "/thing/7").await;
    insta::assert_snapshot!(known, @r"
    204
    access-control-allow-headers: *
    access-control-allow-methods: *
    access-control-allow-origin: *
    access-control-max-age: 86400
    cluster-uuid: <uuid>
    x-neap-request-id: <uuid>
    ");
    assert_eq!(send(&routes(), "OPTIONS", "/nope").await, known);
}

#[tokio::test]
async fn a_panic_is_answered() {
    insta::assert_snapshot!(send(&routes(), "GET", "/panic").await, @r#"
    500
    cluster-uuid: <uuid>
    x-neap-request-id: <uuid>
    {"error":"internal error"}
    "#);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let routes = routes();
    for (method, path) in [
        ("POST", "/thing/1"),
        ("POST", "/thing/2"),
        ("GET", "/a"),
        ("BREW", "/b"),
        ("GET", "/fails"),
    ] {
        send(&routes, method, path).await;
    }
    let text = send(&routes, "GET", "/metrics").await;
    assert!(text.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.ends_with("# EOF\n"));
    let counts = text.lines().filter(|line| line.starts_with("http_requests_total"));
    insta::assert_snapshot!(counts.collect::<Vec<_>>().join("\n"), @r#"
    http_requests_total{method="GET",path="/fails",status="503"} 1
    http_requests_total{method="GET",path="unmatched",status="404"} 1
    http_requests_total{method="POST",path="/thing/{id}",status="204"} 2
    http_requests_total{method="other",path="unmatched",status="404"} 1
    "#);
    let seconds = r#"http_request_duration_seconds_count{method="POST",path="/thing/{id}"} 2"#;
    assert!(text.contains(seconds), "{text}");
}
