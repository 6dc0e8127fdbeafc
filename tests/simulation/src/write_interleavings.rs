//! Interleavings of writes and commits that broke earlier versions of the protocol, one by one.

use std::time::Duration;

use neap_bucket::{Key, Operation, Stamp, StoreTime};
use neap_catalog::HardDelete;
use neap_compact::{FlushResult, FlushSkipped};
use neap_schema::DatabaseId;
use neap_wal::{NotAcknowledged, StampError, WriteError, WriteErrorKind};
use neap_write::WriteFailure;

use crate::{
    instance::{DATABASE, DATABASE_NAME, InstanceOptions},
    ledger::{DuplicateEntryMode, ReportedOutcome, commit_entry, register},
    machine::{BEGIN_MICROS, Suspension},
    network::ScriptDecision,
    scenario::{ScriptedScenario, after, before, first_cell, freeze, hold},
    schedule::ScheduleParameters,
    simulate::run,
    simulated_store::StoreBehavior,
};

fn seconds_of(stamp: Stamp) -> f64 {
    (stamp.time().micros() - BEGIN_MICROS) as f64 / 1e6
}

fn stamp_at(seconds: i64) -> Stamp {
    Stamp::new(StoreTime::from_micros(BEGIN_MICROS + seconds * 1_000_000), 0)
}

#[test]
fn a_wall_clock_step_does_not_move_stamps_into_the_future() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let machine = scenario.machine("a", Suspension::NoClockStops);
        let a = scenario.start(&machine, InstanceOptions::healthy(scenario.rules));
        let b = scenario.instance("b");
        scenario.write(&a, &scenario.content(), None).await.unwrap();
        machine.step_wall(4000.0);
        scenario.sleep(2.0).await;
        let stamp = scenario.write(&a, &scenario.content(), None).await.unwrap();
        assert!(seconds_of(stamp) < 4.0);
        scenario.sleep(2.0).await;
        let retry = scenario.content();
        scenario.write(&b, &retry, None).await.unwrap();
        let answer = scenario.instance("c").query().await.unwrap();
        assert_eq!(first_cell(&answer), Some(retry.value(0)));
        scenario.assert_no_violations();
    });
}

#[test]
fn a_store_whose_clock_went_back_refuses_writes_below_the_mark() {
    run(async {
        let fast = Some((Duration::ZERO, Duration::from_secs(100)));
        let store = StoreBehavior { fast, ..ScheduleParameters::WITHOUT_FAULTS.store };
        let scenario = ScriptedScenario::open_with(ScheduleParameters {
            store,
            ..ScheduleParameters::WITHOUT_FAULTS
        })
        .await;
        let writer = scenario.instance("writer");
        scenario.write(&writer, &scenario.content(), None).await.unwrap();
        scenario.sleep_until(60.0).await;
        let flushed = scenario.instance("careful flusher").flusher.flush(DATABASE).await.unwrap();
        assert!(matches!(flushed, FlushResult::Skipped(FlushSkipped::Clock(_))), "{flushed:?}");
        let start = InstanceOptions {
            trusts_store_clock: true,
            ..InstanceOptions::healthy(scenario.rules)
        };
        let trusting =
            scenario.start(&scenario.machine("trusting", Suspension::NoClockStops), start);
        let flushed = trusting.flusher.flush(DATABASE).await.unwrap();
        assert!(matches!(flushed, FlushResult::Done { segments: 1, .. }), "{flushed:?}");

        scenario.sleep_until(200.0).await;
        let before = scenario.segments();
        let fresh = scenario.instance("fresh writer");
        let refused = scenario.write(&fresh, &scenario.content(), None).await.unwrap_err();
        assert!(
            matches!(refused, WriteFailure::Tail(WriteError::NotAboveMark { .. })),
            "{refused:?}"
        );
        // A writer that has already issued stamps in the future has none for the present.
        assert!(scenario.write(&writer, &scenario.content(), None).await.is_err());
        assert_eq!(scenario.segments(), before);
        scenario.sleep_until(3700.0).await;
        scenario.write(&writer, &scenario.content(), None).await.unwrap();
        scenario.instance("reader").query().await.unwrap();
        scenario.assert_no_violations();
    });
}

#[test]
fn a_request_frozen_before_its_stamp_is_not_put_an_hour_later() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let machine = scenario.machine("a", Suspension::MonotonicClockStops);
        let scene = before(Operation::Get, "manifest", freeze(&machine, 3600));
        let a = scenario.scripted(&machine, scene);
        let b = scenario.instance("b");
        let old = scenario.content();
        let corrected = scenario.content();
        let (frozen, written) = futures::join!(scenario.write(&a, &old, None), async {
            scenario.sleep(60.0).await;
            scenario.write(&b, &corrected, None).await
        });
        written.unwrap();
        let refused = frozen.unwrap_err();
        assert!(
            matches!(refused, WriteFailure::Tail(WriteError::WaitedTooLong { .. })),
            "{refused:?}"
        );
        assert_eq!(scenario.segments().len(), 1);
        let answer = scenario.instance("c").query().await.unwrap();
        assert_eq!(first_cell(&answer), Some(corrected.value(0)));
    });
}

