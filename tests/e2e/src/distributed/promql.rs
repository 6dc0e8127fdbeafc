//! Random expressions of PromQL, answered as Prometheus does: by a process alone, and over workers. The samples are in sections
//! and in the tail; some arrive late, and some are deleted.
//!
//! | variable | value |
//! |---|---|
//! | `NEAP_PROMETHEUS` | the program `prometheus` of Debian's package |
//! | `NEAP_PROMQL_EXPRESSIONS` | how many expressions are compared; 2,000 in a whole run if not set |
//! | `NEAP_PROMQL_SEED` | the first seed; 0 if not set |

use std::time::Duration;

use neap_test_inputs::{cases, number};

use super::fixture::WorkerCluster;
use crate::{
    clients::{TestProgram, installed},
    harness::neap_binary,
};

/// The number of expressions of a whole run of the tests.
const EXPRESSIONS: u32 = 2_000;
/// The number of expressions of a program, and of their seeds.
const EXPRESSIONS_OF_PROGRAM: u64 = 2_000;
const SEEDS_OF_PROGRAM: u64 = 8;
/// Maximum duration of a program.
const LIMIT: Duration = Duration::from_mins(25);

#[test]
fn expressions_are_answered_as_prometheus_does() {
    let Some(prometheus) = installed("NEAP_PROMETHEUS") else {
        return;
    };
    if TestProgram::python_program("compare_promql.py", &[]).is_none() {
        return;
    }
    let cluster = WorkerCluster::start();
    let neap = neap_binary();
    let compact = cluster.place.after(&["compact"]);
    let command = [&[neap.to_str().unwrap()], compact.as_slice()].concat();
    let flush = serde_json::json!(command).to_string();
    let mut seed = number("NEAP_PROMQL_SEED").unwrap_or(0);
    let mut remaining =
        number("NEAP_PROMQL_EXPRESSIONS").unwrap_or_else(|| cases(EXPRESSIONS).into());
    while remaining > 0 {
        let part = remaining.min(EXPRESSIONS_OF_PROGRAM);
        let arguments = ["--prometheus".as_ref(), prometheus.as_os_str()];
        let program = TestProgram::python_program("compare_promql.py", &arguments).unwrap();
        // The first seeds are known to have all functions, operators and accepted differences.
        let is_complete = seed == 0 && part == EXPRESSIONS_OF_PROGRAM;
        let complete: &[&str] = if is_complete { &["--complete"] } else { &[] };
        program
            .arguments(&["--url", cluster.alone.url()])
            .arguments(&["--writer-url", cluster.writer.url()])
            .arguments(&["--workers-url", cluster.workers[0].url()])
            .arguments(&["--flush", &flush])
            .arguments(&["--expressions", &part.to_string()])
            .arguments(&["--seed", &seed.to_string()])
            .arguments(complete)
            .limit(LIMIT)
            .run(cluster.alone.folder());
        remaining -= part;
        seed += SEEDS_OF_PROGRAM;
    }
}
