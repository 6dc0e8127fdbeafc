//! Lists of labels, series and descriptions of metrics.

use serde_json::json;

use super::{
    TestServer,
    server::{data, query},
};
use crate::{MatcherType, test_messages::series};

async fn server() -> TestServer {
    let server = TestServer::new();
    let all = [
        series(&[("__name__", "up"), ("instance", "a"), ("job", "api")], &[(1_000, 1.0)]),
        series(&[("__name__", "up"), ("instance", "b"), ("job", "api")], &[(2_000, 1.0)]),
        series(&[("__name__", "up"), ("job", "db")], &[(1_000, 1.0)]),
        series(&[("__name__", "load")], &[(1_000, 1.0)]),
        series(&[("__name__", "my metric"), ("time", "noon")], &[(1_000, 1.0)]),
    ];
    let metadata = [("up", "Whether the target answers."), ("load", "Load.")];
    server.write(&all, &metadata).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_those_of_the_selected_series() {
    let server = server().await;
    for (path, expected) in [
        ("labels", json!(["__name__", "instance", "job", "time"])),
        ("labels?match[]=up", json!(["__name__", "instance", "job"])),
        ("labels?match[]=up%7Bjob=%22db%22%7D", json!(["__name__", "job"])),
        ("labels?match[]=load&match[]=absent", json!(["__name__"])),
        ("labels?match[]=up&start=3", json!([])),
    ] {
        assert_eq!(data(&server, path).await, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_those_of_the_selected_series() {
    let server = server().await;
    for (path, expected) in [
        ("label/job/values", json!(["api", "db"])),
        ("label/time/values", json!(["noon"])),
        ("label/absent/values", json!([])),
        ("label/instance/values?start=2", json!(["b"])),
        ("label/instance/values?end=1970-01-01T00:00:01Z", json!(["a"])),
        ("label/job/values?match[]=%7Binstance=%22b%22%7D", json!(["api"])),
        ("label/__name__/values", json!(["load", "my metric", "up"])),
        ("label/__name__/values?match[]=%7Bjob=~%22d.%22%7D", json!(["up"])),
        ("label/__name__/values?match[]=load", json!(["load"])),
    ] {
        assert_eq!(data(&server, path).await, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_sorted_by_labels() {
    let server = server().await;
    let found = data(&server, "series?match[]=up&match[]=load&match[]=up").await;
    let expected = json!([
        {"__name__": "load"},
        {"__name__": "up", "instance": "a", "job": "api"},
        {"__name__": "up", "instance": "b", "job": "api"},
        {"__name__": "up", "job": "db"},
    ]);
    assert_eq!(found, expected);
    let (_, body) = server.list("series?match[]=up&limit=2").await;
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    assert_eq!(body["warnings"], json!(["results truncated due to limit"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_a_renamed_table_are_found_by_each_of_its_names() {
    let server = server().await;
    server.rename_table("up", "targets").await;
    for name in ["up", "targets"] {
        let path = format!("series?match[]={name}%7Binstance=%22a%22%7D");
        let expected = json!([{"__name__": name, "instance": "a", "job": "api"}]);
        assert_eq!(data(&server, &path).await, expected);
        let counted = data(&server, &format!("query?query=count({name})&time=2")).await;
        assert_eq!(counted["result"][0]["value"], json!([2, "3"]), "{name}");
        let of_name = query((0, 5_000), &[(MatcherType::Equal, "__name__", name)]);
        assert_eq!(server.series(of_name).await.len(), 3, "{name}");
    }
    // Lists and patterns have the present name only.
    let names = data(&server, "label/__name__/values").await;
    assert_eq!(names, json!(["load", "my metric", "targets"]));
    let pattern = "%7B__name__=~%22up%7Ctargets%22%7D";
    let counted = data(&server, &format!("query?query=count({pattern})&time=2")).await;
    assert_eq!(counted["result"][0]["value"], json!([2, "3"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_of_metrics_are_listed() {
    let server = server().await;
    let up = json!([{"type": "gauge", "help": "Whether the target answers.", "unit": ""}]);
    let load = json!([{"type": "gauge", "help": "Load.", "unit": ""}]);
    let all = json!({ "up": up, "load": load });
    assert_eq!(data(&server, "metadata").await, all);
    assert_eq!(data(&server, "metadata?metric=up").await, json!({ "up": up }));
    assert_eq!(data(&server, "metadata?limit=1").await, json!({ "load": load }));
    assert_eq!(data(&server, "metadata?metric=absent").await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_parameter() {
    let server = server().await;
    let pairs = r#"
        series ==> no match[] parameter provided
        series?match[]=rate(up%5B5m%5D) ==> invalid parameter "match[]": it is no selector
        labels?start=soon ==> invalid parameter "start": "soon" is not a time: seconds since 1970, or RFC 3339
    "#;
    for (path, error) in neap_test_inputs::text_pairs(pairs) {
        let (status, body) = server.list(path).await;
        let expected = json!({ "status": "error", "errorType": "bad_data", "error": error });
        assert_eq!((status, body), (400, expected), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_are_refused() {
    let server = server().await;
    let selector = |pattern: &str| format!("match[]=%7Ba%3D~%22{pattern}%22%7D");
    let many = vec![selector("x"); 65].join("&");
    let (status, body) = server.list(&format!("labels?{many}")).await;
    assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")));
    let large = vec![selector("(abcdefgh)%7B4000%7D"); 64].join("&");
    let (status, body) = server.list(&format!("labels?{large}")).await;
    assert_eq!(status, 400, "{body}");
}
