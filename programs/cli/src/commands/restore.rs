//! `neap restore`: creates a new database from an earlier version of a database, directly on the store.
//!
//! Nothing is copied: the new database references the objects of the source database, which retains them.

use std::time::Duration;

use clap::Args;
use neap_bucket::{Key, Stamp, StoreConfig, World};
use neap_catalog::CopyOptions;
use neap_manifest::{Manifest, RestoreError, VersionGone};
use neap_server::console::Console;

use super::{
    CommandError, CommandResult,
    backup_restore::RETENTION_IS_OFF,
    open_cluster::{OpenCluster, parse_as_of, time_text},
};

/// The options of `neap restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The database; a deleted database has the name that the deletion gave it.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: String,

    /// The time or stamp as of which it is wanted: 2026-01-31T12:00:00Z, or 2026-01-31 for its first moment (UTC).
    /// `neap show versions` tells how far back that goes.
    #[arg(long, value_name = "TIME|STAMP", value_parser = parse_as_of)]
    as_of: Stamp,

    /// The name of the new database.
    #[arg(long, value_name = "NAME")]
    to: String,

    /// Use the retention of the source database. Without it, rows are kept forever, because the restored rows may be
    /// older than the retention.
    #[arg(long)]
    keep_retention: bool,

    #[command(flatten)]
    store: StoreConfig,
}

/// Restores a database and prints a summary of the new one.
///
/// # Errors
///
/// The database or version does not exist, the new name is taken, or the store can't be used.
pub(super) async fn run(args: &RestoreArgs, console: &mut Console, world: World) -> CommandResult {
    let opened = OpenCluster::open(&args.store, &world).await?;
    let OpenCluster { catalog, manifests, .. } = &opened;
    let source = opened.database(&args.database).await?;
    let present = catalog.verified_database(source, Duration::ZERO).await?.value;
    let read = manifests.read(source, None).await.map_err(RestoreError::from)?;
    let manifest = catalog.verify_absence(&manifests.register(source), read).await?;
    let (version, view) = Manifest::at(&manifest, args.as_of).map_err(gone)?;
    let options = CopyOptions {
        as_of: Some(args.as_of.time()),
        keep_retention: args.keep_retention,
        keep_views_into_other_databases: false,
    };
    let copy = catalog.create_copy(source, &args.to, options).await?;
    let pinned = manifests.pin(source, manifest, version, copy.id).await;
    pinned.map_err(|error| match error {
        RestoreError::Gone(error) => gone(error),
        error => error.into(),
    })?;
    let needs_catalog = copy.catalog.version;
    let restored = manifests.adopt(source, &view, copy.id, needs_catalog, &[]).await?;
    catalog.record_register(&Key::Manifest(copy.id)).await?;
    let name = catalog.publish_copy(copy.id).await?;
    let sections = restored.value.section_count();
    let text = format!(
        "Database {:?} restored as {name:?}: version {version}, {sections} sections, writes until {}",
        args.database,
        time_text(view.low_water_mark.time()),
    );
    console.print(text).map_err(CommandError::Output)?;
    if !args.keep_retention && present.has_retention() {
        console.report(RETENTION_IS_OFF);
    }
    if view.as_of.is_none() && view.low_water_mark < args.as_of {
        console.report("Later writes are not included: `neap compact` creates a version with them");
    }
    Ok(())
}

fn gone(error: VersionGone) -> CommandError {
    CommandError::VersionGone { oldest: error.oldest.map(|oldest| time_text(oldest.time())) }
}
