//! `neap import`: imports files as jobs of a server, and the data of other databases.

mod files;
mod influxdb;
mod sources;

use clap::Subcommand;
use neap_bucket::World;
use neap_server::console::Console;

pub(super) use self::sources::SourceError;
use super::{CommandResult, Environment};

/// The subcommands of `neap import`.
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Import from InfluxDB 1, 2 or 3: the folder of a server, a backup, an export, or a running server.
    Influxdb(Box<influxdb::InfluxdbArgs>),
    /// Upload Parquet files, which the server then imports into a table.
    Upload(Box<files::UploadArgs>),
    /// List the jobs of uploaded files.
    List(Box<files::ListArgs>),
}

/// Executes `neap import`.
pub(super) async fn run(
    command: &ImportCommand,
    environment: &Environment,
    console: &mut Console,
    world: World,
) -> CommandResult {
    match command {
        ImportCommand::Influxdb(args) => influxdb::run(args, console, world).await,
        ImportCommand::Upload(args) => files::upload(args, environment, console, &world).await,
        ImportCommand::List(args) => files::list(args, console).await,
    }
}
