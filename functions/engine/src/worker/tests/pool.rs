use std::process::Stdio;

use super::*;
use crate::worker::{
    frames::kind,
    inputs::{self, RunHeaderOptions},
    process::{Process, ProcessOptions},
    sandbox::Sandbox,
};

const PID: &str = "import os\nreturn str(os.getpid())";

#[tokio::test]
async fn a_trigger_keeps_its_process_and_does_not_share_it() {
    let mut stage = WorkerFixture::of_body(PID);
    let first = stage.text().await;
    assert_eq!(stage.text().await, first);
    stage.run.trigger = trigger(2);
    assert_ne!(stage.text().await, first);
}

#[tokio::test]
async fn runs_of_a_trigger_wait_for_each_other_unless_they_may_overlap() {
    let mut stage = WorkerFixture::of_body(
        "import time\nlocal.info('in')\ntime.sleep(0.3)\nlocal.info('out')\nreturn ''",
    );
    let (one, two) = tokio::join!(stage.run(), stage.run());
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(stage.recorder.log(), ["INFO: in", "INFO: out", "INFO: in", "INFO: out"]);
    stage.run.trigger = trigger(2);
    stage.run.is_async = true;
    let overlapping = || async { tokio::join!(stage.run(), stage.run()) };
    let (one, two) = overlapping().await;
    assert!(one.is_ok() && two.is_ok());
    // Once more, with both processes running.
    let (one, two) = overlapping().await;
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(stage.recorder.log()[8..], ["INFO: in", "INFO: in", "INFO: out", "INFO: out"]);
}

#[tokio::test]
async fn more_triggers_than_processes_take_turns_and_keep_their_caches() {
    let settings = WorkerSettings { max_workers: 2, ..settings() };
    let body = "n = local.cache.get('n', 0)\nlocal.cache.put('n', n + 1)\nreturn str(n)";
    let stage = WorkerFixture::with(settings, &request_function(body));
    for round in 0..3 {
        let runs = (0..4).map(|number| {
            let mut run = stage.run.clone();
            run.trigger = trigger(number);
            stage.workers.run(run)
        });
        for finished in futures::future::join_all(runs).await {
            let body = finished.unwrap().response.unwrap().body;
            assert_eq!(body, round.to_string());
        }
    }
}

#[tokio::test]
async fn too_many_waiting_runs_are_refused() {
    let settings = WorkerSettings { max_waiting_runs: 1, ..settings() };
    let stage =
        WorkerFixture::with(settings, &request_function("import time\ntime.sleep(0.3)\nreturn ''"));
    stage.run().await.unwrap();
    let (one, two, three) = tokio::join!(stage.run(), stage.run(), stage.run());
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(three, Err(RunError::Busy(1)));
}

#[tokio::test]
async fn an_idle_process_ends_and_hands_over_its_cache_unless_state_would_be_lost() {
    let settings = WorkerSettings { stop_after_idle: Duration::from_millis(100), ..settings() };
    let body = r#"
import os
found = local.cache.get("k"), local.cache.get("soon"), local.cache.get("f") is not None
local.cache.put("k", {1: (2,)})
local.cache.put("soon", 1, 0.2)
if args:
    local.cache.put("f", lambda: 1)
return repr([os.getpid(), found])
"#;
    let mut stage = WorkerFixture::with(settings, &request_function(body));
    let first = stage.text().await;
    let world = World::system();
    let idle = || world.clock.sleep(Duration::from_millis(500));
    idle().await;
    let second = stage.text().await;
    let (pid, found) = second.split_once(", ").unwrap();
    assert_ne!(first.split_once(", ").unwrap().0, pid);
    assert_eq!(found, "({1: (2,)}, None, False)]");
    stage.run.arguments = Some(BTreeMap::from([("keep".to_owned(), "1".to_owned())]));
    let third = stage.text().await;
    idle().await;
    let fourth = stage.text().await;
    assert_eq!(fourth.split_once(", ").unwrap().0, third.split_once(", ").unwrap().0);
    assert!(fourth.ends_with("True)]"), "{fourth}");
}

