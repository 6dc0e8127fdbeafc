//! `interface.py` runs each case of the interface in Python; these tests check the effects afterwards.

use serde_json::json;

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually};
use crate::harness::{NeapProcess, StoreFixture, assert_contains, repository};

/// Starts a server with rows of all types, and a trigger for the cases.
fn stage() -> PluginServerFixture {
    let stage = PluginServerFixture::new();
    let lines = "kinds,t=tag\\ value b=true,f=1.5,i=-3i,s=\"text \\\"quoted\\\"\",u=18446744073709551615u 1\nkinds f=2 2";
    stage.server.write(DB, lines);
    stage.server.write("other", "elsewhere v=7i 1");
    TriggerDefinition::new("cases", "interface.py", "request:cases").create(&stage);
    stage
}

/// Runs a case, which raises if a check fails.
fn run_case(stage: &PluginServerFixture, path: &str, case: &str) {
    let reply = stage.ask(&format!("{path}?case={case}"));
    let expected = (200, json!({ "passed": case }).to_string());
    let got = (reply.status, reply.text().replace(": ", ":"));
    assert_eq!(got, expected, "{case}: {:#?}", stage.log("cases"));
}

#[test]
fn lines_are_logged_with_their_level() {
    let stage = stage();
    run_case(&stage, "cases", "logging");
    let lines = stage.log("cases");
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert!(first.starts_with("INFO starting execution"), "{first}");
    assert!(last.starts_with("INFO finished execution in "), "{last}");
    let expected = [
        "INFO one 2 {'three': [4]} None",
        "WARN careful",
        "ERROR wrong value",
        "INFO ",
        "INFO two\nlines and ünïcode",
    ];
    assert_eq!(lines[1..lines.len() - 1], expected);
}

#[test]
fn queries_give_rows_of_python_values() {
    let stage = stage();
    for case in [
        "types",
        "expressions",
        "parameters",
        "other_database",
        "schema",
        "failing_queries",
        "many_rows",
    ] {
        run_case(&stage, "cases", case);
    }
}

#[test]
fn queued_lines_are_written_after_the_run() {
    let stage = stage();
    run_case(&stage, "cases", "queued");
    let sql = "SELECT n, v FROM queued ORDER BY v";
    let expected = json!([{"n": "1", "v": 1}, {"n": "2", "v": 2}, {"n": "3", "v": 3}]);
    stage.wait_for_rows(sql, expected);
    stage.shows_in("other", "SELECT v FROM queued", json!([{ "v": 9 }]));

    run_case(&stage, "cases", "queued_with_an_error");
    stage.shows_in("other", "SELECT v FROM whole", json!([{ "v": 1 }]));
    let line = stage.wait_for_log("cases", "ERROR ");
    assert!(line.contains("plants") && line.contains("column 'f'"), "{line}");
    assert_eq!(stage.rows("SELECT v FROM half"), None, "all or nothing");

    let reply = stage.ask("cases?case=queued_and_raised");
    assert_eq!(reply.status, 500);
    assert_contains!(reply.text(), "after the write");
    assert_eq!(stage.rows("SELECT v FROM lost"), None);
}

#[test]
fn lines_are_written_at_once_or_refused_at_once() {
    let stage = stage();
    for case in ["at_once", "refused_at_once", "not_lines"] {
        run_case(&stage, "cases", case);
    }
    stage.wait_for_rows("SELECT v FROM at_once ORDER BY v", json!([{ "v": 1 }, { "v": 2 }]));
    let sql = "SELECT f FROM kinds ORDER BY time";
    stage.wait_for_rows(sql, json!([{ "f": 1.5 }, { "f": 2.0 }]));
}

#[test]
fn the_cache_keeps_objects_for_a_trigger_and_values_for_all() {
    let stage = stage();
    TriggerDefinition::new("others", "interface.py", "request:others").create(&stage);
    for case in [
        "cache_values",
        "cache_of_objects_first",
        "cache_of_objects_then",
        "cache_with_age",
        "cache_for_all_first",
    ] {
        run_case(&stage, "cases", case);
    }
    run_case(&stage, "others", "cache_for_all_then");

    // The cache is removed with its trigger.
    run_case(&stage, "cases", "cache_of_objects_first");
    stage.switch("cases", "disable");
    stage.switch("cases", "enable");
    eventually("a run without the values", 500, || {
        stage.ask("cases?case=cache_of_objects_then").status
    });
}

#[test]
fn lines_are_built_as_in_influxdb() {
    let stage = stage();
    for case in ["lines", "environment", "writes_have_no_stamp"] {
        run_case(&stage, "cases", case);
    }
}

#[test]
fn plugins_have_the_named_variables_of_the_server_and_no_secrets() {
    let folder = repository().join("tests/plugins");
    let server = NeapProcess::serve_with_variables(
        &StoreFixture::memory(),
        &["--plugin-dir", folder.to_str().unwrap(), "--plugin-env", "REMOTE_TOKEN"],
        &[
            ("REMOTE_TOKEN", "for plugins"),
            ("HTTPS_PROXY", "http://user:hidden@127.0.0.1:1"),
            ("INFLUXDB3_AUTH_TOKEN", "hidden"),
            ("INFLUXDB3_ENTERPRISE_AWS_SECRET_ACCESS_KEY", "hidden"),
            ("NEAP_AUTH_TOKEN", "hidden"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hidden"),
            ("TZ", "America/New_York"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
            ("AWS_SESSION_TOKEN", "hidden"),
            ("NEAP_AWS_SECRET_ACCESS_KEY", "hidden"),
            ("AZURE_STORAGE_ACCESS_KEY", "hidden"),
            ("GOOGLE_SERVICE_ACCOUNT", "hidden"),
        ],
    );
    server.write(DB, "begin value=1i 1");
    let trigger = TriggerDefinition::new("cases", "interface.py", "request:cases");
    assert_eq!(trigger.try_create(&server).status, 200);
    let reply = server.get("/api/v3/engine/cases?case=variables");
    assert_eq!(reply.status, 200, "{}", reply.text());
}
