//! Plugins that loop, allocate, exit, fork and flood: the database continues to serve, and the error names the limit.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use serde_json::json;

use super::{
    fixture::{DB, PluginServerFixture, TriggerDefinition, eventually},
    processes,
};
use crate::harness::StoreFixture;

/// Limits that a plugin reaches within seconds. The time suffices to reach the other limits beside other tests.
const LIMITS: [&str; 8] = [
    "--plugin-time-limit",
    "12s",
    "--plugin-cpu-limit",
    "3s",
    "--plugin-memory-limit",
    "256MiB",
    "--plugin-output-limit",
    "4MiB",
];

/// The number of concurrent requests to misbehaving plugins.
const CONCURRENT_REQUESTS: usize = 3;

/// Misbehaviors, each with texts of which its error contains at least one.
const MISBEHAVIORS: [(&str, &[&str]); 20] = [
    ("loop_for_ever", &["CPU time", "wall time"]),
    ("sleep_for_ever", &["wall time"]),
    ("catch_everything", &["wall time"]),
    ("ignore_signals", &["CPU time", "wall time"]),
    ("allocate_without_end", &["MemoryError", "memory"]),
    ("allocate_in_one_go", &["MemoryError", "memory"]),
    ("exit_with_a_status", &["SystemExit", "status 3"]),
    ("exit_at_once", &["status 4", "status: 4"]),
    ("die_of_a_signal", &["signal", "SIGKILL"]),
    ("read_nowhere", &["signal", "SIGSEGV"]),
    ("fork_and_stay", &["wall time", "memory limit"]),
    ("start_a_process_and_leave", &["wall time"]),
    ("flood_stdout", &["output", "CPU time", "wall time"]),
    ("flood_stderr", &["output", "CPU time", "wall time"]),
    ("flood_the_log", &["output"]),
    ("flood_with_lines", &["output"]),
    ("answer_without_end", &["output", "MemoryError", "memory"]),
    ("recurse", &["RecursionError"]),
    ("raise_system_exit", &["SystemExit", "as if it ended"]),
    ("raise_an_interrupt", &["KeyboardInterrupt"]),
];

/// Misbehaviors whose run may succeed: only the success of the next run matters.
const TOLERATED_MISBEHAVIORS: [&str; 6] = [
    "fork_and_return",
    "write_to_every_file",
    "close_every_file",
    "raise_what_has_no_text",
    "leave_a_thread",
    "break_the_interface",
];

/// Writes and queries until `is_over`, and counts the rounds. Each write and each query must succeed.
fn write_and_query(stage: &PluginServerFixture, is_over: &AtomicBool, rounds: &AtomicU64) {
    while !is_over.load(Ordering::Relaxed) {
        let round = rounds.load(Ordering::Relaxed);
        stage.server.write(DB, &format!("clients round={round}i {round}"));
        let rows = stage.rows("SELECT count(*) AS n FROM clients").expect("an answer");
        assert_eq!(rows, [json!({ "n": round + 1 })]);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `act` while a client writes and queries.
fn meanwhile(stage: &PluginServerFixture, act: impl FnOnce() + Send) {
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let client = scope.spawn(|| write_and_query(stage, &is_over, &rounds));
        let acted = scope.spawn(act).join();
        is_over.store(true, Ordering::Relaxed);
        client.join().unwrap();
        acted.unwrap();
    });
    assert!(rounds.into_inner() > 10);
}

/// Runs a misbehaving plugin, and then a successful run of the same trigger.
fn misbehave(stage: &PluginServerFixture, deed: &str, texts: &[&str]) {
    let name = format!("t_{deed}");
    TriggerDefinition::new(&name, "misbehaving/deeds.py", &format!("request:{name}")).create(stage);
    let reply = stage.ask(&format!("{name}?deed={deed}"));
    let text = reply.text();
    if !texts.is_empty() {
        assert_eq!(reply.status, 500, "{deed}: {text}");
        assert!(texts.iter().any(|wanted| text.contains(wanted)), "{deed}: {text}");
        let log = stage.log(&name);
        let is_named = |line: &String| {
            line.starts_with("ERROR") && texts.iter().any(|wanted| line.contains(wanted))
        };
        assert!(log.iter().any(is_named), "{deed}: {:#?}", last(&log));
    }
    eventually(deed, (200, "fine".to_owned()), || {
        let reply = stage.ask(&format!("{name}?deed=behave"));
        (reply.status, reply.text())
    });
    assert_eq!(stage.delete(&name, true).status, 200);
}

/// Returns the last lines of a long log, truncated.
fn last(log: &[String]) -> Vec<String> {
    let lines = log[log.len().saturating_sub(5)..].iter();
    lines.map(|line| line.chars().take(200).collect()).collect()
}

