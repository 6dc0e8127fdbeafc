//! Materialized views and continuous queries follow late rows and deletes of their sources.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use crate::harness::{
    NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap, wait_for, words,
};

/// The time until rows are flushed and in the views: several times the flush lag.
const REFRESH_LIMIT: Duration = Duration::from_secs(90);

/// 2026-01-01T00:00:00Z, in seconds since the Unix epoch.
const NEW_YEAR: i64 = 1_767_225_600;

const VIEW: &str = "SELECT date_bin(INTERVAL '1 hour', time) AS time, room, count(temp) AS n, avg(temp) AS temp \
                    FROM home GROUP BY 1, room";

fn serve(store: &StoreFixture) -> NeapProcess {
    NeapProcess::serve_with(store, &["--rollup-interval", "1s"])
}

fn line(room: &str, minutes: i64, temp: f64) -> String {
    format!("home,room={room} temp={temp} {}", NEW_YEAR + minutes * 60)
}

/// Executes InfluxQL statements with the v1 interface.
pub(crate) fn influxql(server: &ServerClient, statements: &str) -> Value {
    let url = Url::parse_with_params("http://host/query", [("q", statements)]).unwrap();
    let path = format!("/query?{}", url.query().unwrap());
    let reply = Reply::receive(server.request("POST", &path)).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(result["error"], Value::Null, "{statements}");
    }
    answer
}

/// Waits until a query has this answer.
fn wait_for_rows(server: &ServerClient, database: &str, sql: &str, expected: &[Value]) {
    wait_for(sql, REFRESH_LIMIT, || {
        let request = server.request("POST", "/api/v3/query_sql");
        let body = json!({"db": database, "q": sql}).to_string();
        let reply = Reply::receive(request.body(body)).unwrap();
        let rows: Value = serde_json::from_slice(&reply.bytes).ok()?;
        (rows == json!(expected)).then_some(())
    });
}

#[test]
fn a_view_follows_late_rows_and_deletes() {
    let store = StoreFixture::directory();
    let server = serve(&store);
    let lines = [line("a", 0, 1.0), line("a", 59, 3.0), line("b", 60, 5.0)];
    server.write("home", &lines.join("\n"));
    server.query("home", &format!("CREATE MATERIALIZED VIEW hourly AS {VIEW}"));
    let sql = "SELECT room, n, temp FROM hourly ORDER BY time, room";
    let first = json!({"room": "a", "n": 2, "temp": 2.0});
    let second = json!({"room": "b", "n": 1, "temp": 5.0});
    wait_for_rows(&server, "home", sql, &[first, second.clone()]);

    server.write("home", &line("a", 30, 8.0));
    let late = json!({"room": "a", "n": 3, "temp": 4.0});
    wait_for_rows(&server, "home", sql, &[late, second.clone()]);

    server.query("home", "DELETE FROM home WHERE room = 'a'");
    wait_for_rows(&server, "home", sql, std::slice::from_ref(&second));

    // A restarted process continues.
    server.stop();
    let server = serve(&store);
    server.write("home", &line("b", 61, 7.0));
    let restarted = json!({"room": "b", "n": 2, "temp": 6.0});
    wait_for_rows(&server, "home", sql, &[restarted]);
    let states = "SELECT view_name, state, pending_windows, error FROM system.materialized_views";
    let state = json!({"view_name": "hourly", "state": "current", "pending_windows": 0});
    wait_for_rows(&server, "home", states, &[state]);
}

/// The server finds that there is nothing to flush at its interval. It reads the changes of other processes without a cause
/// only every ten minutes.
#[test]
fn a_view_has_rows_that_another_process_has_flushed() {
    let store = StoreFixture::directory();
    let server = NeapProcess::serve_with(&store, &["--rollup-interval", "20s"]);
    server.write("home", &line("a", 0, 1.0));
    server.query("home", &format!("CREATE MATERIALIZED VIEW hourly AS {VIEW}"));
    wait_for("flush by another process", REFRESH_LIMIT, || {
        neap(&store.after(&["compact"])).succeeded();
        let flushed = "SELECT row_count FROM system.parquet_files WHERE table_name = 'home'";
        (server.query("home", flushed) == [json!({ "row_count": 1 })]).then_some(())
    });
    let sql = "SELECT room, n, temp FROM hourly";
    let row = json!({"room": "a", "n": 1, "temp": 1.0});
    wait_for_rows(&server, "home", sql, &[row]);
}

