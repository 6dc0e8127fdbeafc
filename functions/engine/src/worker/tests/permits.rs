//! Tests of runs that wait for permits.

use std::os::unix::fs::PermissionsExt;

use futures::future::join_all;
use neap_bucket::StoreTime;

use super::*;

const COUNTS: &str = "n = local.cache.get('n', 0)\nlocal.cache.put('n', n + 1)\nreturn str(n + 1)";

/// Returns a plugin with this body as the function for requests and for schedules.
fn both(body: &str) -> String {
    let function = request_function(body);
    let scheduled = function.replace(
        "process_request(local, query, headers, body, args=None)",
        "process_scheduled_call(local, call_time, args=None)",
    );
    format!("{function}{scheduled}")
}

async fn logged(stage: &WorkerFixture, lines: usize) {
    while stage.recorder.log().len() < lines {
        World::system().clock.sleep(Duration::from_millis(5)).await;
    }
}

fn of(stage: &WorkerFixture, number: u32) -> PluginRun {
    let mut run = stage.run.clone();
    run.trigger = trigger(number);
    run
}

fn scheduled(stage: &WorkerFixture, number: u32) -> PluginRun {
    let mut run = of(stage, number);
    run.call = PluginInput::Schedule { time: StoreTime::from_micros(0) };
    run
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_does_not_start() {
    let settings = WorkerSettings { max_workers: 1, ..settings() };
    let stage = WorkerFixture::with(
        settings,
        &request_function("local.info('started')\nimport time\ntime.sleep(0.5)\nreturn ''"),
    );
    let first = stage.workers.run(of(&stage, 1));
    let second = async {
        logged(&stage, 1).await;
        let run = of(&stage, 2);
        run.abandoned.cancel();
        stage.workers.run(run).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(second, Err(RunError::Stopping));
    assert_eq!(stage.recorder.log(), ["INFO: started"]);
}

#[tokio::test]
async fn waiting_triggers_release_idle_processes_and_keep_their_caches() {
    for max_workers in [1, 2, 3] {
        let settings = WorkerSettings { max_workers, ..settings() };
        let stage = WorkerFixture::with(settings, &both(COUNTS));
        let stage = &stage;
        let tasks = (0..8).map(|task| async move {
            for _ in 0..2 {
                let run = scheduled(stage, task % 4);
                stage.workers.run(run).await.unwrap();
            }
        });
        let results = World::system().timeout(Duration::from_secs(100), join_all(tasks)).await;
        assert!(results.is_some(), "{max_workers} processes: they hang");
        for number in 0..4 {
            let counted = stage.workers.run(of(stage, number)).await.unwrap();
            assert_eq!(counted.response.unwrap().body, "5");
        }
    }
}

#[tokio::test]
async fn a_hanging_async_trigger_leaves_permits_to_others() {
    for (max_workers, hang) in [(2, 1), (4, 2)] {
        let settings = WorkerSettings { max_workers, ..settings() };
        let body = "import time\n\
                    if body == b'well':\n    return 'well'\n\
                    local.info('in')\ntime.sleep(1000)";
        let mut stage = WorkerFixture::with(settings, &request_function(body));
        stage.run.is_async = true;
        let hanging = join_all((0..8).map(|_| stage.run()));
        let other = async {
            logged(&stage, hang).await;
            let mut run = of(&stage, 2);
            if let PluginInput::Request { body, .. } = &mut run.call {
                *body = Bytes::from_static(b"well");
            }
            stage.workers.run(run).await
        };
        tokio::select! {
            _ = hanging => panic!("they hang"),
            finished = other => assert_eq!(finished.unwrap().response.unwrap().body, "well"),
        }
    }
}

#[tokio::test]
async fn hanging_async_triggers_leave_permits_to_requests_and_serial_triggers() {
    let settings = WorkerSettings {
        max_workers: 4,
        max_wait: Duration::from_secs(5),
        ..settings()
    };
    let body = "import time\n\
                if args:\n    return 'well'\n\
                local.info('in')\ntime.sleep(1000)";
    let stage = WorkerFixture::with(settings, &both(body));
    let hanging = join_all((0..8).map(|number| {
        let mut run = scheduled(&stage, 10 + number % 4);
        run.is_async = true;
        stage.workers.run(run)
    }));
    let well = |mut run: PluginRun, is_async| {
        run.is_async = is_async;
        run.arguments = Some(BTreeMap::from([("well".to_owned(), String::new())]));
        run.limits.wall_time = Some(Duration::from_secs(20));
        stage.workers.run(run)
    };
    let others = async {
        logged(&stage, 3).await;
        for run in [
            well(of(&stage, 1), false),
            well(of(&stage, 2), true),
            well(scheduled(&stage, 3), false),
        ] {
            run.await.unwrap();
        }
    };
    tokio::select! {
        _ = hanging => panic!("they hang"),
        () = others => {}
    }
}

#[tokio::test]
async fn a_request_waits_for_a_bounded_time_and_a_schedule_without_limit() {
    let max_wait = Duration::from_millis(200);
    let settings = WorkerSettings { max_wait, max_workers: 1, ..settings() };
    let source = both("import time\nlocal.info('in')\ntime.sleep(2)\nreturn ''");
    let stage = WorkerFixture::with(settings, &source);
    let late = async {
        logged(&stage, 1).await;
        let other = stage.workers.run(of(&stage, 2));
        let scheduled = stage.workers.run(scheduled(&stage, 3));
        tokio::join!(stage.run(), other, scheduled)
    };
    let (first, (same, other, scheduled)) = tokio::join!(stage.run(), late);
    assert!(first.is_ok() && scheduled.is_ok(), "{scheduled:?}");
    assert_eq!(same, Err(RunError::NoProcess(max_wait)));
    assert_eq!(other, Err(RunError::NoProcess(max_wait)));
}

#[tokio::test]
async fn the_time_of_a_run_covers_its_wait() {
    let source = both("import time\nlocal.info('in')\ntime.sleep(3)\nreturn ''");
    let stage = WorkerFixture::new(&source);
    let within = |milliseconds| {
        let mut run = scheduled(&stage, 1);
        let time = Duration::from_millis(milliseconds);
        run.limits.wall_time = Some(time);
        (time, stage.workers.run(run))
    };
    let (soon, never_runs) = within(500);
    let (late, runs) = within(5_500);
    let others = async {
        logged(&stage, 1).await;
        tokio::join!(never_runs, runs)
    };
    let (first, (never_runs, runs)) = tokio::join!(stage.run(), others);
    assert!(first.is_ok());
    assert_eq!(never_runs, Err(RunError::NoProcess(soon)));
    assert_eq!(runs, Err(RunError::WallTime(late)));
}

#[tokio::test]
async fn the_time_of_a_run_covers_the_start_of_its_process() {
    let mut stage = WorkerFixture::of_body("return ''");
    let python = stage.folder.path().join("slow");
    std::fs::write(&python, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o700)).unwrap();
    stage.workers.use_python(python);
    let time = Duration::from_millis(300);
    stage.run.limits.wall_time = Some(time);
    assert_eq!(stage.run().await, Err(RunError::NoProcess(time)));
}

#[tokio::test]
async fn a_cache_is_handed_over_despite_earlier_frames_of_a_plugin_thread() {
    let settings = WorkerSettings { max_workers: 1, ..settings() };
    let late = "import subprocess, threading\n\
                threading.Timer(0.1, subprocess.run, (['true'],)).start()";
    let stage = WorkerFixture::with(settings, &request_function(&format!("{late}\n{COUNTS}")));
    assert_eq!(stage.text().await, "1");
    World::system().clock.sleep(Duration::from_millis(600)).await;
    stage.workers.run(of(&stage, 2)).await.unwrap();
    assert_eq!(stage.text().await, "2");
}
