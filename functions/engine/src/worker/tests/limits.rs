use std::path::Path;

use super::*;
use crate::{
    SandboxSettings,
    worker::{exchange, frames, process_output::OutputMeter},
};

/// Returns a plugin that answers "well" to the body "well", and otherwise runs `body`.
fn plugin(body: &str) -> String {
    let body = body.trim();
    request_function(&format!("if body == b'well':\n    return 'well'\n{body}"))
}

async fn assert_healthy(stage: &WorkerFixture) {
    let mut run = stage.run.clone();
    if let PluginInput::Request { body, .. } = &mut run.call {
        *body = Bytes::from_static(b"well");
    }
    let finished = stage.workers.run(run).await.unwrap();
    assert_eq!(&*finished.response.unwrap().body, b"well");
}

/// Returns the error of a body, and checks that the next run succeeds.
async fn run_failing(settings: WorkerSettings, body: &str) -> RunError {
    let stage = WorkerFixture::with(settings, &plugin(body));
    assert_healthy(&stage).await;
    let error = stage.run().await.unwrap_err();
    assert_healthy(&stage).await;
    error
}

fn short() -> WorkerSettings {
    WorkerSettings { wall_time: Duration::from_millis(400), ..settings() }
}

#[tokio::test]
async fn a_plugin_that_never_returns_is_killed_at_the_wall_time_limit() {
    let limit = Duration::from_millis(400);
    for body in [
        "while True: pass",
        "import time\ntime.sleep(1000)",
        "import threading\nthreading.Event().wait()",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "import signal\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "import re\nre.match('(a|a)*b', 'a' * 60)",
    ] {
        assert_eq!(run_failing(short(), body).await, RunError::WallTime(limit), "{body}");
    }
    let text = RunError::WallTime(limit).to_string();
    assert_eq!(
        text,
        "the plugin ran for longer than the wall time limit of 400ms and was stopped"
    );
}

#[tokio::test]
async fn limits_of_a_run_go_before_those_of_the_settings() {
    let mut stage = WorkerFixture::with(settings(), &plugin("while True: pass"));
    // The time limit covers the start of a process, so start one first.
    assert_healthy(&stage).await;
    stage.run.limits.wall_time = Some(Duration::from_millis(300));
    let error = stage.run().await.unwrap_err();
    assert_eq!(error, RunError::WallTime(Duration::from_millis(300)));
}

#[tokio::test]
async fn a_plugin_that_computes_too_long_is_killed_at_the_cpu_time_limit() {
    let limit = Duration::from_secs(1);
    let settings = WorkerSettings { cpu_time: limit, ..settings() };
    let error = run_failing(
        settings,
        "while True:\n    try:\n        pass\n    except BaseException: pass",
    )
    .await;
    assert_eq!(error, RunError::CpuTime(limit));
    assert_eq!(
        error.to_string(),
        "the plugin used more than the CPU time limit of 1s and was stopped"
    );
}

#[tokio::test]
async fn a_plugin_that_exceeds_the_memory_limit_fails_with_the_limit() {
    for body in [
        "kept = []\nwhile True: kept.append(bytearray(1 << 20))",
        "kept = []\nwhile True: kept.append(str(len(kept)))",
        "return 'x' * (1 << 40)",
        "def f(): return [0] * (1 << 20)\nkept = {}\nwhile True: kept[len(kept)] = f()",
    ] {
        let settings = WorkerSettings { memory_bytes: 100 << 20, ..settings() };
        let error = run_failing(settings, body).await;
        assert!(
            matches!(error, RunError::Memory { bytes: 104_857_600, .. }),
            "{body}: {error:?}"
        );
        assert!(
            error
                .to_string()
                .starts_with("the plugin reached the memory limit of 104857600 bytes: ")
        );
    }
}

#[tokio::test]
async fn a_plugin_that_puts_out_too_much_is_killed_at_the_output_limit() {
    for body in [
        "while True: print('x' * 1000)",
        "while True: local.info('x' * 1000)",
        "while True: local.write(LineBuilder('m').int64_field('f', 1))",
        "while True: print('x', end='')",
        "import os\nwhile True: os.write(2, b'x' * 1000)",
        "import subprocess\nsubprocess.run(['yes'])",
        "return 'x' * 2_000_000",
        "return ('x' for _ in range(2_000_000))",
    ] {
        let settings = WorkerSettings { output_bytes: 300_000, ..settings() };
        let error = run_failing(settings, body).await;
        assert_eq!(error, RunError::Output(300_000), "{body}");
    }
}

#[test]
fn names_of_databases_count_toward_the_output_limit() {
    let meter = OutputMeter::new(Arc::new(RecordingContext::default()), 1_000);
    let mut queued = BTreeMap::new();
    for number in 0..100 {
        let header = serde_json::json!({"database": format!("{number:0100}"), "lines": 0});
        let mut payload = Vec::new();
        frames::write_header(&mut payload, &header);
        exchange::queue(payload.into(), &meter, &mut queued).ok();
    }
    assert!(meter.is_exceeded());
    let names: usize = queued.keys().map(String::len).sum();
    assert!((100..=1_000).contains(&names), "{names} bytes");
}

