//! Mutation tests of jobs: imports, backups, restores, copies, scrubbing, requests to delete rows. Each of their rules is
//! necessary. A job without it breaks an invariant that it protects; with all rules, the same schedule keeps all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{Either, select},
};
use neap_backup::{BackupRequest, RestoreRequest};
use neap_bucket::{Key, ObjectFormat, Operation, ProtocolMargins, ProtocolRules, RegisterValue};
use neap_catalog::RestoredDatabase;
use neap_compact::FlushResult;
use neap_manifest::Manifest;
use serde_json::Value;

use crate::{
    backup_actor::{PLACE, backup_engine, backup_engine_with, scrub},
    compactors::collect,
    disabled_rule::DisabledRule,
    import_actor::{import_all, start_worker, upload},
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceOptions},
    jobs::{copy, erase, report_erasures},
    machine::Suspension,
    network::{CallScript, InterceptionPoint, ScriptDecision},
    oracle::{EventCounts, Invariant},
    rows::{HOSTS, TABLE},
    scenario::{ScriptedScenario, before, freeze},
    schedule::ScheduleMix,
    simulate::{run, simulate_all},
    simulated_store::SimulatedStore,
    write::GeneratedDelete,
};

/// The number of the first request of a file or a delete, above those of the writes of a script.
const REQUEST: u64 = 1_000;

/// Checks that a schedule breaks this invariant and no other.
fn assert_breaks(scenario: &ScriptedScenario, invariant: Invariant) {
    let broken = scenario.violations();
    let is_it = !broken.is_empty() && broken.iter().all(|one| one.invariant == invariant);
    assert!(is_it, "{broken:?}");
}

/// Checks that a schedule keeps all invariants. Returns the numbers of its events.
fn assert_keeps_all(scenario: &ScriptedScenario) -> EventCounts {
    let broken = scenario.violations();
    assert!(broken.is_empty(), "{broken:?}");
    scenario.world.truth.oracle(|oracle| oracle.counts)
}

/// Changes the value of a register, as no process does.
fn edit_register(
    store: &SimulatedStore,
    key: &str,
    format: ObjectFormat,
    edit: impl FnOnce(&mut Value),
) {
    let object = store.with_objects(|objects| objects[key].bytes.clone());
    let (put_id, payload) = format.decode(key, &object).unwrap();
    let json = zstd::decode_all(payload.as_ref()).unwrap();
    let mut register: Value = serde_json::from_slice(&json).unwrap();
    edit(&mut register["value"]);
    let edited = serde_json::to_vec(&register).unwrap();
    let compressed = zstd::encode_all(edited.as_slice(), 0).unwrap();
    store.replace(key, format.encode(put_id, &compressed));
}

/// Writes a row, and flushes it a minute later.
async fn write_and_flush(scenario: &ScriptedScenario, instance: &Instance) {
    scenario.write(instance, &scenario.content(), None).await.unwrap();
    scenario.sleep(60.0).await;
    let flushed = instance.flusher.flush(DATABASE).await;
    assert!(matches!(flushed, Ok(FlushResult::Done { .. })), "{flushed:?}");
}

/// Merges and collects until nothing is left to collect.
async fn compact_all(scenario: &ScriptedScenario, instance: &Instance) {
    for _ in 0..5 {
        scenario.sleep(4_000.0).await;
        instance.flusher.flush(DATABASE).await.unwrap();
        instance.compactor.settle(DATABASE, None).await.unwrap();
    }
}

