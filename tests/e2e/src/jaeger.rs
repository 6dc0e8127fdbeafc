//! Jaeger's page, and Grafana's data source for Jaeger, read the spans of OpenTelemetry.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, StoreFixture};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Nanoseconds per millisecond.
const MILLI: i64 = 1_000_000;

/// Sends a request of OTLP in JSON.
fn send(server: &NeapProcess, path: &str, body: &Value) {
    let request = server.request("POST", path).header("content-type", "application/json");
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Sends a span of a service, which is a child of the span with the preceding number.
fn send_span(server: &NeapProcess, service: &str, number: u64, name: &str, start_ns: i64) {
    let parent = if number == 1 {
        String::new()
    } else {
        format!("{:016x}", number - 1)
    };
    let status = if number == 2 {
        json!({ "code": 2 })
    } else {
        json!({})
    };
    let span = json!({
        "traceId": TRACE,
        "spanId": format!("{number:016x}"),
        "parentSpanId": parent,
        "name": name,
        "kind": 2,
        "startTimeUnixNano": start_ns.to_string(),
        "endTimeUnixNano": (start_ns + 40 * MILLI).to_string(),
        "attributes": [{ "key": "http.route", "value": { "stringValue": "/buy" } }],
        "status": status,
        "events": [{ "name": "retry", "timeUnixNano": (start_ns + MILLI).to_string() }],
    });
    let resource = json!({ "key": "service.name", "value": { "stringValue": service } });
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": [resource] },
        "scopeSpans": [{ "spans": [span] }],
    }] });
    send(server, "/v1/traces?db=shop", &body);
}

/// Returns the data of an answer.
fn data(server: &NeapProcess, path: &str) -> Value {
    let reply = server.get(path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    assert_eq!(answer["errors"], Value::Null, "{path}");
    answer["data"].clone()
}

#[test]
fn spans_are_services_operations_and_traces_of_jaeger() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("shop", "begin value=1i 1");
    for path in ["/api/services?db=shop", "/api/traces?db=shop&service=shop"] {
        assert_eq!(data(&server, path), json!([]), "{path}");
    }
    let rows = server.query("shop", "SELECT CAST(now() AS BIGINT) AS now");
    let now_ns = rows[0]["now"].as_i64().unwrap();
    let start_ns = now_ns - 60_000 * MILLI;
    send_span(&server, "shop", 1, "GET /buy", start_ns);
    send_span(&server, "pay", 2, "charge", start_ns + 5 * MILLI);

    assert_eq!(data(&server, "/api/services?db=shop"), json!(["pay", "shop"]));
    assert_eq!(data(&server, "/api/services/pay/operations?db=shop"), json!(["charge"]));
    assert_eq!(
        data(&server, "/api/operations?db=shop&service=shop"),
        json!([{ "name": "GET /buy", "spanKind": "server" }])
    );
    assert_eq!(data(&server, "/api/operations?db=shop&service=shop&spanKind=client"), json!([]));

    let whole = data(&server, &format!("/api/traces/{TRACE}?db=shop"));
    let spans = &whole[0]["spans"];
    assert_eq!(spans[0]["startTime"], json!(start_ns.div_euclid(1_000)));
    assert_eq!(spans[0]["duration"], json!(40_000));
    assert_eq!(spans[0]["references"], json!([]));
    assert_eq!(spans[1]["references"][0]["spanID"], json!(format!("{:016x}", 1)));
    assert_eq!(spans[1]["logs"][0]["fields"][0]["value"], json!("retry"));
    let process = spans[1]["processID"].as_str().unwrap();
    assert_eq!(whole[0]["processes"][process]["serviceName"], json!("pay"));
    let tags = spans[1]["tags"].as_array().unwrap();
    assert!(
        tags.contains(&json!({ "key": "error", "type": "bool", "value": true })),
        "{tags:?}"
    );
    let route = json!({ "key": "http.route", "type": "string", "value": "/buy" });
    assert!(tags.contains(&route), "{tags:?}");

    let tags = "tags=%7B%22http.route%22%3A%22%2Fbuy%22%2C%22error%22%3A%22true%22%7D";
    for (search, is_found) in [
        ("service=shop", true),
        ("service=shop&operation=charge", false),
        ("service=pay&operation=charge&minDuration=10ms", true),
        ("service=pay&minDuration=1s", false),
        (format!("service=pay&{tags}").as_str(), true),
        (format!("service=shop&{tags}").as_str(), false),
        ("service=shop&start=0&end=1000000", false),
        (format!("traceID={TRACE}").as_str(), true),
    ] {
        let found = data(&server, &format!("/api/traces?db=shop&{search}"));
        assert_eq!(found == whole, is_found, "{search}: {found}");
    }

    // Grafana sends the range of its page with the id of a trace, if its data source says so.
    for (range, is_found) in [
        (format!("start={}", start_ns.div_euclid(1_000)), true),
        ("end=1000000".to_owned(), false),
    ] {
        let found = data(&server, &format!("/api/traces?db=shop&traceID={TRACE}&{range}"));
        assert_eq!(found == whole, is_found, "{range}: {found}");
        let reply = server.get(&format!("/api/traces/{TRACE}?db=shop&{range}"));
        assert_eq!(reply.status == 200, is_found, "{range}: {}", reply.text());
    }

    for (path, status) in [
        ("/api/traces/0af7?db=shop", 404),
        ("/api/traces/0af7?db=shop&start=x", 400),
        ("/api/traces/xyz?db=shop", 400),
        ("/api/traces?db=shop", 400),
        ("/api/services", 400),
        ("/api/services?db=missing", 404),
    ] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
}
