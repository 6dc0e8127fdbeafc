//! Deletes of rows, retention, drops and undeletions, over HTTP and from the command line.

use std::{cell::Cell, ops::Deref};

use serde_json::{Value, json};

use crate::harness::{
    CATALOG_AGE, CommandOutput, NeapProcess, Reply, STAMP, ServerClient, StoreFixture, neap, pause,
    words,
};

const HOUR: u64 = 3_600;

/// A server and its store.
pub(crate) struct DataLifecycleFixture<S> {
    place: StoreFixture,
    server: S,
    last: Cell<Option<u64>>,
}

impl DataLifecycleFixture<NeapProcess> {
    /// Starts a server on a directory.
    fn new() -> Self {
        let place = StoreFixture::directory();
        let server = NeapProcess::serve(&place);
        Self::on(place, server)
    }
}

impl<S: Deref<Target = ServerClient>> DataLifecycleFixture<S> {
    /// Wraps a server on a store.
    pub(crate) fn on(place: StoreFixture, server: S) -> Self {
        Self { place, server, last: Cell::new(None) }
    }

    pub(crate) fn into_server(self) -> S {
        self.server
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.server.run_command(arguments)
    }

    /// Writes lines ordered after all previous requests, because with several instances only stamps guarantee the
    /// order.
    fn write(&self, lines: &str) {
        let stamp = self.server.write_after("db", lines, self.last.get());
        self.last.set(Some(stamp));
    }

    /// Returns the rows of a statement that reads everything written so far.
    fn rows(&self, sql: &str) -> Vec<Value> {
        let body = json!({ "db": "db", "q": sql }).to_string();
        let mut request = self.server.request("POST", "/api/v3/query_sql").body(body);
        if let Some(last) = self.last.get() {
            request = request.header(STAMP, last);
        }
        let reply = Reply::receive(request).unwrap();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        self.last.set(reply.stamp().max(self.last.get()));
        serde_json::from_slice(&reply.bytes).unwrap()
    }

    fn send(&self, method: &str, path: &str, body: Value) -> Reply {
        let mut request = self.server.request(method, path);
        if let Some(last) = self.last.get() {
            request = request.header(STAMP, last);
        }
        let reply = Reply::receive(request.body(body.to_string())).unwrap();
        self.last.set(reply.stamp().max(self.last.get()));
        reply
    }

    /// Flushes all writes.
    fn flush(&self) {
        self.compact(&[]);
    }

    fn compact(&self, flags: &[&str]) -> String {
        let arguments = [self.place.after(&["compact"]), flags.to_vec()].concat();
        neap(&arguments).succeeded()
    }
}

#[test]
fn rows_are_deleted_from_the_tail_and_from_sections_and_later_writes_stay() {
    delete_rows(&DataLifecycleFixture::new());
}

pub(crate) fn delete_rows<S: Deref<Target = ServerClient>>(stage: &DataLifecycleFixture<S>) {
    let lines = |value: u32| {
        format!(
            "m,host=a v={value} 10\nm,host=b v={value} 10\nm,host=b v={value} 20\nm,host=c v={value} 30\n"
        )
    };
    stage.write(&lines(1));
    stage.flush();
    stage.write("m,host=a w=2 10\n");
    let left = "SELECT host, v, w FROM m ORDER BY host, time";
    let deleted = stage.rows("DELETE FROM m WHERE host = 'a'");
    assert_eq!(deleted.len(), 1);
    let rest = [
        json!({ "host": "b", "v": 1.0 }),
        json!({ "host": "b", "v": 1.0 }),
        json!({ "host": "c", "v": 1.0 }),
    ];
    assert_eq!(stage.rows(left), rest);
    stage.write("m,host=a w=3 10\n");
    let again = json!({ "host": "a", "w": 3.0 });
    assert_eq!(stage.rows(left)[0], again, "only what was written later");

    // The endpoint of InfluxDB 2; its time range includes both ends.
    let body = json!({ "start": "1970-01-01T00:00:15Z", "stop": "1970-01-01T00:00:25Z", "predicate": "_measurement=\"m\" AND host=\"b\"" });
    let reply = stage.send("POST", "/api/v2/delete?bucket=db&org=o", body);
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert!(reply.stamp().is_some());
    let rest = [again.clone(), rest[0].clone(), rest[2].clone()];
    assert_eq!(stage.rows(left), rest);

    let command = ["delete", "rows", "-d", "db", "-t", "m", "--where", "host = 'c'", "--yes"];
    stage.run(&command).succeeded();
    assert_eq!(stage.rows(left), rest[..2]);
    stage.flush();
    stage.compact(&["--settle-after", "0s"]);
    assert_eq!(stage.rows(left), rest[..2]);
}

