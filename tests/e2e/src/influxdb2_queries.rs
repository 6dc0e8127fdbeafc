//! Queries of InfluxDB 2 as its clients send them: requests of Grafana, Home Assistant, Node-RED and the `influx` command, as in
//! their sources.

use std::io::Write;

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains};

const PATH: &str = "/api/v2/query?org=works";

/// Temperatures of two rooms: one each minute of ten minutes from 2024-01-01T08:00:00Z.
fn write_home(server: &ServerClient) {
    let lines = (0..10).flat_map(|minute| {
        let second = 1_704_096_000 + 60 * minute;
        [
            format!("home,room=Kitchen temp={}.5,humidity=40i {second}\n", 20 + minute),
            format!("home,room=Bath temp={} {second}\n", 18 + minute % 2),
        ]
    });
    server.write("home", &lines.collect::<String>());
}

/// The format that all clients ask for.
fn dialect() -> Value {
    json!({
        "annotations": ["datatype", "group", "default"],
        "commentPrefix": "#",
        "dateTimeFormat": "RFC3339",
        "delimiter": ",",
        "header": true,
    })
}

fn post(server: &ServerClient, body: &Value) -> RequestBuilder {
    server
        .request("POST", PATH)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Returns the answer of a request that succeeds.
fn answer(request: RequestBuilder) -> String {
    let reply = Reply::receive(request).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = reply.text();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text}");
    text.replace("\r\n", "\n")
}

/// Answers a query in the format of all clients.
fn flux(server: &ServerClient, query: &str) -> String {
    answer(post(server, &json!({ "query": query, "type": "flux", "dialect": dialect() })))
}

#[test]
fn grafana_builds_queries_and_lists_names() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    write_home(&server);
    // Grafana replaces its variables.
    let query = r#"from(bucket: "home")
  |> range(start: 2024-01-01T08:00:00Z, stop: 2024-01-01T08:10:00Z)
  |> filter(fn: (r) => r["_measurement"] == "home")
  |> filter(fn: (r) => r["_field"] == "temp")
  |> filter(fn: (r) => r["room"] == "Kitchen")
  |> aggregateWindow(every: 5m, fn: mean, createEmpty: false)
  |> yield(name: "mean")"#;
    insta::assert_snapshot!(flux(&server, query), @r"
    #datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
    #group,false,false,true,true,false,false,true,true,true
    #default,mean,,,,,,,,
    ,result,table,_start,_stop,_time,_value,_field,_measurement,room
    ,,0,2024-01-01T08:00:00Z,2024-01-01T08:10:00Z,2024-01-01T08:05:00Z,22.5,temp,home,Kitchen
    ,,0,2024-01-01T08:00:00Z,2024-01-01T08:10:00Z,2024-01-01T08:10:00Z,27.5,temp,home,Kitchen
    ");
    // The lists of its editor and of its variables.
    let lists = [
        ("buckets() |> keep(columns: [\"name\"])", ",,0,home\n"),
        (
            "import \"influxdata/influxdb/v1\"\nv1.measurements(bucket: \"home\", start: 2024-01-01)",
            ",,0,home\n",
        ),
        (
            "import \"influxdata/influxdb/v1\"\nv1.tagValues(bucket: \"home\", tag: \"room\", predicate: (r) => true, start: \
             2024-01-01)",
            ",,0,Bath\n,,0,Kitchen\n",
        ),
        (
            "import \"influxdata/influxdb/schema\"\nschema.fieldKeys(bucket: \"home\", start: 2024-01-01)",
            ",,0,humidity\n,,0,temp\n",
        ),
    ];
    for (query, rows) in lists {
        let list = flux(&server, query);
        assert!(list.ends_with(&format!("{rows}\n")), "{query}: {list}");
    }
}

#[test]
fn home_assistant_reads_the_state_of_sensors() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("home", "%,domain=sensor,entity_id=humidity value=41.5 1704096000");
    let read = |query: &str, group: &str| {
        let range = "range(start: 2024-01-01T00:00:00Z, stop: 2024-01-02T00:00:00Z)";
        flux(&server, &format!("from(bucket:\"home\") |> {range} |> {query} |> {group}"))
    };
    // At its start, it lists the buckets, in compressed answers.
    let request =
        post(&server, &json!({ "query": "buckets()", "type": "flux", "dialect": dialect() }))
            .header("accept-encoding", "gzip")
            .header("user-agent", "influxdb-client-python/1.50.0");
    let reply = Reply::receive(request).unwrap();
    assert_eq!(reply.status, 200);
    let text = match reply.header("content-encoding") {
        Some("gzip") => std::io::read_to_string(GzDecoder::new(&reply.bytes[..])).unwrap(),
        _ => reply.text(),
    };
    assert_contains!(text, ",,0,home,6e65617000000001,6e65617000000000,,0\r\n");
    let filter = "filter(fn: (r) => r._field == \"value\" and r.entity_id == \"humidity\")";
    for group in ["limit(n: 1)", "mean(column: \"_value\")", "last()"] {
        let state = read(filter, group);
        let header = state.lines().find(|line| line.starts_with(",result,")).unwrap();
        let at = header.split(',').position(|name| name == "_value").unwrap();
        let row = state.lines().find(|line| line.starts_with(",,0,")).unwrap();
        assert_eq!(row.split(',').nth(at), Some("41.5"), "{group}: {state}");
    }
    assert_eq!(read("filter(fn: (r) => r.entity_id == \"none\")", "limit(n: 1)"), "\n");
}

