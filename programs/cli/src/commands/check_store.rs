//! `neap check-store`: tests whether a store supports the operations that Neap needs, and reads the settings of a bucket.

use std::fmt::Write;

use clap::{Args, value_parser};
use neap_aws_bucket::{FindingLevel, S3Bucket};
use neap_bucket::{StoreConfig, World};
use neap_server::{
    console::Console,
    stores::{Stores, StoresError},
};

use super::{CommandError, CommandResult};

/// The options of `neap check-store`.
#[derive(Debug, Args)]
pub(super) struct CheckStoreArgs {
    /// On S3: delete the parts of uploads that began more than a day ago and were not completed.
    #[arg(long)]
    abort_uploads: bool,

    /// On S3: order copies of the objects in archives, which can be read for so many days.
    #[arg(long, value_name = "DAYS", value_parser = value_parser!(i32).range(1..))]
    restore_archived: Option<i32>,

    #[command(flatten)]
    store: StoreConfig,
}

/// Runs all checks and prints the report.
///
/// # Errors
///
/// The store lacks something, or does not answer, or has settings that lose data.
pub(super) async fn run(
    args: &CheckStoreArgs,
    console: &mut Console,
    world: World,
) -> CommandResult {
    let stores = Stores::open(&args.store, &world)?;
    let buckets = S3Bucket::all(&args.store, &world).map_err(StoresError::from)?;
    let prefix = args.store.key_prefix().map_err(StoresError::from)?;
    for bucket in buckets.iter().filter(|bucket| !bucket.is_directory()) {
        let name = bucket.name();
        if args.abort_uploads {
            let count = bucket.abort_interrupted_uploads(&prefix, &world).await?;
            console.report(format_args!("bucket '{name}': {count} uploads aborted"));
        }
        if let Some(days) = args.restore_archived {
            let count = bucket.restore_archived(&prefix, days).await?;
            console.report(format_args!("bucket '{name}': {count} archived objects ordered"));
        }
    }
    let mut report = stores.check().await?;
    let mut loses_data = false;
    for bucket in &buckets {
        for finding in bucket.findings(&prefix, &world).await? {
            loses_data |= finding.level == FindingLevel::DataLoss;
            let _infallible = match buckets.len() {
                1 => writeln!(report, "{finding}"),
                _ => writeln!(report, "{finding} (bucket '{}')", bucket.name()),
            };
        }
    }
    if loses_data {
        let place = stores.place;
        return Err(CommandError::BucketLosesData { place, report });
    }
    let text = format!("{report}{} can be used", stores.place);
    console.print(text).map_err(CommandError::Output)
}
