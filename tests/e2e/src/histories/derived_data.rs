//! The derived data of a history: caches and materialized views of the samples, and a trigger on the log.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    clients::DATABASE,
    cluster::{ALL_MODES, Cluster, ClusterKind, PLUGIN_FILE},
    history::{ReadPath, ReadSelection, Table, TableRead},
    recorder::HistoryRecorder,
    statements::{
        CACHED_ROWS, DISTINCT_CACHE, LAST_CACHE, SHORT_WINDOW, select, view_name, view_query,
    },
};
use crate::harness::{Reply, ServerClient, try_wait_for};

/// Maximum age of rows in caches in seconds, about 100 years: the times of rows are in 1970.
const MAX_AGE: u64 = 3_200_000_000;
/// Maximum wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);
/// Maximum wait until a view is current, or the plan of a statement uses derived data. The claim of a refresher that was
/// killed ends after 150 seconds.
const SETTLED: Duration = Duration::from_secs(300);

/// Returns an instance that does everything.
fn instance(cluster: &Cluster) -> Option<ServerClient> {
    let instances = cluster.instances(ALL_MODES);
    instances.into_iter().next().map(|(_, server)| server)
}

fn send(server: &ServerClient, path: &str, body: &Value) -> reqwest::Result<Reply> {
    let request = server.request("POST", path).header("content-type", "application/json");
    Reply::receive(request.body(body.to_string()).timeout(LIMIT))
}

fn query(server: &ServerClient, sql: &str) -> reqwest::Result<Reply> {
    let body = json!({ "db": DATABASE, "q": sql });
    send(server, "/api/v3/query_sql", &body)
}

/// Sends a request that has to succeed, because there are no faults yet.
fn configure(cluster: &Cluster, resource: &str, body: &Value) {
    let server = instance(cluster).unwrap();
    let reply = send(&server, &format!("/api/v3/configure/{resource}"), body).unwrap();
    let is_done = (200..300).contains(&reply.status);
    assert!(is_done, "{resource}: {} {}", reply.status, reply.text());
}

/// Creates the database and the trigger, before the log has rows.
pub(super) fn create_trigger(cluster: &Cluster, kind: ClusterKind) {
    if !kind.has_trigger() {
        return;
    }
    configure(cluster, "database", &json!({ "db": DATABASE }));
    let trigger = json!({
        "db": DATABASE,
        "plugin_filename": PLUGIN_FILE,
        "trigger_name": "deliver",
        // The store may refuse the rows that the plugin writes.
        "trigger_settings": { "run_async": false, "error_behavior": "retry" },
        "trigger_specification": format!("table:{}", Table::Log.name()),
        "trigger_arguments": null,
        "disabled": false,
    });
    configure(cluster, "processing_engine_trigger", &trigger);
}

/// Creates the caches of the samples.
pub(super) fn create_caches(cluster: &Cluster) {
    let table = Table::Samples.name();
    let newest = json!({
        "db": DATABASE,
        "table": table,
        "name": LAST_CACHE,
        "key_columns": ["series"],
        "count": CACHED_ROWS,
        "ttl": MAX_AGE,
    });
    configure(cluster, "last_cache", &newest);
    let tags = json!({
        "db": DATABASE,
        "table": table,
        "name": DISTINCT_CACHE,
        "columns": ["series"],
        "max_age": MAX_AGE,
    });
    configure(cluster, "distinct_cache", &tags);
}

/// Creates the view with windows of this length. Returns whether it exists.
pub(super) fn create_view(cluster: &Cluster, seconds: u64) -> bool {
    let sql = format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {} AS {}",
        view_name(seconds),
        view_query(seconds)
    );
    let reply = instance(cluster).and_then(|server| query(&server, &sql).ok());
    reply.is_some_and(|reply| reply.status == 200)
}

/// The derived data when all faults are over and all rows are flushed.
pub(super) struct SettledData<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) recorder: &'a HistoryRecorder,
}

impl SettledData<'_> {
    /// Waits until the view with windows of this length has all flushed rows of its source.
    pub(super) fn wait_for_view(&self, seconds: u64) {
        let sql = format!(
            "SELECT state, pending_windows, staleness_s, error FROM system.materialized_views WHERE view_name = '{}'",
            view_name(seconds)
        );
        self.wait_for("a view that is not current", &sql, |reply| {
            let rows: Vec<Value> = serde_json::from_slice(&reply.bytes).unwrap_or_default();
            let current = json!({ "state": "current", "pending_windows": 0, "staleness_s": 0 });
            rows == [current]
        });
    }

    /// Waits until plans use the view and the caches. Otherwise the history would not check them.
    pub(super) fn wait_for_plans(&self) {
        let plan = |selection, path| {
            let read = TableRead::strong(Table::Samples, selection, path);
            format!("EXPLAIN {}", select(&read))
        };
        let windows = plan(ReadSelection::Windows(SHORT_WINDOW), ReadPath::Table);
        let scan = format!("TableScan: {}", view_name(SHORT_WINDOW));
        self.wait_for("a plan without the view", &windows, |reply| reply.text().contains(&scan));
        let caches = [
            ("LastCacheExec", ReadSelection::Newest(CACHED_ROWS)),
            ("DistinctCacheExec", ReadSelection::Tags),
        ];
        for (operator, selection) in caches {
            let sql = plan(selection, ReadPath::Cache);
            self.wait_for("a plan without a cache", &sql, |reply| {
                let plan = reply.text();
                plan.contains(operator) && !plan.contains("from=table")
            });
        }
    }

    /// Waits until the answer of a statement is as expected. Otherwise, the last answer counts as unexpected.
    fn wait_for(&self, otherwise: &str, sql: &str, is_expected: impl Fn(&Reply) -> bool) {
        let mut last = None;
        let is_settled = try_wait_for(SETTLED, || {
            let reply = query(&instance(self.cluster)?, sql).ok()?;
            let is_expected = is_expected(&reply);
            last = Some(reply);
            is_expected.then_some(())
        });
        if is_settled.is_none() {
            let reply = last.expect("an answer after the last fault");
            self.recorder.unexpected(otherwise, &reply);
        }
    }
}