#[test]
fn a_misbehaving_plugin_affects_only_itself() {
    let stage = PluginServerFixture::on(StoreFixture::memory(), &LIMITS);
    let odd = TOLERATED_MISBEHAVIORS.iter().map(|deed| (*deed, &[][..]));
    let deeds: VecDeque<_> = MISBEHAVIORS.iter().copied().chain(odd).collect();
    let deeds = Mutex::new(deeds);
    meanwhile(&stage, || {
        thread::scope(|scope| {
            for _ in 0..CONCURRENT_REQUESTS {
                scope.spawn(|| {
                    while let Some((deed, texts)) = { deeds.lock().unwrap().pop_front() } {
                        misbehave(&stage, deed, texts);
                    }
                });
            }
        });
    });
    // None of the processes remain.
    eventually("processes", 0, || processes::of(stage.folder()).len());
    assert!(!stage.server.log().contains("panicked"));
}

#[test]
fn code_that_cannot_be_loaded_says_why() {
    let stage = PluginServerFixture::on(StoreFixture::memory(), &LIMITS);
    let pairs = "
        no_python ==> SyntaxError
        raises_on_import ==> ValueError: before anything
        exits_on_import ==> status
        loops_on_import ==> time
        imports_nothing ==> No module named 'no_such_module_anywhere'
        has_no_entry ==> the process_request function is not present in the plugin
        takes_nothing ==> TypeError
    ";
    for (plugin, text) in neap_test_inputs::text_pairs(pairs) {
        let path = format!("misbehaving/{plugin}.py");
        TriggerDefinition::new(plugin, &path, &format!("request:{plugin}")).create(&stage);
        let reply = stage.ask(plugin);
        assert_eq!(reply.status, 500, "{plugin}: {}", reply.text());
        assert!(reply.text().contains(text), "{plugin}: {}", reply.text());
        let line = stage.wait_for_log(plugin, "ERROR ");
        assert!(line.contains(text), "{plugin}: {line}");
        assert_eq!(stage.delete(plugin, true).status, 200);
    }
}

#[test]
fn rows_and_ticks_continue_after_misbehaving_runs() {
    let stage = PluginServerFixture::on(StoreFixture::memory(), &LIMITS);
    let deeds = [
        ("loop_for_ever", "time"),
        ("allocate_without_end", "emory"),
        ("exit_at_once", "status"),
        ("flood_the_log", "output"),
    ];
    TriggerDefinition::new("copy", "copy_rows.py", "table:home").create(&stage);
    meanwhile(&stage, || {
        for (n, (deed, text)) in deeds.into_iter().enumerate() {
            let names = [("w", "table:home"), ("s", "every:2s")].map(|(name, specification)| {
                let name = format!("{name}_{deed}");
                let trigger = TriggerDefinition::new(&name, "misbehaving/deeds.py", specification);
                trigger.with(&[("deed", deed)]).create(&stage);
                name
            });
            stage.server.write(DB, &format!("home n={n}i {n}"));
            // The other trigger receives the rows regardless of this one.
            let sql = "SELECT count(*) AS n FROM home_copy";
            stage.wait_for_rows(sql, json!([{ "n": n + 1 }]));
            for name in names {
                let is_named = |line: &String| line.starts_with("ERROR") && line.contains(text);
                eventually(&name, true, || stage.log(&name).iter().any(is_named));
                assert_eq!(stage.delete(&name, true).status, 200);
            }
        }
    });
    eventually("processes", 1, || processes::of(stage.folder()).len());
}

#[test]
fn a_server_that_stops_leaves_no_process_behind() {
    let stage = PluginServerFixture::on(StoreFixture::directory(), &LIMITS);
    for (number, deed) in
        ["sleep_for_ever", "ignore_signals", "start_a_process"].into_iter().enumerate()
    {
        let name = format!("t{number}");
        let trigger = TriggerDefinition::new(&name, "misbehaving/deeds.py", "table:home");
        trigger.with(&[("deed", deed)]).create(&stage);
    }
    let run = |stage: &PluginServerFixture| {
        stage.server.write(DB, "home v=1i 1");
        eventually("processes", true, || processes::of(stage.folder()).len() >= 4);
    };
    run(&stage);
    let stage = stage.restarted(|server| assert!(server.stop().success()));
    run(&stage);
    let folder = stage.folder().to_owned();
    let stage = stage.restarted(|server| {
        server.kill();
        eventually("processes of a killed server", true, || processes::of(&folder).is_empty());
    });
    for number in 0..3 {
        assert_eq!(stage.delete(&format!("t{number}"), true).status, 200);
    }
    eventually("processes", 0, || processes::of(stage.folder()).len());
}

#[test]
fn a_killed_server_leaves_no_process_that_a_plugin_started_in_a_new_session() {
    let stage = PluginServerFixture::on(StoreFixture::memory(), &[]);
    let trigger = TriggerDefinition::new("leaves", "misbehaving/deeds.py", "table:home");
    let deed = ("deed", "start_a_process_and_leave");
    trigger.with(&[deed]).create(&stage);
    stage.server.write(DB, "home v=1i 1");
    eventually("processes", 2, || processes::of(stage.folder()).len());
    let folder = stage.folder().to_owned();
    let _stage = stage.restarted(|server| {
        server.kill();
        eventually("processes of a killed server", true, || processes::of(&folder).is_empty());
    });
}
