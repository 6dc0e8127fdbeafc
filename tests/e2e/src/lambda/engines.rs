//! Several concurrent engines, frozen and killed during their work: each row reaches a plugin at least once, and each
//! tick runs once.

use std::{collections::BTreeSet, thread};

use serde_json::{Value, json};

use crate::harness::wait_for;

use super::{
    LambdaStack,
    plugins::{self, COPY, LIMIT},
};

/// The number of concurrent engines.
const CONCURRENCY: usize = 3;
/// The number of writes. Each is one segment.
const WRITES: u64 = 30;
/// Seconds between two ticks.
const STEP: u64 = 10;

/// A plugin that writes a row for each of its runs.
const TICK: &str = r#"
import uuid

def process_scheduled_call(influxdb3_local, call_time, args=None):
    line = LineBuilder("ticks").tag("run", uuid.uuid4().hex).int64_field("called", int(call_time.timestamp()))
    influxdb3_local.write(line.time_ns(1))
"#;

/// Returns a stack with several engines. Each receives one message at a time.
fn stack() -> LambdaStack {
    plugins::stack_with("queue", |configuration| {
        configuration["functions"]["engine"]["limits"]["max_instances"] = json!(CONCURRENCY);
        configuration["queues"]["segments"]["batch_size"] = json!(1);
    })
}

/// Writes segments, and waits until all rows are copied. The scheduler's event finds the rows of segments whose
/// notification failed.
fn copy_all(stack: &LambdaStack) {
    for id in 1..=WRITES {
        stack.write("plants", &format!("samples id={id}i {id}"));
    }
    let expected: BTreeSet<u64> = (1..=WRITES).collect();
    wait_for("copies", LIMIT, || {
        let is_all = plugins::copies(stack) == expected;
        if !is_all {
            stack.try_invoke("engine", &json!({ "event": "sweep" })).ok();
        }
        is_all.then_some(())
    });
}

/// Returns the number of runs of each batch.
fn runs(stack: &LambdaStack) -> Vec<Value> {
    stack.query("plants", "SELECT batch, count(*) AS n FROM runs GROUP BY batch")
}

#[test]
fn every_row_reaches_a_plugin_if_concurrent_engines_are_frozen() {
    let stack = stack();
    plugins::create(&stack, "copy", COPY, "table:samples");
    let freeze = json!({ "after": 11, "again": true, "freeze_seconds": 0.5 });
    stack.set_trap("engine", &freeze);
    copy_all(&stack);
    let frozen = stack.take_trap("engine");
    println!("{frozen} frozen, {} engines", stack.instances("engine").len());
    assert!(frozen >= 3, "{frozen}");
    // No engine held another one's lease for so long that a run was repeated.
    let twice: Vec<_> = runs(&stack).into_iter().filter(|run| run["n"] != 1).collect();
    assert_eq!(twice, Vec::<Value>::new());
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}

#[test]
fn an_engine_frozen_for_longer_than_its_lease_loses_its_work_to_others() {
    let stack = stack();
    plugins::create(&stack, "copy", COPY, "table:samples");
    // The engine thaws after others have completed its work.
    let freeze = json!({ "after": 12, "freeze_seconds": LIMIT.as_secs() });
    stack.set_trap("engine", &freeze);
    copy_all(&stack);
    let frozen = stack.frozen_at_work("engine");
    assert_eq!((stack.take_trap("engine"), frozen.len()), (1, 1));
    stack.change_instance("engine", frozen[0], "thaw");
    wait_for("rest", LIMIT, || {
        let phases = stack.phases("engine");
        phases.iter().all(|phase| phase == "idle").then_some(())
    });
    copy_all(&stack);
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}

#[test]
fn every_row_reaches_a_plugin_if_concurrent_engines_are_killed() {
    let stack = stack();
    plugins::create(&stack, "copy", COPY, "table:samples");
    stack.set_trap("engine", &json!({ "after": 17 }));
    copy_all(&stack);
    assert_eq!(stack.take_trap("engine"), 1);
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}

/// Returns the times of all runs in order.
fn ticks(stack: &LambdaStack) -> Vec<u64> {
    let rows = stack.query("plants", "SELECT called FROM ticks ORDER BY called");
    let times = rows.iter().map(|row| row["called"].as_u64().unwrap());
    times.collect()
}

#[test]
fn every_tick_runs_once_if_several_engines_receive_it_and_are_frozen() {
    let stack = stack();
    plugins::create(&stack, "tick", TICK, &format!("every:{STEP}s"));
    let soon = "SELECT soon, date_part('epoch', soon)::BIGINT AS seconds FROM (SELECT now() + INTERVAL '60 seconds' AS soon)";
    let soon = &stack.query("plants", soon)[0];
    let last_step = soon["seconds"].as_u64().unwrap() / STEP;
    let event = json!({ "event": "schedule", "time": soon["soon"] });
    let freeze = json!({ "after": 7, "again": true, "freeze_seconds": 0.5 });
    stack.set_trap("engine", &freeze);
    thread::scope(|scope| {
        for _ in 0..2 * CONCURRENCY {
            scope.spawn(|| stack.invoke("engine", &event));
        }
    });
    let frozen = stack.take_trap("engine");
    assert!(frozen >= 1, "{frozen}");
    let times = ticks(&stack);
    // The trigger may have been created in the step before that of the event's first minute.
    let first_step = times[0] / STEP;
    assert!(first_step + 60 / STEP <= last_step + 1, "{times:?}");
    let expected = (first_step..=last_step).map(|step| step * STEP);
    assert_eq!(times, expected.collect::<Vec<_>>());
    stack.finish();
}
