//! Processes on one store, and the comparison of their answers.

use std::time::Duration;

use serde_json::Value;

use super::definition::{CacheDefinition, TableColumns};
use crate::harness::{CommandOutput, NeapProcess, Reply, ServerClient, StoreFixture, neap, pause};

/// The database of the tests.
pub(crate) const DB: &str = "db";

/// Maximum number of comparisons until no row expires in between.
const MAX_ATTEMPTS: usize = 20;

/// One process that writes, and all processes that answer queries.
pub(super) struct CacheFixture {
    pub(super) place: StoreFixture,
    pub(super) writer: NeapProcess,
    pub(super) queriers: Vec<NeapProcess>,
    /// The store's time at the start, in seconds.
    pub(super) started_at: u64,
}

impl CacheFixture {
    /// A directory: one process with all roles, and one that only answers queries.
    pub(super) fn on_a_directory() -> Self {
        let place = StoreFixture::directory();
        let writer = NeapProcess::serve(&place);
        Self::new(place, writer, 1)
    }

    /// A network store: one process that only writes, and two that only answer queries.
    pub(super) fn on_a_network(place: StoreFixture) -> Self {
        let flags = ["--mode", "ingest", "--wal-flush-interval", "20ms"];
        let writer = NeapProcess::serve_with(&place, &flags);
        Self::new(place, writer, 2)
    }

    fn new(place: StoreFixture, writer: NeapProcess, queriers: usize) -> Self {
        let queriers: Vec<_> = (0..queriers).map(|_| querier(&place)).collect();
        writer.write(DB, "clock v=1");
        let started_at = now(&queriers[0]);
        Self { place, writer, queriers, started_at }
    }

    /// Writes lines whose times are seconds since the start, most of them negative.
    pub(super) fn write(&self, lines: &str) -> u64 {
        self.writer.write(DB, &shift_times(self.started_at, lines))
    }

    /// Creates caches over HTTP.
    pub(super) fn create(&self, caches: &[CacheDefinition]) {
        for cache in caches {
            create(&self.writer, cache);
        }
    }

    /// Runs a command against the writing process.
    pub(super) fn run<A: AsRef<str>>(&self, arguments: &[A]) -> CommandOutput {
        let arguments = arguments.iter().map(AsRef::as_ref);
        let host = ["--host", self.writer.url()];
        neap(&arguments.chain(host).collect::<Vec<_>>())
    }

    pub(super) fn on_store(&self, arguments: &[&str]) -> CommandOutput {
        neap(&self.place.after(arguments))
    }

    /// Flushes all writes, and fills new caches.
    pub(super) fn flush(&self) {
        self.on_store(&["compact"]).succeeded();
    }

    /// Starts a querier with empty memory.
    pub(super) fn fresh(&self) -> NeapProcess {
        querier(&self.place)
    }

    /// Checks that all queriers, and a fresh one, return what the definitions say.
    pub(super) fn check(&self, caches: &[CacheDefinition], step: &str) {
        let fresh = self.fresh();
        for querier in self.queriers.iter().chain([&fresh]) {
            for cache in caches {
                check(querier, cache, step);
            }
        }
    }
}

fn querier(place: &StoreFixture) -> NeapProcess {
    NeapProcess::serve_with(place, &["--mode", "query"])
}

/// Returns the store's time in seconds.
pub(crate) fn now(server: &ServerClient) -> u64 {
    let rows = server.query(DB, "SELECT CAST(to_unixtime(now()) AS BIGINT) AS now");
    rows[0]["now"].as_u64().unwrap()
}

/// Adds `begin` to the times of lines, in seconds.
pub(crate) fn shift_times(begin: u64, lines: &str) -> String {
    let moved = lines.lines().map(|line| {
        let (point, time) = line.trim().rsplit_once(' ').unwrap();
        let time = begin.checked_add_signed(time.parse().unwrap()).unwrap();
        format!("{point} {time}\n")
    });
    moved.collect()
}

/// Creates a cache over HTTP.
pub(crate) fn create(server: &ServerClient, cache: &CacheDefinition) {
    let path = format!("/api/v3/configure/{}", cache.kind());
    let request = server.request("POST", &path).header("content-type", "application/json");
    let reply = Reply::receive(request.body(cache.body(DB).to_string())).unwrap();
    assert_eq!(reply.status, 201, "{cache:?}: {}", reply.text());
}

/// Sends a statement, and returns the answer as CSV, or the error.
pub(super) fn ask(server: &ServerClient, sql: &str, headers: &[(&str, &str)]) -> Reply {
    let body = serde_json::json!({ "db": DB, "q": sql, "format": "csv" });
    let mut request = server.request("POST", "/api/v3/query_sql");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::receive(request.body(body.to_string())).unwrap()
}

/// Returns the rows of an answer as CSV.
pub(super) fn csv(server: &ServerClient, sql: &str) -> String {
    csv_with(server, sql, &[])
}

/// Returns the rows of an answer to a request with headers, as CSV.
pub(super) fn csv_with(server: &ServerClient, sql: &str, headers: &[(&str, &str)]) -> String {
    let reply = ask(server, sql, headers);
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    reply.text()
}

/// The header that bypasses the caches, so that a query reads tables.
pub(super) const BYPASS_CACHES: (&str, &str) = ("x-neap-cache", "off");

pub(super) fn columns(server: &ServerClient, table: &str) -> TableColumns {
    let sql = format!(
        "SELECT column_name, data_type FROM information_schema.columns \
         WHERE table_name = '{table}' AND column_name <> 'time' ORDER BY column_name"
    );
    let mut columns = TableColumns::default();
    for row in server.query(DB, &sql) {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        if text("data_type").starts_with("Dictionary") {
            columns.tags.push(text("column_name"))
        } else {
            columns.fields.push(text("column_name"))
        }
    }
    columns
}

/// Checks that a cache returns what its definition says, both from the cache and from the table. Returns the rows as
/// CSV.
pub(crate) fn check(server: &ServerClient, cache: &CacheDefinition, step: &str) -> String {
    let definition = cache.definition(&columns(server, cache.table));
    for _ in 0..MAX_ATTEMPTS {
        let before = csv_with(server, &definition, &[BYPASS_CACHES]);
        let shown =
            [&[][..], &[BYPASS_CACHES]].map(|headers| csv_with(server, &cache.query(), headers));
        if before == csv_with(server, &definition, &[BYPASS_CACHES]) {
            for shown in &shown {
                assert_eq!(*shown, before, "{step}: {}", cache.query());
            }
            return before;
        }
        pause(Duration::from_millis(100));
    }
    panic!("{step}: never the same twice: {definition}");
}

/// Returns the entries of a listing of caches.
pub(super) fn listed(server: &ServerClient) -> Vec<Value> {
    let sql = "SELECT \"table\", name FROM system.last_caches \
               UNION ALL SELECT \"table\", name FROM system.distinct_caches ORDER BY name";
    server.query(DB, sql)
}
