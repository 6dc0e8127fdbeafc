//! Queries over HTTP, in the form of Prometheus.

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{TestServer, server::data};
use crate::test_messages::series;

async fn server() -> TestServer {
    let server = TestServer::new();
    let all = [
        series(&[("__name__", "up"), ("job", "api")], &[(1_000, 1.0), (2_500, 0.5)]),
        series(&[("__name__", "up"), ("job", "db")], &[(1_000, f64::INFINITY)]),
    ];
    server.write(&all, &[]).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_query_has_a_sample_of_each_series() {
    let server = server().await;
    let expected = json!({"resultType": "vector", "result": [
        {"metric": {"__name__": "up", "job": "api"}, "value": [2.75, "0.5"]},
        {"metric": {"__name__": "up", "job": "db"}, "value": [2.75, "+Inf"]},
    ]});
    assert_eq!(data(&server, "query?query=up&time=2.75").await, expected);
    assert_eq!(
        data(&server, "query?query=up&time=2.75&lookback_delta=1s").await["result"],
        json!([{"metric": {"__name__": "up", "job": "api"}, "value": [2.75, "0.5"]}])
    );
    assert_eq!(
        data(&server, "query?query=1%2F0&time=5").await,
        json!({"resultType": "scalar", "result": [5, "+Inf"]})
    );
    assert_eq!(
        data(&server, "query?query=%22a%22&time=5").await,
        json!({"resultType": "string", "result": [5, "a"]})
    );
    assert_eq!(
        data(&server, "query?query=up%7Bjob=%22api%22%7D%5B5s%5D&time=3").await,
        json!({"resultType": "matrix", "result": [{
            "metric": {"__name__": "up", "job": "api"},
            "values": [[1, "1"], [2.5, "0.5"]],
        }]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_query_has_a_sample_of_each_step() {
    let server = server().await;
    let path = "query_range?query=sum(up%7Bjob=%22api%22%7D)&start=1&end=1970-01-01T00:00:03Z&step=1s&stats=all";
    let mut answer = data(&server, path).await;
    let samples = answer["stats"]["samples"].take();
    assert_eq!(samples["totalQueryableSamples"], 3);
    assert_eq!(samples["totalQueryableSamplesPerStep"], json!([[1, 1], [2, 1], [3, 1]]));
    assert!(samples["peakSamples"].as_u64().unwrap() >= 3);
    assert!(answer["stats"]["timings"]["execTotalTime"].is_number());
    answer.as_object_mut().unwrap().remove("stats");
    assert_eq!(
        answer,
        json!({"resultType": "matrix", "result": [
            {"metric": {}, "values": [[1, "1"], [2, "1"], [3, "0.5"]]},
        ]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_both_prefixes_are_served() {
    let server = server().await;
    for prefix in ["/api/v1", "/prometheus/api/v1"] {
        let request = Request::post(format!("{prefix}/query?db=missing"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("db=prom&query=count(up)&time=2"))
            .unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.headers().contains_key("x-neap-as-of"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["data"]["result"][0]["value"], json!([2, "2"]));
        let path = format!("{prefix}/label/job/values");
        let (_, bytes) = server.send(Method::GET, &path, Vec::new()).await;
        let list: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(list["data"], json!(["api", "db"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_names_the_database() {
    let server = server().await;
    for (header, query, expected) in [
        ("prom", "", 200),
        ("prom", "&db=prom", 200),
        ("missing", "", 404),
        ("missing", "&db=prom", 400),
    ] {
        let request = Request::get(format!("/api/v1/query?query=up&time=2{query}"))
            .header("database", header)
            .body(Body::empty())
            .unwrap();
        let response = server.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{header} {query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_truncates_the_series() {
    let server = server().await;
    let (_, body) = server.list("query?query=up&time=2&limit=1").await;
    assert_eq!(body["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(body["warnings"], json!(["results truncated due to limit"]));
    let (_, body) = server.list("query?query=up&time=2&limit=2").await;
    assert_eq!(body["warnings"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_types_of_prometheus() {
    let server = server().await;
    for (path, status, error_type) in [
        ("query?query=sum(", 400, "bad_data"),
        ("query", 400, "bad_data"),
        ("query?query=up&time=soon", 400, "bad_data"),
        ("query?query=up&timeout=soon", 400, "bad_data"),
        ("query?query=up&limit=-1", 400, "bad_data"),
        ("labels?limit=-1", 400, "bad_data"),
        ("query_range?query=up&start=2&end=1&step=1", 400, "bad_data"),
        ("query_range?query=up&start=0&end=1", 400, "bad_data"),
        ("query_range?query=up%5B5m%5D&start=0&end=1&step=1", 400, "bad_data"),
        ("query?query=up*on()up&time=2", 422, "execution"),
        ("query?query=up&time=2&timeout=0", 503, "timeout"),
        ("query?query=up&db=missing", 404, "not_found"),
        ("format_query?query=sum(", 400, "bad_data"),
    ] {
        let (got, body) = server.list(path).await;
        assert_eq!(
            (got, &body["status"], &body["errorType"]),
            (status, &json!("error"), &json!(error_type)),
            "{path}: {body}"
        );
    }
    let (_, body) = server.list("query?query=sum(").await;
    let error = body["error"].as_str().unwrap();
    assert!(error.starts_with("invalid parameter \"query\": "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_are_formatted_and_parsed() {
    let server = server().await;
    assert_eq!(
        data(&server, "format_query?query=sum%20by(job)(up)").await,
        json!("sum by (job) (up)")
    );
    let tree = data(&server, "parse_query?query=sum(up)").await;
    assert_eq!(
        (&tree["type"], &tree["op"], &tree["expr"]["name"]),
        (&json!("aggregation"), &json!("sum"), &json!("up"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_empty() {
    let server = server().await;
    assert_eq!(data(&server, "query_exemplars?query=up").await, json!([]));
    assert_eq!(data(&server, "rules").await, json!({ "groups": [] }));
    assert_eq!(data(&server, "alerts").await, json!({ "alerts": [] }));
    let version = data(&server, "status/buildinfo").await["version"].take();
    assert!(version.as_str().unwrap().starts_with("3."), "{version}");
}
