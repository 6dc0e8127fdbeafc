//! Backups, restores from them, and damaged objects that are mended from them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use neap_backup::{
    Backup, BackupEngine, BackupKeeper, BackupParts, BackupPlaces, BackupRequest, JobState,
    RestoreRequest, check_place,
};
use neap_bucket::{Key, ProtocolRules, Store};
use neap_fsck::{ObjectCopies, Scrubber};

use crate::{
    actors::{ActorContext, run_on},
    compactors::random_past_stamp,
    disabled_rule::DisabledRule,
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceSlot},
    network::{SimulatedNetwork, StoreRole},
    oracle::Invariant,
};

/// The name of the only place.
pub(crate) const PLACE: &str = "elsewhere";

/// Maximum number of damaged objects of a schedule.
const MAX_DAMAGES: usize = 3;

/// The interval in which a scrubber reads each object once, in microseconds. Each pass is as long.
const SCRUB_INTERVAL: i64 = 1_000_000;

/// Number of looks after the jobs of a schedule until all have ended, and the pause between them: longer than a lease.
const MAX_LOOKS: usize = 40;
const LOOK_PAUSE: Duration = Duration::from_secs(70);

/// The place of an instance, behind its network.
#[derive(Debug)]
struct SimulatedPlaces(SimulatedNetwork);

impl BackupPlaces for SimulatedPlaces {
    fn open(&self, _place: &str) -> Result<Arc<dyn Store>, String> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// The objects of backups at the place.
#[derive(Debug)]
struct BackupCopies {
    engine: Arc<BackupEngine>,
    /// Whether they get damaged after their check.
    is_damaged: bool,
}

impl ObjectCopies for BackupCopies {
    fn read<'a>(
        &'a self,
        key: &'a Key,
        is_intact: &'a (dyn Fn(&Bytes) -> bool + Sync),
    ) -> BoxFuture<'a, Result<Option<Bytes>, String>> {
        Box::pin(async move {
            let copy =
                self.engine.copy_of(key, is_intact).await.map_err(|error| error.to_string())?;
            Ok(if self.is_damaged {
                copy.map(|bytes| bytes.iter().rev().copied().collect())
            } else {
                copy
            })
        })
    }
}

/// Starts the engine of an instance.
pub(crate) fn backup_engine(instance: &Instance) -> Arc<BackupEngine> {
    backup_engine_with(instance, instance.rules)
}

/// Starts an engine whose backups follow these rules.
pub(crate) fn backup_engine_with(instance: &Instance, rules: ProtocolRules) -> Arc<BackupEngine> {
    Arc::new(BackupEngine::new(BackupParts {
        bucket: instance.bucket.clone(),
        catalog: Arc::clone(&instance.catalog),
        manifests: instance.manifests.clone(),
        tail: instance.tail.clone(),
        flusher: instance.flusher.clone(),
        rules,
        places: Arc::new(SimulatedPlaces(instance.network.to(StoreRole::Place))),
    }))
}

/// Starts a scrubber of an instance, and runs one pass over all objects.
pub(crate) async fn scrub(instance: &Instance) {
    let copies = BackupCopies {
        engine: backup_engine(instance),
        is_damaged: instance.weakness == Some(DisabledRule::IntactCopies),
    };
    let interval = Duration::from_micros(SCRUB_INTERVAL.unsigned_abs());
    let scrubber = Scrubber::new(instance.bucket.clone(), interval, Some(Arc::new(copies)));
    let totals = scrubber.scrub(0..SCRUB_INTERVAL).await;
    let damaged = scrubber.damaged_parts();
    instance.trace(format_args!("scrub: {totals:?}, still damaged: {damaged:?}"));
    if let Ok(totals) = totals {
        let mended = usize::try_from(totals.mended).unwrap();
        instance.world.truth.oracle(|oracle| oracle.counts.mended += mended);
    }
}

