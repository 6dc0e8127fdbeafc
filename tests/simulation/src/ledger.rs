//! Tests of registers: actors that commit unique entries to one register, and create tables with unique names.

use std::sync::{Arc, Mutex};

use neap_bucket::{
    CommitOutcome, Key, ObjectFormat, Register, RegisterChange, RegisterValue, VersionedValue,
};
use neap_catalog::CatalogError;
use serde::{Deserialize, Serialize};

use crate::{
    actors::ActorContext,
    instance::{DATABASE, Instance, InstanceSlot},
    oracle::Invariant,
};

/// The value of the test register: a list of entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<u64>,
}

impl RegisterValue for Ledger {
    const FORMAT: ObjectFormat = ObjectFormat { magic: *b"TEST", kind: "ledger", version: 1 };
}

/// Returns the register that the actors of this module share.
pub(crate) fn register(instance: &Instance) -> Register<Ledger> {
    let key = Key::Probe(0, "ledger".to_owned());
    Register::new(instance.bucket.clone(), key, instance.rules.recent_put_ids)
}

/// The reported outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportedOutcome {
    Committed,
    Refused,
    Unknown,
}

/// The reported outcomes for all entries and tables.
#[derive(Debug, Default)]
pub(crate) struct ReportedOutcomes {
    pub(crate) entries: Mutex<Vec<(u64, ReportedOutcome)>>,
    pub(crate) tables: Mutex<Vec<(String, ReportedOutcome)>>,
}

/// How a writer of the ledger handles an entry that already exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DuplicateEntryMode {
    /// The writer appends it again, which reveals a commit that is applied twice.
    Append,
    /// The writer refuses it, which reveals a commit that is applied and then retried.
    Refuse,
}

pub(crate) async fn commit_entry(
    instance: &Instance,
    known: Option<VersionedValue<Ledger>>,
    entry: u64,
    style: DuplicateEntryMode,
) -> (ReportedOutcome, Option<VersionedValue<Ledger>>) {
    let outcome = register(instance)
        .commit(known, |base| {
            if style == DuplicateEntryMode::Refuse && base.value.entries.contains(&entry) {
                return Err(());
            }
            let mut next = Ledger::clone(&base.value);
            next.entries.push(entry);
            Ok(RegisterChange::Put(next, ()))
        })
        .await;
    instance.trace(format_args!("entry {entry} ({style:?}): {outcome:?}"));
    match outcome {
        Ok(CommitOutcome::Committed { current, .. }) => (ReportedOutcome::Committed, Some(current)),
        Ok(CommitOutcome::Refused(())) => (ReportedOutcome::Refused, None),
        Ok(CommitOutcome::Unknown { .. }) | Err(_) => (ReportedOutcome::Unknown, None),
    }
}

/// Commits entries and creates tables until the schedule ends.
pub(crate) async fn ledger_writer(
    stage: ActorContext,
    place: Arc<InstanceSlot>,
    sayings: Arc<ReportedOutcomes>,
) {
    let chance = &stage.world.chance;
    let mut known: Option<VersionedValue<Ledger>> = None;
    for turn in 0.. {
        stage.world.pause(&[0.05, 0.5, 5.0]).await;
        let instance = place.instance();
        instance.machine.pass().await;
        let unique = stage.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let work = async {
            if chance.happens(0.2) {
                let name = format!("table{unique}");
                let said = create(&instance, &name).await;
                sayings.tables.lock().unwrap().push((name, said));
            } else {
                let style = chance.pick(&[DuplicateEntryMode::Append, DuplicateEntryMode::Refuse]);
                let base = known.take().filter(|_| turn % 2 == 1);
                let (said, current) = commit_entry(&instance, base, unique, style).await;
                sayings.entries.lock().unwrap().push((unique, said));
                known = current;
            }
        };
        let died = Box::pin(instance.machine.died());
        futures::future::select(Box::pin(work), died).await;
    }
}

async fn create(instance: &Instance, name: &str) -> ReportedOutcome {
    let created = instance.catalog.create_table(DATABASE, name, &[], &[]).await;
    instance.trace(format_args!("create {name}: {:?}", created.as_ref().err()));
    match created {
        Ok(_) => ReportedOutcome::Committed,
        Err(CatalogError::AlreadyExists { .. }) => ReportedOutcome::Refused,
        Err(_) => ReportedOutcome::Unknown,
    }
}

/// Compares the reported outcomes with the content of the registers.
pub(crate) async fn check_reported_outcomes(instance: &Instance, sayings: &ReportedOutcomes) {
    let ledger = register(instance).read(None).await.unwrap();
    let catalog = instance.catalog.database(DATABASE, std::time::Duration::ZERO).await.unwrap();
    let mut checks = Vec::new();
    for (entry, said) in sayings.entries.lock().unwrap().iter() {
        let times = ledger.value.entries.iter().filter(|there| *there == entry).count();
        checks.push((format!("entry {entry}"), *said, times));
    }
    for (name, said) in sayings.tables.lock().unwrap().iter() {
        let times = usize::from(catalog.value.table(name).is_some());
        checks.push((name.clone(), *said, times));
    }
    for (what, said, times) in checks {
        let broken = match (said, times) {
            (ReportedOutcome::Committed, 0) => Invariant::CommitIsDurable,
            (_, 2..) => Invariant::CommitIsAppliedOnce,
            (ReportedOutcome::Refused, 1) => Invariant::RefusalIsNotApplied,
            _ => continue,
        };
        let text = format!("{what} was reported as {said:?} and exists {times} times");
        instance.world.truth.oracle(|oracle| oracle.fail(broken, text));
    }
}
