//! When plugins run, their inputs, and how triggers are disabled and deleted.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually, rows};
use crate::harness::{StoreFixture, pause};

/// A time within which an unwanted effect would have occurred.
const NO_RUN_WAIT: Duration = Duration::from_millis(1500);

/// Runs triggers on writes, schedules and requests, with arguments, on a store of any kind.
fn on(place: StoreFixture) {
    let stage = PluginServerFixture::on(place, &[]);
    TriggerDefinition::new("all", "seen.py", "all_tables").create(&stage);
    TriggerDefinition::new("one", "copy_rows.py", "table:home")
        .with(&[("suffix", "_again"), ("tags", "room")])
        .create(&stage);
    TriggerDefinition::new("every", "ticks.py", "every:1s")
        .with(&[("who", "every")])
        .create(&stage);
    TriggerDefinition::new("cron", "ticks.py", "cron:* * * * * *")
        .with(&[("who", "cron")])
        .create(&stage);
    TriggerDefinition::new("echo", "echo.py", "request:echo").create(&stage);

    let stamp = stage.server.write(
        DB,
        "home,room=Kitchen temp=21.5,n=3i,ok=true,note=\"a b\" 60\nhome temp=1 61\nyard v=7u 62",
    );
    let row = "[('n', 3), ('note', 'a b'), ('ok', True), ('room', 'Kitchen'), ('temp', 21.5), ('time', 60000000000)]";
    stage.wait_for_rows(
        "SELECT source, rows, row, stamp FROM seen WHERE source IN ('home', 'yard') ORDER BY source",
        json!([
            { "source": "home", "rows": 2, "row": row, "stamp": stamp },
            { "source": "yard", "rows": 1, "row": "[('time', 62000000000), ('v', 7)]", "stamp": stamp },
        ]),
    );
    let batches = "SELECT count(DISTINCT batch) AS n FROM seen WHERE source IN ('home', 'yard')";
    stage.wait_for_rows(batches, json!([{ "n": 1 }]));
    stage.wait_for_rows(
        "SELECT room, temp, n, ok, note FROM home_again ORDER BY time",
        json!([
            { "room": "Kitchen", "temp": 21.5, "n": 3, "ok": true, "note": "a b" },
            { "temp": 1.0 },
        ]),
    );
    assert_eq!(stage.rows("SELECT * FROM yard_again"), None);
    assert_eq!(stage.ask("echo").status, 200);
    let enough = "SELECT who, count(DISTINCT time) > 1 AS enough, count(*) = count(DISTINCT time) AS once, \
                  bool_and(CAST(time AS BIGINT) % 1000000000 = 0) AS whole FROM ticks GROUP BY who ORDER BY who";
    let ticked = |who: &str| json!({ "who": who, "enough": true, "once": true, "whole": true });
    stage.wait_for_rows(enough, json!([ticked("cron"), ticked("every")]));
}

#[test]
fn plugins_run_on_writes_times_and_requests_with_a_directory() {
    on(StoreFixture::directory());
}

#[test]
fn plugins_run_on_writes_times_and_requests_with_the_own_s3_server() {
    on(StoreFixture::neap_s3_server());
}

#[test]
fn plugins_run_on_writes_times_and_requests_with_the_other_s3_server() {
    if let Some(place) = StoreFixture::third_party_s3() {
        on(place);
    }
}

#[test]
fn a_trigger_sees_rows_written_after_its_creation() {
    let stage = PluginServerFixture::new();
    stage.server.write(DB, "home temp=1 1");
    TriggerDefinition::new("late", "seen.py", "table:home").create(&stage);
    // The table need not exist.
    TriggerDefinition::new("early", "seen.py", "table:garden").create(&stage);
    stage.server.write(DB, "home temp=2,more=1i 2\ngarden v=1i 3");
    let sql = "SELECT source, row FROM seen ORDER BY source";
    let expected = json!([
        { "source": "garden", "row": "[('time', 3000000000), ('v', 1)]" },
        { "source": "home", "row": "[('more', 1), ('temp', 2.0), ('time', 2000000000)]" },
    ]);
    stage.wait_for_rows(sql, expected);
}