/// Makes backups, restores databases from them, and continues what others have left.
pub(crate) async fn backup_keeper(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.operator_pauses).await;
        run_on(&place, async |instance| {
            let engine = backup_engine(&instance);
            match stage.world.chance.below(4) {
                0 => back_up(&stage, &instance, &engine).await,
                1 => {
                    restore_random(&stage, &instance, &engine).await;
                }
                _ => {
                    let report = BackupKeeper::new(engine, None).run_once(false).await;
                    instance.trace(format_args!("jobs: {report:?}"));
                }
            }
        })
        .await;
    }
}

/// Makes a backup: in the bucket or at the place, of all databases or of the first one, full or incremental.
async fn back_up(stage: &ActorContext, instance: &Instance, engine: &BackupEngine) {
    let chance = &stage.world.chance;
    let Ok((register, _)) = engine.read().await else {
        return;
    };
    let is_parent = |one: &&Backup| one.job.state.has_contents() && one.place.is_some();
    let mut newest_first = register.backups().iter().rev();
    let parent = newest_first.find(is_parent).filter(|_| chance.happens(0.3));
    let request = BackupRequest {
        name: Some(format!("b{}", stage.draw_request())),
        parent: parent.map(|one| one.name.clone()),
        database: match parent {
            Some(parent) => parent.database.clone(),
            None => chance.happens(0.3).then(|| DATABASE_NAME.to_owned()),
        },
        place: (parent.is_none() && chance.happens(0.6)).then(|| PLACE.to_owned()),
        ..BackupRequest::default()
    };
    let started = engine.begin_backup(&request).await;
    instance.trace(format_args!("backup: {started:?}"));
    if let Ok(backup) = started {
        let failure = engine.run_backup(backup).await;
        instance.trace(format_args!("backup {:?}: {failure:?}", request.name));
    }
}

/// Restores a database as a new one: from a backup, or to a moment.
async fn restore_random(
    stage: &ActorContext,
    instance: &Instance,
    engine: &BackupEngine,
) -> Option<()> {
    let chance = &stage.world.chance;
    let (register, _) = engine.read().await.ok()?;
    let usable: Vec<_> =
        register.backups().iter().filter(|one| one.job.state.has_contents()).collect();
    let backup = usable.get(chance.below(usable.len())).filter(|_| chance.happens(0.7));
    let request = match backup {
        Some(backup) => RestoreRequest {
            backup: Some(backup.name.clone()),
            database: Some(
                backup.databases.get(chance.below(backup.databases.len()))?.name.clone(),
            ),
            keep_retention: chance.happens(0.5),
            ..RestoreRequest::default()
        },
        None => RestoreRequest {
            moment: Some(random_past_stamp(stage, DATABASE)),
            database: Some(DATABASE_NAME.to_owned()),
            ..RestoreRequest::default()
        },
    };
    restore_as_new(stage, instance, engine, request).await;
    Some(())
}

/// Restores a database under a new name. Returns why it has failed; `None` if it is restored.
async fn restore_as_new(
    stage: &ActorContext,
    instance: &Instance,
    engine: &BackupEngine,
    request: RestoreRequest,
) -> Option<String> {
    let name = format!("copy{}", stage.draw_request());
    let request = RestoreRequest { to: Some(name.clone()), ..request };
    let failure = match engine.begin_restore(&request).await {
        Ok(restore) => engine.run_restore(restore).await,
        Err(error) => Some(error.to_string()),
    };
    instance.trace(format_args!("{request:?}: {failure:?}"));
    if failure.is_none()
        && let Ok(root) = instance.catalog.root(Duration::ZERO).await
        && let Some(restored) = root.value.database(&name)
    {
        stage.add_copy(restored, name);
    }
    failure
}

/// Damages objects, and mends them from backups.
pub(crate) async fn scrubber(stage: ActorContext, place: Arc<InstanceSlot>) {
    let world = &stage.world;
    loop {
        world.pause(stage.mix.cast.operator_pauses).await;
        let has_backups = !world.place.keys("backups/").is_empty();
        if has_backups && world.truth.damages() < MAX_DAMAGES {
            let number = world.chance.below(usize::MAX);
            let byte = world.truth.oracle(|oracle| oracle.some_live_byte(DATABASE, number));
            if let Some((key, place)) = byte {
                world.trace("damage", format_args!("byte {place} of {key}"));
                world.truth.damage(&key, place);
            }
        }
        run_on(&place, async |instance| scrub(&instance).await).await;
    }
}