#[tokio::test]
async fn stopping_interrupts_the_plugin_and_rejects_later_runs() {
    let source = request_function(
        r#"
import time
try:
    local.info("in")
    time.sleep(1000)
except BaseException as error:
    print(type(error).__name__, error)
    errors = []
    for call in (
        lambda: local.info("no"),
        lambda: local.write(LineBuilder("m").int64_field("f", 1)),
        lambda: local.write_sync(LineBuilder("m").int64_field("f", 1), False),
        lambda: local.query("SELECT 1"),
    ):
        try:
            call()
        except KeyboardInterrupt as late:
            errors.append(str(late) == str(error))
    local.cache.put("k", 1, use_global=True)
    print(errors)
    raise
"#,
    );
    let stage = WorkerFixture::new(&source);
    let stop = async {
        while stage.recorder.log().is_empty() {
            World::system().clock.sleep(Duration::from_millis(5)).await;
        }
        stage.workers.stop().await;
    };
    let (result, ()) = tokio::join!(stage.run(), stop);
    assert_eq!(result, Err(RunError::Stopping));
    let expected = [
        "INFO: in",
        "INFO: KeyboardInterrupt influxdb3 is shutting down; aborting plugin execution",
        "INFO: [True, True, True, True]",
    ];
    assert_eq!(stage.recorder.log(), expected);
    assert_eq!(stage.run().await, Err(RunError::Stopping));
}

#[tokio::test]
async fn a_run_that_began_after_its_trigger_was_forgotten_is_interrupted_too() {
    let stage = WorkerFixture::of_body(
        "import time\nlocal.info('in')\nif body == b'':\n    time.sleep(1000)\nreturn 'well'",
    );
    stage.workers.forget(&stage.run.trigger);
    let disable = async {
        while stage.recorder.log().is_empty() {
            World::system().clock.sleep(Duration::from_millis(5)).await;
        }
        stage.run.stop.cancel();
    };
    let (result, ()) = tokio::join!(stage.run(), disable);
    assert_eq!(result, Err(RunError::Stopping));
    // The trigger is enabled again.
    let mut again = stage.run.clone();
    again.stop = CancellationToken::new();
    if let PluginInput::Request { body, .. } = &mut again.call {
        *body = Bytes::from_static(b"short");
    }
    let answer = stage.workers.run(again).await.unwrap().response.unwrap();
    assert_eq!(answer.body, "well");
}

#[tokio::test]
async fn a_run_whose_trigger_was_disabled_before_it_began_does_not_start() {
    let stage = WorkerFixture::of_body("local.info('in')");
    stage.run.stop.cancel();
    assert_eq!(stage.run().await, Err(RunError::Stopping));
    assert!(stage.recorder.log().is_empty());
}

#[tokio::test]
async fn an_interrupted_run_leaves_no_values_in_the_dropped_cache() {
    let mut stage = WorkerFixture::of_body(
        "import time\n\
         if body != b'':\n    return str([local.cache.get('own'), local.cache.get('all', use_global=True)])\n\
         try:\n    local.info('in')\n    time.sleep(1000)\n\
         finally:\n    local.cache.put('own', 1)\n    local.cache.put('all', 2, use_global=True)",
    );
    stage.run.is_async = true;
    let disable = async {
        while stage.recorder.log().is_empty() {
            World::system().clock.sleep(Duration::from_millis(5)).await;
        }
        stage.workers.forget(&stage.run.trigger);
    };
    let (result, ()) = tokio::join!(stage.run(), disable);
    assert_eq!(result, Err(RunError::Stopping));
    let mut again = stage.run.clone();
    if let PluginInput::Request { body, .. } = &mut again.call {
        *body = Bytes::from_static(b"look");
    }
    let answer = stage.workers.run(again).await.unwrap().response.unwrap();
    assert_eq!(answer.body, "[None, 2]");
}

#[tokio::test]
async fn a_plugin_that_ignores_the_interrupt_is_killed_after_the_grace() {
    let body = "local.info('in')\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass";
    let stage = WorkerFixture::of_body(body);
    let forget = async {
        while stage.recorder.log().is_empty() {
            World::system().clock.sleep(Duration::from_millis(5)).await;
        }
        stage.workers.forget(&stage.run.trigger);
    };
    let (result, ()) = tokio::join!(stage.run(), forget);
    assert_eq!(result, Err(RunError::Stopping));
}

