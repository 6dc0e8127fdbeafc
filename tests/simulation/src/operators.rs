//! Operators, who change the retention, drop, undelete and rename tables and databases, and restore earlier versions.

use std::{sync::Arc, time::Duration};

use neap_bucket::{Key, Stamp, StoreTime, VersionedValue};
use neap_catalog::{CatalogError, CopyOptions, HardDelete};
use neap_manifest::{Manifest, RestoreError};
use neap_schema::DatabaseId;

use crate::{
    actors::{ActorContext, run_on},
    instance::{DATABASE, Instance, InstanceSlot},
    oracle::SimulationOracle,
    rows::TABLE,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperatorAction {
    SetRetention,
    Drop,
    Undelete,
    Rename,
    DeleteAlias,
    Restore,
    DropDatabase,
    UndeleteDatabase,
}

/// Runs random actions at random intervals.
pub(crate) async fn operator(stage: ActorContext, place: Arc<InstanceSlot>) {
    let cast = &stage.world.choices.cast;
    let mut deeds = Vec::new();
    if cast.expiring {
        deeds.push(OperatorAction::SetRetention);
    }
    if cast.dropping {
        deeds.extend([OperatorAction::Drop, OperatorAction::Undelete]);
    }
    if cast.renaming {
        deeds.extend([OperatorAction::Rename, OperatorAction::DeleteAlias]);
    }
    if cast.restoring {
        deeds.push(OperatorAction::Restore);
    }
    if cast.destroying {
        deeds.extend([OperatorAction::DropDatabase, OperatorAction::UndeleteDatabase]);
    }
    loop {
        stage.world.pause(stage.mix.cast.operator_pauses).await;
        if deeds.is_empty() {
            continue;
        }
        let deed = stage.world.chance.pick(&deeds);
        run_on(&place, async |instance| match deed {
            OperatorAction::SetRetention => set_retention(&stage, &instance).await,
            OperatorAction::Drop => drop_table(&instance).await,
            OperatorAction::Undelete => undelete_table(&stage, &instance).await,
            OperatorAction::Rename => rename_table(&stage, &instance).await,
            OperatorAction::DeleteAlias => delete_alias(&instance).await,
            OperatorAction::Restore => {
                let restored = restore(&stage, &instance).await;
                instance.trace(format_args!("restore: {restored:?}"));
            }
            OperatorAction::DropDatabase => drop_database(&stage, &instance).await,
            OperatorAction::UndeleteDatabase => undelete_database(&stage, &instance).await,
        })
        .await;
    }
}

/// Sets a retention such that some rows have just expired or expire soon, or clears it.
async fn set_retention(stage: &ActorContext, instance: &Instance) {
    let (world, chance) = (&stage.world, &stage.world.chance);
    let days = chance.below(world.choices.cast.days);
    let day = Duration::from_secs(86_400 * u64::try_from(days).unwrap_or(0));
    let now = Duration::from_secs(world.time.now().as_secs());
    let age = Duration::from_secs(chance.pick(&[0, 5, 50, 500]));
    let chosen = match chance.below(4) {
        0 => None,
        1 => Some((day + now).saturating_sub(age)),
        _ => Some(day + now + age),
    };
    let retention = chosen.filter(|retention| !retention.is_zero());
    let set = instance.catalog.set_retention(DATABASE, retention).await;
    let failed = set.err();
    instance.trace(format_args!("retention {retention:?}: {failed:?}"));
}

/// Returns a random time at which dropped data is deleted permanently.
fn random_hard_delete(instance: &Instance) -> HardDelete {
    let now = StoreTime::from_micros(instance.world.time.micros());
    instance.world.chance.pick(&[
        HardDelete::NOW,
        HardDelete::After(Duration::from_secs(30)),
        HardDelete::At(now.plus(Duration::from_secs(150))),
        HardDelete::After(Duration::from_secs(600)),
        HardDelete::Never,
    ])
}

async fn drop_table(instance: &Instance) {
    let hard_delete = random_hard_delete(instance);
    let dropped = instance.catalog.delete_table(DATABASE, TABLE, hard_delete).await;
    instance.trace(format_args!("drop, {hard_delete:?}: {dropped:?}"));
    if let Ok(table) = dropped {
        let now = instance.world.time.now();
        let truth = &instance.world.truth;
        truth.oracle(|oracle| oracle.drop_answered(DATABASE, Some(table), now));
    }
}

async fn undelete_table(stage: &ActorContext, instance: &Instance) {
    let catalog = &instance.catalog;
    instance.world.truth.oracle(SimulationOracle::clear_drops);
    let mut undeleted = catalog.undelete_table(DATABASE, TABLE, None).await;
    if matches!(undeleted, Err(CatalogError::AlreadyExists { .. })) {
        let name = format!("{TABLE}{}", stage.draw_request());
        undeleted = catalog.undelete_table(DATABASE, TABLE, Some(&name)).await;
    }
    instance.trace(format_args!("undelete: {undeleted:?}"));
    if undeleted.is_ok() {
        instance.world.truth.oracle(|oracle| oracle.counts.undeleted += 1);
    }
}

/// Renames the table that has the name that the clients know. They continue to use this name.
async fn rename_table(stage: &ActorContext, instance: &Instance) {
    let name = format!("{TABLE}{}", stage.draw_request());
    let renamed = instance.catalog.rename_table(DATABASE, TABLE, &name).await;
    instance.trace(format_args!("rename to {name}: {renamed:?}"));
}

/// Deletes the name that the clients know, if it is an alias. Their next write creates a table of this name. For the renamed
/// table, this is a drop: no later write goes there.
async fn delete_alias(instance: &Instance) {
    let deleted = instance.catalog.delete_table_alias(DATABASE, TABLE).await;
    instance.trace(format_args!("delete of the alias: {deleted:?}"));
    if let Ok(table) = deleted {
        let now = instance.world.time.now();
        let truth = &instance.world.truth;
        truth.oracle(|oracle| {
            oracle.drop_answered(DATABASE, Some(table), now);
            oracle.counts.aliases_deleted += 1;
        });
    }
}

/// Drops a random database, mostly a restored one. Drops the first one less often, and only if restored ones exist.
async fn drop_database(stage: &ActorContext, instance: &Instance) {
    let databases = stage.databases();
    let chance = &stage.world.chance;
    let place = chance.below(databases.len());
    if place == 0 && (databases.len() == 1 || chance.happens(0.7)) {
        return;
    }
    let (hard_delete, name) = (random_hard_delete(instance), &databases[place].1);
    let dropped = instance.catalog.delete_database(name, hard_delete).await;
    instance.trace(format_args!("drop of {name}, {hard_delete:?}: {dropped:?}"));
    if let Ok(database) = dropped {
        let now = instance.world.time.now();
        let truth = &instance.world.truth;
        truth.oracle(|oracle| oracle.drop_answered(database, None, now));
    }
}

async fn undelete_database(stage: &ActorContext, instance: &Instance) {
    let databases = stage.databases();
    let name = &databases[stage.world.chance.below(databases.len())].1;
    instance.world.truth.oracle(SimulationOracle::clear_drops);
    let undeleted = instance.catalog.undelete_database(name, None).await;
    instance.trace(format_args!("undelete of {name}: {undeleted:?}"));
}

/// Why a restore failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreFailure {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error("there is no version")]
    NoVersion,
}

