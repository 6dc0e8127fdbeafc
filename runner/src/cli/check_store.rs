//! `neap check-store`: tests whether a store supports the operations that Neap needs.

use clap::Args;
use neap_bucket::{StoreConfig, World};

use super::CommandError;
use crate::{console::Console, stores::Stores};

/// The options of `neap check-store`.
#[derive(Debug, Args)]
pub(super) struct CheckStoreArgs {
    #[command(flatten)]
    store: StoreConfig,
}

/// Runs all checks and prints the report.
///
/// # Errors
///
/// The store lacks something, or does not answer.
pub(super) async fn run(
    args: &CheckStoreArgs,
    console: &mut Console,
    world: World,
) -> Result<(), CommandError> {
    let stores = Stores::open(&args.store, &world)?;
    let report = stores.check().await?;
    let text = format!("{report}{} can be used", stores.place);
    console.print(text).map_err(CommandError::Output)
}
