//! Interleavings of flushes and queries that broke earlier versions of the protocol, one by one.

use std::time::Duration;

use neap_bucket::{Key, Operation, ProtocolMargins, ProtocolRules, Stamp};
use neap_compact::{FlushLimits, FlushResult, FlushSkipped};
use neap_manifest::Manifest;
use neap_wal::{NotAcknowledged, WriteError};
use neap_write::WriteFailure;

use crate::{
    instance::{DATABASE, InstanceOptions},
    machine::Suspension,
    network::ScriptDecision,
    oracle::{Invariant, Violation},
    scenario::{ScriptedScenario, before, first_cell, freeze, hold},
    simulate::run,
};

#[test]
fn hosts_ten_seconds_apart_do_not_make_an_acknowledged_segment_void() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let first = scenario.instance("first");
        scenario.write(&first, &scenario.content(), None).await.unwrap();
        scenario.sleep_until(60.0).await;
        // The writer gets its time from a slow host. Its put takes as long as an acknowledged one can.
        scenario.world.truth.set_skew(-5.0);
        let (held, scene) = hold(ScriptDecision::Proceed);
        let machine = scenario.machine("a", Suspension::NoClockStops);
        let a = scenario.scripted(&machine, before(Operation::Put, "tail/", scene));
        let flusher = scenario.instance("flusher");
        let content = scenario.content();
        let (written, flushed) = futures::join!(scenario.write(&a, &content, None), async {
            held.arrived.notified().await;
            scenario.sleep(4.9).await;
            // A fast host answers the listing, just before the put takes effect on a slow one.
            scenario.world.truth.set_skew(5.0);
            let flushed = flusher.flusher.flush(DATABASE).await;
            scenario.world.truth.set_skew(-5.0);
            held.released.notify_one();
            flushed
        });
        assert!(matches!(flushed.unwrap(), FlushResult::Done { segments: 1, .. }));
        written.unwrap();
        scenario.instance("reader").query().await.unwrap();
        scenario.assert_no_violations();
    });
}

#[test]
fn a_flush_whose_cut_is_not_above_the_mark_writes_nothing() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let flusher = scenario.instance("flusher");
        scenario.write(&flusher, &scenario.content(), None).await.unwrap();
        scenario.sleep_until(60.0).await;
        scenario.world.truth.set_skew(5.0);
        assert!(matches!(flusher.flusher.flush(DATABASE).await, Ok(FlushResult::Done { .. })));
        scenario.world.truth.set_skew(-5.0);
        let (data, manifest) =
            (scenario.world.truth.keys("data/"), flusher.manifests.read(DATABASE, None).await);
        let again = flusher.flusher.flush(DATABASE).await.unwrap();
        assert_eq!(again, FlushResult::Skipped(FlushSkipped::NothingToFlush));
        assert_eq!(scenario.world.truth.keys("data/"), data);
        let unchanged = flusher.manifests.read(DATABASE, None).await.unwrap();
        assert_eq!(unchanged.version, manifest.unwrap().version);
    });
}

/// Returns the violations if a reader's listing comes five minutes after its manifest, while a flush takes the only
/// segment and a collector deletes it.
async fn late_listing(suspension: Suspension, snapshot_span: Duration) -> Vec<Violation> {
    let scenario = ScriptedScenario::open().await;
    let healthy = scenario.instance("healthy");
    scenario.write(&healthy, &scenario.content(), None).await.unwrap();
    scenario.sleep_until(60.0).await;
    let machine = scenario.machine("reader", suspension);
    let (held, scene) = hold(ScriptDecision::Proceed);
    let start = InstanceOptions {
        script: Some(before(Operation::List, "tail/", scene)),
        rules: ProtocolRules { snapshot_span, ..scenario.rules },
        ..InstanceOptions::healthy(scenario.rules)
    };
    let reader = scenario.start(&machine, start);
    let (answer, ()) = futures::join!(reader.query(), async {
        held.arrived.notified().await;
        // Manifest and catalog are answered before the freeze.
        scenario.sleep(1.0).await;
        machine.freeze(Duration::from_secs(300));
        held.released.notify_one();
        assert!(matches!(healthy.flusher.flush(DATABASE).await, Ok(FlushResult::Done { .. })));
        scenario.sleep(130.0).await;
        let manifest = healthy.manifests.read(DATABASE, None).await.unwrap();
        let grace = Duration::from_secs(120);
        let mark = Manifest::settled_mark(&manifest, manifest.current_at.unwrap(), grace);
        let listing = healthy.tail.list(DATABASE, Stamp::ZERO).await.unwrap();
        let [name] = listing.names()[..] else {
            panic!("{listing:?}")
        };
        assert!(Some(name.stamp) <= mark);
        healthy
            .bucket
            .delete(&[Key::Segment(DATABASE, name).to_string()])
            .await
            .unwrap();
    });
    // If the monotonic clock continues, it measures the reader's wait.
    assert_eq!(answer.is_some(), suspension != Suspension::NoClockStops);
    scenario.violations()
}