#[test]
fn arguments_reach_the_plugin_as_they_are() {
    let stage = PluginServerFixture::new();
    let arguments = [
        ("plain", "text"),
        ("empty", ""),
        ("odd", "a=b:c.d@'e' \"f\"\n\\ ß"),
        ("json", "[{\"type\": \"sine\"}]"),
    ];
    TriggerDefinition::new("echo", "echo.py", "request:echo")
        .with(&arguments)
        .create(&stage);
    let answer: Value = serde_json::from_slice(&stage.ask("echo").bytes).unwrap();
    let expected = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    assert_eq!(answer["args"], Value::Object(expected.collect()));
    TriggerDefinition::new("none", "echo.py", "request:none").create(&stage);
    let answer: Value = serde_json::from_slice(&stage.ask("none").bytes).unwrap();
    assert_eq!(answer["args"], Value::Null);

    let sql = "SELECT trigger_name, argument_key, argument_value FROM system.processing_engine_trigger_arguments \
               ORDER BY argument_key";
    let rows = stage.rows(sql).unwrap();
    let listed: Vec<_> =
        rows.iter().map(|row| (&row["argument_key"], &row["argument_value"])).collect();
    let mut expected: Vec<(Value, Value)> =
        arguments.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    expected.sort_by_key(|(key, _)| key.to_string());
    assert_eq!(listed, expected.iter().map(|(key, value)| (key, value)).collect::<Vec<_>>());
}

#[test]
fn databases_have_triggers_of_their_own() {
    let stage = PluginServerFixture::new();
    stage.server.write("other", "begin value=1i 1");
    for database in [DB, "other"] {
        TriggerDefinition::new("copy", "copy_rows.py", "all_tables")
            .of(database)
            .create(&stage);
    }
    TriggerDefinition::new("across", "copy_rows.py", "table:home")
        .with(&[("into", "third"), ("suffix", "")])
        .create(&stage);
    stage.server.write(DB, "home v=1i 1");
    stage.server.write("other", "home v=2i 1");
    stage.wait_for_rows("SELECT v FROM home_copy", json!([{ "v": 1 }]));
    stage.shows_in("other", "SELECT v FROM home_copy", json!([{ "v": 2 }]));
    let triggers = "SELECT trigger_name FROM system.processing_engine_triggers ORDER BY 1";
    stage
        .wait_for_rows(triggers, json!([{ "trigger_name": "across" }, { "trigger_name": "copy" }]));
    stage.shows_in("other", triggers, json!([{ "trigger_name": "copy" }]));
    assert!(stage.log_in("other", "copy").len() >= 2);

    // Dropping a database removes its triggers.
    let path = "/api/v3/configure/database?db=other";
    let reply = crate::harness::Reply::receive(stage.server.request("DELETE", path)).unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    stage.server.write("other", "home v=3i 2");
    stage.shows_in("other", triggers, json!([]));
    pause(NO_RUN_WAIT);
    assert_eq!(rows(&stage.server, "other", "SELECT v FROM home_copy"), None);
}

/// Whether two runs of `slow.py` overlapped.
fn overlapped(stage: &PluginServerFixture) -> bool {
    let runs = "SELECT begun, ended FROM runs ORDER BY begun";
    eventually("runs", Some(4), || stage.rows(runs).map(|rows| rows.len()));
    let rows = stage.rows(runs).unwrap();
    rows.windows(2)
        .any(|pair| pair[1]["begun"].as_i64() < pair[0]["ended"].as_i64())
}

