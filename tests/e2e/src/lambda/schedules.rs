//! Flushes and merges by schedule and by queue, concurrent with writers and queriers.

use std::{thread, time::Duration};

use neap_test_inputs::XorShift;
use serde_json::{Value, json};

use crate::harness::{ServerClient, pause, wait_for};

use super::LambdaStack;

/// The number of segments at which a flush is due.
const FLUSH_DUE_SEGMENTS: usize = 300;
/// The number of concurrent writers.
const WRITERS: usize = 3;
/// Maximum wait for a flush: the flush lag of a network store, and a margin for a slow machine.
pub(super) const FLUSH: Duration = Duration::from_secs(120);
/// The number of days with rows.
const DAYS: usize = 12;
const DAY: usize = 86_400;

/// Waits until a flush takes all segments that are written. HTTP stores report time in whole seconds.
pub(super) fn pause_until_flushable(stack: &LambdaStack) {
    pause(stack.place.flush_lag() + Duration::from_secs(1));
}

/// Returns the event of a scheduler.
pub(super) fn scheduled() -> Value {
    json!({ "event": "scheduled" })
}

/// Writes [`FLUSH_DUE_SEGMENTS`] segments, divided between all writers.
fn write(server: &ServerClient, round: usize) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for segment in 0..FLUSH_DUE_SEGMENTS.div_ceil(WRITERS) {
                    let time = (segment % DAYS) * DAY + round * 1_000 + segment;
                    let line = format!("m,writer=w{writer} round={round}i,v=1i {time}");
                    server.write("scheduled", &line);
                }
            });
        }
    });
}

fn counts(stack: &LambdaStack) -> Vec<Value> {
    let sql = "SELECT round, count(*) AS n, sum(v) AS v FROM m GROUP BY round ORDER BY round";
    stack.query("scheduled", sql)
}

/// Invokes a function with the scheduler's event until it flushes the tail of the database, all of it in one flush.
fn flush(stack: &LambdaStack, function: &str) {
    pause_until_flushable(stack);
    let before = stack.requests(function).of("put manifest");
    wait_for("flush", FLUSH, || {
        stack.invoke(function, &scheduled());
        (stack.requests(function).of("put manifest") > before).then_some(())
    });
}

/// Checks that a new querier returns the expected results without reading segments.
fn check_flushed(stack: &LambdaStack, ask: impl Fn() -> Vec<Value>, expected: &[Value]) {
    stack.kill_all("query");
    let before = stack.requests("query");
    assert_eq!(ask(), expected);
    let cost = stack.requests("query").since(&before);
    assert_eq!(cost.of("get tail"), 0, "{cost}");
}

#[test]
fn a_tail_of_many_segments_is_flushed_by_schedule() {
    let stack = LambdaStack::start();
    write(&stack, 0);
    let each = FLUSH_DUE_SEGMENTS.div_ceil(WRITERS) * WRITERS;
    let written = [json!({ "round": 0, "n": each, "v": each })];
    assert_eq!(counts(&stack), written);
    flush(&stack, "compact");
    check_flushed(&stack, || counts(&stack), &written);
    write(&stack, 1);
    assert_eq!(counts(&stack).len(), 2);
    stack.finish();
}

/// Returns random text, which compresses badly.
fn noise(random: &mut XorShift, length: usize) -> String {
    let characters = (0..length).map(|_| {
        let character = b'0' + u8::try_from(random.below(75)).unwrap();
        char::from(character).to_ascii_lowercase()
    });
    characters.filter(|character| *character != '\\').collect()
}

/// Adds a compacting function with so little memory that its flushes are small, and that does not merge.
pub(super) fn add_small(configuration: &mut Value) {
    let mut small = configuration["functions"]["compact"].clone();
    small["limits"]["memory_mib"] = json!(128);
    configuration["functions"]["small"] = small;
}

