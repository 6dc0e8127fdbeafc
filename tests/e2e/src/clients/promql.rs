//! PromQL: expressions of dashboards about a machine that Prometheus scrapes, and cases with answers that were computed by hand.
//! `distributed::promql` compares random expressions.
//!
//! `scripts/test --all` installs the programs from Debian's packages, where it can.
//!
//! | variable | names |
//! |---|---|
//! | `NEAP_PROMETHEUS` | the program `prometheus` |
//! | `NEAP_NODE_EXPORTER` | the program `prometheus-node-exporter` |

use super::{TestProgram, installed, run};
use crate::harness::repository;

#[test]
fn dashboards_of_the_node_exporter_have_the_answers_of_prometheus() {
    let (Some(prometheus), Some(exporter)) =
        (installed("NEAP_PROMETHEUS"), installed("NEAP_NODE_EXPORTER"))
    else {
        return;
    };
    let program = TestProgram::python("test_node_exporter");
    run(program.map(|program| {
        program.env("NEAP_PROMETHEUS", prometheus).env("NEAP_NODE_EXPORTER", exporter)
    }));
}

#[test]
fn expressions_have_the_values_that_were_computed_by_hand() {
    let cases = repository().join("tests/e2e/data/promql-cases.json");
    run(TestProgram::python("test_promql_cases")
        .map(|program| program.env("NEAP_PROMQL_CASES", cases)));
}
