//! Jobs: actors that act later or elsewhere than the request that started them.

use std::{collections::BTreeSet, sync::Arc};

use neap_backup::ClusterCopier;
use neap_bucket::{Bucket, CodeHash, Key, MAX_CATALOG_AGE, PutMode, formats};
use neap_catalog::{ANY_AGE, NewTrigger, TriggerSpecification};
use neap_fsck::{Fsck, FsckOptions, FsckReport, Severity};
use neap_manifest::{LoggedRowDelete, RowDeleteLog};
use neap_schema::DatabaseId;
use tokio::task::JoinSet;

use crate::{
    actors::{ActorContext, run_on},
    backup_actor::{backup_keeper, finish_backups, scrubber},
    import_actor::{import_all, importer},
    instance::{DATABASE, DATABASE_NAME, Instance, InstanceSlot},
    machine::Suspension,
    network::StoreRole,
    oracle::Invariant,
    rows::{OTHER_TABLE, TABLE},
    schedule::ScheduleMix,
    write::GeneratedDelete,
};

/// Runs of a copy after which it must be whole, if there are no faults.
const MAX_COPIES: usize = 3;

/// Starts the actors of a schedule.
pub(crate) fn spawn_jobs(
    actors: &mut JoinSet<()>,
    stage: &ActorContext,
    place: impl Fn(&str, &ScheduleMix) -> Arc<InstanceSlot>,
) {
    // No rule detects that both clocks of a machine stood still. A worker may then write after the end of its claim.
    let with_clocks = ScheduleMix {
        suspensions: &[Suspension::NoClockStops, Suspension::MonotonicClockStops],
        ..stage.mix.clone()
    };
    let jobs = &stage.world.choices.cast.jobs;
    for number in 0..2 {
        let slot = |role: &str| place(&format!("{role} {number}"), &stage.mix);
        if jobs.importing {
            let place = place(&format!("importer {number}"), &with_clocks);
            actors.spawn(importer(stage.clone(), place));
        }
        if jobs.backing_up {
            actors.spawn(backup_keeper(stage.clone(), slot("backups")));
        }
        if jobs.copying {
            actors.spawn(copier(stage.clone(), slot("copier")));
        }
        if jobs.scrubbing {
            actors.spawn(scrubber(stage.clone(), slot("scrubber")));
        }
        if jobs.erasing {
            actors.spawn(eraser(stage.clone(), slot("eraser")));
        }
    }
}

/// Ends all jobs of a schedule on an instance without faults, and checks what they have left.
pub(crate) async fn finish_jobs(stage: &ActorContext, instance: &Arc<Instance>) {
    let jobs = &stage.world.choices.cast.jobs;
    if jobs.kinds() == 0 {
        return;
    }
    // From now on, the clocks of the store's hosts agree, so that no write is refused.
    stage.world.truth.set_skew(0.0);
    if jobs.importing {
        import_all(instance).await;
    }
    if jobs.backing_up {
        finish_backups(stage, instance).await;
    }
    if jobs.copying {
        finish_copy(instance).await;
    }
}

/// Creates a disabled trigger with code, which backups and copies must have.
pub(crate) async fn create_code(founder: &Instance) {
    let code = CodeHash([7; 32]);
    let object = formats::PLUGIN_CODE.encode(1, b"code");
    founder
        .bucket
        .put(&Key::PluginCode(code), object, PutMode::Overwrite)
        .await
        .unwrap();
    let trigger = NewTrigger {
        code: Some(code),
        disabled: true,
        ..NewTrigger::new("disabled", "plugin.py", TriggerSpecification::AllTablesWalWrite)
    };
    founder.catalog.create_trigger(DATABASE, &trigger).await.unwrap();
}

/// Copies the cluster at random intervals.
async fn copier(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.operator_pauses).await;
        run_on(&place, async |instance| {
            copy(&instance).await;
        })
        .await;
    }
}

