//! Operating a running process: stops that other processes request, profiles, traces.

use std::{collections::BTreeMap, io::Read, time::Duration};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::harness::{
    NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap, pause, wait_for,
};

/// Maximum wait for traces, which are sent every 5 s.
const TRACES: Duration = Duration::from_secs(60);
/// Maximum number of batches that are written while a heap profile is made.
const MAX_BATCHES: usize = 100;
/// A trace, and the span of its client.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";

fn states(server: &ServerClient) -> BTreeMap<String, String> {
    let sql = "SELECT node_id, state FROM system.nodes";
    let rows = server.query("_internal", sql).into_iter();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.map(|row| (text(&row, "node_id"), text(&row, "state"))).collect()
}

#[test]
fn a_process_stops_if_an_operator_asks_another_one() {
    let place = StoreFixture::directory();
    let first = NeapProcess::serve_with(&place, &["--node-id", "host01"]);
    let second = NeapProcess::serve_with(&place, &["--node-id", "host02"]);
    second.write("d", "m v=1i 1");
    let node = |command: &str, name: &str| {
        let host = first.url().to_owned();
        let line = format!("{command} node --node-id {name} --host {host}");
        neap(&line.split(' ').collect::<Vec<_>>())
    };
    let refused = node("remove", "host02").failed(1);
    assert_contains!(refused, "node 'host02' is running");
    assert_eq!(node("stop", "host02").succeeded(), "Node \"host02\" is stopped\n");
    assert!(second.end().success());
    let expected = [("host01", "running"), ("host02", "stopped")]
        .map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(states(&first), BTreeMap::from(expected));
    assert_eq!(first.query("d", "SELECT v FROM m")[0]["v"], 1);
    node("remove", "host02").succeeded();
    assert_eq!(states(&first).len(), 1);
    node("stop", "host02").failed(1);
    // The process that is asked is the one to stop.
    assert_eq!(node("stop", "host01").succeeded(), "Node \"host01\" is stopped\n");
    assert!(first.end().success());
}

#[test]
fn a_cpu_profile_is_made_on_request_one_at_a_time() {
    let place = StoreFixture::memory();
    let server = NeapProcess::serve(&place);
    let profile = |query: &str| {
        let path = format!("/debug/pprof/profile?{query}");
        Reply::receive(server.request("GET", &path)).unwrap()
    };
    assert_eq!(profile("seconds=61").status, 400);
    assert_eq!(profile("frequency=0").status, 400);
    let (made, refused) = std::thread::scope(|scope| {
        let made = scope.spawn(|| profile("seconds=3&frequency=250"));
        let refused = wait_for("second profile", Duration::from_secs(60), || {
            server.query("_internal", "SELECT count(*) FROM generate_series(1, 3000000)");
            let reply = profile("seconds=1");
            (reply.status == 409).then_some(reply)
        });
        (made.join().unwrap(), refused)
    });
    assert_contains!(refused.text(), "another profile");
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.bytes.get(..2), Some([0x1f, 0x8b].as_slice()), "gzip");
}

#[test]
fn a_heap_profile_names_the_functions_that_hold_memory() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    let profile = |query: &str| {
        let path = format!("/debug/pprof/heap?{query}");
        Reply::receive(server.request("GET", &path)).unwrap()
    };
    assert_eq!(profile("seconds=0").status, 400);
    let made = std::thread::scope(|scope| {
        let made = scope.spawn(|| profile("seconds=4"));
        // The tail keeps the rows. They are written while the profile is made, however late it starts.
        for batch in 0..MAX_BATCHES {
            if made.is_finished() {
                break;
            }
            let rows: Vec<String> = (0..20_000)
                .map(|row| format!("m v={row} {}", batch * 20_000 + row + 1))
                .collect();
            server.write("home", &rows.join("\n"));
            pause(Duration::from_millis(100));
        }
        made.join().unwrap()
    });
    assert_eq!(made.status, 200, "{}", made.text());
    let mut text = Vec::new();
    GzDecoder::new(made.bytes.as_slice()).read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    for name in ["inuse_space", "bytes", "neap_wal::"] {
        assert!(text.contains(name), "{name} is not in the profile");
    }
    assert!(!text.contains("heap_sampling::"), "the sampler is in the profile");
}

