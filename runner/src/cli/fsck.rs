//! `neap fsck`: whether a bucket holds all that it should, on the store itself.

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use neap_bucket::{StoreConfig, World};
use neap_fsck::{Fsck, FsckOptions, Progress, Report};

use super::{CommandError, opened::check_used};
use crate::{console::Console, stores::Stores};

/// The options of `neap fsck`.
#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// Read every row. Without it, registers and pages are read and objects listed.
    #[arg(long)]
    full: bool,

    /// Correct wrong statistics, and condemn objects that nothing names. Nothing is deleted.
    #[arg(long)]
    repair: bool,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    /// The database to check; all of them by default, and what belongs to none.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    #[command(flatten)]
    store: StoreConfig,
}

/// Checks what was asked for, and prints what was found.
///
/// # Errors
///
/// The store can't be used, there is no such database, or there is damage.
pub(super) async fn run(
    args: &FsckArgs,
    console: &mut Console,
    world: World,
) -> Result<(), CommandError> {
    let stores = Stores::open(&args.store, &world)?;
    if args.database.is_some() {
        check_used(&stores).await?;
    }
    let options = FsckOptions {
        full: args.full,
        database: args.database.clone(),
        repair: args.repair,
    };
    let report = check(&Fsck::new(stores.bucket), &options, console).await?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&report)
            .map_err(|error| CommandError::Output(error.into()))?,
        false => report.to_string(),
    };
    console.print(text).map_err(CommandError::Output)?;
    match report.exit_code() {
        0 => Ok(()),
        _ => Err(CommandError::Damaged {
            errors: report.errors,
        }),
    }
}

/// Checks a bucket with a progress bar for whoever waits.
pub(super) async fn check(
    fsck: &Fsck,
    options: &FsckOptions,
    console: &Console,
) -> Result<Report, CommandError> {
    let bar = match console.err_is_terminal && options.full {
        true => visible_progress(),
        false => ProgressBar::hidden(),
    };
    let show = |progress: Progress<'_>| {
        if bar.message() != progress.database {
            bar.set_message(progress.database.to_owned());
            bar.reset();
        }
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    };
    let report = fsck.check(options, &show).await;
    bar.finish_and_clear();
    Ok(report?)
}

fn visible_progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = "{msg} {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