/// Imports a file of four rows, one in each segment, with a worker of which the answer to the second segment is lost.
///
/// ```text
///   seconds   0                               20                30                40 ..
///   worker    row 1, row 2 without answer                       searches again
///   test                                      forgets the claim
///   flusher                                                                       flushes
/// ```
async fn import_with_a_lost_answer(
    weakness: Option<DisabledRule>,
    forgets_claim: bool,
) -> ScriptedScenario {
    const NIMP: ObjectFormat = ObjectFormat { magic: *b"NIMP", kind: "import job", version: 1 };
    let scenario = ScriptedScenario::open().await;
    let segments = AtomicUsize::new(0);
    let script: CallScript = Arc::new(move |at, called, key| {
        let is_segment = at == InterceptionPoint::After
            && called == Operation::Put
            && key.starts_with(Key::TAIL_PREFIX);
        let is_second = is_segment && segments.fetch_add(1, Ordering::Relaxed) == 1;
        let decision = if is_second {
            ScriptDecision::LoseAnswer
        } else {
            ScriptDecision::Proceed
        };
        std::future::ready(decision).boxed()
    });
    let start = InstanceOptions {
        script: Some(script),
        weakness,
        ..InstanceOptions::healthy(scenario.rules)
    };
    let machine = scenario.machine("importer", Suspension::NoClockStops);
    let importer = scenario.start(&machine, start);
    let other = scenario.instance("other");
    let worker = start_worker(&importer, 1);
    upload(&worker, REQUEST, 4).await.unwrap();
    let rest = async {
        scenario.sleep(20.0).await;
        if forgets_claim {
            let truth = &scenario.world.truth;
            let keys = truth.keys(Key::IMPORTS_PREFIX);
            let is_job = |key: &&String| matches!(key.parse(), Ok(Key::ImportJob(_)));
            let key = keys.iter().find(is_job).unwrap();
            edit_register(truth, key, NIMP, |job| {
                job["claimed_until"] = Value::Null;
            });
        }
        import_all(&other).await;
    };
    match select(Box::pin(rest), Box::pin(worker.run())).await {
        Either::Left(((), _)) => {}
        Either::Right(((), _)) => panic!("a worker never ends"),
    }
    scenario
}

#[test]
fn rows_are_stored_twice_if_a_claim_begins_before_the_segments_of_the_last_one_are_settled() {
    run(async {
        let scenario = import_with_a_lost_answer(None, true).await;
        assert_breaks(&scenario, Invariant::ImportIsExact);
        let scenario = import_with_a_lost_answer(None, false).await;
        assert_eq!(assert_keeps_all(&scenario).imports, 1);
    });
}

#[test]
fn rows_are_stored_twice_if_a_put_without_answer_counts_as_failed_and_is_repeated() {
    run(async {
        let weakness = Some(DisabledRule::UnknownOutcome);
        let scenario = import_with_a_lost_answer(weakness, false).await;
        assert_breaks(&scenario, Invariant::ImportIsExact);
    });
}

/// Makes a backup while the put of a segment takes 4.5 s.
async fn back_up_beside_a_slow_write(rules: ProtocolRules) -> ScriptedScenario {
    let scenario = ScriptedScenario::open().await;
    let time = scenario.world.time;
    let slow = move || {
        async move {
            time.sleep(Duration::from_millis(4_500)).await;
            ScriptDecision::Proceed
        }
        .boxed()
    };
    let script = before(Operation::Put, Key::TAIL_PREFIX, slow);
    let machine = scenario.machine("writer", Suspension::NoClockStops);
    let (writer, owner) = (scenario.scripted(&machine, script), scenario.instance("owner"));
    scenario.sleep_until(100.0).await;
    let content = scenario.content();
    let backup = async {
        scenario.sleep(0.1).await;
        let engine = backup_engine_with(&owner, rules);
        let started = engine.begin_backup(&BackupRequest::default()).await;
        engine.run_backup(started.unwrap()).await
    };
    let (written, failure) = futures::join!(scenario.write(&writer, &content, None), backup);
    written.unwrap();
    assert_eq!(failure, None);
    scenario
}

#[test]
fn a_backup_that_does_not_wait_for_slow_writes_lacks_them() {
    run(async {
        let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
        let weakened = ProtocolRules {
            acknowledgement_limit: Duration::ZERO,
            flush_lag: Duration::ZERO,
            ..rules
        };
        let scenario = back_up_beside_a_slow_write(weakened).await;
        assert_breaks(&scenario, Invariant::BackupIsComplete);
        let scenario = back_up_beside_a_slow_write(rules).await;
        assert_eq!(assert_keeps_all(&scenario).backups, 1);
    });
}

