//! Lists of system tables.

use clap::Args;
use neap_server::console::Console;

use crate::commands::{CommandResult, options::ConnectionArgs, output::OutputArgs};

/// The options of commands that list a system table of the database `_internal`.
#[derive(Debug, Args)]
pub(in crate::commands) struct ListArgs {
    #[command(flatten)]
    pub(super) output: OutputArgs,

    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

/// Lists a system table that only the database `_internal` has.
pub(super) async fn list(table: &str, args: &ListArgs, console: &mut Console) -> CommandResult {
    args.output.check(console)?;
    let client = args.connection.client(None)?;
    let sql = format!("SELECT * FROM system.{table}");
    let format = args.output.format.as_str();
    let response = client.query_sql("_internal", &sql, format).await?;
    args.output.deliver(&client, response, console).await
}