#[test]
fn node_red_and_influx_send_texts_and_variables() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    write_home(&server);
    // The library of Node-RED.
    let query = "from(bucket: \"home\") |> range(start: 0, stop: 2025-01-01) |> filter(fn: (r) => r._field == \"temp\" and r.room == \"Bath\") |> last()";
    let body = json!({
        "query": query,
        "dialect": {
            "header": true,
            "delimiter": ",",
            "quoteChar": "\"",
            "commentPrefix": "#",
            "annotations": ["datatype", "group", "default"],
        },
        "type": "flux",
    });
    let request = server
        .request("POST", "/api/v2/query?org=works")
        .header("accept", "text/csv")
        .header("content-type", "application/json; encoding=utf-8")
        .header("user-agent", "influxdb-client-js/1.33.2")
        .body(body.to_string());
    let last = answer(request);
    assert_contains!(last, ",2024-01-01T08:09:00Z,19,temp,home,Bath\n");
    // The text alone, compressed.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(query.as_bytes()).unwrap();
    let request = server
        .request("POST", PATH)
        .header("content-type", "application/vnd.flux")
        .header("content-encoding", "gzip")
        .body(encoder.finish().unwrap());
    let plain = answer(request);
    assert!(plain.starts_with(",result,table,_start,"), "{plain}");
    // influx query, with variables in a syntax tree.
    let bucket = json!({
        "type": "VariableAssignment",
        "id": { "type": "Identifier", "name": "bucket" },
        "init": { "type": "StringLiteral", "value": "home" },
    });
    let with_variable = json!({
        "query": query.replace("\"home\"", "bucket"),
        "type": "flux",
        "dialect": dialect(),
        "extern": { "type": "File", "package": null, "imports": null, "body": [bucket] },
    });
    assert_eq!(answer(post(&server, &with_variable)), last);
    // The same bucket in InfluxQL.
    let influxql =
        json!({ "query": "SELECT last(temp) FROM home", "type": "influxql", "bucket": "home" });
    let reply = Reply::receive(post(&server, &influxql)).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let series: Value = serde_json::from_slice(&reply.bytes).unwrap();
    assert_eq!(series["results"][0]["series"][0]["name"], "home");
}

#[test]
fn refusals_have_the_form_of_influxdb_2() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    write_home(&server);
    let deep = format!("x = {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let cases = [
        (
            "from(bucket: \"home\") |> range(start: -1h) |> derivative(unit: 1s)",
            400,
            "invalid",
            "error @1:46-1:56: derivative() is not supported; in SQL: derivative(value, INTERVAL '1 second', time) OVER \
             (PARTITION BY tag ORDER BY time)",
        ),
        (
            "from(bucket: \"home\")\n|> range(start: -1h)\n|> filter(fn: (r) = r)",
            400,
            "invalid",
            "error @3:19-3:20: expected \",\", found \"=\"",
        ),
        (
            deep.as_str(),
            400,
            "invalid",
            "error @1:45-1:46: the expression is nested more than 40 levels deep",
        ),
        (
            "from(bucket: \"garden\") |> range(start: -1h)",
            404,
            "not found",
            "could not find bucket \"garden\"",
        ),
    ];
    for (query, status, code, message) in cases {
        let reply = Reply::receive(post(&server, &json!({ "query": query }))).unwrap();
        assert_eq!(reply.status, status, "{query}");
        assert_eq!(reply.header("x-platform-error-code"), Some(code), "{query}");
        let error: Value = serde_json::from_slice(&reply.bytes).unwrap();
        assert_eq!(error, json!({ "code": code, "message": message }), "{query}");
    }
}

#[test]
fn a_token_reads_and_lists_its_buckets() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.first_token();
    for bucket in ["home", "garden"] {
        server.with_token(&admin).write(bucket, "m v=1 1704096000");
    }
    let token = server.create_token(&admin, "db:home:read");
    let ask = |query: &str| {
        let request = post(&server, &json!({ "query": query }))
            .header("authorization", format!("Token {token}"));
        let reply = Reply::receive(request).unwrap();
        (reply.status, reply.text())
    };
    let names = ",result,table,name\r\n,_result,0,home\r\n\r\n".to_owned();
    assert_eq!(ask("buckets() |> keep(columns: [\"name\"])"), (200, names));
    let count = |bucket: &str| format!("from(bucket: \"{bucket}\") |> range(start: 0) |> count()");
    assert_eq!(ask(&count("home")).0, 200);
    assert_eq!(ask(&count("garden")).0, 403);
    assert_eq!(ask(&count("none")).0, 403);
    let without = Reply::receive(post(&server, &json!({ "query": "buckets()" }))).unwrap();
    assert_eq!(without.status, 401);
    let error: Value = serde_json::from_slice(&without.bytes).unwrap();
    assert_eq!(error["code"], "unauthorized");
}