#[test]
fn runs_of_a_trigger_come_one_after_the_other_unless_they_may_overlap() {
    for (is_concurrent, limit) in [(false, "8"), (true, "8"), (true, "1")] {
        let flags = ["--async-trigger-concurrency-limit", limit];
        let stage = PluginServerFixture::on(StoreFixture::memory(), &flags);
        let trigger = TriggerDefinition::new("slow", "slow.py", "table:work");
        let may_overlap = is_concurrent && limit != "1";
        if is_concurrent {
            trigger.concurrent().create(&stage)
        } else {
            trigger.create(&stage)
        }
        for n in 0..4 {
            stage.server.write(DB, &format!("work n={n}i {n}"));
        }
        assert_eq!(overlapped(&stage), may_overlap, "{is_concurrent}, {limit}");
    }
}

#[test]
fn requests_run_concurrently_if_allowed() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("slow", "slow.py", "request:slow")
        .concurrent()
        .create(&stage);
    let runs: Vec<Value> = thread::scope(|scope| {
        let runs: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| serde_json::from_slice(&stage.ask("slow?seconds=2").bytes).unwrap())
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let started_at = runs.iter().map(|run| run["begun"].as_i64()).max();
    let ended = runs.iter().map(|run| run["ended"].as_i64()).min();
    assert!(started_at < ended, "{runs:?}");
}

#[test]
fn a_trigger_that_is_disabled_does_not_run() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("copy", "copy_rows.py", "table:home")
        .disabled()
        .create(&stage);
    TriggerDefinition::new("tick", "ticks.py", "every:1s").disabled().create(&stage);
    TriggerDefinition::new("echo", "echo.py", "request:echo")
        .disabled()
        .create(&stage);
    stage.server.write(DB, "home v=1i 1");
    assert_eq!(stage.ask("echo").status, 404);
    pause(NO_RUN_WAIT);
    for table in ["home_copy", "ticks"] {
        assert_eq!(stage.rows(&format!("SELECT * FROM {table}")), None);
    }

    // Rows that were written while the trigger was disabled are not processed.
    for trigger in ["copy", "tick", "echo", "echo"] {
        stage.switch(trigger, "enable");
    }
    assert_eq!(stage.ask("echo").status, 200);
    stage.server.write(DB, "home v=2i 2");
    stage.wait_for_rows("SELECT v FROM home_copy", json!([{ "v": 2 }]));
    eventually("ticks", true, || stage.rows("SELECT * FROM ticks").is_some());

    for trigger in ["copy", "tick", "echo", "echo"] {
        stage.switch(trigger, "disable");
    }
    assert_eq!(stage.ask("echo").status, 404);
    stage.server.write(DB, "home v=3i 3");
    let ticks = || stage.rows("SELECT count(*) AS n FROM ticks");
    pause(NO_RUN_WAIT);
    let before = ticks();
    pause(NO_RUN_WAIT);
    assert_eq!(ticks(), before);
    assert_eq!(stage.rows("SELECT v FROM home_copy"), Some(vec![json!({ "v": 2 })]));
}

#[test]
fn a_trigger_that_may_run_is_deleted_only_by_force() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("one", "echo.py", "request:one").create(&stage);
    TriggerDefinition::new("two", "echo.py", "request:two")
        .disabled()
        .create(&stage);
    let again = TriggerDefinition::new("one", "echo.py", "request:other").try_create(&stage.server);
    assert_eq!(again.status, 409, "{}", again.text());
    let refused = stage.delete("one", false);
    let text = "Cannot delete running plugin one. Disable it first or use --force.";
    assert!(
        refused.status >= 400 && refused.text().contains(text),
        "{}: {}",
        refused.status,
        refused.text()
    );
    assert_eq!(stage.ask("one").status, 200);
    assert_eq!(stage.delete("one", true).status, 200);
    assert_eq!(stage.ask("one").status, 404);
    assert_eq!(stage.delete("two", false).status, 200);
    for name in ["one", "two", "three"] {
        assert_eq!(stage.delete(name, true).status, 404, "{name}");
    }
    stage.wait_for_rows("SELECT trigger_name FROM system.processing_engine_triggers", json!([]));
    // The name can be used again.
    TriggerDefinition::new("one", "echo.py", "request:one").create(&stage);
    assert_eq!(stage.ask("one").status, 200);
}

