//! `neap fsck`: checks the integrity of a bucket, directly on the store.

use clap::Args;
use indicatif::ProgressBar;
use neap_backup::{BackupFinding, check_backups};
use neap_bucket::{StoreConfig, World};
use neap_catalog::Catalog;
use neap_fsck::{
    Finding, FindingKind, Fsck, FsckOptions, FsckProgress, FsckReport, LostObject, ObjectPart,
};
use neap_server::{
    console::Console,
    store_location,
    stores::{self, Stores, StoresError},
};

use super::{
    CommandError, CommandResult, directory_clock,
    open_cluster::{check_directory, check_used},
};
use crate::progress_bar;

/// The options of `neap fsck`.
#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// Read every row. Without it, registers, pages and the tail are read and objects listed.
    #[arg(long)]
    full: bool,

    /// Correct wrong statistics, mark unreferenced objects for deletion, and accept that documents of the console or the log
    /// of row delete requests are lost. Nothing is deleted.
    #[arg(long)]
    repair: bool,

    /// Show the data lost with a damaged segment, bundle or page, or with the section or page at a byte offset of one;
    /// with --repair, quarantine it, so that queries continue without its rows. The object is kept. May be repeated.
    #[arg(long, value_name = "KEY[@BYTE]")]
    quarantine: Vec<ObjectPart>,

    /// Check the backups at this place instead: that their objects exist and have their sizes, with --full also their
    /// checksums.
    #[arg(long, value_name = "URL|DIR", conflicts_with_all = ["repair", "quarantine", "database"])]
    backups_at: Option<String>,

    /// Show the time of a directory beside this machine's clock; with --repair, set it back if a process with a wrong
    /// clock has put it ahead. Checks nothing else.
    #[arg(long, conflicts_with_all = ["full", "quarantine", "backups_at", "database"])]
    clock: bool,

    /// Print the report as JSON.
    #[arg(long)]
    json: bool,

    /// The database to check; all of them by default, and what belongs to none.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    #[command(flatten)]
    store: StoreConfig,
}

/// Runs the check and prints the report.
///
/// # Errors
///
/// The store can't be used, the database does not exist, or the check finds damage.
pub(super) async fn run(args: &FsckArgs, console: &mut Console, world: World) -> CommandResult {
    if let Some(place) = &args.backups_at {
        return check_place(place, args, console, &world).await;
    }
    check_directory(&args.store)?;
    if args.clock {
        return directory_clock::run(&args.store, args.repair, args.json, console, &world).await;
    }
    let stores = Stores::open(&args.store, &world)?;
    if args.database.is_some() {
        check_used(&stores).await?;
    }
    let options = FsckOptions {
        full: args.full,
        database: args.database.clone(),
        repair: args.repair,
    };
    let fsck = Fsck::new(stores.bucket.clone());
    let lost = quarantine(args, &fsck, &stores, console).await?;
    let mut report = check(&fsck, &options, console).await?;
    report.lost = lost;
    if args.database.is_none() {
        for finding in check_backups(&stores.bucket).await? {
            // A full check has verified the register, too.
            let is_known = |known: &Finding| known.key.as_ref() == Some(&finding.key);
            if !report.findings.iter().any(is_known) {
                report.add(damaged_backup(finding));
            }
        }
    }
    print(&report, args, console)
}

fn print(report: &FsckReport, args: &FsckArgs, console: &mut Console) -> CommandResult {
    let text = if args.json {
        serde_json::to_string_pretty(report).map_err(|error| CommandError::Output(error.into()))?
    } else {
        report.to_string()
    };
    console.print(text).map_err(CommandError::Output)?;
    match report.exit_code() {
        0 => Ok(()),
        _ => Err(CommandError::Damaged { errors: report.errors }),
    }
}

/// Checks the backups at a place and prints the findings.
async fn check_place(
    place: &str,
    args: &FsckArgs,
    console: &mut Console,
    world: &World,
) -> CommandResult {
    let config = store_location::parse(place, &args.store).map_err(CommandError::Destination)?;
    check_directory(&config)?;
    let opened = stores::open(&config, world).map_err(StoresError::Config)?;
    let checked = neap_backup::check_place(opened.main, world, args.full).await?;
    let mut report = FsckReport::new(args.full);
    report.checked.objects = checked.objects;
    report.checked.bytes = checked.bytes;
    for finding in checked.findings {
        report.add(damaged_backup(finding));
    }
    print(&report, args, console)
}

fn damaged_backup(finding: BackupFinding) -> Finding {
    let message = match finding.backup.as_str() {
        "" => finding.message,
        backup => format!("backup {backup:?}: {}", finding.message),
    };
    Finding {
        key: Some(finding.key),
        ..Finding::error(FindingKind::DamagedBackup, message)
    }
}

/// Shows the data that is lost with the named objects, and quarantines them if requested.
async fn quarantine(
    args: &FsckArgs,
    fsck: &Fsck,
    stores: &Stores,
    console: &mut Console,
) -> CommandResult<Vec<LostObject>> {
    let database = args.database.as_deref();
    let mut all = Vec::new();
    for part in &args.quarantine {
        let lost = fsck.quarantine(part, database, false).await?;
        if !args.repair {
            all.extend(lost);
            continue;
        }
        // With `--json`, the report contains the lost data.
        for one in lost.iter().filter(|_| !args.json) {
            console.print(one).map_err(CommandError::Output)?;
        }
        let set_aside = fsck.quarantine(part, database, true).await?;
        let catalog = Catalog::new(stores.bucket.clone(), stores.margins, None);
        let is_new = |one: &&LostObject| !lost.iter().any(|before| before == *one);
        for one in set_aside.iter().filter(is_new) {
            let noted = catalog.record_quarantine(one.id, &one.object, one.rows());
            noted.await?;
        }
        all.extend(set_aside);
    }
    Ok(all)
}

/// Checks a bucket and shows a progress bar on a terminal.
pub(super) async fn check(
    fsck: &Fsck,
    options: &FsckOptions,
    console: &Console,
) -> CommandResult<FsckReport> {
    let bar = if console.err_is_terminal && options.full {
        let template = "{msg} {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        progress_bar::visible(ProgressBar::new(0), template)
    } else {
        ProgressBar::hidden()
    };
    let show = |progress: FsckProgress<'_>| {
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
