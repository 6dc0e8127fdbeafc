//! PromQL as Grafana sends it: the requests of its data source for Prometheus, over tables of line protocol.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, neap, words};

/// 2024-01-01T08:00:00Z, in seconds.
const START: i64 = 1_704_096_000;

/// A counter and a gauge of two hosts: a point each minute of ten minutes.
fn write_hosts(server: &ServerClient) {
    let lines = (0..10).flat_map(|minute| {
        let second = START + 60 * minute;
        ["a", "b"].map(|host| {
            let (requests, load) = (minute * 120, if host == "a" { 1.5 } else { 2.5 });
            format!("web,host={host} requests={requests}i,load={load},up=true {second}\n")
        })
    });
    server.write("metrics", &lines.collect::<String>());
    server.write("metrics", &format!("web_load,host=c five=9 {START}\n"));
}

/// Sends a form to the HTTP interface, as Grafana does.
fn post(server: &ServerClient, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let path = format!("/prometheus/api/v1/{path}?db=metrics");
    let reply = Reply::receive(server.request("POST", &path).form(form)).unwrap();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    (reply.status, serde_json::from_slice(&reply.bytes).unwrap())
}

/// Returns the data of an answer.
fn data(server: &ServerClient, path: &str, form: &[(&str, &str)]) -> Value {
    let (status, mut body) = post(server, path, form);
    assert_eq!((status, &body["status"]), (200, &json!("success")), "{path}: {body}");
    body["data"].take()
}

/// Returns the data of a `GET`.
fn get(server: &ServerClient, path: &str) -> Value {
    let separator = if path.contains('?') { '&' } else { '?' };
    let reply = server.get(&format!("/prometheus/api/v1/{path}{separator}db=metrics"));
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let mut body: Value = serde_json::from_slice(&reply.bytes).unwrap();
    body["data"].take()
}

#[test]
fn grafana_tests_a_data_source_lists_names_and_draws_a_panel() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    write_hosts(&server);
    // The test of the data source.
    let now = START.to_string();
    assert_eq!(
        data(&server, "query", &[("query", "1+1"), ("time", &now)]),
        json!({"resultType": "scalar", "result": [START, "2"]})
    );
    assert!(get(&server, "status/buildinfo")["version"].is_string());
    // The lists of its editor and of its variables.
    let (start, end) = (START.to_string(), (START + 540).to_string());
    let range = format!("start={start}&end={end}");
    assert_eq!(
        get(&server, &format!("label/__name__/values?{range}")),
        json!(["web_load", "web_load_five", "web_requests", "web_up"])
    );
    assert_eq!(get(&server, &format!("labels?{range}")), json!(["__name__", "host"]));
    assert_eq!(
        get(&server, &format!("label/host/values?{range}&match[]=web_requests")),
        json!(["a", "b"])
    );
    assert_eq!(
        data(
            &server,
            "series",
            &[("match[]", "{host=\"c\"}"), ("start", &start), ("end", &end)]
        ),
        json!([{"__name__": "web_load_five", "host": "c"}])
    );
    assert_eq!(get(&server, "metadata"), json!({}));
    // A panel: two requests each second, from the first step with a whole range of samples.
    let query = [
        ("query", "sum by (host) (rate(web_requests{host=~\"a|b\"}[2m]))"),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", "120"),
    ];
    let series = |host: &str| {
        let steps = (1..5).map(|step| json!([START + 120 * step, "2"]));
        json!({"metric": {"host": host}, "values": steps.collect::<Vec<_>>()})
    };
    let answer = data(&server, "query_range", &query);
    assert_eq!(answer["resultType"], "matrix");
    assert_eq!(answer["result"], json!([series("a"), series("b")]));
    // A table with the last values, and the annotations that no rule and no exemplar makes.
    assert_eq!(
        data(
            &server,
            "query",
            &[("query", "max(web_load) + on() group(web_up)"), ("time", &end)]
        ),
        json!({"resultType": "vector", "result": [{"metric": {}, "value": [START + 540, "3.5"]}]})
    );
    assert_eq!(get(&server, "rules"), json!({"groups": []}));
    assert_eq!(get(&server, "query_exemplars?query=web_load"), json!([]));
}