#[test]
fn a_stamp_slightly_ahead_is_refused_until_later() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let b = scenario.instance("b");
        scenario.write(&b, &scenario.content(), None).await.unwrap();
        let before = scenario.segments();
        scenario.sleep_until(10.0).await;
        let content = scenario.content();
        let far = scenario.write(&b, &content, Some(stamp_at(80))).await.unwrap_err();
        let WriteFailure::Tail(far) = far else {
            panic!("{far:?}")
        };
        assert_eq!(far.kind(), WriteErrorKind::BadRequest);
        let near = scenario.write(&b, &content, Some(stamp_at(18))).await.unwrap_err();
        let WriteFailure::Tail(near) = near else {
            panic!("{near:?}")
        };
        assert!(matches!(near, WriteError::Stamp(StampError::Ahead { .. })), "{near:?}");
        assert_eq!(near.kind(), WriteErrorKind::Unavailable);
        assert_eq!(scenario.segments(), before);
        let stamp = scenario.retry(&b, &content, Some(stamp_at(18)), near).await;
        assert!(stamp > stamp_at(18));
    });
}

#[test]
fn a_write_of_unknown_outcome_returns_its_stamp_so_that_the_retry_wins() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        // The host that answers the first write is fast; the host of the second is slow.
        scenario.world.truth.set_skew(4.0);
        let machine = scenario.machine("a", Suspension::NoClockStops);
        let scene = || Box::pin(async { ScriptDecision::LandLate(Duration::from_secs(1)) }) as _;
        let a = scenario.scripted(&machine, before(Operation::Put, "tail/", scene));
        let failed = scenario.write(&a, &scenario.content(), None).await.unwrap_err();
        let token = failed.stamp().expect("a segment may exist");
        scenario.world.truth.set_skew(-4.0);
        let b = scenario.instance("b");
        let retry = scenario.content();
        if let Err(WriteFailure::Tail(early)) = scenario.write(&b, &retry, Some(token)).await {
            scenario.retry(&b, &retry, Some(token), early).await;
        }
        let answer = scenario.instance("c").query().await.unwrap();
        assert_eq!(answer.len(), 3, "both are there");
        assert_eq!(first_cell(&answer), Some(retry.value(0)));
    });
}

/// Returns the reported outcome of a commit, and how many times its entry exists, if its answer is lost and `commits`
/// further ones follow.
async fn commit_followed_by(commits: u64) -> (ReportedOutcome, usize) {
    let scenario = ScriptedScenario::open().await;
    let machine = scenario.machine("a", Suspension::NoClockStops);
    let (held, scene) = hold(ScriptDecision::LoseAnswer);
    let a = scenario.scripted(&machine, after(Operation::Put, "ledger", scene));
    let b = scenario.instance("b");
    let (outcome, ()) =
        futures::join!(commit_entry(&a, None, 0, DuplicateEntryMode::Append), async {
            held.arrived.notified().await;
            for entry in 1..=commits {
                let (said, _) = commit_entry(&b, None, entry, DuplicateEntryMode::Append).await;
                assert_eq!(said, ReportedOutcome::Committed);
            }
            held.released.notify_one();
        });
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
        assert_eq!(run(commit_followed_by(followers)), (said, 1), "{followers} followers");
    }
}

#[test]
fn a_put_longer_than_ten_seconds_on_any_clock_is_not_acknowledged() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let machine = scenario.machine("a", Suspension::MonotonicClockStops);
        let scene = after(Operation::Put, "tail/", freeze(&machine, 11));
        let a = scenario.scripted(&machine, scene);
        let doubtful = scenario.write(&a, &scenario.content(), None).await.unwrap_err();
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
        let scenario = ScriptedScenario::open().await;
        let machine = scenario.machine("a", Suspension::NoClockStops);
        let a = scenario.start(&machine, InstanceOptions::healthy(scenario.rules));
        scenario.write(&a, &scenario.content(), None).await.unwrap();
        // A put is in flight for so long that the next request is stamped 6 s after its catalog was validated. The
        // catalog was validated 3 s before that request came.
        scenario.sleep_until(2.9).await;
        let (under_way, waiting) = (scenario.content(), scenario.content());
        let administrator = scenario.instance("administrator");
        let (first, second, ()) = futures::join!(
            async {
                machine.freeze(Duration::from_millis(3500));
                scenario.write(&a, &under_way, None).await
            },
            async {
                scenario.sleep(0.1).await;
                scenario.write(&a, &waiting, None).await
            },
            async {
                scenario.sleep(1.1).await;
                let dropped =
                    administrator.catalog.delete_database(DATABASE_NAME, HardDelete::Never);
                dropped.await.unwrap();
            }
        );
        first.unwrap();
        second.unwrap();
        let [old, new] = [DATABASE, DatabaseId::new(2)]
            .map(|database| scenario.world.truth.keys(&Key::tail_prefix(database)).len());
        assert_eq!((old, new), (2, 1), "the last one is in a new database of the same name");
    });
}
