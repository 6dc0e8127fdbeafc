//! Functions that invoke functions.

use super::*;

/// The header of a request that is signed with the access key of a function.
fn signature(function: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=AKID-{function}/20260101/us-east-1/lambda/aws4_request")
}

/// Invokes a function and returns the status, whether it failed, and the body.
async fn invoke(
    local: &Emulator,
    function: &str,
    signature: Option<&str>,
    event: Value,
) -> (u16, bool, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let mut request = client.post(format!("{}{path}", local.control())).body(event.to_string());
    if let Some(signature) = signature {
        request = request.header("authorization", signature);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let has_failed = response.headers().contains_key("x-amz-function-error");
    (status, has_failed, response.json().await.unwrap())
}

async fn control(local: &Emulator, method: &str, path: &str, body: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .request(method.parse().unwrap(), format!("{}{path}", local.control()))
        .header("content-type", "application/json")
        .body(body.to_string());
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Starts the emulator with a function `query` that may invoke itself, and `write`, which may invoke nothing.
async fn start() -> (Emulator, TempDir) {
    let function = |policy: Value| {
        json!({
            "program": bootstrap(),
            "policy": { "document": { "Version": "2012-10-17", "Statement": [policy] } },
            "limits": { "max_instances": 3, "init_seconds": 60 },
        })
    };
    let itself = json!({
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": "arn:aws:lambda:us-east-1:000000000000:function:query",
    });
    let nothing = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" });
    let functions = json!({ "query": function(itself), "write": function(nothing) });
    local(&json!({ "functions": functions })).await
}

#[tokio::test]
async fn a_function_invokes_what_its_policy_allows() {
    let (local, _folder) = start().await;
    let (query, write) = (signature("query"), signature("write"));
    let sleep = || json!({ "do": "sleep", "ms": 1 });
    let (status, has_failed, body) = invoke(&local, "query", Some(&query), sleep()).await;
    assert_eq!((status, has_failed, body), (200, false, json!("slept")));
    let unknown = signature("nobody");
    for (function, signature, expected, error) in [
        ("write", &query, 403, "AccessDeniedException"),
        ("query", &write, 403, "AccessDeniedException"),
        ("query", &unknown, 403, "AccessDeniedException"),
        ("missing", &query, 404, "ResourceNotFoundException"),
    ] {
        let (status, _, body) = invoke(&local, function, Some(signature), sleep()).await;
        assert_eq!((status, &body["errorType"]), (expected, &json!(error)));
    }
    // Requests of tests are not signed.
    assert_eq!(invoke(&local, "write", None, sleep()).await.0, 200);
    let counts = control(&local, "GET", "/invocations", Value::Null).await;
    assert_eq!((&counts["query"]["run"], &counts["query"]["denied"]), (&json!(1), &json!(2)));
    local.stop().await;
}

#[tokio::test]
async fn faults_affect_the_next_invocations_by_functions() {
    let (local, _folder) = start().await;
    let query = signature("query");
    let faults = json!({ "throttle": 1, "fail": 1 });
    control(&local, "PUT", "/invocations/query/faults", faults).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = json!({ "do": "sleep", "ms": 1 });
        let (status, has_failed, _) = invoke(&local, "query", Some(&query), event).await;
        seen.push((status, has_failed));
    }
    assert_eq!(seen, [(429, false), (200, true), (200, false)]);
    let counts = control(&local, "GET", "/invocations", Value::Null).await;
    let expected = json!({ "run": 1, "throttled": 1, "failed": 1, "hung": 0, "denied": 0 });
    assert_eq!(counts["query"], expected);
    local.stop().await;
}