#[test]
fn fields_of_the_same_name_differ_by_their_table() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("metrics", &format!("cpu usage_idle=1 {START}\ncpu_usage idle=2 {START}\n"));
    let now = START.to_string();
    let answer = data(&server, "query", &[("query", "sort(cpu_usage_idle)"), ("time", &now)]);
    let labels = |table: &str| json!({"__name__": "cpu_usage_idle", "__table__": table});
    assert_eq!(
        answer["result"],
        json!([
            {"metric": labels("cpu"), "value": [START, "1"]},
            {"metric": labels("cpu_usage"), "value": [START, "2"]},
        ])
    );
    assert_eq!(
        data(
            &server,
            "query",
            &[("query", "cpu_usage_idle{__table__=\"cpu\"} * 2"), ("time", &now)]
        )["result"],
        json!([{"metric": {"__table__": "cpu"}, "value": [START, "2"]}])
    );
}

#[test]
fn expressions_without_bounds_are_refused() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    write_hosts(&server);
    let deep = "0X1e+".repeat(100_000) + "1";
    let mut grown = "web_load".to_owned();
    for _ in 0..90 {
        grown = format!("label_replace({grown},'host','$1$1','host','(.*)')");
    }
    let pattern = r"label_replace(web_load,'host','','host','(\\w{99}){99}')";
    let numbers = "time()+".repeat(60);
    let steps = format!("max_over_time(vector({numbers}1)[3000000000s:1s])");
    for (query, expected) in [
        (deep.as_str(), (400, "bad_data")),
        (grown.as_str(), (422, "execution")),
        (pattern, (400, "bad_data")),
        (steps.as_str(), (422, "execution")),
    ] {
        let (status, body) = post(&server, "query", &[("query", query), ("time", "1704096000")]);
        assert_eq!((status, body["errorType"].as_str()), (expected.0, Some(expected.1)), "{body}");
    }
    assert_eq!(data(&server, "query", &[("query", "1")])["resultType"], "scalar");
}

#[test]
fn errors_and_permissions_are_those_of_other_queries() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.with_token(&server.first_token());
    write_hosts(&admin);
    let (status, body) = post(&admin, "query", &[("query", "sum(")]);
    assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")));
    let (status, body) = post(
        &admin,
        "query",
        &[("query", "web_load + on() web_load"), ("time", "1704096000")],
    );
    assert_eq!((status, &body["errorType"]), (422, &json!("execution")));
    let request = server.request("GET", "/api/v1/query?db=metrics&query=web_load");
    assert_eq!(Reply::receive(request).unwrap().status, 401);
    let logged = admin.query(
        "metrics",
        "SELECT DISTINCT query_type FROM system.queries WHERE query_text LIKE 'web_load +%'",
    );
    assert_eq!(logged, [json!({"query_type": "promql"})]);
}

#[test]
fn the_command_line_prints_series() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    write_hosts(&server);
    let run = |more: &[&str]| {
        let given =
            ["query", "--host", server.url(), "--database", "metrics", "--language", "promql"];
        neap(&[&given[..], more].concat()).succeeded()
    };
    assert_eq!(
        run(&["--time", "2024-01-01T08:00:00Z", "web_load{host=\"a\"}"]),
        "web_load{host=\"a\"} => 1.5 @[1704096000]\n"
    );
    let range = words("--start 2024-01-01T08:00:00Z --end 1704096060 --step 1m");
    assert_eq!(
        run(&[&range[..], &["sum(web_up)"]].concat()),
        "{} =>\n2 @[1704096000]\n2 @[1704096060]\n"
    );
}
