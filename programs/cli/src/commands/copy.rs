//! `neap copy`: copies a cluster as a backup, directly on the store.

use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use neap_backup::{ClusterCopier, CopyProgress, CopyStats};
use neap_bucket::{CopyStage, StoreConfig, World};
use neap_fsck::{Fsck, FsckOptions};
use neap_server::{console::Console, store_location, stores::Stores};

use super::{
    CommandError, CommandResult, fsck,
    open_cluster::{check_used, open_existing},
};
use crate::progress_bar;

/// The options of `neap copy`.
#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// Where to copy to: a directory, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    /// A bucket is reached with the settings of the one that is copied. A copy that is there already is
    /// brought up to date.
    #[arg(long, value_name = "URL|DIR")]
    to: String,

    #[command(flatten)]
    store: StoreConfig,
}

/// Copies a cluster, which may be in use, then runs a quick check on the copy.
///
/// # Errors
///
/// A store can't be used, the destination holds something else, or the copy is incomplete.
pub(super) async fn run(args: &CopyArgs, console: &mut Console, world: World) -> CommandResult {
    let from = open_existing(&args.store, &world)?;
    check_used(&from).await?;
    let config = store_location::parse(&args.to, &args.store).map_err(CommandError::Destination)?;
    if store_location::is_within(&config, &args.store) {
        let reason = "it is the source itself, or inside of it".to_owned();
        return Err(CommandError::Destination(reason));
    }
    let to = Stores::open(&config, &world)?;
    let progress = if console.err_is_terminal {
        let template = "{spinner} {msg} {bytes}, {bytes_per_sec}";
        progress_bar::visible(ProgressBar::new_spinner(), template)
    } else {
        ProgressBar::hidden()
    };
    let copied = ClusterCopier {
        from: &from.bucket,
        to: &to.bucket,
        progress: &|step| match step {
            CopyProgress::Stage(stage) => progress.set_message(message(stage)),
            CopyProgress::Bytes(bytes) => progress.inc(bytes),
        },
    }
    .run()
    .await;
    progress.finish_and_clear();
    let CopyStats { objects, bytes, kept, damaged } = copied?;
    let text = format!(
        "{objects} objects with {} copied to {}, {kept} existed already",
        HumanBytes(bytes),
        to.place
    );
    console.print(text).map_err(CommandError::Output)?;
    for (key, reason) in &damaged {
        console.report(format!("{key} is damaged: {reason}"));
    }
    let check = Fsck::new(to.bucket);
    let report = fsck::check(&check, &FsckOptions::default(), console).await?;
    if !report.clean {
        console.report(&report);
    }
    match report.errors.max(damaged.len() as u64) {
        0 if report.clean => Ok(()),
        errors => Err(CommandError::CopyNotWhole { errors }),
    }
}

/// Returns the name of a stage for the progress bar.
fn message(stage: CopyStage) -> &'static str {
    match stage {
        CopyStage::Progress => "progress",
        CopyStage::Tail => "new data",
        CopyStage::Manifests => "manifests",
        CopyStage::Objects => "data",
        CopyStage::Catalogs | CopyStage::Backups | CopyStage::Root => "catalogs",
        CopyStage::Code => "code of plugins",
    }
}
