//! `neap import site`: imports the parts of a site that travelled as files.

use std::path::PathBuf;

use clap::Args;
use neap_bucket::World;
use neap_server::console::Console;
use neap_sync::{PartFolder, ShippedCounts, ship_folder};

use crate::commands::{CommandError, options::ConnectionArgs, sync};

/// The options of `neap import site`.
#[derive(Debug, Args)]
pub(in crate::commands) struct SiteArgs {
    /// The folder that `neap sync --export` has written. It gets a receipt.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Imports the parts that the server does not have yet, and writes the receipt.
///
/// # Errors
///
/// The folder lacks parts, or the server refuses one.
pub(super) async fn run(
    args: &SiteArgs,
    console: &mut Console,
    world: &World,
) -> Result<(), CommandError> {
    let folder = PartFolder::open(&args.folder)?;
    let target = args.connection.sync_target()?;
    let mut counts = ShippedCounts::default();
    let shipped = ship_folder(&folder, &target, world, &mut counts).await;
    console.print(sync::shown(&counts)).map_err(CommandError::Output)?;
    if let Some(receipt) = shipped? {
        receipt.write(&args.folder)?;
    }
    Ok(())
}
