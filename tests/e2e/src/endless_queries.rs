//! CPU-bound endless queries: the server ends them, and serves other requests meanwhile.

use std::{thread, time::Duration};

use serde_json::json;

use crate::harness::{NeapProcess, Reply, StoreFixture, pause, wait_for};

/// Maximum time until the process is idle.
const LIMIT: Duration = Duration::from_secs(60);

/// Ticks per second of processor time. On Linux, this is constant for all programs.
const TICKS: u64 = 100;

/// Returns the processor time of a process in ticks.
fn ticks(neap: &NeapProcess) -> u64 {
    let pid = neap.pid().as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The program name, in parentheses, may contain any characters.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let times = rest.split(' ').skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Waits until the process uses less than half a processor.
fn wait_until_idle(neap: &NeapProcess) {
    wait_for("process that rests", LIMIT, || {
        let before = ticks(neap);
        pause(Duration::from_secs(1));
        (ticks(neap) - before < TICKS / 2).then_some(())
    });
}

/// Queries that do not end by themselves within a test.
const ENDLESS: [&str; 5] = [
    "SELECT sum(character_length(a.s) * character_length(b.s) + character_length(c.s)) FROM m a, m b, m c",
    "SELECT count(*) FROM m a JOIN m b ON a.k = b.k JOIN m c ON b.k = c.k JOIN m d ON c.k = d.k AND a.v + d.v < 0",
    "SELECT count(*) FROM (SELECT unnest(range(1, 1000)) AS x FROM m a, m b)",
    "SELECT count(*) FROM (SELECT count(*) FROM m GROUP BY CUBE (v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7, v + 8, \
     v + 9, v + 10, v + 11, v + 12)) AS sets",
    "SELECT count(a) FROM (SELECT array_agg(v ORDER BY v) AS a FROM m GROUP BY CUBE (v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, \
     v + 7, v + 8, v + 9, v + 10, v + 11, v + 12)) AS sets",
];

#[test]
fn endless_queries_end_and_do_not_block_other_requests() {
    let neap = NeapProcess::serve_with(&StoreFixture::memory(), &["--query-timeout", "4s"]);
    let lines = (0..12_000).map(|row| format!("m,k=a v={row}i,s=\"text {row}\" {row}\n"));
    neap.write("d", &lines.collect::<String>());
    for sql in ENDLESS {
        let body = json!({ "db": "d", "q": sql }).to_string();
        let ask = || {
            let request = neap.request("POST", "/api/v3/query_sql");
            Reply::receive(request.body(body.clone())).unwrap()
        };
        thread::scope(|scope| {
            let asked = [(); 3].map(|()| scope.spawn(ask));
            assert_eq!(neap.get("/health").status, 200);
            neap.write("d", "other v=1i 1");
            for asked in asked {
                let reply = asked.join().unwrap();
                assert_eq!(reply.status, 500, "{sql}: {}", reply.text());
                assert!(reply.text().contains("timed out after"), "{sql}: {}", reply.text());
            }
        });
        assert_eq!(neap.get("/health").status, 200);
        wait_until_idle(&neap);
        assert_eq!(neap.query("d", "SELECT 1 AS n"), [json!({ "n": 1 })]);
    }
}
