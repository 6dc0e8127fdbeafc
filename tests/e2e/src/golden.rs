//! Recorded answers of InfluxDB 3 Core, if they exist beside the repository. A list contains every answer that differs,
//! with the reason; every answer in the list must differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    process::Command,
    time::Duration,
};

use neap_test_inputs::{InputOrigin, skip};
use serde_json::Value;

use crate::harness::{neap_binary, repository, tests, wait_for};

/// Maximum duration of a comparison.
const LIMIT: Duration = Duration::from_secs(240);

/// Cases that differ, with the reason, below the name of their suite in brackets.
const DIFFERENCES: &str = include_str!("../data/golden-differences.txt");

/// The section of `DIFFERENCES` with those of the suite `write` that `--legacy-writes strict` removes.
const PARTIAL_WRITES: &str = "write, partial";

/// Returns the known differences in sections of the list.
fn known(sections: &[&str]) -> BTreeMap<&'static str, &'static str> {
    let mut known = BTreeMap::new();
    let mut is_here = false;
    for line in DIFFERENCES.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_here = sections.contains(&name);
        } else if is_here {
            let (case, reason) = line.split_once(": ").expect("a case and a reason");
            assert!(known.insert(case, reason.trim()).is_none(), "{case} is there twice");
        }
    }
    known
}

/// Answers with the duration of a plugin run, whose number of units varies: `1ms 20us`.
const VARYING_DURATIONS: [&str; 2] = ["tr-test-wal", "tr-test-sched"];

fn compare(suite: &str) {
    compare_with(suite, &[], "");
}

/// Compares the answers of a server with additional flags. `further` are sections of known differences besides that of
/// the suite.
fn compare_with(suite: &str, further: &[&str], flags: &str) {
    let server = format!(
        "'{}' serve --node-id n1 --object-store file --data-dir {{dir}}/data --plugin-dir {{dir}}/plugins \
         --http-bind 127.0.0.1:{{port}} {flags} {{noauth}}",
        neap_binary().display()
    );
    compare_on(suite, further, &["--spawn", &server]);
}

/// Compares the answers of a server that `capture.py` starts or finds by these arguments, with further lists of differences.
pub(crate) fn compare_on(suite: &str, further: &[&str], server: &[&str]) {
    let golden = repository().join("../shared/golden");
    if !golden.is_dir() {
        skip(InputOrigin::External, "shared/golden: no recorded answers");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (report, log) = (folder.path().join("report.json"), folder.path().join("log"));
    let log_file = File::create(&log).unwrap();
    let mut check = Command::new("python3")
        .arg(golden.join("capture.py"))
        .arg("--check")
        .arg(golden.join("influxdb3-core.json"))
        .args(["--suite", suite, "--report"])
        .arg(&report)
        .args(server)
        .current_dir(folder.path())
        .stdout(log_file.try_clone().unwrap())
        .stderr(log_file)
        .spawn()
        .unwrap();
    wait_for("end of the comparison", LIMIT, || check.try_wait().unwrap());
    let log = std::fs::read_to_string(log).unwrap();
    let report = std::fs::read(report).unwrap_or_else(|error| panic!("{error}:\n{log}"));
    let mut report: Vec<Value> = serde_json::from_slice(&report).unwrap();
    report.retain(|case| !VARYING_DURATIONS.contains(&case["id"].as_str().unwrap()));

    let differences = |case: &Value| case["differences"].as_array().unwrap().len();
    let differing: BTreeSet<_> = report
        .iter()
        .filter(|case| differences(case) > 0)
        .map(|case| case["id"].as_str().unwrap())
        .collect();
    let known = known(&[&[suite][..], further].concat());
    let new: Vec<_> = differing.iter().filter(|case| !known.contains_key(**case)).collect();
    let gone: Vec<_> = known.keys().filter(|case| !differing.contains(**case)).collect();
    let equal = report.len() - differing.len();
    println!("{suite}: {equal} of {} answers are equal", report.len());
    assert!(new.is_empty(), "answers that differ and are not in the list: {new:?}\n{log}");
    assert!(gone.is_empty(), "answers in the list that do not differ any more: {gone:?}");
}

tests! {
    answers_about_health_are_those_recorded => compare("health");
    answers_to_writes_are_those_recorded => compare_with("write", &[PARTIAL_WRITES], "");
    answers_to_strict_writes_are_those_recorded => compare_with("write", &[], "--legacy-writes strict");
}

#[test]
fn answers_at_limits_are_those_recorded() {
    compare_with("limits", &[], "--max-databases 5 --max-tables 2000 --max-columns-per-table 500");
}

tests! {
    answers_to_configuration_are_those_recorded => compare("configure");
    answers_about_tokens_are_those_recorded => compare("auth");
    answers_about_the_system_are_those_recorded => compare("system");
    answers_to_sql_are_those_recorded => compare("sql");
    answers_to_influxql_are_those_recorded => compare("influxql");
}
