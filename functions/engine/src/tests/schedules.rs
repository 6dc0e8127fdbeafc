//! Tests of triggers on schedules.

use std::time::Duration;

use neap_bucket::{Clock, StoreFaults, StoreTime};
use neap_catalog::{NewTrigger, TriggerSpecification};

use super::cluster::{HOUR, MINUTE, SECOND, TestCluster, TestProcessOptions, on_writes};

fn every(name: &str, duration: Duration) -> NewTrigger {
    NewTrigger {
        specification: TriggerSpecification::Every { duration },
        ..on_writes(name)
    }
}

fn wall(stage: &TestCluster) -> StoreTime {
    StoreTime::from_micros(stage.clock.wall_micros())
}

#[tokio::test(start_paused = true)]
async fn a_trigger_runs_at_the_multiples_of_its_period_and_a_sole_writer_claims_nothing() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", every("t", 10 * SECOND)).await;
    let cron = TriggerSpecification::Schedule { schedule: "30 * * * * *".to_owned() };
    process
        .create("db", NewTrigger { specification: cron, ..on_writes("cron") })
        .await;
    stage.sleep(35 * SECOND).await;
    // The clock starts at 20 s past the minute.
    assert_eq!(stage.played.ticks("t"), [10_000, 20_000, 30_000]);
    assert_eq!(stage.played.ticks("cron"), [10_000]);
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.ticks("cron"), [10_000, 70_000]);
    let ticks = stage.keys("engine/").await;
    assert!(ticks.iter().all(|key| !key.contains("/tick/")), "{ticks:?}");
}

