//! Tests of `/metrics` and of the dashboard that uses it.

use std::collections::{BTreeMap, BTreeSet};

use neap_distributed::TaskCounters;
use neap_http::Metrics;
use serde_json::Value;

use crate::{
    listener::ConnectionStats,
    metrics, questdb,
    tests::{ServerUnderTest, parse},
};

/// Runs plugins, if Python is available: one on requests, and one on rows. Failures are counted, too.
async fn run_plugins(served: &ServerUnderTest) {
    for (name, when) in [("seen", "all_tables"), ("echo", "request:echo")] {
        let trigger = serde_json::json!({
            "db": "d",
            "plugin_filename": "echo.py",
            "trigger_name": name,
            "trigger_settings": {"run_async": false, "error_behavior": "log"},
            "trigger_specification": when,
            "trigger_arguments": null,
            "disabled": false,
        });
        let path = "/api/v3/configure/processing_engine_trigger";
        let headers = [("content-type", "application/json")];
        let trigger = trigger.to_string();
        let created = served.send("POST", path, &headers, &trigger).await;
        assert_eq!(created, (200, String::new()));
    }
    let answer = served.request("GET", "/api/v3/engine/echo", "").await;
    assert_eq!(answer.0, 500, "{answer:?}");
}

/// Returns the metrics of a process that has performed every kind of operation.
async fn shown() -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("echo.py"), "").unwrap();
    let plugins = folder.path().to_str().unwrap();
    let args = ["--object-store", "memory", "--without-auth"];
    let args = [&args[..], &["--plugin-dir", plugins]].concat();
    let served = ServerUnderTest::new(&args).await;
    metrics::register_connections(&served.metrics, &ConnectionStats::default().into());
    metrics::register_tasks(&served.metrics, &TaskCounters::default());
    let write = served.request("POST", "/api/v3/write_lp?db=d", "cpu,host=a v=1 1");
    assert_eq!(write.await.0, 204);
    let query = r#"{"db":"d","q":"SELECT host, v FROM cpu"}"#;
    let query = served.request("POST", "/api/v3/query_sql", query);
    assert_eq!(query.await.0, 200);
    let refused = served.request("POST", "/api/v3/write_lp?db=d", "cpu,host=a v=\"x\" 1");
    assert_eq!(refused.await.0, 400);
    let delete = r#"{"db":"d","table":"cpu","start":0,"stop":1}"#;
    let delete = served.request("POST", "/api/v3/delete_rows", delete);
    delete.await;
    let flight = "/arrow.flight.protocol.FlightService/ListFlights";
    let headers = [("content-type", "application/grpc")];
    let flight = served.send("POST", flight, &headers, "\0\0\0\0\0");
    assert_eq!(flight.await.0, 200);
    run_plugins(&served).await;
    let (status, text) = served.request("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    // Metrics that exist only with authentication.
    let guarded = ServerUnderTest::new(&["--object-store", "memory"]).await;
    assert_eq!(guarded.request("GET", "/metrics", "").await.0, 401);
    guarded.metrics.render() + &text
}

/// Returns the metrics of a listener for QuestDB's clients over TCP.
async fn questdb_metrics() -> String {
    let args = ["--object-store", "memory", "--without-auth"];
    let bind = ["--questdb-bind", "127.0.0.1:0", "--default-database", "d"];
    let args = [&args[..], &bind].concat();
    let served = ServerUnderTest::new(&args).await;
    let (writes, catalog) = (served.app.writes.as_ref(), &served.app.catalog);
    let metrics = Metrics::default();
    let args = parse(&args).unwrap();
    let listener = questdb::listen(&args, writes, catalog, &metrics, None);
    assert!(listener.await.unwrap().is_some());
    metrics.render()
}

/// Returns the kind and the label names of each metric.
fn names(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut names: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            names.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let bare = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let name = bare.filter(|bare| names.contains_key(*bare)).unwrap_or(name);
        let (_, known) = names.get_mut(name).unwrap_or_else(|| panic!("{line}"));
        for part in labels.split("\",").filter_map(|part| part.split_once('=')) {
            known.insert(part.0.to_owned());
        }
    }
    names
}