/// Lets a process without faults mend all damage, and checks that it has mended what backups have.
pub(crate) async fn check_mended(instance: &Instance) {
    let truth = &instance.world.truth;
    scrub(instance).await;
    let engine = backup_engine(instance);
    for (key, place) in truth.heal() {
        let intact = truth.with_objects(|objects| objects[&key].bytes.clone());
        let is_intact = |bytes: &Bytes| *bytes == intact;
        let copy = engine.copy_of(&key.parse().unwrap(), &is_intact).await;
        let is_needed = truth.oracle(|oracle| oracle.is_live_byte(&key, place));
        if is_needed && copy.is_ok_and(|copy| copy.is_some()) {
            let text = format!("{key} is damaged, and a backup has it");
            truth.oracle(|oracle| oracle.fail(Invariant::DamageIsMended, text));
        }
    }
}

/// Continues all jobs until they have ended, on an instance without faults. Then checks the place, and restores the newest
/// backups in the bucket and at the place.
pub(crate) async fn finish_backups(stage: &ActorContext, instance: &Instance) {
    let truth = &stage.world.truth;
    let fail = |invariant: Invariant, text: String| {
        truth.oracle(|oracle| oracle.fail(invariant, text));
    };
    let engine = backup_engine(instance);
    let keeper = BackupKeeper::new(Arc::clone(&engine), None);
    let mut register = None;
    for _ in 0..MAX_LOOKS {
        let report = keeper.run_once(false).await;
        instance.trace(format_args!("last jobs: {report:?}"));
        let (known, _) = engine.read().await.unwrap();
        let mut backups = known.backups().iter().map(|one| one.job.state);
        let mut restores = known.restores().map(|one| one.job.state);
        let is_running = |state| state == JobState::InProgress;
        if !backups.any(is_running) && !restores.any(is_running) {
            register = Some(Arc::clone(&known));
            break;
        }
        stage.world.time.sleep(LOOK_PAUSE).await;
    }
    let Some(register) = register else {
        let text = "a backup or a restore does not end without any fault".to_owned();
        return fail(Invariant::NoUnexpectedError, text);
    };
    let backups = register.backups().iter().map(|one| (&one.name, &one.job));
    for (name, job) in backups.chain(register.restores().map(|one| (&one.backup, &one.job))) {
        let damage = job.error.as_ref().filter(|error| error.contains("damaged"));
        if let Some(error) = damage.filter(|_| truth.damages() == 0) {
            let text = format!("{name} has found damage without a cause: {error}");
            fail(Invariant::NoUnexpectedError, text);
        }
    }
    check_mended(instance).await;
    let store = Arc::new(instance.network.to(StoreRole::Place));
    let report = check_place(store, instance.bucket.world(), true).await.unwrap();
    for finding in report.findings {
        let backup = register.find(&finding.backup);
        if backup.is_some_and(|backup| backup.job.state == JobState::Completed) {
            fail(Invariant::BackupIsComplete, format!("{finding:?}"));
        }
    }
    for is_at_place in [false, true] {
        let mut backups = register.backups().iter().rev();
        let newest = backups.find(|one| {
            one.job.state.has_contents()
                && one.place.is_some() == is_at_place
                && one.databases.iter().any(|database| database.source == DATABASE)
        });
        let Some(backup) = newest else {
            continue;
        };
        let request = RestoreRequest {
            backup: Some(backup.name.clone()),
            database: Some(DATABASE_NAME.to_owned()),
            ..RestoreRequest::default()
        };
        if let Some(failure) = restore_as_new(stage, instance, &engine, request).await {
            let text = format!("{:?} can't be restored: {failure}", backup.name);
            fail(Invariant::RestoreIsComplete, text);
        }
    }
}