#[tokio::test(start_paused = true)]
async fn two_engines_run_each_tick_once() {
    let stage = TestCluster::new();
    let faults = StoreFaults {
        delay: 0.5,
        longest_delay: SECOND,
        unavailable: 0.1,
        lost_reply: 0.1,
        refused_after_effect: 0.1,
        refused_without_effect: 0.1,
        ..StoreFaults::default()
    };
    let mut processes = Vec::new();
    for number in 1..=2 {
        let cast = TestProcessOptions {
            faults: StoreFaults::default(),
            seed: 40 + number as u64,
            ..TestProcessOptions::default()
        };
        processes.push(stage.process(number, cast).await);
    }
    processes[0]
        .create("db", NewTrigger { run_async: true, ..every("t", 2 * SECOND) })
        .await;
    for process in &processes {
        process.start();
        process.engine.refresh(Duration::ZERO).await.unwrap();
        process.store.set_faults(faults.clone());
    }
    stage.sleep(10 * MINUTE).await;
    for process in &processes {
        process.store.set_faults(StoreFaults::default());
    }
    let ticks = stage.played.ticks("t");
    let mut once = ticks.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ticks.len(), "a tick ran twice");
    assert!(once.len() >= 298, "{} of 300 ticks", once.len());
    let began = stage.played.take();
    for engine in 1..=2 {
        assert!(began.iter().any(|run| run.engine == engine));
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_that_come_while_a_serial_trigger_runs_are_skipped() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", every("serial", 10 * SECOND)).await;
    process
        .create("db", NewTrigger { run_async: true, ..every("parallel", 10 * SECOND) })
        .await;
    stage.let_runs_last(25 * SECOND);
    stage.sleep(61 * SECOND).await;
    assert_eq!(stage.played.ticks("serial"), [10_000, 40_000]);
    assert_eq!(stage.played.ticks("parallel").len(), 6);
    assert_eq!(stage.played.running.lock().unwrap()["serial"].1, 1);
    assert_eq!(process.metric("neap_plugin_ticks_skipped_total", "serial"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn ticks_missed_while_no_engine_ran_do_not_run_later() {
    let (stage, first) = TestCluster::with_started_process().await;
    first.create("db", every("t", 10 * SECOND)).await;
    stage.sleep(11 * SECOND).await;
    first.stop().await;
    stage.sleep(HOUR).await;
    assert_eq!(stage.played.take().len(), 1);
    let second = stage.alone().await;
    second.start();
    stage.sleep(11 * SECOND).await;
    assert_eq!(stage.played.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn minutely_events_run_each_tick_once_across_instances() {
    let (stage, first, second) = TestCluster::with_two_processes().await;
    first.create("db", every("t", 15 * SECOND)).await;
    stage.sleep(MINUTE).await;
    for minute in 0..3 {
        let now = wall(&stage);
        let (one, two) = futures::join!(
            first.engine.handle_schedule(now, MINUTE),
            second.engine.handle_schedule(now, MINUTE)
        );
        assert_eq!(one.done + two.done, 4, "minute {minute}");
        let again = first.engine.handle_schedule(now, MINUTE).await;
        assert_eq!((again.done, again.unfinished), (0, false));
        stage.sleep(MINUTE).await;
    }
    let mut ticks = stage.played.ticks("t");
    ticks.sort_unstable();
    ticks.dedup();
    assert_eq!(ticks.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_time_says_that_it_is_unfinished() {
    let stage = TestCluster::new();
    let function = stage.other(1).await;
    function.create("db", every("t", 15 * SECOND)).await;
    stage.sleep(MINUTE).await;
    stage.let_runs_last(4 * SECOND);
    let report = function.engine.handle_schedule(wall(&stage), 10 * SECOND).await;
    assert!(report.unfinished);
    assert_eq!(report.done, 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_runs_the_ticks_of_late_or_lost_events() {
    let (stage, first, second) = TestCluster::with_two_processes().await;
    first.create("db", every("t", 15 * SECOND)).await;
    stage.sleep(MINUTE).await;
    let one = first.engine.handle_schedule(wall(&stage), MINUTE).await;
    stage.sleep(3 * MINUTE).await;
    let two = second.engine.handle_schedule(wall(&stage), MINUTE).await;
    assert_eq!((one.done, two.done), (4, 12));
    let ticks = stage.played.ticks("t");
    let expected: Vec<i64> = (0..16).map(|tick| 10_000 + 15_000 * tick).collect();
    assert_eq!(ticks, expected);
}

#[tokio::test(start_paused = true)]
async fn an_event_leaves_out_what_was_due_before_a_trigger_was_enabled() {
    let stage = TestCluster::new();
    let function = stage.other(1).await;
    function.create("db", every("t", 15 * SECOND)).await;
    let database = function.id("db").await;
    let enable = async |enabled| {
        let catalog = &function.catalog;
        let set = catalog.set_trigger_enabled(database, "t", enabled).await;
        set.unwrap();
    };
    enable(false).await;
    stage.sleep(2 * MINUTE).await;
    enable(true).await;
    stage.sleep(30 * SECOND).await;
    let report = function.engine.handle_schedule(wall(&stage), MINUTE).await;
    assert_eq!(report.done, 2);
    let ticks = stage.played.ticks("t");
    assert!(ticks.iter().all(|tick| *tick > 120_000), "{ticks:?}");
}

/// Most ticks in the period that an event covers have run, so the event must not send a request for each of them.
#[tokio::test(start_paused = true)]
async fn looking_back_costs_a_list_and_no_claim() {
    let (stage, first, second) = TestCluster::with_two_processes().await;
    first.create("db", every("t", 15 * SECOND)).await;
    stage.sleep(4 * MINUTE).await;
    let now = wall(&stage);
    first.engine.handle_schedule(now, MINUTE).await;
    second.engine.refresh(Duration::ZERO).await.unwrap();
    second.engine.logs().save().await.unwrap();
    let again = second.engine.handle_schedule(now, MINUTE);
    let asked = stage.counted(again).await;
    let requests = |of| asked.requests(of);
    assert_eq!(requests(neap_bucket::Operation::List), 1);
    assert_eq!(requests(neap_bucket::Operation::Put), 0);
}
