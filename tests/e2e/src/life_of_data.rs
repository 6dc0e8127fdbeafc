//! Deletes of rows, retention, drops and what undoes them, over HTTP and from the command line.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Neap, Output, Place, Reply, neap, pause};

const HOUR: u64 = 3_600;

/// A server on a directory.
struct Stage {
    place: Place,
    server: Neap,
}

impl Stage {
    fn new() -> Self {
        let place = Place::directory();
        let server = Neap::serve(&place);
        Self { place, server }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        neap(&[arguments, &["--host", self.server.url()]].concat())
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        self.server.query("db", sql)
    }

    fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        let request = self.server.request(method, path);
        Reply::of(request.body(body.to_string())).unwrap()
    }

    /// Flushes what was written, which must be older than the flush lag of a directory.
    fn flush(&self) {
        pause(Duration::from_secs(9));
        self.compact(&[]);
    }

    fn compact(&self, flags: &[&str]) -> String {
        let arguments = [self.place.after(&["compact"]), flags.to_vec()].concat();
        neap(&arguments).succeeded()
    }
}

#[test]
fn rows_are_deleted_from_the_tail_and_from_sections_and_later_writes_stay() {
    let stage = Stage::new();
    let lines = |value: u32| {
        format!(
            "m,host=a v={value} 10\nm,host=b v={value} 10\nm,host=b v={value} 20\nm,host=c v={value} 30\n"
        )
    };
    stage.server.write("db", &lines(1));
    stage.flush();
    stage.server.write("db", "m,host=a w=2 10\n");
    let left = "SELECT host, v, w FROM m ORDER BY host, time";
    let deleted = stage.rows("DELETE FROM m WHERE host = 'a'");
    assert_eq!(deleted.len(), 1);
    let rest = [
        json!({ "host": "b", "v": 1.0 }),
        json!({ "host": "b", "v": 1.0 }),
        json!({ "host": "c", "v": 1.0 }),
    ];
    assert_eq!(stage.rows(left), rest);
    stage.server.write("db", "m,host=a w=3 10\n");
    let again = json!({ "host": "a", "w": 3.0 });
    assert_eq!(stage.rows(left)[0], again, "only what was written later");

    // InfluxDB 2's route; its times include both ends.
    let body = json!({ "start": "1970-01-01T00:00:15Z", "stop": "1970-01-01T00:00:25Z", "predicate": "_measurement=\"m\" AND host=\"b\"" });
    let reply = stage.send("POST", "/api/v2/delete?bucket=db&org=o", body);
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert!(reply.stamp().is_some());
    let rest = [again.clone(), rest[0].clone(), rest[2].clone()];
    assert_eq!(stage.rows(left), rest);

    let command = [
        "delete",
        "rows",
        "-d",
        "db",
        "-t",
        "m",
        "--where",
        "host = 'c'",
        "--yes",
    ];
    stage.run(&command).succeeded();
    assert_eq!(stage.rows(left), rest[..2]);
    stage.flush();
    stage.compact(&["--settle-after", "0s"]);
    assert_eq!(stage.rows(left), rest[..2]);
}

#[test]
fn a_delete_that_names_a_field_is_refused_and_changes_nothing() {
    let stage = Stage::new();
    stage.server.write("db", "m,host=a v=1 10\n");
    for (sql, part) in [
        ("DELETE FROM m WHERE v = 1", "v"),
        ("DELETE FROM nowhere", "nowhere"),
        ("DELETE FROM m WHERE host LIKE 'a%'", "host"),
    ] {
        let body = json!({ "db": "db", "q": sql, "format": "json" });
        let reply = stage.send("POST", "/api/v3/query_sql", body);
        assert!(
            (400..500).contains(&reply.status),
            "{sql}: {}",
            reply.text()
        );
        assert!(reply.text().contains(part), "{sql}: {}", reply.text());
    }
    let body = json!({ "start": "1970-01-01T00:00:00Z", "stop": "2030-01-01T00:00:00Z", "predicate": "v=\"1\"" });
    let reply = stage.send("POST", "/api/v2/delete?bucket=db", body);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(
        stage.rows("SELECT count(*) AS n FROM m"),
        [json!({ "n": 1 })]
    );
}

#[test]
fn retention_hides_rows_at_once_and_removes_them_with_the_next_compaction() {
    let stage = Stage::new();
    stage.server.write("db", "m,host=a v=2\nkept,host=a v=2\n");
    let now = stage.rows("SELECT CAST(max(time) AS BIGINT) / 1000000000 AS now FROM m");
    let old = now[0]["now"].as_u64().unwrap() - 50 * HOUR;
    let lines = format!("m,host=a v=1 {old}\nkept,host=a v=1 {old}\n");
    stage.server.write("db", &lines);
    stage.flush();
    let count = |table: &str| {
        let rows = stage.rows(&format!("SELECT count(*) AS n FROM {table}"));
        rows[0]["n"].as_u64().unwrap()
    };
    let update = [
        "update",
        "database",
        "-d",
        "db",
        "--retention-period",
        "24h",
    ];
    stage.run(&update).succeeded();
    let update = [
        "update",
        "table",
        "kept",
        "-d",
        "db",
        "--retention-period",
        "10d",
    ];
    stage.run(&update).succeeded();
    // An instance may hold the catalog for a moment.
    pause(Duration::from_secs(6));
    assert_eq!((count("m"), count("kept")), (1, 2));
    stage.compact(&[]);
    let update = [
        "update",
        "database",
        "-d",
        "db",
        "--retention-period",
        "none",
    ];
    stage.run(&update).succeeded();
    pause(Duration::from_secs(6));
    assert_eq!(
        (count("m"), count("kept")),
        (1, 2),
        "what has left stays away"
    );
}

#[test]
fn what_was_dropped_comes_back_with_all_its_rows() {
    let stage = Stage::new();
    stage.server.write("db", "m,host=a v=1 10\nother v=1 10\n");
    stage.flush();
    stage.server.write("db", "m,host=a v=2 20\n");
    stage
        .run(&["delete", "table", "m", "-d", "db", "--yes"])
        .succeeded();
    let body = json!({ "db": "db", "q": "SELECT * FROM m", "format": "json" });
    assert_ne!(stage.send("POST", "/api/v3/query_sql", body).status, 200);
    stage
        .run(&["undelete", "table", "m", "-d", "db"])
        .succeeded();
    let rows = stage.rows("SELECT v FROM m ORDER BY time");
    assert_eq!(rows, [json!({ "v": 1.0 }), json!({ "v": 2.0 })]);

    stage
        .run(&["delete", "database", "db", "--yes"])
        .succeeded();
    stage.run(&["undelete", "database", "db"]).succeeded();
    assert_eq!(stage.rows("SELECT v FROM m ORDER BY time"), rows);
}