/// Restores a random version of a random database as a new database.
async fn restore(stage: &ActorContext, instance: &Instance) -> Result<DatabaseId, RestoreFailure> {
    let chance = &instance.world.chance;
    let manifests = &instance.manifests;
    let source = stage.random_database().0;
    let manifest = manifests.read(source, None).await.map_err(RestoreError::from)?;
    let versions = Manifest::versions(&manifest);
    let of = versions.get(chance.below(versions.len())).ok_or(RestoreFailure::NoVersion)?;
    let name = format!("copy{}", stage.draw_request());
    let copy = restore_as(instance, source, manifest.clone(), of.mark, &name).await?;
    stage.add_copy(copy, name);
    Ok(copy)
}

/// Restores the version that contains this stamp as a new database, which references the same sections.
pub(crate) async fn restore_as(
    instance: &Instance,
    source: DatabaseId,
    manifest: VersionedValue<Manifest>,
    stamp: Stamp,
    name: &str,
) -> Result<DatabaseId, RestoreFailure> {
    let manifests = &instance.manifests;
    let (version, view) = Manifest::at(&manifest, stamp).map_err(RestoreError::from)?;
    let copy = instance.catalog.create_copy(source, name, CopyOptions::default()).await?;
    manifests.pin(source, manifest, version, copy.id).await?;
    let needs_catalog = copy.catalog.version;
    manifests.adopt(source, &view, copy.id, needs_catalog, &[]).await?;
    instance.catalog.record_register(&Key::Manifest(copy.id)).await?;
    instance.catalog.publish_copy(copy.id).await?;
    Ok(copy.id)
}