/// Copies the cluster, and checks that the copy has what was acknowledged before. Returns `None` if the copy is not whole:
/// another run is necessary.
pub(crate) async fn copy(instance: &Instance) -> Option<()> {
    let world = &instance.world;
    let before = world.truth.oracle(|oracle| oracle.acknowledged_segments());
    let copied = ClusterCopier {
        from: &instance.bucket,
        to: &copy_bucket(instance),
        progress: &|_| {},
    }
    .run()
    .await;
    instance.trace(format_args!("copy: {copied:?}"));
    copied.ok()?;
    world
        .copy
        .with_objects(|objects| world.truth.oracle(|oracle| oracle.check_copy(objects, &before)))
}

fn copy_bucket(instance: &Instance) -> Bucket {
    let store = Arc::new(instance.network.to(StoreRole::Copy));
    Bucket::new(store, instance.bucket.world().clone())
}

/// Copies the cluster without faults, and checks the copy as an operator does.
async fn finish_copy(instance: &Instance) {
    let mut is_whole = false;
    for _ in 0..MAX_COPIES {
        is_whole |= copy(instance).await.is_some();
    }
    let options = FsckOptions {
        // A copy of a damaged object is damaged, too.
        full: instance.world.truth.damages() == 0,
        ..FsckOptions::default()
    };
    let check = Fsck::new(copy_bucket(instance));
    let report = check.check(&options, &|_| {}).await.unwrap();
    instance.world.truth.oracle(|oracle| {
        if !is_whole || has_errors(&report, &oracle.hidden_names) {
            oracle.fail(Invariant::CopyIsComplete, report);
        }
    });
}

/// Whether a check has found errors in other databases than these. A copy of a backup, or a restored database, that a dead
/// process has left behind is not whole.
pub(crate) fn has_errors(report: &FsckReport, hidden: &BTreeSet<String>) -> bool {
    let is_hidden = |name: &String| hidden.contains(name);
    report.findings.iter().any(|finding| {
        finding.severity == Severity::Error && !finding.database.as_ref().is_some_and(is_hidden)
    })
}

/// Deletes rows on request, and reports which requests are completed.
async fn eraser(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.operator_pauses).await;
        run_on(&place, async |instance| {
            if stage.world.chance.happens(0.5) {
                let erasure = GeneratedDelete {
                    table: Some(stage.world.chance.pick(&[TABLE, OTHER_TABLE])),
                    ..stage.draw_delete()
                };
                erase(&instance, &erasure).await;
            } else {
                report_erasures(&instance, |_| true).await;
            }
        })
        .await;
    }
}

/// Deletes rows of a table and logs the request, as the endpoint of delete requests does.
pub(crate) async fn erase(instance: &Instance, erasure: &GeneratedDelete) -> Option<()> {
    let name = erasure.table?;
    let stamp = instance.erase(erasure, None).await.ok()??;
    let truth = &instance.world.truth;
    truth.oracle(|oracle| oracle.acknowledge(erasure.request));
    let catalog = instance.catalog.database(DATABASE, ANY_AGE).await.ok()?;
    let delete = LoggedRowDelete {
        database: DATABASE,
        table: catalog.value.table(name)?.id(),
        database_name: DATABASE_NAME.to_owned(),
        table_name: name.to_owned(),
        min_time: Some(erasure.times.0),
        max_time: None,
        predicate: String::new(),
        stamp: Some(stamp),
    };
    let added = RowDeleteLog::new(&instance.catalog).add(delete).await;
    instance.trace(format_args!("erasure: {added:?}"));
    Some(())
}

/// Reports which requests to delete rows are completed, as maintenance does. Those of databases that do not exist are.
pub(crate) async fn report_erasures(instance: &Instance, is_there: impl Fn(DatabaseId) -> bool) {
    let Ok(root) = instance.catalog.root(MAX_CATALOG_AGE).await else {
        return;
    };
    let exists = |database| is_there(database) && root.value.databases().contains_key(&database);
    let refreshed = RowDeleteLog::new(&instance.catalog).refresh(exists).await;
    instance.trace(format_args!("erasures: {refreshed:?}"));
}