#[tokio::test]
async fn metrics_and_their_labels_match_the_list() {
    let text = shown().await;
    let lines: Vec<_> = names(&text)
        .into_iter()
        .map(|(name, (kind, labels))| {
            let labels: Vec<_> = labels.into_iter().collect();
            format!("{name} {kind} {}", labels.join(","))
        })
        .map(|line| line.trim_end().to_owned())
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    http_request_duration_seconds histogram le,method,path
    http_requests_total counter method,path,status
    influxdb3_write_bytes_total counter db
    influxdb3_write_lines_rejected_total counter db
    influxdb3_write_lines_total counter db
    neap_answer_cache_bytes gauge
    neap_answer_cache_hits_total counter
    neap_answer_cache_misses_total counter
    neap_auth_failures_total counter reason
    neap_backup_jobs_total counter kind,outcome
    neap_backup_last_bytes gauge
    neap_backup_last_duration_seconds gauge
    neap_backup_last_success_timestamp_seconds gauge
    neap_backups gauge state
    neap_build_info gauge revision,version
    neap_cache_bytes gauge
    neap_cache_entries gauge
    neap_cache_hits_total counter
    neap_cache_load_seconds_total counter
    neap_cache_loads_total counter
    neap_cache_misses_total counter
    neap_cache_scans_total counter
    neap_compaction_deleted_objects_total counter
    neap_compaction_due_bytes gauge
    neap_compaction_due_merges gauge
    neap_compaction_due_sections gauge
    neap_compaction_failures_total counter
    neap_compaction_filled_caches_total counter
    neap_compaction_merges_total counter
    neap_compaction_removed_sections_total counter
    neap_damaged_objects gauge
    neap_data_cache_chunk_bytes gauge
    neap_data_cache_footer_bytes gauge
    neap_data_cache_hits_total counter
    neap_data_cache_misses_total counter
    neap_data_checksum_failures_total counter
    neap_distributed_queries_total counter
    neap_distributed_requests_refused_total counter
    neap_distributed_retries_total counter
    neap_distributed_tasks_refused_total counter
    neap_distributed_tasks_total counter
    neap_distributed_worker_failures_total counter
    neap_distributed_workers gauge state
    neap_flight_requests_total counter code,method
    neap_flush_blocked gauge reason
    neap_http_connections gauge
    neap_http_connections_total counter
    neap_http_received_bytes_total counter
    neap_http_requests_in_flight gauge
    neap_http_requests_turned_away_total counter
    neap_http_sent_bytes_total counter
    neap_http_stalled_total counter
    neap_http_tls_failures_total counter
    neap_import_jobs_total counter
    neap_import_rows_total counter
    neap_memory_charged_bytes gauge part
    neap_memory_held_bytes gauge
    neap_memory_limit_bytes gauge
    neap_plugin_duration_seconds histogram db,le,trigger
    neap_plugin_failures_total counter db,reason,trigger
    neap_plugin_lag_seconds gauge db,trigger
    neap_plugin_log_lines_dropped_total counter
    neap_plugin_loops_total counter
    neap_plugin_lost_segments_total counter
    neap_plugin_pending_segments gauge db,trigger
    neap_plugin_runs_total counter db,trigger
    neap_plugin_ticks_skipped_total counter
    neap_plugin_unwritten_total counter
    neap_prometheus_dropped_total counter
    neap_queries_total counter outcome
    neap_query_rows_total counter
    neap_query_seconds_total counter
    neap_row_delete_requests_pending gauge
    neap_row_deletes_total counter
    neap_rule_evaluations_total counter
    neap_rule_failures_total counter
    neap_rule_notifications_total counter
    neap_rule_undelivered_total counter
    neap_scrub_bytes_total counter
    neap_scrub_failures_total counter
    neap_scrub_mended_total counter
    neap_scrub_sections_total counter
    neap_snapshot_age_seconds gauge which
    neap_snapshot_bytes gauge
    neap_store_bytes_total counter class,operation
    neap_store_failures_total counter operation
    neap_store_request_duration_seconds histogram le,operation
    neap_store_requests_total counter class,operation
    neap_tail_burst_batches_total counter
    neap_tail_bytes gauge
    neap_tail_bytes_total counter
    neap_tail_in_flight_bytes gauge
    neap_tail_oldest_seconds gauge
    neap_tail_puts_total counter
    neap_tail_refused_total counter
    neap_tail_segments gauge
    neap_tail_unknown_total counter
    neap_uptime_seconds gauge
    neap_view_databases_behind gauge
    neap_view_failures_total counter
    neap_view_rows_total counter
    neap_view_windows_total counter
    process_cpu_seconds_total counter
    process_open_fds gauge
    process_resident_memory_bytes gauge
    process_threads gauge
    ");
    for name in names(&text).keys() {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    assert!(text.ends_with("# EOF\n"));
}

/// Collects all values of a key, at any depth.
fn collect<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    value => collect(value, key, found),
                }
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_uses_existing_metrics() {
    let dashboard = include_str!("../../../../infra/grafana/provisioning/dashboards/neap.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut expressions = Vec::new();
    collect(&dashboard["panels"], "expr", &mut expressions);
    assert!(expressions.len() > 20);
    let mut names = names(&shown().await);
    names.extend(self::names(&questdb_metrics().await));
    let mut unused: BTreeSet<_> = names.keys().cloned().collect();
    let is_of_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    for expression in expressions {
        let prefixes = ["neap_", "influxdb3_", "http_", "process_"];
        let words = expression.split(|char| !is_of_name(char));
        let used: Vec<_> = words
            .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
            .collect();
        assert!(!used.is_empty(), "{expression}");
        for name in used {
            let bare = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            let found = [Some(name), bare]
                .into_iter()
                .flatten()
                .find(|name| names.contains_key(*name))
                .unwrap_or_else(|| panic!("{name} in {expression}"));
            unused.remove(found);
        }
    }
    // A new metric must be added to the dashboard.
    assert_eq!(unused, BTreeSet::new());
}
