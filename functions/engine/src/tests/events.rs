//! Tests of the engine in a function that is started by events.

use neap_bucket::{Clock, KeyClass, Operation, SegmentName};
use neap_catalog::{ErrorBehavior, NewTrigger};
use neap_schema::DatabaseId;

use super::cluster::{MINUTE, SECOND, TestCluster, TestProcess, exception, finished, on_writes};

async fn handle(process: &TestProcess, segments: &[(DatabaseId, SegmentName)]) -> Vec<bool> {
    let handled = process.engine.handle_segments(segments.to_vec(), MINUTE).await;
    handled.iter().map(|item| item.result.is_ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_runs_the_triggers_and_saves_their_checkpoints() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.write("db", "a v=1 1\na v=1 2").await.unwrap();
    writer.write("none", "a v=1 3").await.unwrap();
    let segments = stage.segments().await;
    assert_eq!(handle(&function, &segments).await, [true, true]);
    assert_eq!(stage.played.times("t"), [1, 2]);
    // Another instance, and the same event again.
    let other = stage.other(3).await;
    assert_eq!(handle(&other, &segments).await, [true, true]);
    assert_eq!(handle(&function, &segments).await, [true, true]);
    assert_eq!(stage.played.times("t"), [1, 2]);
    assert!(other.logged("db").await.len() >= 2, "the log is in the bucket");
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_warm_function_costs_a_few_requests() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.write("db", "a v=1 1").await.unwrap();
    handle(&function, &stage.segments().await).await;
    writer.write("db", "a v=1 2").await.unwrap();
    let last = stage.segments().await.pop().unwrap();
    let counts = stage.counted(handle(&function, &[last])).await;
    // PUTs: the lease, the checkpoint and the log. Conditional GETs: catalogs and checkpoint.
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 get database_catalog, 1 get tail, 1 get engine, 3 put engine"
    );
    let again = stage.counted(handle(&function, &[last])).await;
    assert_eq!(again.requests(Operation::Put), 0);
    assert_eq!(again.of(Operation::Get, KeyClass::Tail).requests, 0);
}

#[tokio::test(start_paused = true)]
async fn an_item_comes_back_if_the_time_is_over_or_the_trigger_has_not_succeeded() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    let retry = NewTrigger { error_behavior: ErrorBehavior::Retry, ..on_writes("t") };
    writer.create("db", retry).await;
    for time in 0..3 {
        writer.write("db", &format!("a v=1 {time}")).await.unwrap();
    }
    let segments = stage.segments().await;
    let second = segments[1].1;
    stage.played.play(move |call| async move {
        match call.call {
            crate::PluginInput::Writes { stamp, .. } if stamp == Some(second) => Err(exception()),
            _ => Ok(finished()),
        }
    });
    let started_at = stage.clock.monotonic();
    let handled = handle(&function, &segments).await;
    assert_eq!(handled, [true, false, false]);
    assert!(stage.clock.monotonic() - started_at <= MINUTE);
    stage.played.play(async |_| Ok(finished()));
    assert_eq!(handle(&function, &segments).await, [true; 3]);
    let seen = stage.played.succeeded.lock().unwrap().len();
    assert_eq!(seen, 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_gets_no_more_time_than_the_event_has() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.write("db", "a v=1 1").await.unwrap();
    stage.played.play(async |call| {
        assert!(call.limits.wall_time.unwrap() <= 58 * SECOND);
        Ok(finished())
    });
    let segments = stage.segments().await;
    assert_eq!(handle(&function, &segments).await, [true]);
    let none = function.engine.handle_segments(segments, SECOND).await;
    assert!(none[0].result.is_ok(), "seen already");
    writer.write("db", "a v=1 2").await.unwrap();
    let segments = stage.segments().await;
    let late = function.engine.handle_segments(segments, SECOND).await;
    assert!(late[0].result.is_ok() && late[1].result.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_segments_without_events() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.create("db2", NewTrigger { run_async: true, ..on_writes("u") }).await;
    for database in ["db", "db2"] {
        writer.write(database, "a v=1 1").await.unwrap();
    }
    stage.sleep(MINUTE).await;
    let report = function.engine.sweep(MINUTE).await;
    assert_eq!((report.done, report.unfinished, report.failures), (2, false, vec![]));
    let report = stage.other(3).await.engine.sweep(MINUTE).await;
    assert_eq!(report.done, 0);
    let began = stage.played.take();
    assert_eq!(began.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn two_events_at_a_time_run_a_trigger_one_after_the_other() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.write("db", "a v=1 1").await.unwrap();
    writer.write("db", "a v=1 2").await.unwrap();
    stage.let_runs_last(SECOND);
    let segments = stage.segments().await;
    let both = futures::join!(handle(&function, &segments[..1]), handle(&function, &segments[1..]));
    assert_eq!(both, (vec![true], vec![true]));
    assert_eq!(stage.played.times("t"), [1, 2]);
    assert_eq!(stage.played.running.lock().unwrap()["t"].1, 1);
}

#[tokio::test(start_paused = true)]
async fn a_segment_of_a_cancelled_event_runs_in_the_next_event() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.write("db", "a v=1 1").await.unwrap();
    let segments = stage.segments().await;
    stage.played.play(async |_| std::future::pending().await);
    let world = function.bucket.world();
    let stopped = world.timeout(SECOND, handle(&function, &segments)).await;
    assert_eq!(stopped, None);
    stage.played.play(async |_| Ok(finished()));
    assert_eq!(handle(&function, &segments).await, [true]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_begins_ends_with_the_time_of_its_event() {
    let (stage, writer, function) = TestCluster::with_two_processes().await;
    writer.create("db", on_writes("t")).await;
    writer.write("db", "a v=1 1").await.unwrap();
    stage.played.play(async |_| std::future::pending().await);
    let started_at = stage.clock.monotonic();
    let segments = stage.segments().await;
    assert_eq!(handle(&function, &segments).await, [false]);
    assert!(stage.clock.monotonic() - started_at <= MINUTE);
    // The lease was released.
    stage.played.play(async |_| Ok(finished()));
    let other = stage.other(3).await;
    assert_eq!(handle(&other, &segments).await, [true]);
}
