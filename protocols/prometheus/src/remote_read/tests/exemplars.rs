//! Exemplars, from remote write to the answer.

use http::Method;
use neap_bucket::World;
use serde_json::{Value, json};

use super::TestServer;
use crate::{
    Message, compress,
    remote_read::result_stats::seconds_of,
    test_messages::{Exemplar, WriteRequest, WriteSeries, labels, series},
};

/// Stores an exemplar of a bucket.
async fn write(server: &TestServer, bucket: &str, trace: &str, value: f64, timestamp: i64) {
    let message = WriteRequest {
        timeseries: vec![WriteSeries {
            labels: labels(&[("__name__", "took_bucket"), ("le", bucket)]),
            exemplars: vec![Exemplar { labels: labels(&[("trace_id", trace)]), value, timestamp }],
            ..WriteSeries::default()
        }],
        ..WriteRequest::default()
    };
    let body = compress(&message.encode_to_vec()).unwrap();
    let (status, text) = server.send(Method::POST, "/api/v1/write?db=prom", body).await;
    assert_eq!(status, 204, "{text:?}");
}

async fn exemplars(server: &TestServer, query: &str) -> Value {
    let (status, mut body) = server.list(&format!("query_exemplars?{query}")).await;
    assert_eq!(status, 200, "{query}: {body}");
    body["data"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_of_a_database_may_have_exemplars_only() {
    let server = TestServer::new();
    let now_ms = World::system().clock.wall_micros() / 1_000;
    write(&server, "1", "a", 0.5, now_ms).await;
    let found = exemplars(&server, "query=took_bucket").await;
    assert_eq!(found[0]["exemplars"][0]["labels"], json!({"trace_id": "a"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_are_those_of_the_selected_series() {
    let server = TestServer::new();
    // A minute ago, because the table has a retention.
    let start = World::system().clock.wall_micros() / 1_000_000 - 60;
    let at_ms = |millis: i64| start * 1_000 + millis;
    let bucket = series(&[("__name__", "took_bucket"), ("le", "1")], &[(at_ms(0), 1.0)]);
    server.write(&[bucket], &[]).await;
    assert_eq!(exemplars(&server, "query=took_bucket").await, json!([]));
    for (bucket, trace, value, millis) in
        [("1", "a", 0.5, 0), ("1", "b", 0.25, 1_500), ("+Inf", "c", f64::INFINITY, 0)]
    {
        write(&server, bucket, trace, value, at_ms(millis)).await;
    }
    let shown = |trace: &str, value: &str, millis: i64| {
        let timestamp = seconds_of(at_ms(millis));
        json!({"labels": {"trace_id": trace}, "value": value, "timestamp": timestamp})
    };
    let of_one = json!({
        "seriesLabels": {"__name__": "took_bucket", "le": "1"},
        "exemplars": [shown("a", "0.5", 0), shown("b", "0.25", 1_500)],
    });
    let of_infinity = json!({
        "seriesLabels": {"__name__": "took_bucket", "le": "+Inf"},
        "exemplars": [shown("c", "+Inf", 0)],
    });
    let quantile = "query=histogram_quantile(0.9,sum%20by(le)(rate(took_bucket%5B5m%5D)))";
    assert_eq!(exemplars(&server, quantile).await, json!([of_infinity, of_one]));
    assert_eq!(
        exemplars(&server, "query=took_bucket%7Ble=~%221%7C2%22%7D").await,
        json!([of_one])
    );
    let later = format!("query=took_bucket&start={}&end={}", start + 1, start + 2);
    assert_eq!(
        exemplars(&server, &later).await,
        json!([{
            "seriesLabels": {"__name__": "took_bucket", "le": "1"},
            "exemplars": [shown("b", "0.25", 1_500)],
        }])
    );
    for none in ["query=other", "query=1", "query=took_bucket%7Bjob=%22a%22%7D"] {
        assert_eq!(exemplars(&server, none).await, json!([]), "{none}");
    }
    // The table is no metric.
    let (_, names) = server.list("label/__name__/values").await;
    assert_eq!(names["data"], json!(["took_bucket"]));
    for (query, reason) in [
        ("query=sum(", "invalid parameter \"query\""),
        ("query=up&start=2&end=1", "end timestamp must not be before"),
        ("query=up&start=soon", "invalid parameter \"start\""),
    ] {
        let (status, body) = server.list(&format!("query_exemplars?{query}")).await;
        assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")), "{query}");
        assert!(body["error"].as_str().unwrap().starts_with(reason), "{body}");
    }
}