/// The number of large writes. Each segment is so large that the small function takes one at a time.
const LARGE_WRITES: usize = 13;
/// The number of rows in a large write.
const LARGE_ROWS: usize = 32;
/// The number of tables to which each write adds a row, so that several tables have sections to merge.
const SMALL_TABLES: usize = 4;

/// Writes large segments, each of which also writes to the same point.
pub(super) fn write_large(stack: &LambdaStack) {
    let mut random = XorShift::new(88_172_645_463_325_252);
    let mut last = None;
    for write in 0..LARGE_WRITES {
        let rows = (0..LARGE_ROWS).map(|row| {
            format!("m,write=w{write} text=\"{}\" {row}\n", noise(&mut random, 100_000))
        });
        let mut lines = rows.collect::<String>();
        lines += &format!("newest v={write}i,of_{write}={write}i 1\n");
        for table in 0..SMALL_TABLES {
            lines += &format!("small_{table} v={write}i {write}\n");
        }
        last = Some(stack.write_after("scheduled", &lines, last));
    }
}

/// Queries large segments: the rows of each and their size, and the newest version of a point.
pub(super) fn ask_large(stack: &LambdaStack) -> Vec<Value> {
    let sql = "SELECT write, count(*) AS n, sum(length(text)) AS l, min(text) AS t FROM m GROUP BY write ORDER BY write";
    let mut rows = stack.query("scheduled", sql);
    assert_eq!(rows.len(), LARGE_WRITES);
    let are_whole = rows.iter().all(|row| row["n"] == LARGE_ROWS);
    assert!(are_whole, "{rows:?}");
    let newest = stack.query("scheduled", "SELECT * FROM newest");
    assert_eq!(newest[0]["v"], LARGE_WRITES - 1);
    rows.extend(newest);
    for table in 0..SMALL_TABLES {
        let sql = format!("SELECT v FROM small_{table} ORDER BY v");
        let small = stack.query("scheduled", &sql);
        let expected = (0..LARGE_WRITES).map(|write| json!({ "v": write }));
        assert_eq!(small, expected.collect::<Vec<_>>());
    }
    rows
}

#[test]
fn a_large_tail_is_flushed_in_parts_that_are_merged_through_the_queue() {
    // With little memory, a flush takes few segments, and nothing is merged.
    let stack = LambdaStack::start_with(add_small);
    write_large(&stack);
    let ask = || ask_large(&stack);
    let written = ask();
    flush(&stack, "small");
    stack.invoke("compact", &json!({ "event": "collect" }));
    wait_for("merges", FLUSH, || stack.queue("merges").is_empty().then_some(()));
    check_flushed(&stack, ask, &written);
    let log = stack.log("small") + &stack.log("compact");
    let count = |name: &str| -> u64 {
        let counts = log.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line[name].as_u64()
        });
        counts.sum()
    };
    let (flushes, handed_out, merges) = (count("flushes"), count("handed_out"), count("merges"));
    println!("{flushes} flushes, {handed_out} orders, {merges} merges");
    assert!(flushes > 1 && handed_out > 0, "{log}");
    assert_eq!(merges, handed_out, "{log}");
    assert_eq!(stack.queue("dead"), Vec::<String>::new());
    stack.finish();
}

#[test]
fn an_invalid_merge_order_goes_to_the_dead_letter_queue_and_does_not_block_others() {
    let stack = LambdaStack::start_with(|configuration| {
        let queue = &mut configuration["queues"]["merges"];
        queue["visibility_seconds"] = json!(0.2);
        queue["max_receives"] = json!(2);
        queue["batch_size"] = json!(10);
    });
    stack.write("scheduled", "m v=1i 1");
    for body in ["{}", "no order", r#"{"event":"merge"}"#] {
        stack.send("merges", body);
    }
    wait_for("dead letters", FLUSH, || (stack.queue("dead").len() == 3).then_some(()));
    assert_eq!(stack.queue("merges"), Vec::<String>::new());
    stack.finish();
}