#[test]
fn triggers_are_listed_and_survive_a_restart() {
    let stage = PluginServerFixture::on(StoreFixture::directory(), &[]);
    TriggerDefinition::new("a", "copy_rows.py", "table:home")
        .on_error("retry")
        .create(&stage);
    TriggerDefinition::new("b", "ticks.py", "every:90s")
        .on_error("disable")
        .disabled()
        .create(&stage);
    TriggerDefinition::new("c", "ticks.py", "cron:0 0 * * * *")
        .disabled()
        .create(&stage);
    TriggerDefinition::new("d", "echo.py", "request:x/y").create(&stage);
    TriggerDefinition::new("e", "seen.py", "all_tables").disabled().create(&stage);
    let listed = |name: &str, file: &str, specification: &str, disabled: bool, behavior: &str| {
        json!({
            "trigger_name": name,
            "plugin_filename": file,
            "trigger_specification": specification,
            "disabled": disabled,
            "error_behavior": behavior,
        })
    };
    let expected = json!([
        listed(
            "a",
            "copy_rows.py",
            "{\"single_table_wal_write\":{\"table_name\":\"home\"}}",
            false,
            "retry"
        ),
        listed(
            "b",
            "ticks.py",
            "{\"every\":{\"duration\":{\"secs\":90,\"nanos\":0}}}",
            true,
            "disable"
        ),
        listed("c", "ticks.py", "{\"schedule\":{\"schedule\":\"0 0 * * * *\"}}", true, "log"),
        listed("d", "echo.py", "{\"request_path\":{\"path\":\"x/y\"}}", false, "log"),
        listed("e", "seen.py", "\"all_tables_wal_write\"", true, "log"),
    ]);
    let sql = "SELECT trigger_name, plugin_filename, trigger_specification, disabled, error_behavior \
               FROM system.processing_engine_triggers ORDER BY trigger_name";
    stage.wait_for_rows(sql, expected.clone());
    stage.ask("x/y");
    let before = stage.log("d");
    assert_eq!(before.len(), 3, "{before:?}");
    let stage = stage.restarted(|server| assert!(server.stop().success()));
    stage.wait_for_rows(sql, expected);
    assert_eq!(stage.log("d"), before, "the log is kept");
    assert_eq!(stage.ask("x/y").status, 200);
    stage.server.write(DB, "home v=1i 1");
    stage.wait_for_rows("SELECT v FROM home_copy", json!([{ "v": 1 }]));
}

#[test]
fn invalid_triggers_are_refused_with_the_reason() {
    let stage = PluginServerFixture::new();
    let cases = [
        (
            "echo.py",
            "sometimes",
            "failed to parse trigger from sometimes: expect one of the following forms",
        ),
        ("echo.py", "table:", "failed to parse trigger from table:"),
        ("echo.py", "every:1x", "failed to parse trigger from every:1x"),
        ("echo.py", "every:0s", "failed to parse trigger from every:0s"),
        ("echo.py", "every:2years", "failed to parse trigger from every:2years"),
        ("echo.py", "cron:* * * *", "failed to parse trigger from cron:* * * *"),
        ("echo.py", "request:", "failed to parse trigger from request:"),
        ("none.py", "all_tables", "Plugin not found"),
        ("../../etc/passwd", "all_tables", "Path traversal detected"),
        ("/etc/passwd", "all_tables", "Path traversal detected"),
    ];
    for (plugin, specification, text) in cases {
        let reply = TriggerDefinition::new("t", plugin, specification).try_create(&stage.server);
        let (status, body) = (reply.status, reply.text());
        assert!(status == 400 && body.contains(text), "{specification}: {status} {body}");
    }
    let reply = TriggerDefinition::new("t", "echo.py", "all_tables")
        .of("nowhere")
        .try_create(&stage.server);
    assert_eq!(reply.status, 404, "{}", reply.text());
    stage.wait_for_rows("SELECT trigger_name FROM system.processing_engine_triggers", json!([]));
    assert_eq!(stage.server.get("/health").status, 200);
}
