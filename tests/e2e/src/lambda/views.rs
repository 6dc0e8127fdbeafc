//! Materialized views and continuous queries, which a scheduled event of the query function refreshes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{neap, pause, wait_for},
    rollups::influxql,
};

use super::{LambdaStack, use_standard_margins};

const DB: &str = "home";

/// Maximum time until another instance may continue the work of a killed one: the rest of its claim, and a margin for a
/// slow machine.
const TAKEOVER: Duration = Duration::from_secs(300);

const VIEW: &str = "CREATE MATERIALIZED VIEW hourly AS SELECT date_bin(INTERVAL '1 hour', time) AS time, room, \
                    count(temp) AS n, sum(temp) AS temp FROM home GROUP BY 1, room";

const ROWS: &str = "SELECT room, n, temp FROM hourly ORDER BY time, room";

fn refresh() -> Value {
    json!({ "event": "refresh_views" })
}

fn row(room: &str, n: u64, temp: f64) -> Value {
    json!({ "room": room, "n": n, "temp": temp })
}

/// Writes rows and flushes them: views contain only flushed rows.
fn write_flushed(stack: &LambdaStack, lines: &str) {
    stack.write(DB, lines);
    neap(&stack.place.after(&["compact"])).succeeded();
}

#[test]
fn views_are_created_by_requests_and_refreshed_by_events() {
    let stack = LambdaStack::start_alone();
    write_flushed(&stack, "home,room=a temp=1 60\nhome,room=a temp=2 120\nhome,room=b temp=4 3600");
    stack.query(DB, VIEW);
    influxql(
        &stack,
        "CREATE CONTINUOUS QUERY daily ON home BEGIN SELECT max(temp) INTO daily FROM home GROUP BY time(1d) END",
    );
    let path = format!("/api/v3/configure/materialized_view?db={DB}");
    let listed = stack.request("GET", &path).send().unwrap();
    let listed: Value = serde_json::from_str(&listed.text().unwrap()).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");

    let answer = stack.invoke("query", &refresh());
    let expected = json!({
        "databases": 1, "windows": 3, "rows": 3, "evaluations": 0, "notifications": 0, "unfinished": false
    });
    assert_eq!(answer, expected);
    let first = [row("a", 2, 3.0), row("b", 1, 4.0)];
    assert_eq!(stack.query(DB, ROWS), first);
    assert_eq!(stack.query(DB, "SELECT \"max\" AS m FROM daily"), [json!({"m": 4.0})]);

    // A late row changes its windows only.
    write_flushed(&stack, "home,room=a temp=10 180");
    let answer = stack.invoke("query", &refresh());
    assert_eq!(answer["rows"], 2, "{answer}");
    assert_eq!(stack.query(DB, ROWS), [row("a", 3, 13.0), row("b", 1, 4.0)]);
    stack.finish();
}

#[test]
fn an_event_without_changes_reads_catalogs_and_the_registers_of_databases_with_views() {
    let stack = LambdaStack::start_alone_with(use_standard_margins);
    stack.write("other", "m v=1 1");
    let cost = || {
        let before = stack.requests("query");
        stack.invoke("query", &refresh());
        stack.requests("query").since(&before).to_string()
    };
    stack.invoke("query", &refresh());
    assert_eq!(cost(), "1 get database_catalog, 1 get root_catalog");
    write_flushed(&stack, "home,room=a temp=1 60");
    stack.query(DB, VIEW);
    // The flush of the rows of the view is a new version of the manifest, too.
    stack.invoke("query", &refresh());
    neap(&stack.place.after(&["compact"])).succeeded();
    stack.invoke("query", &refresh());
    assert_eq!(
        cost(),
        "3 get database_catalog, 1 get manifest, 1 get root_catalog, 1 get view_progress"
    );
    stack.finish();
}

#[test]
fn a_refresh_killed_at_any_request_is_repeated() {
    let stack = LambdaStack::start_alone();
    write_flushed(&stack, "home,room=a temp=1 60\nhome,room=b temp=4 3600");
    stack.query(DB, VIEW);
    stack.invoke("query", &refresh());
    write_flushed(&stack, "home,room=a temp=2 120\nhome,room=c temp=8 7200");
    let state = || {
        let sql = "SELECT state FROM system.materialized_views";
        stack.query(DB, sql)[0]["state"].clone()
    };
    // Until an instance is killed that has claimed the view. Others have changed nothing.
    let mut requests = 0;
    while state() != "refreshing" {
        requests += 1;
        stack.set_trap("query", &json!({ "after": requests }));
        stack.try_invoke("query", &refresh()).unwrap_err();
        assert_eq!(stack.take_trap("query"), 1);
        let rows = stack.query(DB, ROWS);
        assert_eq!(rows, [row("a", 1, 1.0), row("b", 1, 4.0)]);
    }
    println!("killed after {requests} requests");
    assert!(requests >= 5, "{requests}");
    let expected = [row("a", 2, 3.0), row("b", 1, 4.0), row("c", 1, 8.0)];
    wait_for("refresh after the claim", TAKEOVER, || {
        pause(Duration::from_secs(2));
        stack.invoke("query", &refresh());
        (stack.query(DB, ROWS) == expected).then_some(())
    });
    assert_eq!(state(), "current");
    neap(&stack.place.after(&["fsck", "--full"])).succeeded();
    stack.finish();
}
