//! Benchmarks of plugin processes: process start, a warm request, and rows of a segment passed to a plugin.
//!
//! ```text
//! cargo bench -p neap-engine --bench worker
//! ```
//!
//! Each row has a tag, four floats and a time. "copies" writes each row back as a line; "counts" only counts the rows.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark"
)]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, RecordBatch, TimestampNanosecondArray,
    types::Int32Type,
};
use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::World;
use neap_engine::{
    DatabaseAccessError, LogLevel, PluginInput, PluginOnDisk, PluginRun, QueryRows, RunContext,
    RunLimits, TriggerKey, WorkerPool, WorkerSettings,
};
use neap_schema::{DatabaseId, TriggerId};
use tokio_util::sync::CancellationToken;

const PLUGIN: &str = r#"
def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return {"answer": request_body.decode()}

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        if args is None:
            influxdb3_local.info(len(batch["rows"]))
            continue
        for row in batch["rows"]:
            line = LineBuilder("copy").tag("host", row["host"])
            for field in ("f0", "f1", "f2", "f3"):
                line.float64_field(field, row[field])
            influxdb3_local.write(line.time_ns(row["time"]))
"#;

#[derive(Debug)]
struct NoopRunContext;

#[async_trait]
impl RunContext for NoopRunContext {
    fn log(&self, _: LogLevel, _: String) {}

    async fn query(
        &self,
        _: &str,
        _: &str,
        _: &[(String, String)],
    ) -> Result<QueryRows, DatabaseAccessError> {
        Err(DatabaseAccessError("nothing is here".to_owned()))
    }

    async fn write_now(&self, _: &str, _: Bytes, _: bool) -> Result<(), DatabaseAccessError> {
        Ok(())
    }
}

fn run(path: &Path, call: PluginInput) -> PluginRun {
    PluginRun {
        trigger: TriggerKey::Trigger { database: DatabaseId::new(1), trigger: TriggerId::new(1) },
        database_name: "bench".into(),
        trigger_name: "bench".into(),
        code: PluginOnDisk { path: path.to_owned(), version: "1".into() },
        arguments: None,
        call,
        is_async: false,
        limits: RunLimits::default(),
        stop: CancellationToken::new(),
        abandoned: CancellationToken::new(),
        context: Arc::new(NoopRunContext),
    }
}

fn rows(count: usize) -> RecordBatch {
    let names = (0..count).map(|row| format!("host_{}", row % 100)).collect::<Vec<_>>();
    let hosts: DictionaryArray<Int32Type> = names.iter().map(|name| Some(name.as_str())).collect();
    let mut columns: Vec<(String, ArrayRef)> = vec![("host".to_owned(), Arc::new(hosts))];
    for field in 0..4 {
        let values = (0..count).map(|row| row as f64 * 0.1 + f64::from(field));
        let values = Float64Array::from_iter_values(values);
        columns.push((format!("f{field}"), Arc::new(values)));
    }
    let times = TimestampNanosecondArray::from_iter_values((0..count).map(|row| row as i64));
    columns.push(("time".to_owned(), Arc::new(times)));
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Returns the durations of `runs` runs, shortest first.
async fn times(workers: &WorkerPool, run: &PluginRun, runs: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let run = run.clone();
        let start = Instant::now();
        workers.run(run).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    times
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.py");
    std::fs::write(&path, PLUGIN).unwrap();
    let workers = WorkerPool::new(WorkerSettings::default(), World::system());
    let request = run(
        &path,
        PluginInput::Request {
            method: "POST".to_owned(),
            query: Vec::new(),
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: Bytes::from_static(b"hello"),
        },
    );
    let first = times(&workers, &request, 1).await;
    println!("first request, with the search for the interpreter: {:?}", first[0]);
    workers.forget(&request.trigger);
    let first = times(&workers, &request, 1).await;
    println!("first request of a process: {:?}", first[0]);
    let warm = times(&workers, &request, 2_000).await;
    println!("warm request: p50 {:?}, p99 {:?}", warm[1_000], warm[1_980]);
    println!("| rows | counts, rows/s | copies, rows/s |\n|---|---|---|");
    for count in [1_000, 10_000] {
        let writes = PluginInput::Writes {
            tables: vec![("cpu".to_owned(), vec![rows(count)])],
            stamp: None,
        };
        let mut writes = run(&path, writes);
        let counted = times(&workers, &writes, 20).await[10];
        writes.arguments = Some([("copy".to_owned(), "1".to_owned())].into());
        let copied = times(&workers, &writes, 20).await[10];
        let speed = |time: Duration| count as f64 / time.as_secs_f64();
        println!("| {count} | {:.0} | {:.0} |", speed(counted), speed(copied));
    }
    workers.stop().await;
}