/// Returns the spans of a trace in the tables of a receiver, by name.
fn spans(receiver: &ServerClient, trace: &str) -> Vec<BTreeMap<String, String>> {
    let tables = receiver.query("traces", "SHOW TABLES");
    if !tables.iter().any(|row| row["table_name"] == "spans") {
        return Vec::new();
    }
    let sql = format!(
        "SELECT \"span.name\" AS name, span_id, parent_span_id AS parent, attributes FROM spans \
         WHERE trace_id = '{trace}'"
    );
    let rows = receiver.query("traces", &sql).into_iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.map(|row| {
        let columns = row.as_object().unwrap().iter();
        columns.map(|(name, value)| (name.clone(), text(value))).collect()
    })
    .collect()
}

#[test]
fn requests_that_ask_for_a_trace_send_their_steps_to_a_receiver() {
    let (place, other) = (StoreFixture::memory(), StoreFixture::memory());
    let receiver = NeapProcess::serve(&other);
    receiver.write("traces", "start v=1i 1");
    let endpoint = format!("{}/v1/traces", receiver.url());
    let flags = ["--traces-exporter", "otlp", "--traces-exporter-otlp-endpoint", &endpoint];
    let variables = [("OTEL_EXPORTER_OTLP_HEADERS", "database=traces")];
    let server = NeapProcess::serve_with_variables(&place, &flags, &variables);
    let traced = |trace: &str, flag: &str, method: &str, path: &str, body: &str| {
        let parent = format!("00-{trace}-{CLIENT_SPAN}-{flag}");
        let request = server.request(method, path).header("traceparent", parent);
        Reply::receive(request.body(body.to_owned())).unwrap().status
    };
    let unsampled = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(traced(unsampled, "00", "POST", "/write?db=d", "m v=1i 1"), 204);
    server.write("d", "m v=2i 2");
    assert_eq!(traced(TRACE, "01", "POST", "/write?db=d&p=secret-token", "m v=3i 3"), 204);
    let sql = r#"{"db":"d","q":"SELECT sum(v) FROM m WHERE 'secret-text' != ''"}"#;
    assert_eq!(traced(TRACE, "01", "POST", "/api/v3/query_sql", sql), 200);
    let names = |spans: &[BTreeMap<String, String>]| {
        let mut names: Vec<_> = spans.iter().map(|span| span["name"].clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let wanted = [
        "POST /api/v3/query_sql",
        "POST /write",
        "admission",
        "execute",
        "permit",
        "plan",
        "snapshot",
        "store",
        "validate",
        "wal",
    ];
    let sent = wait_for("trace", TRACES, || {
        let sent = spans(&receiver, TRACE);
        (names(&sent) == wanted).then_some(sent)
    });
    let requests = sent.iter().filter(|span| span["name"].starts_with("POST "));
    assert!(requests.clone().count() == 2, "{sent:?}");
    for request in requests {
        assert_eq!(request["parent"], CLIENT_SPAN);
        let attributes: Value = serde_json::from_str(&request["attributes"]).unwrap();
        assert_eq!(attributes["service.version"], "0.1.0");
    }
    let ids: Vec<_> = sent.iter().map(|span| &span["span_id"]).collect();
    for span in &sent {
        let parent = &span["parent"];
        assert!(parent == CLIENT_SPAN || ids.contains(&parent), "{span:?}");
        let shown = format!("{span:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    assert_eq!(spans(&receiver, unsampled), []);
    let all = receiver.query("traces", "SELECT count(DISTINCT trace_id) AS n FROM spans");
    assert_eq!(all[0]["n"], 1);
    // The last spans are sent when the process stops.
    let last = "11111111111111111111111111111111";
    assert_eq!(traced(last, "01", "GET", "/ping", ""), 200);
    assert!(server.stop().success());
    assert_eq!(names(&spans(&receiver, last)), ["GET /ping", "admission"]);
}