#[test]
fn a_snapshot_is_read_again_if_segments_were_collected_during_its_listing() {
    let span = ProtocolRules::new(ProtocolMargins::NETWORK).snapshot_span;
    for suspension in [
        Suspension::NoClockStops,
        Suspension::MonotonicClockStops,
        Suspension::BothClocksStop,
    ] {
        let broken = run(late_listing(suspension, span));
        assert!(broken.is_empty(), "{suspension:?}: {broken:?}");
    }
    let broken = run(late_listing(Suspension::BothClocksStop, Duration::MAX));
    assert!(broken.iter().any(|broken| broken.invariant == Invariant::AcknowledgedIsVisible));
}

#[test]
fn a_failed_write_that_lands_during_a_flush_is_void_after_its_commit() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let writer = scenario.instance("writer");
        let kept = scenario.content();
        scenario.write(&writer, &kept, None).await.unwrap();
        scenario.sleep(2.0).await;
        let machine = scenario.machine("a", Suspension::NoClockStops);
        let late = || Box::pin(async { ScriptDecision::LandLate(Duration::from_secs(58)) }) as _;
        let a = scenario.scripted(&machine, before(Operation::Put, "tail/", late));
        let failed = scenario.content();
        scenario.write(&a, &failed, None).await.unwrap_err();

        // The flush has listed the tail and is about to commit.
        scenario.sleep_until(55.0).await;
        let (held, scene) = hold(ScriptDecision::Proceed);
        let machine = scenario.machine("flusher", Suspension::NoClockStops);
        let flusher = scenario.scripted(&machine, before(Operation::Put, "manifest", scene));
        let reader = scenario.instance("reader");
        let (flushed, ()) = futures::join!(flusher.flusher.flush(DATABASE), async {
            held.arrived.notified().await;
            scenario.sleep_until(65.0).await;
            assert_eq!(scenario.segments().len(), 2, "it has landed");
            let during = reader.query().await.unwrap();
            assert_eq!(first_cell(&during), Some(failed.value(0)));
            held.released.notify_one();
        });
        assert!(matches!(flushed.unwrap(), FlushResult::Done { segments: 1, .. }));
        for instance in [&reader, &scenario.instance("cold reader")] {
            let after = instance.query().await.unwrap();
            assert_eq!(first_cell(&after), Some(kept.value(0)));
        }
        scenario.assert_no_violations();
    });
}

#[test]
fn the_only_writer_reads_its_own_unacknowledged_put() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let machine = scenario.machine("serve", Suspension::NoClockStops);
        let start = InstanceOptions {
            sole_writer: true,
            script: Some(before(Operation::Put, "tail/", freeze(&machine, 8))),
            ..InstanceOptions::healthy(scenario.rules)
        };
        let serve = scenario.start(&machine, start);
        serve.query().await.unwrap();
        let content = scenario.content();
        let doubtful = scenario.write(&serve, &content, None).await.unwrap_err();
        assert!(
            matches!(
                doubtful,
                WriteFailure::Tail(WriteError::NotAcknowledged {
                    doubt: NotAcknowledged::DateTooFar { .. },
                    ..
                })
            ),
            "{doubtful:?}"
        );
        let mine = serve.query().await.unwrap();
        let others = scenario.instance("other").query().await.unwrap();
        assert_eq!(first_cell(&mine), Some(content.value(0)));
        assert_eq!(mine, others);
        scenario.assert_no_violations();
    });
}

#[test]
fn equal_stamps_are_ordered_by_nonce_and_flushed_together() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let twin = |name: &str| {
            let start = InstanceOptions {
                entropy: Some(7),
                flush_limits: FlushLimits { segments: 1, ..FlushLimits::default() },
                ..InstanceOptions::healthy(scenario.rules)
            };
            scenario.start(&scenario.machine(name, Suspension::NoClockStops), start)
        };
        let (a, b) = (twin("a"), twin("b"));
        // The same salt, but different nonces.
        b.bucket.world().entropy.next_u64();
        let (one, two) = (scenario.content(), scenario.content());
        scenario
            .write(&scenario.instance("creator"), &scenario.content(), None)
            .await
            .unwrap();
        scenario.sleep(1.0).await;
        let (first, second) =
            futures::join!(scenario.write(&a, &one, None), scenario.write(&b, &two, None));
        assert_eq!(first.unwrap(), second.unwrap());
        let before = scenario.instance("reader").query().await.unwrap();
        scenario.sleep_until(60.0).await;
        assert!(matches!(
            a.flusher.flush(DATABASE).await,
            Ok(FlushResult::Done { segments: 1, .. })
        ));
        assert!(matches!(
            a.flusher.flush(DATABASE).await,
            Ok(FlushResult::Done { segments: 2, .. })
        ));
        let after = scenario.instance("reader").query().await.unwrap();
        assert_eq!(before, after);
        scenario.assert_no_violations();
    });
}
