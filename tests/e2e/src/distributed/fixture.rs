//! Worker processes on one store, and a process that answers queries alone.

use std::{cell::Cell, fmt::Write as _, time::Duration};

use neap_test_inputs::tsbs::CPU_FIELDS;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, neap, wait_for};

/// The number of workers.
pub(super) const WORKERS: usize = 4;
/// The number of hosts of the table `cpu`.
const HOSTS: u64 = 12;
/// The time of the first row, in seconds: 2024-01-01.
const START: u64 = 1_704_067_200;
/// The time between two rows of a host, in seconds. A round spans several days, because each day has its own sections, and
/// one section is not divided among workers.
const INTERVAL: u64 = 3_600;
/// The number of rows of each host in a round.
const ROUND_ROWS: u64 = 180;
/// Maximum wait for a flush, including the flush lag of a network store.
const FLUSH: Duration = Duration::from_secs(120);

/// The header with the number of workers of an answer.
const WORKERS_HEADER: &str = "x-neap-workers";

/// Flags of a worker that distributes each query that reads anything, also one whose answer it could keep.
const WORKER_FLAGS: [&str; 8] = [
    "--answer-cache-size",
    "0b",
    "--mode",
    "query",
    "--cluster-address",
    "127.0.0.1:0",
    "--distributed-bytes-per-worker",
    "1",
];

/// A store with a writer, workers, and a process that answers queries alone.
pub(super) struct WorkerCluster {
    pub(super) place: StoreFixture,
    pub(super) writer: NeapProcess,
    pub(super) workers: Vec<NeapProcess>,
    pub(super) alone: NeapProcess,
    /// The number of segments that were flushed.
    flushed: Cell<u64>,
    /// The number of statements that were checked.
    checked: Cell<usize>,
}

impl WorkerCluster {
    pub(super) fn start() -> Self {
        let place = StoreFixture::neap_s3_server();
        // It does not compact, so that only the command flushes segments.
        let write = ["--mode", "ingest", "--wal-flush-interval", "20ms"];
        let alone = ["--mode", "query", "--distributed-max-workers", "0"];
        Self {
            writer: NeapProcess::serve_with(&place, &write),
            workers: (0..WORKERS).map(|_| Self::worker(&place)).collect(),
            alone: NeapProcess::serve_with(&place, &alone),
            flushed: Cell::new(0),
            checked: Cell::new(0),
            place,
        }
    }

    pub(super) fn worker(place: &StoreFixture) -> NeapProcess {
        NeapProcess::serve_with(place, &WORKER_FLAGS)
    }

    /// Writes rows of `cpu`. Rows of the same round overwrite each other; values are whole numbers, so that sums do not
    /// depend on the order of rows.
    pub(super) fn write(&self, round: u64, seed: u64) {
        let mut lines = String::new();
        for row in 0..ROUND_ROWS {
            let time = START + (round * ROUND_ROWS + row) * INTERVAL;
            for host in 0..HOSTS {
                write!(lines, "cpu,hostname=host_{host},region=r{} ", host % 3).unwrap();
                for (number, field) in CPU_FIELDS.iter().enumerate() {
                    let value = (time / INTERVAL * 7 + host * 13 + number as u64 * 31 + seed) % 101;
                    let separator = if number == 0 { "" } else { "," };
                    write!(lines, "{separator}{field}={value}").unwrap();
                }
                writeln!(lines, " {time}").unwrap();
            }
        }
        self.writer.write("bench", &lines);
    }

    /// Flushes all segments.
    pub(super) fn flush(&self) {
        wait_for("flush of all segments", FLUSH, || {
            let flushed = &self.flushed;
            flushed.set(flushed.get() + compact(&self.place));
            let written = metric(&self.writer, "neap_tail_puts_total");
            (flushed.get() == written).then_some(())
        });
    }

    /// Checks that a worker, the next one of all in turn, answers a statement as the process that answers alone does.
    /// Returns the number of workers that it used.
    pub(super) fn check(&self, database: &str, sql: &str) -> u64 {
        let expected = sorted(self.alone.query(database, sql));
        let number = self.checked.replace(self.checked.get() + 1);
        let coordinator = &self.workers[number % self.workers.len()];
        let (rows, workers) = distributed(coordinator, database, sql);
        assert_eq!(sorted(rows), expected, "{sql}");
        workers
    }

    /// Returns the tasks that each worker has accepted.
    pub(super) fn tasks(&self) -> Vec<u64> {
        let tasks = self.workers.iter();
        tasks.map(|worker| metric(worker, "neap_distributed_tasks_total")).collect()
    }
}

/// Runs `neap compact`, and returns the number of segments that it flushed.
fn compact(place: &StoreFixture) -> u64 {
    let out = neap(&place.after(&["compact"])).succeeded();
    let counts = out.lines().filter_map(|line| {
        let (_, text) = line.split_once(": ")?;
        let count = text.split_once(" segments are now ")?.0;
        count.parse::<u64>().ok()
    });
    counts.sum()
}

/// Sends a signal to a process.
pub(super) fn signal(process: &NeapProcess, signal: Signal) {
    kill_process(process.pid(), signal).unwrap();
}

/// Returns the answer to a query; an error if it is cut.
pub(super) fn reply(server: &ServerClient, database: &str, sql: &str) -> reqwest::Result<Reply> {
    let body = json!({ "db": database, "q": sql }).to_string();
    Reply::receive(server.request("POST", "/api/v3/query_sql").body(body))
}

/// Returns the rows of a query, and the number of workers that it ran on.
pub(super) fn distributed(server: &ServerClient, database: &str, sql: &str) -> (Vec<Value>, u64) {
    let reply = reply(server, database, sql).unwrap();
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    let workers = reply.header(WORKERS_HEADER).map_or(0, |workers| workers.parse().unwrap());
    (serde_json::from_slice(&reply.bytes).unwrap(), workers)
}

/// Returns the sum of the samples of a metric.
pub(super) fn metric(server: &ServerClient, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_sample = rest.starts_with(' ') || rest.starts_with('{');
        let value = rest.rsplit_once(' ').filter(|_| is_sample)?.1;
        value.parse::<u64>().ok()
    });
    samples.sum()
}

/// Sorts rows by their text: most statements of the tests leave the order open.
pub(super) fn sorted(rows: Vec<Value>) -> Vec<String> {
    let mut rows: Vec<_> = rows.iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}
