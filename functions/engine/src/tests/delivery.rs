//! Tests of the delivery of segments to triggers: rows, number of runs, order, and requests.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use neap_catalog::{NewTrigger, TriggerSpecification};

use super::cluster::{HOUR, MINUTE, SECOND, TestCluster, TestProcessOptions, finished, on_writes};
use crate::{PluginCall, PluginInput};

fn on_table(name: &str, table: &str) -> NewTrigger {
    NewTrigger {
        specification: TriggerSpecification::SingleTableWalWrite { table_name: table.to_owned() },
        ..on_writes(name)
    }
}

#[tokio::test(start_paused = true)]
async fn each_trigger_gets_the_rows_that_it_is_for_once_and_in_their_order() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.write("db", "a v=1 1").await.unwrap();
    process.create("db", on_writes("all")).await;
    process.create("db", on_table("of_b", "b")).await;
    process.create("other", on_writes("elsewhere")).await;
    process.write("db", "b v=1 4\na v=1 3\na v=1 2").await.unwrap();
    process.write("db", "a v=1 5").await.unwrap();
    process.write("other", "a v=1 6").await.unwrap();
    stage.sleep(SECOND).await;
    let began = stage.played.take();
    let rows = |trigger: &str| {
        let runs = began.iter().filter(|run| run.trigger == trigger);
        runs.map(|run| run.rows.clone()).collect::<Vec<_>>()
    };
    let table = |name: &str, times: &[i64]| (name.to_owned(), times.to_vec());
    assert_eq!(
        rows("all"),
        [vec![table("b", &[4]), table("a", &[3, 2])], vec![table("a", &[5])]]
    );
    assert_eq!(rows("of_b"), [[table("b", &[4])]]);
    assert_eq!(rows("elsewhere"), [[table("a", &[6])]]);
    stage.sleep(HOUR).await;
    process.stop().await;
    assert_eq!(stage.played.take(), []);
}

#[tokio::test(start_paused = true)]
async fn the_trigger_of_a_renamed_table_gets_its_rows_under_the_present_name() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.write("db", "a v=1 1\nb v=1 1").await.unwrap();
    process.create("db", on_table("of_former", "b")).await;
    let id = process.id("db").await;
    process.catalog.rename_table(id, "b", "c").await.unwrap();
    process.create("db", on_table("of_present", "c")).await;
    process.write("db", "a v=1 2\nb v=1 3").await.unwrap();
    process.write("db", "c v=1 4").await.unwrap();
    stage.sleep(SECOND).await;
    let began = stage.played.take();
    for trigger in ["of_former", "of_present"] {
        let runs = began.iter().filter(|run| run.trigger == trigger);
        let rows: Vec<_> = runs.map(|run| run.rows.clone()).collect();
        let of_table = |time: i64| vec![("c".to_owned(), vec![time])];
        assert_eq!(rows, [of_table(3), of_table(4)], "{trigger}");
    }
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_have_the_present_names_of_renamed_columns_and_of_a_column_that_was_created_again() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.write("db", "a,host=x load=1,note=2 1").await.unwrap();
    let id = process.id("db").await;
    process.catalog.rename_column(id, "a", "host", "server").await.unwrap();
    process.catalog.rename_column(id, "a", "load", "usage").await.unwrap();
    process.catalog.drop_column(id, "a", "note").await.unwrap();
    process.create("db", on_writes("all")).await;
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    stage.played.play(move |call: PluginCall| {
        if let PluginInput::Writes { tables, .. } = &call.call {
            let batches = tables.iter().flat_map(|(_, batches)| batches);
            let names = batches.map(|batch| {
                let fields = batch.schema_ref().fields().iter();
                fields.map(|field| field.name().clone()).collect::<BTreeSet<_>>()
            });
            seen.lock().unwrap().extend(names);
        }
        async { Ok(finished()) }
    });
    process.write("db", "a,host=y load=3,note=4 2").await.unwrap();
    stage.sleep(SECOND).await;
    let expected = ["note", "server", "time", "usage"].map(str::to_owned);
    assert_eq!(*shown.lock().unwrap(), [BTreeSet::from(expected)]);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_sends_no_requests() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", on_writes("t")).await;
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(3 * MINUTE).await;
    let counts = stage.counted(stage.sleep(24 * HOUR)).await;
    assert_eq!(counts.to_string(), "nothing");
}

#[tokio::test(start_paused = true)]
async fn segments_of_some_seconds_cost_one_commit_for_each_trigger() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", on_writes("t")).await;
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(3 * MINUTE).await;
    let work = async {
        for time in 0..4 {
            process.write("db", &format!("a v=1 {time}")).await.unwrap();
            stage.sleep(SECOND).await;
        }
        stage.sleep(2 * SECOND).await;
    };
    let counts = stage.counted(work).await;
    assert_eq!(stage.played.times("t").len(), 5);
    // No segment is read and no tail is listed: four segments cost one commit.
    let tail_and_engine: Vec<String> = counts
        .iter()
        .filter(|(_, class, _)| ["tail", "engine"].contains(&class.as_str()))
        .map(|(operation, class, count)| {
            format!("{} {operation} {}", count.requests, class.as_str())
        })
        .collect();
    assert_eq!(tail_and_engine, ["4 put tail", "1 put engine"]);
    // The logs, and the mark that passes the segments.
    let counts = stage.counted(stage.sleep(3 * MINUTE)).await;
    assert_eq!(counts.to_string(), "2 put engine");
}

