//! Tests of the life cycle of instances and their events.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::*;
use crate::{
    configuration::InstancePlacement,
    runtime::InvocationFailureKind,
    trap::{Trap, TrapSettings},
};

#[tokio::test]
async fn an_instance_is_frozen_between_two_events() {
    let stage = FunctionFixture::new(limits());
    let pid = stage.pid().await;
    for _ in 0..3 {
        wait_until("frozen", || state_of(pid) == Some('T')).await;
        assert_eq!(stage.pid().await, pid);
    }
    assert_eq!(stage.function.report()[0].handled, 4);
    stage.close().await;
    assert_eq!(state_of(pid), None);
}

#[tokio::test]
async fn an_instance_that_handles_several_events_at_a_time_is_not_frozen() {
    let stage = FunctionFixture::new(FunctionLimits { concurrency: 4, ..limits() });
    let sleep = json!({ "do": "sleep", "ms": 300 });
    let answers = join_all((0..4).map(|_| stage.invoke(sleep.clone()))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(stage.function.report().len(), 1);
    assert!(!stage.function.report()[0].frozen);
    stage.close().await;
}

#[tokio::test]
async fn a_function_gets_the_variables_and_deadline_of_lambda() {
    let stage = FunctionFixture::with(limits(), &[("NEAP_X", "y")]);
    let before = world::date().timestamp_millis();
    let said = stage.invoke(json!({ "do": "who" })).await.unwrap();
    let deadline = said["deadline"].as_i64().unwrap();
    assert!((before + 30_000..before + 90_000).contains(&deadline), "{deadline}");
    let variables = said["environment"].as_object().unwrap();
    for (name, value) in [
        ("NEAP_X", "y"),
        ("AWS_LAMBDA_FUNCTION_NAME", "echo"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_REGION", "us-east-1"),
    ] {
        assert_eq!(variables[name], value);
    }
    assert!(
        !variables.contains_key("HOME") && !variables.contains_key("AWS_LAMBDA_MAX_CONCURRENCY")
    );
    stage.close().await;
}

#[tokio::test]
async fn more_instances_come_with_more_events_up_to_the_limit() {
    let stage = FunctionFixture::new(FunctionLimits { max_instances: 3, ..limits() });
    let sleep = json!({ "do": "sleep", "ms": 100 });
    let answers = join_all((0..9).map(|_| stage.invoke(sleep.clone()))).await;
    assert!(answers.iter().all(Result::is_ok));
    let report = stage.function.report();
    assert_eq!(report.len(), 3);
    assert_eq!(report.iter().map(|one| one.handled).sum::<u64>(), 9);
    // Sequential events need only one instance, the last used one.
    let pids: BTreeSet<_> = [stage.pid().await, stage.pid().await].into();
    assert_eq!(pids.len(), 1);
    stage.close().await;
}

#[tokio::test]
async fn instances_are_used_round_robin_if_configured() {
    let stage = FunctionFixture::new(FunctionLimits {
        max_instances: 3,
        placement: InstancePlacement::InTurn,
        ..limits()
    });
    let mut pids = Vec::new();
    for _ in 0..6 {
        pids.push(stage.pid().await);
    }
    assert_eq!(pids[..3], pids[3..]);
    assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), 3);
    stage.close().await;
}

#[tokio::test]
async fn an_event_is_throttled_if_configured() {
    let stage = FunctionFixture::new(FunctionLimits { throttle: true, ..limits() });
    let sleep = || stage.invoke(json!({ "do": "sleep", "ms": 500 }));
    let (first, second) = tokio::join!(sleep(), sleep());
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().kind, InvocationFailureKind::Throttled);
    stage.close().await;
}

#[tokio::test]
async fn an_event_that_times_out_kills_its_instance() {
    let stage = FunctionFixture::new(FunctionLimits { timeout_seconds: 2.0, ..limits() });
    let pid = stage.pid().await;
    let failure = stage.invoke(json!({ "do": "sleep", "ms": 60_000 })).await.unwrap_err();
    assert_eq!(failure.kind, InvocationFailureKind::TimedOut);
    assert!(failure.message.ends_with("Task timed out after 2.00 seconds"));
    assert_eq!(state_of(pid), None);
    assert_ne!(stage.pid().await, pid, "the next event has a new instance");
    stage.close().await;
}

