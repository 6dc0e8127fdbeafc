//! Interleavings of writes and commits that broke earlier versions of the protocol, one by one.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Key, Operation, Stamp, StoreTime};
use neap_catalog::HardDelete;
use neap_compact::{FlushResult, FlushSkipped};
use neap_schema::DatabaseId;
use neap_wal::{NotAcknowledged, StampError, WriteError, WriteErrorKind};
use neap_write::WriteFailure;
use tokio::sync::Notify;

use crate::{
    instance::{DATABASE, DATABASE_NAME, InstanceOptions},
    ledger::{DuplicateEntryMode, ReportedOutcome, commit_entry, register},
    machine::{BEGIN_MICROS, Suspension},
    network::{InterceptionPoint, ScriptDecision},
    scenario::{ScriptedScenario, first_cell, freeze, once},
    schedule::ScheduleParameters,
    simulate::run,
    simulated_store::StoreBehavior,
};

fn seconds_of(stamp: Stamp) -> f64 {
    (stamp.time().micros() - BEGIN_MICROS) as f64 / 1e6
}

fn stamp_at(seconds: i64) -> Stamp {
    Stamp::new(
        StoreTime::from_micros(BEGIN_MICROS + seconds * 1_000_000),
        0,
    )
}

#[test]
fn a_wall_clock_step_does_not_move_stamps_into_the_future() {
    run(async {
        let theatre = ScriptedScenario::open().await;
        let machine = theatre.machine("a", Suspension::NoClockStops);
        let a = theatre.start(&machine, InstanceOptions::healthy(theatre.rules));
        let b = theatre.instance("b");
        theatre.write(&a, &theatre.content(), None).await.unwrap();
        machine.step_wall(4000.0);
        theatre.sleep(2.0).await;
        let stamp = theatre.write(&a, &theatre.content(), None).await.unwrap();
        assert!(seconds_of(stamp) < 4.0);
        theatre.sleep(2.0).await;
        let retry = theatre.content();
        theatre.write(&b, &retry, None).await.unwrap();
        let answer = theatre.instance("c").query().await.unwrap();
        assert_eq!(first_cell(&answer), Some(retry.value(0)));
        assert!(
            theatre.violations().is_empty(),
            "{:?}",
            theatre.violations()
        );
    });
}

#[test]
fn a_store_whose_clock_went_back_refuses_writes_below_the_mark() {
    run(async {
        let fast = Some((Duration::ZERO, Duration::from_secs(100)));
        let store = StoreBehavior {
            fast,
            ..ScheduleParameters::WITHOUT_FAULTS.store
        };
        let theatre = ScriptedScenario::open_with(ScheduleParameters {
            store,
            ..ScheduleParameters::WITHOUT_FAULTS
        })
        .await;
        let writer = theatre.instance("writer");
        theatre.write(&writer, &theatre.content(), None).await.unwrap();
        theatre.sleep_until(60.0).await;
        let flushed = theatre.instance("careful flusher").flusher.flush(DATABASE).await.unwrap();
        assert!(
            matches!(flushed, FlushResult::Skipped(FlushSkipped::Clock(_))),
            "{flushed:?}"
        );
        let start = InstanceOptions {
            trusts_store_clock: true,
            ..InstanceOptions::healthy(theatre.rules)
        };
        let trusting = theatre.start(
            &theatre.machine("trusting", Suspension::NoClockStops),
            start,
        );
        let flushed = trusting.flusher.flush(DATABASE).await.unwrap();
        assert!(
            matches!(flushed, FlushResult::Done { segments: 1, .. }),
            "{flushed:?}"
        );

        theatre.sleep_until(200.0).await;
        let before = theatre.segments();
        let fresh = theatre.instance("fresh writer");
        let refused = theatre.write(&fresh, &theatre.content(), None).await.unwrap_err();
        assert!(
            matches!(refused, WriteFailure::Tail(WriteError::NotAboveMark { .. })),
            "{refused:?}"
        );
        // A writer that has already issued stamps in the future has none for the present.
        assert!(theatre.write(&writer, &theatre.content(), None).await.is_err());
        assert_eq!(theatre.segments(), before);
        theatre.sleep_until(3700.0).await;
        theatre.write(&writer, &theatre.content(), None).await.unwrap();
        theatre.instance("reader").query().await.unwrap();
        assert!(
            theatre.violations().is_empty(),
            "{:?}",
            theatre.violations()
        );
    });
}

