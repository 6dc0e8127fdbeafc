//! Tests of failing plugins, unreadable segments, and triggers that cause each other.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use neap_bucket::{Clock, Get, GetOptions, Key, Put, PutMode, Store};
use neap_catalog::{ErrorBehavior, HardDelete, NewTrigger};

use super::cluster::{
    HOUR, MINUTE, SECOND, TestCluster, TestProcess, exception, finished, on_writes,
};
use crate::{CompletedRun, PluginCallError};

fn behaving(behavior: ErrorBehavior) -> NewTrigger {
    NewTrigger { error_behavior: behavior, ..on_writes("t") }
}

/// Returns the result of a run that queues a line.
fn queued(database: &str, line: &str) -> CompletedRun {
    CompletedRun {
        queued: BTreeMap::from([(database.to_owned(), vec![line.to_owned()])]),
        ..finished()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_logged_and_the_trigger_goes_on() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", behaving(ErrorBehavior::Log)).await;
    stage.played.play(async |_| Err(exception()));
    process.write("db", "a v=1 1").await.unwrap();
    process.write("db", "a v=1 2").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t"), [1, 2]);
    let error = "ERROR: ValueError: no";
    let start = "INFO: starting execution of wal plugin.";
    assert_eq!(process.logged("db").await, [start, error, start, error]);
    let failures = process.metric("neap_plugin_failures_total", "reason=\"exception\"");
    assert_eq!(failures, 2.0);
    assert_eq!(process.metric("neap_plugin_runs_total", ""), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_repeated_later_and_later_until_it_succeeds() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", behaving(ErrorBehavior::Retry)).await;
    let left = Arc::new(AtomicUsize::new(3));
    stage.played.play(move |_| {
        let fails =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        async move {
            match fails {
                Ok(_) => Err(exception()),
                Err(_) => Ok(finished()),
            }
        }
    });
    process.write("db", "a v=1 1").await.unwrap();
    process.write("db", "a v=1 2").await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..9 {
        stage.sleep(SECOND).await;
        runs.push(stage.played.take().len());
    }
    // Retries follow after 1 s, 2 s and 4 s; the second segment waits for the first.
    assert_eq!(runs.iter().sum::<usize>(), 5);
    assert_eq!(runs.iter().position(|runs| *runs > 1).map(|at| at >= 6), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_given_up_after_a_day() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", behaving(ErrorBehavior::Retry)).await;
    stage.played.play(async |_| Err(exception()));
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(23 * HOUR).await;
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 0.0);
    assert_eq!(process.metric("neap_plugin_pending_segments", "db"), 1.0);
    stage.sleep(2 * HOUR).await;
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 1.0);
    assert_eq!(process.metric("neap_plugin_pending_segments", "db"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_whose_runs_may_overlap_gives_up_after_five_attempts() {
    let (stage, process) = TestCluster::with_started_process().await;
    let trigger = NewTrigger { run_async: true, ..behaving(ErrorBehavior::Retry) };
    process.create("db", trigger).await;
    stage.played.play(async |_| Err(exception()));
    process.write("db", "a v=1 1").await.unwrap();
    // Retries follow after 1 s, 2 s, 4 s and 8 s.
    stage.sleep(14 * SECOND).await;
    assert_eq!(stage.played.times("t"), [1; 4]);
    stage.sleep(HOUR).await;
    assert_eq!(stage.played.times("t"), [1; 5]);
    let logged = process.logged("db").await;
    assert_eq!(logged.last().unwrap(), "ERROR: giving up: the plugin failed 5 times");
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 1.0);
    assert_eq!(process.metric("neap_plugin_pending_segments", "db"), 0.0);
    // Lines that can't be stored are not a failure of the plugin.
    stage.played.play(async |_| Ok(queued("else", "nonsense")));
    process.write("db", "a v=1 2").await.unwrap();
    stage.sleep(10 * MINUTE).await;
    assert!(stage.played.times("t").len() > 5 + 5);
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_trigger_is_disabled_by_its_error_behavior() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", behaving(ErrorBehavior::Disable)).await;
    stage.played.play(async |_| Err(exception()));
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(SECOND).await;
    process.write("db", "a v=1 2").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t"), [1]);
    let id = process.id("db").await;
    let catalog = process.catalog.database(id, HOUR).await.unwrap();
    assert!(catalog.value.trigger("t").unwrap().disabled);
    let logged = process.logged("db").await;
    assert_eq!(
        logged.last().unwrap(),
        "ERROR: the trigger is disabled because its plugin failed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_did_not_start_is_retried_for_every_error_behavior() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", behaving(ErrorBehavior::Disable)).await;
    let left = Arc::new(AtomicUsize::new(1));
    stage.played.play(move |_| {
        let fails =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        async move {
            match fails {
                Ok(_) => Err(PluginCallError::NotStarted("no interpreter".to_owned())),
                Err(_) => Ok(finished()),
            }
        }
    });
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(10 * SECOND).await;
    assert_eq!(stage.played.times("t"), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_refused_are_logged_and_for_retry_the_run_is_repeated() {
    for (behavior, least) in [(ErrorBehavior::Log, 1), (ErrorBehavior::Retry, 3)] {
        let (stage, process) = TestCluster::with_started_process().await;
        process.create("db", behaving(behavior)).await;
        stage.played.play(async |_| Ok(queued("else", "nonsense")));
        process.write("db", "a v=1 1").await.unwrap();
        stage.sleep(8 * SECOND).await;
        let runs = stage.played.times("t").len();
        assert!(runs >= least && (least > 1 || runs == 1), "{runs}");
        let logged = process.logged("db").await.join("\n");
        assert!(logged.contains("ERROR: error writing lines to else: "), "{logged}");
        assert!(process.metric("neap_plugin_unwritten_total", "") >= 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_causes_itself_is_stopped_and_reported() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", on_writes("t")).await;
    let next = Arc::new(AtomicUsize::new(2));
    stage.played.play(move |_| {
        let time = next.fetch_add(1, Ordering::Relaxed);
        async move { Ok(queued("db", &format!("a v=1 {time}"))) }
    });
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(MINUTE).await;
    // The client's rows, and those of eight plugins in a row.
    assert_eq!(stage.played.times("t"), (1..=9).collect::<Vec<_>>());
    assert_eq!(process.metric("neap_plugin_loops_total", ""), 1.0);
    let logged = process.logged("db").await;
    assert!(logged.last().unwrap().starts_with("ERROR: 9 plugins in a row"), "{logged:?}");
    // The depth of rows from clients starts at 0 again.
    process.write("db", "a v=1 100").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t").len(), 18);
}

/// Damages the first of two segments; returns the process, the key of the segment, and its original bytes.
async fn damaged(stage: &TestCluster) -> (TestProcess, String, Bytes) {
    let first = stage.alone().await;
    first.start();
    first.create("db", on_writes("t")).await;
    first.stop().await;
    first.write("db", "a v=1 1").await.unwrap();
    first.write("db", "a v=1 2").await.unwrap();
    let (database, name) = stage.segments().await[0];
    let key = Key::Segment(database, name);
    let got = first.bucket.get(&key, GetOptions::default()).await.unwrap();
    let Get::Found(object) = got.value else {
        panic!("{key} is gone");
    };
    let garbage = Bytes::from_static(b"garbage, and long enough to be a header");
    put(stage, &key.to_string(), garbage).await;
    (first, key.to_string(), object.bytes)
}

async fn put(stage: &TestCluster, key: &str, bytes: Bytes) {
    let put = stage.store.put(key, bytes, PutMode::Overwrite).await;
    assert!(matches!(put.unwrap().value, Put::Done(_)));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_can_not_be_read_is_tried_again_while_the_next_ones_are_delivered() {
    let stage = TestCluster::new();
    let (_, key, bytes) = damaged(&stage).await;
    let process = stage.alone().await;
    process.start();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t"), [2]);
    let logged = process.logged("db").await.join("\n");
    let error = "ERROR: a segment can't be read and will be retried: ";
    assert_eq!(logged.matches(error).count(), 1, "{logged}");
    assert_eq!(process.metric("neap_plugin_pending_segments", "db"), 1.0);
    process.write("db", "a v=1 3").await.unwrap();
    stage.sleep(SECOND).await;
    assert_eq!(stage.played.times("t"), [2, 3]);
    put(&stage, &key, bytes).await;
    stage.sleep(2 * MINUTE).await;
    assert_eq!(stage.played.times("t"), [2, 3, 1]);
    assert_eq!(process.metric("neap_plugin_pending_segments", "db"), 0.0);
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_given_up_after_a_day() {
    let stage = TestCluster::new();
    damaged(&stage).await;
    let process = stage.alone().await;
    process.start();
    stage.sleep(23 * HOUR).await;
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 0.0);
    stage.sleep(2 * HOUR).await;
    assert_eq!(process.metric("neap_plugin_lost_segments_total", ""), 1.0);
    assert_eq!(process.metric("neap_plugin_pending_segments", "db"), 0.0);
    let logged = process.logged("db").await.join("\n");
    let error = "ERROR: giving up on a segment that can't be read: ";
    assert!(logged.contains(error), "{logged}");
}

#[tokio::test(start_paused = true)]
async fn queued_segments_do_not_run_after_a_disabling_failure() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", behaving(ErrorBehavior::Disable)).await;
    for time in 1..=3 {
        writer.write("db", &format!("a v=1 {time}")).await.unwrap();
    }
    stage.played.play(async |_| Err(exception()));
    let segments = stage.segments().await;
    let handled = function.engine.handle_segments(segments, MINUTE).await;
    assert!(handled.iter().all(|item| item.result.is_ok()));
    assert_eq!(stage.played.times("t"), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_failure_does_not_disable_a_trigger_enabled_again() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", behaving(ErrorBehavior::Disable)).await;
    let id = process.id("db").await;
    let (catalog, clock) = (Arc::clone(&process.catalog), Arc::clone(&stage.clock));
    stage.played.play(move |_| {
        let (catalog, clock) = (Arc::clone(&catalog), Arc::clone(&clock));
        async move {
            for enabled in [false, true] {
                clock.sleep(SECOND).await;
                let switched = catalog.set_trigger_enabled(id, "t", enabled);
                switched.await.unwrap();
            }
            Err(exception())
        }
    });
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(MINUTE).await;
    let catalog = process.catalog.database(id, HOUR).await.unwrap();
    assert!(!catalog.value.trigger("t").unwrap().disabled);
    stage.played.play(async |_| Ok(finished()));
    process.write("db", "a v=1 2").await.unwrap();
    stage.sleep(SECOND).await;
    assert_eq!(stage.played.times("t"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_run_does_not_recreate_its_dropped_database() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", on_writes("t")).await;
    let clock = Arc::clone(&stage.clock);
    stage.played.play(move |call| {
        let sleep = clock.sleep(2 * SECOND);
        async move {
            sleep.await;
            let lines = Bytes::from_static(b"a v=1 5");
            let written = call.context.write_now("db", lines, false).await;
            assert!(written.is_err(), "{written:?}");
            Ok(queued("db", "a v=1 6"))
        }
    });
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(SECOND).await;
    let dropped = process.catalog.delete_database("db", HardDelete::Never);
    dropped.await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.succeeded.lock().unwrap().len(), 1);
    let root = process.catalog.root(HOUR).await.unwrap();
    assert_eq!(root.value.database("db"), None);
    assert_eq!(process.metric("neap_plugin_unwritten_total", ""), 1.0);
}