#[tokio::test(start_paused = true)]
async fn unannounced_segments_are_found_when_an_engine_starts() {
    let (stage, first) = TestCluster::with_started_process().await;
    first.create("db", on_writes("t")).await;
    first.write("db", "a v=1 1").await.unwrap();
    stage.sleep(20 * SECOND).await;
    first.stop().await;
    // No engine is running.
    first.write("db", "a v=1 2\na v=1 3").await.unwrap();
    let second = stage.alone().await;
    second.start();
    stage.sleep(SECOND).await;
    assert_eq!(stage.played.times("t"), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_repeats_only_unsaved_segments() {
    let (stage, first) = TestCluster::with_started_process().await;
    first.create("db", on_writes("t")).await;
    first.write("db", "a v=1 1").await.unwrap();
    stage.sleep(20 * SECOND).await;
    first.write("db", "a v=1 2").await.unwrap();
    stage.sleep(SECOND).await;
    first.crash().await;
    let second = stage.alone().await;
    second.start();
    stage.sleep(10 * SECOND).await;
    second.stop().await;
    let third = stage.alone().await;
    third.start();
    stage.sleep(10 * SECOND).await;
    assert_eq!(stage.played.times("t"), [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_larger_than_the_queue_is_delivered_in_order() {
    let (stage, first) = TestCluster::with_started_process().await;
    first.create("db", on_writes("t")).await;
    first.stop().await;
    for time in 0..30 {
        first.write("db", &format!("a v=1 {time}")).await.unwrap();
    }
    let cast = TestProcessOptions {
        sole_writer: true,
        max_queued: 4,
        ..TestProcessOptions::default()
    };
    let second = stage.process(2, cast).await;
    second.start();
    stage.sleep(30 * SECOND).await;
    assert_eq!(stage.played.times("t"), (0..30).collect::<Vec<_>>());
    stage.sleep(3 * MINUTE).await;
    let counts = stage.counted(stage.sleep(HOUR)).await;
    assert_eq!(counts.to_string(), "nothing");
}

#[tokio::test(start_paused = true)]
async fn runs_overlap_only_if_the_trigger_allows_it() {
    let (stage, process) = TestCluster::with_started_process().await;
    let parallel = NewTrigger { run_async: true, ..on_writes("parallel") };
    process.create("db", on_writes("serial")).await;
    process.create("db", parallel).await;
    stage.let_runs_last(SECOND);
    for time in 0..20 {
        process.write("db", &format!("a v=1 {time}")).await.unwrap();
    }
    stage.sleep(5 * SECOND).await;
    let most = stage.played.running.lock().unwrap().clone();
    assert_eq!((most["serial"].1, most["parallel"].1), (1, 8));
    assert!(process.metric("neap_plugin_pending_segments", "serial") >= 14.0);
    assert!(process.metric("neap_plugin_lag_seconds", "serial") >= 3.0);
    stage.sleep(MINUTE).await;
    let times = stage.played.times("serial");
    assert_eq!(times, (0..20).collect::<Vec<_>>());
    assert_eq!(process.metric("neap_plugin_pending_segments", ""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_trigger_misses_segments_written_meanwhile() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", on_writes("t")).await;
    let id = process.id("db").await;
    let switch = async |enabled| {
        let switched = process.catalog.set_trigger_enabled(id, "t", enabled);
        switched.await.unwrap();
        process.engine.triggers_changed();
        stage.sleep(Duration::from_millis(10)).await;
    };
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(SECOND).await;
    switch(false).await;
    process.write("db", "a v=1 2").await.unwrap();
    stage.sleep(SECOND).await;
    switch(true).await;
    process.write("db", "a v=1 3").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t"), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_is_deleted_does_not_run() {
    let (stage, process) = TestCluster::with_started_process().await;
    process.create("db", on_writes("t")).await;
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(SECOND).await;
    let id = process.id("db").await;
    process.catalog.delete_trigger(id, "t", true).await.unwrap();
    process.engine.triggers_changed();
    process.write("db", "a v=1 2").await.unwrap();
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.times("t"), [1]);
}

#[tokio::test(start_paused = true)]
async fn triggers_wait_for_each_other_when_their_rows_take_up_too_much_memory() {
    let stage = TestCluster::new();
    let cast = TestProcessOptions {
        sole_writer: true,
        max_decoded_bytes: 1,
        ..TestProcessOptions::default()
    };
    let process = stage.process(0, cast).await;
    process.start();
    for name in ["t", "u", "v"] {
        process.create("db", on_writes(name)).await;
    }
    stage.let_runs_last(SECOND);
    process.write("db", "a v=1 1").await.unwrap();
    stage.sleep(SECOND / 2).await;
    assert_eq!(stage.played.take().len(), 1);
    stage.sleep(SECOND).await;
    assert_eq!(stage.played.take().len(), 1);
    stage.sleep(MINUTE).await;
    assert_eq!(stage.played.take().len(), 1);
}