#[test]
fn a_request_frozen_before_its_stamp_is_not_put_an_hour_later() {
    run(async {
        let theatre = ScriptedScenario::open().await;
        let machine = theatre.machine("a", Suspension::MonotonicClockStops);
        let scene = once(
            InterceptionPoint::Before,
            Operation::Get,
            "manifest",
            freeze(&machine, 3600),
        );
        let a = theatre.scripted(&machine, scene);
        let b = theatre.instance("b");
        let old = theatre.content();
        let corrected = theatre.content();
        let (frozen, written) = futures::join!(theatre.write(&a, &old, None), async {
            theatre.sleep(60.0).await;
            theatre.write(&b, &corrected, None).await
        });
        written.unwrap();
        let refused = frozen.unwrap_err();
        assert!(
            matches!(
                refused,
                WriteFailure::Tail(WriteError::WaitedTooLong { .. })
            ),
            "{refused:?}"
        );
        assert_eq!(theatre.segments().len(), 1);
        let answer = theatre.instance("c").query().await.unwrap();
        assert_eq!(first_cell(&answer), Some(corrected.value(0)));
    });
}

#[test]
fn a_stamp_slightly_ahead_is_refused_until_later() {
    run(async {
        let theatre = ScriptedScenario::open().await;
        let b = theatre.instance("b");
        theatre.write(&b, &theatre.content(), None).await.unwrap();
        let before = theatre.segments();
        theatre.sleep_until(10.0).await;
        let content = theatre.content();
        let far = theatre.write(&b, &content, Some(stamp_at(80))).await.unwrap_err();
        let WriteFailure::Tail(far) = far else {
            panic!("{far:?}")
        };
        assert_eq!(far.kind(), WriteErrorKind::BadRequest);
        let near = theatre.write(&b, &content, Some(stamp_at(18))).await.unwrap_err();
        let WriteFailure::Tail(near) = near else {
            panic!("{near:?}")
        };
        assert!(
            matches!(near, WriteError::Stamp(StampError::Ahead { .. })),
            "{near:?}"
        );
        assert_eq!(near.kind(), WriteErrorKind::Unavailable);
        assert_eq!(theatre.segments(), before);
        let stamp = theatre.retry(&b, &content, Some(stamp_at(18)), near).await;
        assert!(stamp > stamp_at(18));
    });
}

#[test]
fn a_write_of_unknown_outcome_returns_its_stamp_so_that_the_retry_wins() {
    run(async {
        let theatre = ScriptedScenario::open().await;
        // The host that answers the first write is fast; the host of the second is slow.
        theatre.world.truth.set_skew(4.0);
        let machine = theatre.machine("a", Suspension::NoClockStops);
        let scene = || Box::pin(async { ScriptDecision::LandLate(Duration::from_secs(1)) }) as _;
        let a = theatre.scripted(
            &machine,
            once(InterceptionPoint::Before, Operation::Put, "tail/", scene),
        );
        let failed = theatre.write(&a, &theatre.content(), None).await.unwrap_err();
        let token = failed.stamp().expect("a segment may exist");
        theatre.world.truth.set_skew(-4.0);
        let b = theatre.instance("b");
        let retry = theatre.content();
        if let Err(WriteFailure::Tail(early)) = theatre.write(&b, &retry, Some(token)).await {
            theatre.retry(&b, &retry, Some(token), early).await;
        }
        let answer = theatre.instance("c").query().await.unwrap();
        assert_eq!(answer.len(), 3, "both are there");
        assert_eq!(first_cell(&answer), Some(retry.value(0)));
    });
}

