//! Runs that end because their trigger is disabled or deleted.

use std::{thread, time::Duration};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually, log};
use crate::harness::{Reply, StoreFixture, assert_contains, wait_for};

/// A line that `endless.py` logs when it is interrupted.
const INTERRUPTED: &str = "INFO interrupted";

/// Time until another server knows a trigger.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns a trigger that runs until it is interrupted.
fn endless(name: &str, specification: &str) -> TriggerDefinition {
    TriggerDefinition::new(name, "endless.py", specification).on_error("disable")
}

#[test]
fn disabling_a_trigger_ends_its_runs() {
    let stage = PluginServerFixture::new();
    endless("writes", "table:home").create(&stage);
    endless("overlapping", "table:home").concurrent().create(&stage);
    endless("schedule", "every:1s").create(&stage);
    endless("request", "request:wait").create(&stage);
    let triggers = ["writes", "overlapping", "schedule", "request"];
    stage.server.write(DB, "home v=1i 1");
    thread::scope(|scope| {
        let answer = scope.spawn(|| stage.ask("wait"));
        for trigger in triggers {
            stage.wait_for_log(trigger, "waiting");
        }
        for trigger in triggers {
            stage.switch(trigger, "disable");
            stage.wait_for_log(trigger, INTERRUPTED);
        }
        let answer = answer.join().unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_contains!(answer.text(), "the trigger was disabled");
    });
    // An interrupted run is not a failure of the plugin.
    for trigger in triggers {
        let failed = "the trigger is disabled because its plugin failed";
        let lines = stage.log(trigger);
        assert!(!lines.iter().any(|line| line.contains(failed)), "{lines:?}");
    }
    stage.switch("writes", "enable");
    stage.server.write(DB, "home v=2i 2");
    eventually("runs", 2, || {
        let lines = stage.log("writes");
        lines.iter().filter(|line| line.contains("waiting")).count()
    });
}

#[test]
fn deleting_a_trigger_or_its_database_ends_its_runs() {
    let stage = PluginServerFixture::new();
    stage.server.write("other", "begin value=1i 1");
    endless("writes", "table:home").create(&stage);
    endless("request", "request:wait").of("other").create(&stage);
    stage.server.write(DB, "home v=1i 1");
    stage.wait_for_log("writes", "waiting");
    assert_eq!(stage.delete("writes", true).status, 200);
    stage.wait_for_log("writes", INTERRUPTED);
    thread::scope(|scope| {
        let answer = scope.spawn(|| stage.ask("wait"));
        eventually("a run", true, || {
            let lines = stage.log_in("other", "request");
            lines.iter().any(|line| line.contains("waiting"))
        });
        let path = "/api/v3/configure/database?db=other";
        let dropped = Reply::receive(stage.server.request("DELETE", path)).unwrap();
        assert_eq!(dropped.status, 200, "{}", dropped.text());
        let answer = answer.join().unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
    });
}

#[test]
fn a_trigger_that_another_server_disables_ends_its_runs() {
    let stage = PluginServerFixture::on(StoreFixture::directory(), &[]);
    let other = stage.another();
    endless("request", "request:wait").create(&stage);
    thread::scope(|scope| {
        // The other server learns of the trigger a few seconds after its creation.
        let answer = scope.spawn(|| {
            wait_for("the trigger", LIMIT, || {
                let answer = other.get("/api/v3/engine/wait");
                (answer.status != 404).then_some(answer)
            })
        });
        eventually("a run", true, || {
            let lines = log(&other, DB, "request");
            lines.iter().any(|line| line.contains("waiting"))
        });
        stage.switch("request", "disable");
        let answer = answer.join().unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
    });
}
