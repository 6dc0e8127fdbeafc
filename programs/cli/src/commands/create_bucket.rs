//! `neap create bucket`: buckets of S3 with safe settings.

use clap::{Args, value_parser};
use neap_aws_bucket::{BucketCreation, NewBucket, S3Bucket};
use neap_bucket::{StoreConfig, StoreConfigError, World};
use neap_server::{
    console::Console,
    stores::{self, StoresError},
};

use super::{CommandError, CommandResult};

/// The options of `neap create bucket`.
#[derive(Debug, Args)]
pub(super) struct CreateBucketArgs {
    /// Encrypt objects with this key of AWS KMS, instead of S3's own keys.
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,

    /// Keep what Neap deletes for so many days, as versions of the store, which cost as much as objects.
    #[arg(long, value_name = "DAYS", value_parser = value_parser!(i32).range(1..))]
    keep_versions: Option<i32>,

    #[command(flatten)]
    store: StoreConfig,
}

/// Creates the buckets that the options name and that do not exist.
pub(super) async fn run(
    args: &CreateBucketArgs,
    console: &mut Console,
    world: &World,
) -> CommandResult {
    let buckets = S3Bucket::all(&args.store, world).map_err(StoresError::from)?;
    if buckets.is_empty() {
        let kind = args.store.kind();
        let error = StoreConfigError::Invalid {
            flag: "object-store",
            reason: format!("{kind} has no buckets that Neap can create"),
        };
        return Err(StoresError::from(error).into());
    }
    // Checks the other options of the store. Sends no request.
    stores::open(&args.store, world).map_err(StoresError::from)?;
    let options = NewBucket {
        kms_key: args.kms_key.clone(),
        version_days: args.keep_versions,
    };
    for bucket in buckets {
        let outcome = match bucket.create(&options).await? {
            BucketCreation::Created => "created",
            BucketCreation::Exists => "exists and is not changed",
        };
        let text = format!("bucket '{}' {outcome}", bucket.name());
        console.print(text).map_err(CommandError::Output)?;
    }
    Ok(())
}