#[test]
fn queries_of_the_source_read_the_view_and_newer_rows() {
    let store = StoreFixture::directory();
    let server = serve(&store);
    let lines = [line("a", 0, 1.5), line("a", 59, 3.0), line("b", 60, 5.0)];
    server.write("home", &lines.join("\n"));
    server.query("home", &format!("CREATE MATERIALIZED VIEW hourly AS {VIEW}"));
    let sql = "SELECT date_bin(INTERVAL '1 hour', time) AS time, room, count(temp) AS n, avg(temp) AS temp FROM home \
               GROUP BY 1, room ORDER BY 1, room";
    let ask = |sql: &str, rollups: &str| {
        let request = server.request("POST", "/api/v3/query_sql");
        let body = json!({"db": "home", "q": sql}).to_string();
        let reply = Reply::receive(request.header("x-neap-rollups", rollups).body(body)).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    };
    let explain = format!("EXPLAIN {sql}");
    wait_for("the view in the plan", REFRESH_LIMIT, || {
        let plan = ask(&explain, "exact");
        plan.contains("TableScan: hourly").then_some(())
    });
    assert!(!ask(&explain, "off").contains("TableScan: hourly"));
    for newer in [line("a", 30, 8.0), line("c", 300, 1.0)] {
        server.write("home", &newer);
        let answer = ask(sql, "exact");
        assert_eq!(answer, ask(sql, "off"));
        let rows: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&rows[0]["n"], &rows[0]["room"]), (&json!(3), &json!("a")));
    }
}

#[test]
fn continuous_queries_fill_a_retention_policy() {
    let store = StoreFixture::directory();
    let server = serve(&store);
    influxql(
        &server,
        "CREATE DATABASE telegraf; CREATE RETENTION POLICY long ON telegraf DURATION INF REPLICATION 1",
    );
    influxql(
        &server,
        "CREATE CONTINUOUS QUERY cpu_1h ON telegraf BEGIN SELECT mean(usage_idle) AS usage_idle, max(usage_user) AS \
         max_user INTO telegraf.long.cpu FROM cpu GROUP BY time(1h), * END",
    );
    let cpu = |minutes: i64, idle: i64, user: i64| {
        let time = NEW_YEAR + minutes * 60;
        format!("cpu,host=a,cpu=cpu0 usage_idle={idle},usage_user={user} {time}")
    };
    server.write("telegraf", &[cpu(0, 90, 1), cpu(10, 70, 5), cpu(60, 50, 9)].join("\n"));
    let sql = "SELECT host, cpu, usage_idle, max_user FROM cpu ORDER BY time";
    let row = |idle: f64, user: f64| json!({"host": "a", "cpu": "cpu0", "usage_idle": idle, "max_user": user});
    wait_for_rows(&server, "telegraf/long", sql, &[row(80.0, 5.0), row(50.0, 9.0)]);
    server.write("telegraf", &cpu(20, 50, 30));
    wait_for_rows(&server, "telegraf/long", sql, &[row(70.0, 30.0), row(50.0, 9.0)]);
    let shown = influxql(&server, "SHOW CONTINUOUS QUERIES");
    let series = &shown["results"][0]["series"][0];
    assert_eq!(series["name"], "telegraf");
    assert_eq!(series["values"][0][0], "cpu_1h");
    influxql(&server, "DROP CONTINUOUS QUERY cpu_1h ON telegraf");
    let shown = influxql(&server, "SHOW CONTINUOUS QUERIES");
    assert_eq!(shown["results"][0]["series"], Value::Null);
}

#[test]
fn views_are_created_listed_and_deleted_by_commands() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("home", &line("a", 0, 1.0));
    let create = ["create", "materialized_view", "hourly", VIEW, "-d", "home"];
    assert_eq!(
        server.run_command(&create).succeeded(),
        "Materialized view \"hourly\" created successfully\n"
    );
    server.run_command(&create).failed(1);
    let show = words("show materialized_views -d home --format json");
    let shown: Value = serde_json::from_str(&server.run_command(&show).succeeded()).unwrap();
    assert_eq!(shown[0]["name"], "hourly");
    assert_eq!(shown[0]["source"], "home");
    let delete = ["delete", "materialized_view", "hourly", "-d", "home"];
    server.run_command(&delete).succeeded();
    let shown: Value = serde_json::from_str(&server.run_command(&show).succeeded()).unwrap();
    assert_eq!(shown, json!([]));
    let message = server.run_command(&delete).failed(1);
    assert_contains!(message, "not found");
}
