//! `neap import`: imports the data of other databases.

mod influxdb;

use clap::Subcommand;
use neap_bucket::World;

use super::CommandError;
use crate::console::Console;

/// The databases to import from.
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Import from InfluxDB 1, 2 or 3: the folder of a server, a backup, an export, or a running server.
    Influxdb(Box<influxdb::InfluxdbArgs>),
}

/// Executes `neap import`.
///
/// # Errors
///
/// The import is incomplete.
pub(super) async fn run(
    command: &ImportCommand,
    console: &mut Console,
    world: World,
) -> Result<(), CommandError> {
    match command {
        ImportCommand::Influxdb(args) => influxdb::run(args, console, world).await,
    }
}
