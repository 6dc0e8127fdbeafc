//! `neap check-store`: tests whether a store supports the operations that Neap needs, and reads the settings of a bucket.

use std::fmt::Write;

use clap::Args;
use neap_aws_chain::{BucketCreation, BucketSettings, FindingLevel, create_bucket};
use neap_bucket::{S3BucketClient, StoreConfig, StoreConfigError, World};
use neap_server::{
    console::Console,
    stores::{self, Stores, StoresError},
};

use super::CommandError;

/// The options of `neap check-store`.
#[derive(Debug, Args)]
pub(super) struct CheckStoreArgs {
    /// Create the buckets of S3 that do not exist: private, without versions, with a rule that deletes the parts of
    /// interrupted uploads. Buckets that exist are not changed.
    #[arg(long)]
    create_bucket: bool,

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
) -> Result<(), CommandError> {
    let buckets = stores::s3_buckets(&args.store, &world)?;
    if args.create_bucket {
        create(args, &buckets, console).await?;
    }
    let stores = Stores::open(&args.store, &world)?;
    let mut report = stores.check().await?;
    let prefix = args.store.key_prefix().map_err(StoresError::from)?;
    let mut loses_data = false;
    for bucket in &buckets {
        let settings = BucketSettings::read(bucket).await?;
        for finding in settings.findings(&prefix) {
            loses_data |= finding.level == FindingLevel::DataLoss;
            let _infallible = match buckets.len() {
                1 => writeln!(report, "{finding}"),
                _ => writeln!(report, "{finding} (bucket '{}')", bucket.bucket()),
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

async fn create(
    args: &CheckStoreArgs,
    buckets: &[S3BucketClient],
    console: &mut Console,
) -> Result<(), CommandError> {
    if buckets.is_empty() {
        let error = StoreConfigError::Invalid {
            flag: "create-bucket",
            reason: format!(
                "--object-store {} has no buckets that it can create",
                args.store.kind()
            ),
        };
        return Err(StoresError::from(error).into());
    }
    for bucket in buckets {
        let outcome = match create_bucket(bucket).await? {
            BucketCreation::Created => "created",
            BucketCreation::Exists => "exists and is not changed",
        };
        console.report(format_args!("bucket '{}' {outcome}", bucket.bucket()));
    }
    Ok(())
}
