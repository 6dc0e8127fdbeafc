//! Tests of two engines on one bucket.

use std::sync::{Arc, atomic::Ordering};

use neap_bucket::{Clock, CodeHash};
use neap_catalog::NewTrigger;

use super::cluster::{HOUR, MINUTE, SECOND, TestCluster, TestProcessOptions, on_writes};

#[tokio::test(start_paused = true)]
async fn runs_of_one_trigger_do_not_overlap_across_engines_and_all_segments_run() {
    let stage = TestCluster::new();
    let first = stage.other(1).await;
    let second = stage.other(2).await;
    first.start();
    second.start();
    first.create("db", on_writes("t")).await;
    stage.sleep(30 * SECOND).await;
    stage.let_runs_last(SECOND);
    for time in 0..10 {
        let process = [&first, &second][time % 2];
        process.write("db", &format!("a v=1 {time}")).await.unwrap();
        stage.sleep(SECOND).await;
    }
    stage.sleep(2 * MINUTE).await;
    let mut times = stage.played.times("t");
    times.sort_unstable();
    assert_eq!(times, (0..10).collect::<Vec<_>>());
    assert_eq!(stage.played.running.lock().unwrap()["t"].1, 1);
    // The lease was released.
    stage.played.take();
    second.write("db", "a v=1 100").await.unwrap();
    stage.sleep(SECOND).await;
    assert_eq!(stage.played.times("t"), [100]);
}

#[tokio::test(start_paused = true)]
async fn another_engine_takes_over_when_the_lease_of_a_dead_one_expires() {
    let stage = TestCluster::new();
    let first = stage.other(1).await;
    first.start();
    first.create("db", on_writes("t")).await;
    stage.let_runs_last(HOUR);
    first.write("db", "a v=1 1").await.unwrap();
    stage.sleep(10 * SECOND).await;
    let second = stage.other(2).await;
    second.start();
    stage.sleep(2 * MINUTE).await;
    let engines = |began: Vec<super::cluster::StartedRun>| {
        began.into_iter().map(|run| run.engine).collect::<Vec<_>>()
    };
    assert_eq!(engines(stage.played.take()), [1], "the lease is renewed while it runs");
    first.crash().await;
    stage.sleep(MINUTE).await;
    assert_eq!(engines(stage.played.take()), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_segments_of_other_processes_and_runs_them_once() {
    for run_async in [false, true] {
        let stage = TestCluster::new();
        let engine = stage.other(1).await;
        let writer = stage.other(2).await;
        let bystander = stage.other(3).await;
        engine.start();
        bystander.start();
        let trigger = NewTrigger { run_async, ..on_writes("t") };
        engine.create("db", trigger).await;
        stage.sleep(30 * SECOND).await;
        for time in 0..5 {
            writer.write("db", &format!("a v=1 {time}")).await.unwrap();
            engine.write("db", &format!("a v=1 {}", 10 + time)).await.unwrap();
            stage.sleep(SECOND).await;
        }
        stage.sleep(MINUTE).await;
        let mut times = stage.played.times("t");
        times.sort_unstable();
        if run_async {
            // Without a lease, two engines may run the same segment.
            times.dedup();
        }
        let all = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14];
        assert_eq!(times, all, "asynchronous: {run_async}");
    }
}

#[tokio::test(start_paused = true)]
async fn triggers_that_another_process_creates_become_known() {
    let stage = TestCluster::new();
    let engine = stage.other(1).await;
    let other = stage.other(2).await;
    engine.start();
    other.create("db", on_writes("t")).await;
    other.write("db", "a v=1 1").await.unwrap();
    stage.sleep(2 * MINUTE).await;
    assert_eq!(stage.played.times("t"), [1]);
    engine.notices.are_lost.store(true, Ordering::Relaxed);
    engine.write("db", "a v=1 2").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn remote_changes_are_noticed_in_time_despite_frequent_local_changes() {
    let stage = TestCluster::new();
    let engine = stage.other(1).await;
    let other = stage.other(2).await;
    engine.start();
    let (of, clock) = (Arc::clone(&engine.engine), Arc::clone(&stage.clock));
    let looking = tokio::spawn(async move {
        loop {
            clock.sleep(SECOND).await;
            of.triggers_changed();
        }
    });
    stage.sleep(MINUTE).await;
    other.create("db", on_writes("t")).await;
    let known = || engine.engine.roster.all().len();
    stage.sleep(16 * SECOND).await;
    assert_eq!(known(), 1);
    let id = other.id("db").await;
    let disabled = other.catalog.set_trigger_enabled(id, "t", false);
    disabled.await.unwrap();
    stage.sleep(16 * SECOND).await;
    assert_eq!(known(), 0);
    looking.abort();
}

#[tokio::test(start_paused = true)]
async fn an_engine_leaves_stored_plugins_to_others_if_it_allows_only_its_folder() {
    let stage = TestCluster::new();
    let cast = TestProcessOptions {
        seed: 101,
        plugin_folder_only: true,
        ..TestProcessOptions::default()
    };
    let strict = stage.process(1, cast).await;
    strict.start();
    let stored = NewTrigger { code: Some(CodeHash([1; 32])), ..on_writes("stored") };
    strict.create("db", stored).await;
    strict.create("db", on_writes("in_folder")).await;
    strict.write("db", "a v=1 1").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("in_folder"), [1]);
    assert!(stage.played.times("stored").is_empty());
    // The rows wait for an engine that runs the plugin.
    let other = stage.other(2).await;
    other.start();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("stored"), [1]);
    assert_eq!(stage.played.times("in_folder"), [1]);
}
