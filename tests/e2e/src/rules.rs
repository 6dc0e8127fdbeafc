//! Rules record results and send notifications.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, receive, wait_for,
};

/// The time until rules are evaluated: shorter than the claim of a process that has ended during an evaluation.
const LIMIT: Duration = Duration::from_secs(100);

const FILE: &str = r#"
groups:
  - name: basics
    interval: 1s
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: up == 0
        labels: {severity: page}
        annotations: {summary: "{{ $labels.instance }} is down"}
"#;

fn list(server: &ServerClient, path: &str) -> Value {
    let reply = server.get(&format!("/prometheus/api/v1/{path}?db=prom"));
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    let mut body: Value = serde_json::from_slice(&reply.bytes).unwrap();
    body["data"].take()
}

#[test]
fn rules_record_results_and_tell_a_webhook_of_alerts() {
    let (url, notifications) = receive("");
    let target = format!("webhook={url}/hook");
    let store = StoreFixture::directory();
    let server = NeapProcess::serve_with(&store, &["--notify-target", &target]);
    server.write("prom", "up,job=api,instance=a value=1\nup,job=api,instance=b value=0");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("node.yml");
    std::fs::write(&file, FILE).unwrap();
    let create = ["create", "rules", file.to_str().unwrap(), "-d", "prom"];
    assert_eq!(
        server.run_command(&create).succeeded(),
        "Rules of namespace \"node\" created successfully\n"
    );

    let firing = notifications.recv_timeout(LIMIT).unwrap().body;
    assert_eq!(firing["status"], "firing");
    let alert = &firing["alerts"][0];
    assert_eq!(alert["annotations"]["summary"], "b is down");
    let labels = json!({"alertname": "Down", "instance": "b", "job": "api", "severity": "page"});
    assert_eq!(alert["labels"], labels);
    let alerts = list(&server, "alerts");
    assert_eq!(alerts["alerts"][0]["state"], "firing");
    let rules = list(&server, "rules");
    assert_eq!(rules["groups"][0]["file"], "node");
    assert_eq!(rules["groups"][0]["rules"][1]["health"], "ok");
    wait_for("recorded results", LIMIT, || {
        let sql = "SELECT DISTINCT job, value FROM \"job:up:sum\"";
        let request = server.request("POST", "/api/v3/query_sql");
        let body = json!({"db": "prom", "q": sql}).to_string();
        let reply = Reply::receive(request.body(body)).unwrap();
        let rows: Value = serde_json::from_slice(&reply.bytes).ok()?;
        (rows == json!([{"job": "api", "value": 1.0}])).then_some(())
    });

    // A restarted process knows which targets have been notified, and finds no claim.
    assert!(server.stop().success());
    let restarted = NeapProcess::serve_with(&store, &["--notify-target", &target]);
    restarted.write("prom", "up,job=api,instance=b value=1");
    let resolved = notifications.recv_timeout(LIMIT).unwrap().body;
    assert_eq!(resolved["status"], "resolved");
    assert_eq!(resolved["alerts"][0]["labels"], labels);
}

#[test]
fn rules_are_changed_over_http_and_by_commands() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("prom", "up value=1");
    let path = "/prometheus/config/v1/rules/a%2Fb?db=prom";
    let send = |method: &str, path: &str, body: &str| {
        let reply = Reply::receive(server.request(method, path).body(body.to_owned())).unwrap();
        (reply.status, reply.text())
    };
    let group = "name: g\nrules:\n- record: total\n  expr: sum(up)\n";
    assert_eq!(send("POST", path, group).0, 202);
    let (status, text) = send("POST", path, "name: g\nrules: [{record: r, expr: 'sum('}]");
    assert_eq!(status, 400);
    assert_contains!(text, "could not parse expression");
    let shown = server.get("/prometheus/config/v1/rules?db=prom");
    assert!(shown.text().starts_with("a/b:"), "{}", shown.text());
    let listed = server.run_command(&["show", "rules", "-d", "prom", "--format", "json"]);
    let rows: Value = serde_json::from_str(&listed.succeeded()).unwrap();
    assert_eq!(rows[0]["namespace"], "a/b");
    assert_eq!(rows[0]["expression"], "sum(up)");
    server.run_command(&["delete", "rules", "a/b", "g", "-d", "prom"]).succeeded();
    assert_eq!(server.get("/prometheus/config/v1/rules?db=prom").status, 404);
    server.run_command(&["delete", "rules", "a/b", "-d", "prom"]).failed(1);
}
