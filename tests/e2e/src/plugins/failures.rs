//! The error behaviors when a plugin raises.

use std::time::Duration;

use serde_json::json;

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually};
use crate::harness::{assert_contains, pause};

/// A time within which an unwanted run would have started.
const NO_RUN_WAIT: Duration = Duration::from_millis(1500);

/// Returns the number of attempts of the plugin.
fn attempts(stage: &PluginServerFixture) -> usize {
    stage.log("fails").iter().filter(|line| line.contains("attempt")).count()
}

fn is_disabled(stage: &PluginServerFixture) -> bool {
    let sql = "SELECT disabled FROM system.processing_engine_triggers WHERE trigger_name = 'fails'";
    stage.rows(sql).unwrap()[0]["disabled"].as_bool().unwrap()
}

#[test]
fn a_failure_is_logged_and_the_next_rows_are_processed() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("fails", "failing.py", "table:watched").create(&stage);
    stage.server.write(DB, "watched v=1i 1");
    let line = stage.wait_for_log("fails", "ERROR ");
    assert_contains!(line, "RuntimeError: not allowed yet");
    pause(NO_RUN_WAIT);
    assert_eq!(attempts(&stage), 1);
    assert_eq!(
        stage.rows("SELECT * FROM lost"),
        None,
        "lines of a run that fails are not written"
    );
    stage.server.write(DB, "allowed v=1i 1");
    stage.server.write(DB, "watched v=2i 2\nwatched v=3i 3");
    stage.wait_for_rows("SELECT rows FROM succeeded", json!([{ "rows": 2 }]));
    assert!(stage.metric("neap_plugin_runs_total") >= 2.0);
}

#[test]
fn a_run_is_tried_until_it_succeeds() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("fails", "failing.py", "table:watched")
        .on_error("retry")
        .create(&stage);
    stage.server.write(DB, "watched v=1i 1");
    stage.server.write(DB, "watched v=2i 2");
    eventually("attempts", true, || attempts(&stage) >= 2);
    assert_eq!(stage.rows("SELECT * FROM succeeded"), None);
    let pending = || stage.metric("neap_plugin_pending_segments");
    eventually("pending batches", 2.0, pending);
    assert!(stage.metric("neap_plugin_failures_total") >= 1.0);
    stage.server.write(DB, "allowed v=1i 1");
    // Each batch arrives once, in order.
    stage.wait_for_rows(
        "SELECT rows FROM succeeded ORDER BY time",
        json!([{ "rows": 1 }, { "rows": 1 }]),
    );
    let tried = attempts(&stage);
    eventually("pending batches", 0.0, pending);
    pause(NO_RUN_WAIT);
    assert_eq!(attempts(&stage), tried);
    assert_eq!(
        stage.rows("SELECT * FROM lost").unwrap().len(),
        2,
        "those of the runs that succeeded"
    );
}

#[test]
fn a_concurrent_trigger_gives_up_after_five_attempts() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("fails", "failing.py", "table:watched")
        .on_error("retry")
        .concurrent()
        .create(&stage);
    stage.server.write(DB, "watched v=1i 1");
    let line = stage.wait_for_log("fails", "giving up");
    assert_eq!(line, "ERROR giving up: the plugin failed 5 times");
    assert_eq!(attempts(&stage), 5);
    assert_eq!(stage.metric("neap_plugin_lost_segments_total"), 1.0);
    stage.server.write(DB, "allowed v=1i 1");
    stage.server.write(DB, "watched v=2i 2\nwatched v=3i 3");
    stage.wait_for_rows("SELECT rows FROM succeeded", json!([{ "rows": 2 }]));
    assert_eq!(attempts(&stage), 6);
}

#[test]
fn retries_end_with_the_trigger() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("fails", "failing.py", "table:watched")
        .on_error("retry")
        .create(&stage);
    stage.server.write(DB, "watched v=1i 1");
    eventually("attempts", true, || attempts(&stage) >= 2);
    stage.switch("fails", "disable");
    pause(NO_RUN_WAIT);
    let tried = attempts(&stage);
    stage.server.write(DB, "allowed v=1i 1");
    pause(NO_RUN_WAIT * 2);
    assert_eq!(attempts(&stage), tried);
    assert_eq!(stage.rows("SELECT * FROM succeeded"), None);
    assert_eq!(stage.delete("fails", false).status, 200);
}

#[test]
fn a_failure_disables_the_trigger() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("fails", "failing.py", "table:watched")
        .on_error("disable")
        .create(&stage);
    stage.server.write(DB, "watched v=1i 1");
    eventually("disabled", true, || is_disabled(&stage));
    stage.server.write(DB, "watched v=2i 2");
    pause(NO_RUN_WAIT);
    assert_eq!(attempts(&stage), 1);
    stage.server.write(DB, "allowed v=1i 1");
    stage.switch("fails", "enable");
    stage.server.write(DB, "watched v=3i 3");
    stage.wait_for_rows("SELECT rows FROM succeeded", json!([{ "rows": 1 }]));
}

#[test]
fn a_schedule_that_fails_is_logged_or_disabled() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("logs", "failing.py", "every:1s").create(&stage);
    TriggerDefinition::new("fails", "failing.py", "every:1s")
        .on_error("disable")
        .create(&stage);
    eventually("disabled", true, || is_disabled(&stage));
    let failures = || {
        let lines = stage.log("logs");
        lines.iter().filter(|line| line.contains("RuntimeError: never works")).count()
    };
    eventually("failures", true, || failures() >= 2);
}

#[test]
fn a_request_that_fails_says_why() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("fails", "failing.py", "request:fails").create(&stage);
    for _ in 0..2 {
        let reply = stage.ask("fails");
        assert_eq!(reply.status, 500);
        let answer: serde_json::Value = serde_json::from_slice(&reply.bytes).unwrap();
        let error = answer["error"].as_str().unwrap();
        assert_contains!(error, "RuntimeError: can't answer");
    }
    let line = stage.wait_for_log("fails", "ERROR ");
    assert_contains!(line, "can't answer");
    TriggerDefinition::new("once", "failing.py", "request:once")
        .on_error("disable")
        .create(&stage);
    assert_eq!(stage.ask("once").status, 500);
    eventually("status", 404, || stage.ask("once").status);
}