/// Merges and collects the source of a backup in the bucket.
async fn collect_beside_a_backup(is_pinned: bool) -> ScriptedScenario {
    let scenario = ScriptedScenario::open().await;
    let owner = scenario.instance("owner");
    for _ in 0..2 {
        write_and_flush(&scenario, &owner).await;
    }
    let engine = backup_engine(&owner);
    let started = engine.begin_backup(&BackupRequest::default()).await;
    assert_eq!(engine.run_backup(started.unwrap()).await, None);
    if !is_pinned {
        let key = Key::Manifest(DATABASE).to_string();
        edit_register(&scenario.world.truth, &key, Manifest::FORMAT, |manifest| {
            manifest["pins"] = Value::Array(Vec::new());
        });
    }
    compact_all(&scenario, &scenario.instance("compactor")).await;
    scenario
}

#[test]
fn a_backup_without_pins_loses_its_objects() {
    run(async {
        let scenario = collect_beside_a_backup(false).await;
        assert_breaks(&scenario, Invariant::ObjectsExist);
        let scenario = collect_beside_a_backup(true).await;
        assert!(assert_keeps_all(&scenario).merged > 0);
    });
}

/// Restores a database from a place with a process that is frozen before it puts the first object. Meanwhile, another
/// process publishes what the register names, if it does not wait until that has contents.
async fn publish_beside_a_frozen_restore(waits: bool) -> ScriptedScenario {
    let scenario = ScriptedScenario::open().await;
    let owner = scenario.instance("owner");
    write_and_flush(&scenario, &owner).await;
    let engine = backup_engine(&owner);
    let request = BackupRequest {
        name: Some("b".to_owned()),
        place: Some(PLACE.to_owned()),
        ..BackupRequest::default()
    };
    let started = engine.begin_backup(&request).await;
    assert_eq!(engine.run_backup(started.unwrap()).await, None);
    let machine = scenario.machine("restorer", Suspension::NoClockStops);
    let script = before(Operation::Put, "data/", freeze(&machine, 30));
    let restorer = backup_engine(&scenario.scripted(&machine, script));
    let request = RestoreRequest {
        backup: Some("b".to_owned()),
        database: Some(DATABASE_NAME.to_owned()),
        to: Some("restored".to_owned()),
        ..RestoreRequest::default()
    };
    let restore = async {
        let started = restorer.begin_restore(&request).await;
        restorer.run_restore(started.unwrap()).await
    };
    let publish = async {
        scenario.sleep(10.0).await;
        let (register, _) = engine.read().await.unwrap();
        let [copy] = register.restores().next().unwrap().copies[..] else {
            panic!("one database is expected");
        };
        let restored = RestoredDatabase { copy, name: "restored".to_owned(), source: None };
        if !waits {
            owner.catalog.publish_restored(&[restored], &[], false).await.unwrap();
        }
    };
    let (failure, ()) = futures::join!(restore, publish);
    assert_eq!(failure, None);
    scenario
}

#[test]
fn a_restored_database_that_is_published_before_it_has_contents_lacks_rows() {
    run(async {
        let scenario = publish_beside_a_frozen_restore(false).await;
        assert_breaks(&scenario, Invariant::RestoreIsComplete);
        let scenario = publish_beside_a_frozen_restore(true).await;
        assert_eq!(assert_keeps_all(&scenario).restores, 1);
    });
}

/// Copies the cluster twice. The first run is frozen before it puts the manifest, until the second one has ended.
///
/// ```text
///   seconds   0     60     61                     66     126    276            661
///   a                      tail, manifest, frozen ............................ puts the manifest
///   b         row   flush                         row    flush  collects, copies
/// ```
async fn copy_beside_a_frozen_copy(weakness: Option<DisabledRule>) -> ScriptedScenario {
    let scenario = ScriptedScenario::open().await;
    let b = scenario.instance("b");
    write_and_flush(&scenario, &b).await;
    let machine = scenario.machine("a", Suspension::NoClockStops);
    let script = before(Operation::Put, "manifest", freeze(&machine, 600));
    let start = InstanceOptions {
        script: Some(script),
        weakness,
        ..InstanceOptions::healthy(scenario.rules)
    };
    let a = scenario.start(&machine, start);
    let of_b = async {
        scenario.sleep(5.0).await;
        write_and_flush(&scenario, &b).await;
        scenario.sleep(150.0).await;
        collect(&b, DATABASE).await;
        assert_eq!(scenario.segments(), Vec::<String>::new());
        copy(&b).await
    };
    let (_, copied) = futures::join!(copy(&a), of_b);
    assert_eq!(copied, Some(()));
    let world = &scenario.world;
    let is_whole = world.copy.with_objects(|objects| {
        world.truth.oracle(|oracle| {
            let acknowledged = oracle.acknowledged_segments();
            oracle.check_copy(objects, &acknowledged)
        })
    });
    assert_eq!(is_whole, Some(()));
    scenario
}

