//! `neap undelete`: reverts the deletion of databases and tables.

use clap::{Args, Subcommand};
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;

use super::{
    CommandError, CommandResult,
    options::{ConnectionArgs, DatabaseArgs},
};

/// The subcommands of `neap undelete`.
#[derive(Debug, Subcommand)]
pub(super) enum UndeleteCommand {
    /// Revert the deletion of a database, until its data is deleted permanently.
    Database(UndeleteDatabaseArgs),
    /// Revert the deletion of a table, until its data is deleted permanently.
    Table(UndeleteTableArgs),
}

/// The options of `neap undelete database`.
#[derive(Debug, Args)]
pub(super) struct UndeleteDatabaseArgs {
    /// The name that the database has now, such as db-20260131T120000, or the one that it had before.
    #[arg(value_name = "DELETED_NAME")]
    deleted: String,

    /// The name that it is to have; by default the one that it had before.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap undelete table`.
#[derive(Debug, Args)]
pub(super) struct UndeleteTableArgs {
    /// The name that the table has now, such as cpu-20260131T120000, or the one that it had before.
    #[arg(value_name = "DELETED_NAME")]
    deleted: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// The name that it is to have; by default the one that it had before.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The server's response.
#[derive(Deserialize)]
struct UndeletedName {
    name: String,
}

/// Executes `neap undelete` and prints the restored name.
pub(super) async fn run(command: &UndeleteCommand, console: &mut Console) -> CommandResult {
    let (path, mut query, name, connection, title, database) = match command {
        UndeleteCommand::Database(args) => (
            "/api/v3/configure/database/undelete",
            vec![("db", args.deleted.as_str())],
            &args.name,
            &args.connection,
            "Database",
            None,
        ),
        UndeleteCommand::Table(args) => (
            "/api/v3/configure/table/undelete",
            vec![("db", args.database.database.as_str()), ("table", args.deleted.as_str())],
            &args.name,
            &args.connection,
            "Table",
            Some(&args.database.database),
        ),
    };
    if let Some(name) = name {
        query.push(("name", name));
    }
    let client = connection.client(None)?;
    let UndeletedName { name } = client.fetch_json(Method::POST, path, &query).await?;
    let of_database = database.map_or(String::new(), |database| format!("{database:?}."));
    let text = format!("{title} {of_database}{name:?} undeleted successfully");
    console.print(text).map_err(CommandError::Output)
}