#[tokio::test]
async fn an_ended_process_is_reported_and_replaced() {
    for (body, expected) in [
        ("import os\nos._exit(3)", "exit status 3"),
        ("import os\nos._exit(0)", "exit status 0"),
        ("import os\nos.abort()", "signal 6 (aborted)"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nimport time\ntime.sleep(9)",
            "signal 15 (terminated)",
        ),
        ("import ctypes\nctypes.string_at(1)", "signal 11 (segmentation fault)"),
        ("import os\nos.closerange(3, 4096)", "it closed the connection to the database"),
        (
            "import os\nos.closerange(3, 4096)\nlocal.info('x')",
            "it closed the connection to the database",
        ),
        ("import os\nos.execv('/bin/true', ['true'])", "exit status 0"),
    ] {
        let error = run_failing(settings(), body).await;
        assert_eq!(error, RunError::Exited(expected.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn a_plugin_can_close_its_standard_streams() {
    let stage = WorkerFixture::of_body(
        "import os, sys\nos.closerange(0, 3)\nlocal.info('still')\nprint('printed')\nreturn 'there'",
    );
    assert_eq!(stage.text().await, "there");
    assert_eq!(stage.recorder.log(), ["INFO: still", "INFO: printed"]);
    assert_eq!(stage.text().await, "there");
}

#[tokio::test]
async fn invalid_frames_end_the_run() {
    let body = r#"
import os
for fd in range(200, 300):
    try:
        os.write(fd, b"\x05\0\0\0?abcd")
    except OSError:
        pass
while True: pass
"#;
    let error = run_failing(settings(), body).await;
    assert!(matches!(error, RunError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn plugins_run_at_lower_priority_than_the_server() {
    let stage = WorkerFixture::of_body("import os\nreturn str(os.getpriority(os.PRIO_PROCESS, 0))");
    let own = rustix::process::getpriority_process(None).unwrap();
    let expected = (own + 5).min(19).to_string();
    assert_eq!(stage.text().await, expected);
}

/// Returns whether the process whose pid is in a file ends soon.
async fn has_gone(file: &Path) -> bool {
    let world = World::system();
    for _ in 0..200 {
        let pid = std::fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok());
        let status =
            pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok());
        // A process that was not waited for is a zombie.
        if pid.is_some() && status.is_none_or(|status| status.contains("State:\tZ")) {
            return true;
        }
        world.clock.sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn children_that_leave_the_group_are_killed_with_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    give_to_plugins(folder.path());
    let file = folder.path().join("pid");
    let body = format!(
        r#"
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open("{}", "w") as file:
            file.write(str(os.getpid()))
        time.sleep(1000)
    os._exit(0)
time.sleep(0.2)
while True: pass
"#,
        file.display()
    );
    let settings = WorkerSettings {
        wall_time: Duration::from_secs(1),
        sandbox: SandboxSettings {
            writable: vec![folder.path().to_owned()],
            ..SandboxSettings::default()
        },
        ..settings()
    };
    let error = run_failing(settings, &body).await;
    assert_eq!(error, RunError::WallTime(Duration::from_secs(1)));
    assert!(has_gone(&file).await);
}

#[tokio::test]
async fn a_forked_child_that_returns_sends_nothing() {
    let stage = WorkerFixture::of_body(
        r#"
import os
pid = os.fork()
if pid == 0:
    try:
        local.info("from the child")
    except RuntimeError as error:
        print(error)
    return "child"
os.waitpid(pid, 0)
import time
time.sleep(0.1)
return "parent"
"#,
    );
    assert_eq!(stage.text().await, "parent");
    let expected = "INFO: influxdb3_local can't be used in a process that the plugin started";
    assert_eq!(stage.recorder.log(), [expected]);
    assert_eq!(stage.text().await, "parent");
}

#[tokio::test]
async fn a_process_that_ends_while_its_child_lives_is_noticed() {
    let body = "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nos._exit(5)";
    let error = run_failing(settings(), body).await;
    assert_eq!(error, RunError::Exited("exit status 5".to_owned()));
}

#[tokio::test]
async fn too_many_processes_end_the_run_and_all_of_them() {
    let settings = WorkerSettings { max_descendants: 8, ..settings() };
    let body = r#"
import os, time
for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
time.sleep(1000)
"#;
    let stage = WorkerFixture::with(settings, &plugin(body));
    assert_eq!(stage.run().await, Err(RunError::Processes(8)));
    assert_healthy(&stage).await;
}

#[tokio::test]
async fn programs_and_pools_of_processes_may_be_used() {
    let stage = WorkerFixture::of_body(
        r#"
import subprocess
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool:
    squares = list(pool.map(abs, [-1, -2, -3]))
return [squares, subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout]
"#,
    );
    assert_eq!(stage.text().await, r#"[[1, 2, 3], "hi\n"]"#);
}

#[tokio::test]
async fn an_exception_of_a_signal_handler_is_not_taken_for_one_of_a_value() {
    let stage = WorkerFixture::of_body(
        r#"
class Late(Exception): pass
class Interrupted:
    """A value during whose first serialization a signal arrives."""
    is_first = True
    def __reduce__(self):
        if Interrupted.is_first:
            Interrupted.is_first = False
            raise Late()
        return (str, ())
try:
    local.cache.put("k", Interrupted(), use_global=True)
except Late:
    return "late"
return "swallowed"
"#,
    );
    assert_eq!(stage.text().await, "late");
}

#[tokio::test]
async fn an_interrupted_exchange_harms_no_other_run() {
    let stage = WorkerFixture::of_body(
        r#"
import signal
class Late(Exception): pass
def late(*_): raise Late()
signal.signal(signal.SIGALRM, late)
try:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    while True:
        local.cache.put("k", "x" * 100000, use_global=True)
        local.cache.get("k", use_global=True)
except Late:
    pass
return "done"
"#,
    );
    for _ in 0..3 {
        assert_eq!(stage.text().await, "done");
    }
}