#[tokio::test]
async fn a_failing_function_continues_and_an_exited_one_is_replaced() {
    let stage = FunctionFixture::new(limits());
    let pid = stage.pid().await;
    for way in ["fail", "panic"] {
        let failure = stage.invoke(json!({ "do": way })).await.unwrap_err();
        assert!(matches!(failure.kind, InvocationFailureKind::Reported(_)), "{failure}");
        assert!(failure.message.contains("as you wish"), "{failure}");
    }
    assert_eq!(stage.pid().await, pid);
    let failure = stage.invoke(json!({ "do": "exit" })).await.unwrap_err();
    assert_eq!(failure.kind, InvocationFailureKind::Exited);
    assert!(failure.message.contains("exit status: 3"), "{failure}");
    assert_ne!(stage.pid().await, pid);
    stage.close().await;
}

#[tokio::test]
async fn a_function_that_does_not_start_fails_its_event() {
    let stage = FunctionFixture::with(limits(), &[("FAIL_INIT", "1")]);
    let failure = stage.invoke(json!({})).await.unwrap_err();
    assert_eq!(failure.kind, InvocationFailureKind::InitFailed);
    let logs = stage.function.logs();
    assert!(logs[&1].contains("it does not start"), "{logs:?}");
    stage.close().await;
}

#[tokio::test]
async fn killing_an_instance_fails_its_events() {
    let stage = FunctionFixture::new(limits());
    stage.pid().await;
    let event = stage.invoke(json!({ "do": "sleep", "ms": 60_000 }));
    let kill = async {
        wait_until("running", || stage.function.report()[0].phase == "running").await;
        stage.function.kill(1).await.unwrap();
    };
    let (failure, ()) = tokio::join!(event, kill);
    assert_eq!(failure.unwrap_err().kind, InvocationFailureKind::Exited);
    assert!(stage.function.kill(1).await.is_err(), "it has gone");
    stage.close().await;
}

#[tokio::test]
async fn an_instance_that_is_frozen_in_an_event_answers_when_it_is_thawed() {
    let stage = FunctionFixture::new(FunctionLimits { max_instances: 2, ..limits() });
    let pid = stage.pid().await;
    let event = stage.invoke(json!({ "do": "sleep", "ms": 500 }));
    let freeze = async {
        wait_until("running", || stage.function.report()[0].phase == "running").await;
        stage.function.freeze(1).unwrap();
        wait_until("stopped", || state_of(pid) == Some('T')).await;
        // Meanwhile other instances get the events.
        assert_ne!(stage.pid().await, pid);
        assert_eq!(stage.function.report()[0].phase, "running");
        stage.function.thaw(1).unwrap();
    };
    let (answer, ()) = tokio::join!(event, freeze);
    assert_eq!(answer.unwrap(), "slept");
    stage.close().await;
}

#[tokio::test]
async fn an_event_goes_to_the_instance_with_the_given_number() {
    let stage = FunctionFixture::new(limits());
    let numbers = [1, 2, 3].map(|_| stage.function.start_instance().unwrap());
    let mut pids = BTreeSet::new();
    for number in numbers {
        let said = stage.invoke_instance(Some(number), json!({ "do": "who" }));
        pids.insert(said.await.unwrap()["pid"].as_i64().unwrap());
    }
    assert_eq!(pids.len(), 3);
    let failure = stage.invoke_instance(Some(9), json!({})).await.unwrap_err();
    assert!(failure.message.contains("no instance 9"), "{failure}");
    stage.close().await;
}

