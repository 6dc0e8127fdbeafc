//! `neap show`: what a server has.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::{
    CommandError,
    options::{ConnectionArgs, Format},
    query,
};
use crate::console::Console;

/// What to show.
#[derive(Debug, Subcommand)]
pub(super) enum ShowCommand {
    /// List the databases.
    Databases(ShowDatabasesArgs),
}

/// The options of `neap show databases`.
#[derive(Debug, Args)]
pub(super) struct ShowDatabasesArgs {
    /// List those that are deleted, too.
    #[arg(long)]
    show_deleted: bool,

    /// The form of the list.
    #[arg(long, value_enum, default_value = "pretty")]
    format: Format,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Shows what was asked for.
///
/// # Errors
///
/// The request failed or was refused, or its result can't be printed.
pub(super) async fn run(command: &ShowCommand, console: &mut Console) -> Result<(), CommandError> {
    let ShowCommand::Databases(args) = command;
    if args.format == Format::Parquet && console.out_is_terminal {
        return Err(CommandError::ParquetToTerminal(""));
    }
    let client = args.connection.client(None)?;
    let show_deleted = args.show_deleted.to_string();
    let query = [
        ("format", args.format.as_str()),
        ("show_deleted", &show_deleted),
    ];
    let request = client
        .request(Method::GET, "/api/v3/configure/database")
        .query(&query);
    let response = client.send(request).await?;
    query::print(&client, response, args.format, console).await
}