#[tokio::test]
async fn a_run_that_is_dropped_is_killed() {
    let stage = WorkerFixture::of_body(
        "import os, time\nlocal.info(os.getpid())\nif body != b'':\n    return 'well'\ntime.sleep(1000)",
    );
    let clock = World::system().clock;
    let has_logged = async {
        while stage.recorder.log().is_empty() {
            clock.sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = stage.run() => panic!("the run ended"),
        () = has_logged => {}
    }
    let pid = stage.recorder.log()[0].replace("INFO: ", "");
    assert!(has_gone(&pid).await);
}

#[tokio::test]
async fn a_process_that_died_while_idle_is_replaced_silently() {
    let stage = WorkerFixture::of_body(
        "import os, threading\nthreading.Timer(0.05, os._exit, (9,)).start()\nreturn str(os.getpid())",
    );
    let first = stage.text().await;
    World::system().clock.sleep(Duration::from_millis(300)).await;
    assert_ne!(stage.text().await, first);
}

/// Returns whether a process ends soon.
async fn has_gone(pid: &str) -> bool {
    for _ in 0..200 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // A process that was not waited for is a zombie.
        if status.is_empty() || status.contains("State:\tZ") {
            return true;
        }
        World::system().clock.sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_process_ends_when_its_server_is_gone() {
    let stage = WorkerFixture::of_body(PID);
    let pid = stage.text().await;
    drop(stage);
    assert!(has_gone(&pid).await);
}

/// Starts a process and sends it the run of a stage.
async fn started_process(stage: &WorkerFixture) -> Process {
    let settings = settings();
    let start = ProcessOptions {
        settings: &settings,
        world: &World::system(),
        python: settings.python.clone(),
        number: 0,
        generation: 0,
        alive: Arc::default(),
        groups: None,
        sandbox: &Sandbox::new(settings.sandbox.clone(), None),
        code: Some(&stage.run.code.path),
    };
    let mut process = Process::start(start).await.unwrap();
    let setting = RunHeaderOptions { is_shared: false, cpu_seconds: 60 };
    let sent = inputs::send(&stage.run, setting, &mut process.input);
    sent.await.unwrap();
    process
}

/// Reads frames up to the first one of a kind, and returns its payload.
async fn read_frame(process: &mut Process, kind: u8) -> Bytes {
    loop {
        let frame = process.frames.next().await.unwrap();
        if frame.kind == kind {
            return frame.payload;
        }
    }
}

/// Closes the pipe to a process, as a server that is killed does, and waits for its end.
async fn close_server_pipe(process: &mut Process) {
    let mut other = tokio::process::Command::new("cat")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    drop(std::mem::replace(&mut process.input, other.stdin.take().unwrap()));
    while !process.handle.has_ended() {
        World::system().clock.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_running_plugin_ends_when_the_server_pipe_closes() {
    let stage = WorkerFixture::of_body("local.info('in')\nwhile True: pass");
    let mut process = started_process(&stage).await;
    read_frame(&mut process, kind::LOG).await;
    close_server_pipe(&mut process).await;
}

#[tokio::test]
async fn children_in_their_own_session_end_when_the_server_pipe_closes() {
    let starts = "import subprocess\n\
                  child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
                  local.info(child.pid)";
    // While the plugin runs, and while the process is idle.
    for (rest, last) in [("while True: pass", None), ("return ''", Some(kind::DONE))] {
        let stage = WorkerFixture::of_body(&format!("{starts}\n{rest}"));
        let mut process = started_process(&stage).await;
        let logged = read_frame(&mut process, kind::LOG).await;
        if let Some(last) = last {
            read_frame(&mut process, last).await;
        }
        close_server_pipe(&mut process).await;
        let child = String::from_utf8(logged[1..].to_vec()).unwrap();
        assert!(has_gone(&child).await, "{rest}");
    }
}
