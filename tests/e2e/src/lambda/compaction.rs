//! The compact function, killed and frozen during flushes and merges, alone and concurrently with others: each
//! acknowledged write exists once, and the bucket is consistent.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::harness::{neap, wait_for};

use super::{
    LambdaStack,
    schedules::{FLUSH, add_small, ask_large, pause_until_flushable, scheduled, write_large},
};

/// The number of concurrent compact instances.
const CONCURRENCY: usize = 3;

fn collect() -> Value {
    json!({ "event": "collect" })
}

/// Returns a stack with large segments that may be flushed, and the expected query results.
fn stage(change: impl FnOnce(&mut Value)) -> (LambdaStack, Vec<Value>) {
    let stack = LambdaStack::start_with(|configuration| {
        for name in ["write", "query"] {
            configuration["functions"][name]["limits"]["max_instances"] = json!(1);
        }
        change(configuration);
        add_small(configuration);
    });
    write_large(&stack);
    let written = ask_large(&stack);
    pause_until_flushable(&stack);
    (stack, written)
}

/// Checks that a new querier returns the expected results, and that the bucket is consistent.
fn check(stack: &LambdaStack, written: &[Value]) {
    stack.kill_all("query");
    assert_eq!(ask_large(stack), written);
    let report = neap(&stack.place.after(&["fsck", "--full"]));
    assert_eq!((report.status, report.err.as_str()), (Some(0), ""), "{}", report.out);
}

/// Returns the sum of a counter in the logs of all instances of the compacting functions.
fn done(stack: &LambdaStack, what: &str) -> u64 {
    let log = stack.log("small") + &stack.log("compact");
    let counts = log.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line[what].as_u64()
    });
    counts.sum()
}

fn sections(stack: &LambdaStack) -> usize {
    let sql = "SELECT row_count FROM system.parquet_files WHERE table_name = 'm'";
    stack.query("scheduled", sql).len()
}

/// Repeats an event with instances that are killed after more and more requests, from `first` in steps of `step`, until
/// an instance is not killed. Returns the number of kills.
fn kill_after_each_request(
    stack: &LambdaStack,
    function: &str,
    event: &Value,
    (first, step): (usize, usize),
) -> usize {
    let mut after = first;
    for kills in 0.. {
        stack.set_trap(function, &json!({ "after": after }));
        let answer = stack.try_invoke(function, event);
        if stack.take_trap(function) == 0 {
            answer.unwrap();
            return kills;
        }
        after += step;
    }
    unreachable!("an event takes a finite number of requests")
}

#[test]
fn flushes_and_merges_killed_at_any_request_lose_and_duplicate_nothing() {
    let (stack, written) = stage(|configuration| {
        // Orders stay in the queue, so that the test controls their delivery.
        configuration["queues"]["merges"] = json!({});
    });
    let flushes = kill_after_each_request(&stack, "small", &scheduled(), (1, 1));
    check(&stack, &written);
    let flushed = sections(&stack);
    stack.invoke("compact", &collect());
    let orders = stack.queue("merges");
    assert!(orders.len() >= 3, "{orders:?}");
    // Each order is killed at different requests; together they cover every request.
    let kills = orders.iter().enumerate().map(|(number, order)| {
        let order: Value = serde_json::from_str(order).unwrap();
        let at = (number + 1, orders.len());
        kill_after_each_request(&stack, "compact", &order, at)
    });
    let merges: Vec<_> = kills.collect();
    check(&stack, &written);
    println!("{flushes} and {merges:?} kills, {flushed} sections");
    let is_each_killed = merges.iter().all(|kills| *kills > 0);
    assert!(flushes > 5 && is_each_killed, "{flushes} {merges:?}");
    assert!(sections(&stack) < flushed);
    stack.finish();
}

/// Invokes a function several times concurrently with an event. One of the instances is frozen or killed repeatedly.
/// Returns how often.
fn invoke_concurrently(stack: &LambdaStack, function: &str, event: &Value, trap: &Value) -> u64 {
    stack.set_trap(function, trap);
    thread::scope(|scope| {
        for _ in 0..CONCURRENCY {
            // Some instances are killed, and some find that another one was faster.
            scope.spawn(|| (0..2).for_each(|_| drop(stack.try_invoke(function, event))));
        }
    });
    stack.take_trap(function)
}

#[test]
fn concurrent_compactors_frozen_and_killed_lose_and_duplicate_nothing() {
    let (stack, written) = stage(|configuration| {
        configuration["functions"]["compact"]["limits"]["max_instances"] = json!(CONCURRENCY);
    });
    let freeze = json!({ "after": 7, "again": true, "freeze_seconds": 0.4 });
    let is_over = AtomicBool::new(false);
    // From the first flush on, the queue delivers merges to several instances, one of which is killed from time to
    // time.
    let kill = || {
        let kills = [2, 5, 9, 14, 20].map(|after| {
            stack.set_trap("compact", &json!({ "after": after }));
            wait_for("merges", 2 * FLUSH, || {
                (stack.caught("compact") > 0 || is_over.load(Ordering::Relaxed)).then_some(())
            });
            stack.take_trap("compact")
        });
        kills.into_iter().sum::<u64>()
    };
    let killed = thread::scope(|scope| {
        let killed = scope.spawn(kill);
        let frozen = invoke_concurrently(&stack, "small", &scheduled(), &freeze);
        check(&stack, &written);
        // This instance may be killed, too.
        drop(stack.try_invoke("compact", &collect()));
        wait_for("merges", FLUSH, || stack.queue("merges").is_empty().then_some(()));
        is_over.store(true, Ordering::Relaxed);
        assert!(frozen >= 3, "{frozen}");
        killed.join().unwrap()
    });
    stack.invoke("compact", &collect());
    wait_for("merges", FLUSH, || stack.queue("merges").is_empty().then_some(()));
    check(&stack, &written);
    let merges = done(&stack, "merges");
    println!("{killed} killed, {merges} merges");
    assert!(killed >= 2 && merges >= 3, "{killed} {merges}");
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}