#[test]
fn a_frozen_copy_that_replaces_a_newer_manifest_loses_rows() {
    run(async {
        let unconditional = Some(DisabledRule::ConditionalCopy);
        let scenario = copy_beside_a_frozen_copy(unconditional).await;
        assert_breaks(&scenario, Invariant::CopyIsComplete);
        let scenario = copy_beside_a_frozen_copy(None).await;
        assert_eq!(assert_keeps_all(&scenario).cluster_copies, 2);
    });
}

/// Restores a damaged section from a backup at a place.
async fn restore_damaged_section(weakness: Option<DisabledRule>) -> ScriptedScenario {
    let scenario = ScriptedScenario::open().await;
    let machine = scenario.machine("owner", Suspension::NoClockStops);
    let start = InstanceOptions { weakness, ..InstanceOptions::healthy(scenario.rules) };
    let owner = scenario.start(&machine, start);
    write_and_flush(&scenario, &owner).await;
    let engine = backup_engine(&owner);
    let request = BackupRequest { place: Some(PLACE.to_owned()), ..BackupRequest::default() };
    let started = engine.begin_backup(&request).await;
    assert_eq!(engine.run_backup(started.unwrap()).await, None);
    let truth = &scenario.world.truth;
    let byte = truth.oracle(|oracle| oracle.some_live_byte(DATABASE, 10));
    let (key, place) = byte.unwrap();
    truth.damage(&key, place);
    scrub(&owner).await;
    scenario
}

#[test]
fn a_damaged_copy_that_counts_as_intact_replaces_data() {
    run(async {
        let scenario = restore_damaged_section(Some(DisabledRule::IntactCopies)).await;
        assert_breaks(&scenario, Invariant::DataNeverChanges);
        let scenario = restore_damaged_section(None).await;
        assert_eq!(assert_keeps_all(&scenario).mended, 1);
        assert!(scenario.world.truth.heal().is_empty());
    });
}

/// Deletes a flushed row on request, and reports whether the request is completed. A database that does not exist has no
/// rows.
async fn erase_and_report(exists: bool) -> ScriptedScenario {
    let scenario = ScriptedScenario::open().await;
    let owner = scenario.instance("owner");
    write_and_flush(&scenario, &owner).await;
    let erasure = GeneratedDelete {
        request: REQUEST,
        table: Some(TABLE),
        hosts: HOSTS.to_vec(),
        times: (i64::MIN, i64::MAX),
    };
    erase(&owner, &erasure).await.unwrap();
    report_erasures(&owner, |_| exists).await;
    compact_all(&scenario, &owner).await;
    report_erasures(&owner, |_| true).await;
    scenario
}

#[test]
fn a_delete_request_is_completed_too_early_if_its_database_counts_as_gone() {
    run(async {
        let scenario = erase_and_report(false).await;
        assert_breaks(&scenario, Invariant::ErasureIsComplete);
        assert_keeps_all(&erase_and_report(true).await);
    });
}

/// The store's clock is an hour ahead for a while.
#[test]
fn a_store_whose_clock_leaps_destroys_data_early_if_it_is_trusted() {
    let mix = ScheduleMix { trust_store_clock: true, ..ScheduleMix::LEAPS };
    let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
    let tally = simulate_all(0..300, rules, &mix, 1);
    println!("{} seeds, broken: {:?}", tally.seeds, tally.broken);
    let (_, violation) = tally.broken.first().unwrap();
    let expected = [
        Invariant::ExpiryIsJustified,
        Invariant::ObjectsExist,
        Invariant::HistoryIsRetained,
        Invariant::AcknowledgedIsVisible,
    ];
    assert!(expected.contains(&violation.invariant), "{violation}");
}