/// Returns the reported outcome of a commit, and how many times its entry exists, if its answer is lost and `commits`
/// further ones follow.
async fn commit_followed_by(commits: u64) -> (ReportedOutcome, usize) {
    let theatre = ScriptedScenario::open().await;
    let machine = theatre.machine("a", Suspension::NoClockStops);
    let (frozen, thawed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let scene = {
        let (frozen, thawed) = (Arc::clone(&frozen), Arc::clone(&thawed));
        move || {
            Box::pin(async move {
                frozen.notify_one();
                thawed.notified().await;
                ScriptDecision::LoseAnswer
            }) as _
        }
    };
    let a = theatre.scripted(
        &machine,
        once(InterceptionPoint::After, Operation::Put, "ledger", scene),
    );
    let b = theatre.instance("b");
    let (outcome, ()) = futures::join!(
        commit_entry(&a, None, 0, DuplicateEntryMode::Append),
        async {
            frozen.notified().await;
            for entry in 1..=commits {
                let (said, _) = commit_entry(&b, None, entry, DuplicateEntryMode::Append).await;
                assert_eq!(said, ReportedOutcome::Committed);
            }
            thawed.notify_one();
        }
    );
    let ledger = register(&b).read(None).await.unwrap();
    let times = ledger.value.entries.iter().filter(|entry| **entry == 0).count();
    (outcome.0, times)
}

#[test]
fn a_commit_followed_by_more_than_64_others_is_unknown_and_not_applied_again() {
    for (followers, said) in [
        (0, ReportedOutcome::Committed),
        (64, ReportedOutcome::Committed),
        (65, ReportedOutcome::Unknown),
    ] {
        assert_eq!(
            run(commit_followed_by(followers)),
            (said, 1),
            "{followers} followers"
        );
    }
}

#[test]
fn a_put_longer_than_ten_seconds_on_any_clock_is_not_acknowledged() {
    run(async {
        let theatre = ScriptedScenario::open().await;
        let machine = theatre.machine("a", Suspension::MonotonicClockStops);
        let scene = once(
            InterceptionPoint::After,
            Operation::Put,
            "tail/",
            freeze(&machine, 11),
        );
        let a = theatre.scripted(&machine, scene);
        let doubtful = theatre.write(&a, &theatre.content(), None).await.unwrap_err();
        assert!(
            matches!(
                doubtful,
                WriteFailure::Tail(WriteError::NotAcknowledged {
                    doubt: NotAcknowledged::SlowPut { .. },
                    ..
                })
            ),
            "{doubtful:?}"
        );
    });
}

#[test]
fn a_write_with_an_outdated_catalog_does_not_go_into_a_dropped_database() {
    run(async {
        let theatre = ScriptedScenario::open().await;
        let machine = theatre.machine("a", Suspension::NoClockStops);
        let a = theatre.start(&machine, InstanceOptions::healthy(theatre.rules));
        theatre.write(&a, &theatre.content(), None).await.unwrap();
        // A put is in flight for so long that the next request is stamped 6 s after its catalog was validated. The
        // catalog was validated 3 s before that request came.
        theatre.sleep_until(2.9).await;
        let (under_way, waiting) = (theatre.content(), theatre.content());
        let administrator = theatre.instance("administrator");
        let (first, second, ()) = futures::join!(
            async {
                machine.freeze(Duration::from_millis(3500));
                theatre.write(&a, &under_way, None).await
            },
            async {
                theatre.sleep(0.1).await;
                theatre.write(&a, &waiting, None).await
            },
            async {
                theatre.sleep(1.1).await;
                let dropped =
                    administrator.catalog.delete_database(DATABASE_NAME, HardDelete::Never);
                dropped.await.unwrap();
            }
        );
        first.unwrap();
        second.unwrap();
        let [old, new] = [DATABASE, DatabaseId::new(2)]
            .map(|database| theatre.world.truth.keys(&Key::tail_prefix(database)).len());
        assert_eq!(
            (old, new),
            (2, 1),
            "the last one is in a new database of the same name"
        );
    });
}
