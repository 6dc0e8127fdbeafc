//! Random statements in SQL, answered as DuckDB does: by a process alone, three times because it keeps plans, and over workers.
//!
//! | variable | value |
//! |---|---|
//! | `NEAP_SQL_STATEMENTS` | how many statements are compared; 2,000 in a whole run if not set |
//! | `NEAP_SQL_SEED` | the first seed; 0 if not set |

use neap_test_inputs::{cases, number};

use super::fixture::WorkerCluster;
use crate::{clients::TestProgram, harness::neap_binary};

/// The number of statements of a whole run of the tests.
const STATEMENTS: u32 = 2_000;
/// The number of statements of a seed.
const STATEMENTS_OF_SEED: u64 = 500;

#[test]
fn sql_is_answered_as_duckdb_does() {
    if TestProgram::python_program("compare_sql.py", &[]).is_none() {
        return;
    }
    let cluster = WorkerCluster::start();
    let neap = neap_binary();
    let compact = cluster.place.after(&["compact"]);
    let compact = [&[neap.to_str().unwrap()], compact.as_slice()].concat();
    let compact = serde_json::json!(compact).to_string();
    let mut seed = number("NEAP_SQL_SEED").unwrap_or(0);
    let mut remaining = number("NEAP_SQL_STATEMENTS").unwrap_or_else(|| cases(STATEMENTS).into());
    while remaining > 0 {
        let part = remaining.min(STATEMENTS_OF_SEED);
        let program = TestProgram::python_program("compare_sql.py", &[]).unwrap();
        program
            .arguments(&["--url", cluster.alone.url()])
            .arguments(&["--writer-url", cluster.writer.url()])
            .arguments(&["--workers-url", cluster.workers[0].url()])
            .arguments(&["--flush", &compact])
            .arguments(&["--statements", &part.to_string()])
            .arguments(&["--seed", &seed.to_string()])
            .run(cluster.alone.folder());
        remaining -= part;
        seed += 1;
    }
}
