//! A process with little memory under load: its memory stays below the limit, and no query is refused because of the
//! size of the tail.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::harness::{NeapProcess, Reply, StoreFixture, assert_contains, pause};

const LIMIT: usize = 384 << 20;

const WRITERS: usize = 3;

/// The number of writes of each writer, and the number of rows of each.
const WRITES: [usize; 2] = [20, 2_000];

const QUERIES: [&str; 5] = [
    "SELECT host, avg(usage) AS a, count(*) AS n FROM cpu GROUP BY host ORDER BY a DESC",
    "SELECT * FROM cpu ORDER BY usage DESC, time LIMIT 10",
    "SELECT DISTINCT host, region FROM cpu",
    "SELECT host, time, row_number() OVER (PARTITION BY host ORDER BY time) AS r FROM cpu ORDER BY r LIMIT 10",
    "SELECT count(*) AS n FROM cpu a JOIN cpu b ON a.host = b.host AND a.time = b.time WHERE a.usage > 950",
];

/// Returns the memory of a process in bytes, without file pages.
fn resident_bytes(neap: &NeapProcess) -> usize {
    let pid = neap.pid().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<usize>().unwrap() << 10
}

/// Returns the rows of one write. Each row is a separate point; one in fifty is up to twenty days late.
fn lines(writer: usize, number: usize) -> String {
    let [writes, rows] = WRITES;
    let line = |row: usize| {
        let point = (writer * writes + number) * rows + row;
        // Not whole days, so that no two points of the same host have the same time.
        let late = if point.is_multiple_of(50) {
            point % 20 * 86_399
        } else {
            0
        };
        let time = 1_700_000_000 + point - late;
        format!(
            "cpu,host=h{},region=r{} usage={}i,idle=0.{point} {time}\n",
            point % 100,
            point % 7,
            point % 1_000
        )
    };
    (0..rows).map(line).collect()
}

#[test]
fn a_process_with_little_memory_stays_below_its_limit_and_answers_queries() {
    let limit = LIMIT.to_string();
    let place = StoreFixture::directory().with_standard_margins();
    let neap = NeapProcess::serve_with(&place, &["--memory-limit", &limit]);
    let (writing, asked, most) =
        (AtomicUsize::new(WRITERS), AtomicUsize::new(0), AtomicUsize::new(0));
    let is_over = AtomicBool::new(false);
    let write = |writer: usize| {
        for number in 0..WRITES[0] {
            let body = lines(writer, number);
            // A writer repeats a write that is answered with 503.
            while neap.try_write("d", &body, None).unwrap().status == 503 {
                pause(Duration::from_millis(100));
            }
        }
        writing.fetch_sub(1, Ordering::Relaxed);
    };
    let ask = |first: usize| {
        for sql in QUERIES.iter().cycle().skip(first) {
            if writing.load(Ordering::Relaxed) == 0 {
                return;
            }
            let body = json!({ "db": "d", "q": sql }).to_string();
            let reply =
                Reply::receive(neap.request("POST", "/api/v3/query_sql").body(body)).unwrap();
            // Before the first write, there are no rows to query.
            let is_early = asked.load(Ordering::Relaxed) == 0 && reply.status >= 400;
            assert!(reply.status == 200 || is_early, "{sql}: {}", reply.text());
            asked.fetch_add(usize::from(!is_early), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(resident_bytes(&neap), Ordering::Relaxed);
                pause(Duration::from_millis(20));
            }
        });
        let writers = [0, 1, 2].map(|writer| scope.spawn(move || write(writer)));
        let queriers = [0, 2].map(|first| scope.spawn(move || ask(first)));
        let all = writers.into_iter().chain(queriers);
        let ended: Vec<_> = all.map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        for result in ended {
            result.unwrap();
        }
    });
    let most = most.into_inner();
    assert!(most < LIMIT / 100 * 95, "it held {} MiB", most >> 20);
    assert!(asked.into_inner() > 0);
    let rows = WRITERS * WRITES[0] * WRITES[1];
    assert_eq!(neap.query("d", "SELECT count(*) AS n FROM cpu"), [json!({ "n": rows })]);
    let metrics = neap.get("/metrics").text();
    assert_contains!(metrics, &format!("neap_memory_limit_bytes {limit}\n"));
    for part in ["queries", "tails", "chunks", "bodies", "segments"] {
        let sample = format!("neap_memory_charged_bytes{{part=\"{part}\"}} ");
        assert!(metrics.contains(&sample), "{part}: {metrics}");
    }
}

/// Rows of a megabyte each, without an end. DataFusion collects thousands of them for a batch, and counts no bytes of these.
const WIDE_ROWS: &str = "WITH RECURSIVE t(n, s) AS (SELECT 1, repeat('x', 1000000) UNION ALL SELECT n + 1, s FROM t) \
                         SELECT count(s) AS n FROM t";

#[test]
fn a_query_that_exhausts_the_memory_is_ended_and_others_are_answered() {
    let place = StoreFixture::directory().with_standard_margins();
    let neap = NeapProcess::serve_with(&place, &["--memory-limit", &LIMIT.to_string()]);
    neap.write("d", "m v=1");
    let is_over = AtomicBool::new(false);
    let most = AtomicUsize::new(0);
    let reply = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(resident_bytes(&neap), Ordering::Relaxed);
                pause(Duration::from_millis(20));
            }
        });
        let body = json!({ "db": "d", "q": WIDE_ROWS }).to_string();
        let asked =
            scope.spawn(|| Reply::receive(neap.request("POST", "/api/v3/query_sql").body(body)));
        let reply = asked.join();
        is_over.store(true, Ordering::Relaxed);
        reply.unwrap().unwrap()
    });
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_contains!(reply.text(), "exhausted");
    // What an operator adds between two measurements is over the limit.
    let most = most.into_inner();
    assert!(most < LIMIT * 3 / 2, "it held {} MiB", most >> 20);
    assert_eq!(neap.query("d", "SELECT v FROM m"), [json!({ "v": 1.0 })]);
}
