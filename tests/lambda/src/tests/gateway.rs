//! Requests through the gateway.

use super::*;

/// Sends a request and returns the status, a header, and the body.
async fn post(local: &Emulator, kind: &str, path: &str, body: &str) -> (u16, String, Bytes) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{}{path}", local.gateway()))
        .header("content-type", "text/plain")
        .header("x-lambda-local-event", kind)
        .body(body.to_owned());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let read_header =
        |name: &str| response.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    let header = read_header("x-lambda-local-failure").or_else(|| read_header("x-streamed"));
    let body = response.bytes().await.unwrap();
    (status, header.unwrap_or_default(), body)
}

#[tokio::test]
async fn a_request_reaches_its_function_as_the_event_of_its_service() {
    let (local, _folder) = local(&json!({})).await;
    for (kind, method, path) in [
        ("http_api", "/requestContext/http/method", "/rawPath"),
        ("rest_api", "/httpMethod", "/path"),
        ("load_balancer", "/httpMethod", "/path"),
        ("function_url", "/requestContext/http/method", "/rawPath"),
    ] {
        let (status, _, body) = post(&local, kind, "/api/v3/write_lp?db=a", "m v=1").await;
        assert_eq!(status, 200);
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event.pointer(method).unwrap(), "POST", "{kind}");
        assert_eq!(event.pointer(path).unwrap(), "/api/v3/write_lp", "{kind}");
        let has_test_headers = event.to_string().contains("x-lambda-local");
        assert!(!has_test_headers, "{event}");
    }
    local.stop().await;
}

#[tokio::test]
async fn the_gateway_answers_requests_and_responses_beyond_the_limits() {
    let (local, _folder) = local(&json!({})).await;
    let megabytes = |number: usize| "x".repeat(number << 20);
    for (kind, body, status, reason) in [
        ("http_api", megabytes(11), 413, "Gateway.RequestTooLarge"),
        ("http_api", megabytes(7), 413, "RequestTooLargeException"),
        ("load_balancer", megabytes(2), 413, "Gateway.RequestTooLarge"),
        ("http_api", megabytes(4), 200, ""),
        ("rest_api", megabytes(5), 413, "RequestTooLargeException"),
        ("rest_api", megabytes(4), 200, ""),
        ("load_balancer", "x".repeat((1 << 20) - 500), 502, "Gateway.MalformedResponse"),
    ] {
        let (said, why, _) = post(&local, kind, "/write", &body).await;
        assert_eq!((said, why.as_str()), (status, reason), "{kind} {}", body.len());
    }
    local.stop().await;
}

#[tokio::test]
async fn an_api_refuses_long_targets_and_unknown_paths_itself() {
    let (local, _folder) = local(&json!({})).await;
    let long = format!("/api/v3/write_lp?db={}", "x".repeat(10_240));
    let short = format!("/api/v3/write_lp?db={}", "x".repeat(9_000));
    for (kind, path, status, reason) in [
        ("http_api", long.as_str(), 431, "Gateway.HeadTooLarge"),
        ("rest_api", long.as_str(), 431, "Gateway.HeadTooLarge"),
        ("function_url", long.as_str(), 200, ""),
        ("http_api", short.as_str(), 200, ""),
        ("http_api", "/wp-login.php", 404, "Gateway.NoRoute"),
    ] {
        let (said, why, _) = post(&local, kind, path, "m v=1").await;
        assert_eq!((said, why.as_str()), (status, reason), "{kind}");
    }
    local.stop().await;
}

#[tokio::test]
async fn a_function_streams_if_the_gateway_allows_it() {
    let function = json!({
        "program": bootstrap(),
        "environment": { "STREAM": "1" },
        "limits": { "init_seconds": 60 },
    });
    for streaming in [true, false] {
        let more = json!({
            "functions": { "write": function },
            "gateway": { "streaming": streaming },
        });
        let (local, _folder) = local(&more).await;
        let (status, header, body) = post(&local, "function_url", "/write", "").await;
        let expected = if streaming {
            (200, "yes", "part 0;part 1;part 2;")
        } else {
            // The concatenated pieces are not a response document.
            (502, "Gateway.MalformedResponse", "")
        };
        let said = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!((status, header.as_str()), (expected.0, expected.1));
        assert!(said.starts_with(expected.2), "{said}");
        local.stop().await;
    }
}