#[tokio::test]
async fn events_and_answers_have_lambdas_limits() {
    let stage = FunctionFixture::new(limits());
    let padded = |bytes: usize| {
        let event = json!({ "pad": "" }).to_string().len();
        json!({ "pad": "x".repeat(bytes - event), })
    };
    let failure = stage.invoke(padded((6 << 20) + 1)).await.err();
    let kind = failure.map(|failure| failure.kind);
    assert_eq!(kind, Some(InvocationFailureKind::RequestTooLarge));
    assert!(stage.function.report().is_empty(), "nothing was started for it");
    assert!(stage.invoke(padded(6 << 20)).await.is_ok());
    // The size includes the two quotes.
    let large = |bytes: usize| stage.invoke(json!({ "do": "large", "bytes": bytes - 2 }));
    let limit = (6 << 20) + 100;
    assert!(large(limit).await.is_ok());
    let failure = large(limit + 1).await.err().map(|failure| failure.kind);
    assert_eq!(failure, Some(InvocationFailureKind::ResponseTooLarge));
    stage.close().await;
}

#[tokio::test]
async fn an_instance_with_an_extension_receives_sigterm() {
    for told in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let stage = FunctionFixture::with(limits(), &[("SHUTDOWN_FILE", file.to_str().unwrap())]);
        stage.pid().await;
        wait_until("frozen", || stage.function.report()[0].frozen).await;
        assert!(stage.function.report()[0].extension);
        if told {
            stage.function.shut_down(1).await.unwrap()
        } else {
            stage.function.kill(1).await.unwrap()
        }
        assert_eq!(file.exists(), told);
        stage.close().await;
    }
}

#[tokio::test]
async fn an_asynchronous_event_is_tried_three_times() {
    let stage = FunctionFixture::new(limits());
    let event = Bytes::from_static(br#"{"do":"exit"}"#);
    let failure = stage.function.invoke_event(event).await.unwrap_err();
    assert_eq!(failure.kind, InvocationFailureKind::Exited);
    assert_eq!(stage.function.logs().len(), 3);
    assert!(stage.folder.path().join("logs/echo-3.log").is_file());
    stage.close().await;
}

/// Creates a trap that acts after every two requests.
fn trap(stage: &FunctionFixture, freeze_seconds: Option<f64>) -> Trap {
    let settings = TrapSettings { after: 2, again: true, freeze_seconds };
    Trap::new(settings, Arc::clone(&stage.function))
}

#[tokio::test]
async fn a_trap_kills_a_busy_instance() {
    let stage = FunctionFixture::new(limits());
    let mut trap = trap(&stage, None);
    stage.pid().await;
    (0..2).for_each(|_| trap.count());
    assert_eq!((trap.report().requests, trap.report().caught), (2, 0));
    assert_eq!(stage.function.report().len(), 1, "an idle instance is not killed");
    let asked = stage.invoke(json!({ "do": "sleep", "ms": 60_000 }));
    let catch = async {
        wait_until("running", || stage.function.report()[0].phase == "running").await;
        trap.count();
        assert_eq!(trap.report().caught, 0);
        trap.count();
        assert_eq!(trap.report().caught, 1);
    };
    let (answer, ()) = tokio::join!(asked, catch);
    assert_eq!(answer.unwrap_err().kind, InvocationFailureKind::Exited);
    assert_eq!(trap.report().requests, 4);
    stage.close().await;
}

#[tokio::test]
async fn a_trap_freezes_a_busy_instance_for_a_time() {
    let stage = FunctionFixture::new(limits());
    let mut trap = trap(&stage, Some(0.2));
    let pid = stage.pid().await;
    let asked = stage.invoke(json!({ "do": "sleep", "ms": 100 }));
    let catch = async {
        wait_until("running", || stage.function.report()[0].phase == "running").await;
        (0..2).for_each(|_| trap.count());
        assert!(stage.function.report()[0].frozen);
        wait_until("stopped", || state_of(pid) == Some('T')).await;
    };
    let (answer, ()) = tokio::join!(asked, catch);
    assert_eq!(answer.unwrap(), json!("slept"));
    assert_eq!(trap.report().caught, 1);
    stage.close().await;
}