#[test]
fn a_delete_that_names_a_field_is_refused_and_changes_nothing() {
    refuse_deletes(&DataLifecycleFixture::new());
}

pub(crate) fn refuse_deletes<S: Deref<Target = ServerClient>>(stage: &DataLifecycleFixture<S>) {
    stage.write("m,host=a v=1 10\n");
    for (sql, part) in [
        ("DELETE FROM m WHERE v = 1", "v"),
        ("DELETE FROM nowhere", "nowhere"),
        ("DELETE FROM m WHERE host LIKE 'a%'", "host"),
    ] {
        let body = json!({ "db": "db", "q": sql, "format": "json" });
        let reply = stage.send("POST", "/api/v3/query_sql", body);
        assert!((400..500).contains(&reply.status), "{sql}: {}", reply.text());
        assert!(reply.text().contains(part), "{sql}: {}", reply.text());
    }
    let body = json!({ "start": "1970-01-01T00:00:00Z", "stop": "2030-01-01T00:00:00Z", "predicate": "v=\"1\"" });
    let reply = stage.send("POST", "/api/v2/delete?bucket=db", body);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(stage.rows("SELECT count(*) AS n FROM m"), [json!({ "n": 1 })]);
}

#[test]
fn retention_hides_rows_at_once_and_removes_them_with_the_next_compaction() {
    let stage = DataLifecycleFixture::new();
    stage.write("m,host=a v=2\nkept,host=a v=2\n");
    let now = stage.rows("SELECT CAST(max(time) AS BIGINT) / 1000000000 AS now FROM m");
    let old = now[0]["now"].as_u64().unwrap() - 50 * HOUR;
    let lines = format!("m,host=a v=1 {old}\nkept,host=a v=1 {old}\n");
    stage.write(&lines);
    stage.flush();
    let count = |table: &str| {
        let rows = stage.rows(&format!("SELECT count(*) AS n FROM {table}"));
        rows[0]["n"].as_u64().unwrap()
    };
    let update = words("update database -d db --retention-period 24h");
    stage.run(&update).succeeded();
    let update = words("update table kept -d db --retention-period 10d");
    stage.run(&update).succeeded();
    // An instance may use its copy of the catalog for a while.
    pause(CATALOG_AGE);
    assert_eq!((count("m"), count("kept")), (1, 2));
    stage.compact(&[]);
    let update = words("update database -d db --retention-period none");
    stage.run(&update).succeeded();
    pause(CATALOG_AGE);
    assert_eq!((count("m"), count("kept")), (1, 2), "what has left stays away");
}

#[test]
fn undeleted_tables_and_databases_have_all_their_rows() {
    drop_and_undrop(&DataLifecycleFixture::new());
}

pub(crate) fn drop_and_undrop<S: Deref<Target = ServerClient>>(stage: &DataLifecycleFixture<S>) {
    stage.write("m,host=a v=1 10\nother v=1 10\n");
    stage.flush();
    stage.write("m,host=a v=2 20\n");
    stage.run(&["delete", "table", "m", "-d", "db", "--yes"]).succeeded();
    let body = json!({ "db": "db", "q": "SELECT * FROM m", "format": "json" });
    assert_ne!(stage.send("POST", "/api/v3/query_sql", body).status, 200);
    stage.run(&["undelete", "table", "m", "-d", "db"]).succeeded();
    let rows = stage.rows("SELECT v FROM m ORDER BY time");
    assert_eq!(rows, [json!({ "v": 1.0 }), json!({ "v": 2.0 })]);

    stage.run(&["delete", "database", "db", "--yes"]).succeeded();
    stage.run(&["undelete", "database", "db"]).succeeded();
    assert_eq!(stage.rows("SELECT v FROM m ORDER BY time"), rows);
}
