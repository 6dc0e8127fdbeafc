//! `neap rename`: databases, tables and columns. Their former names are aliases until `neap delete` deletes them.

use clap::{Args, Subcommand};
use neap_server::console::Console;

use super::{
    CommandError, CommandResult,
    columns::{self, RenameColumnArgs},
    confirm::DeletionConfirmation,
    options::{ConnectionArgs, DatabaseArgs},
};

/// The subcommands of `neap rename`.
#[derive(Debug, Subcommand)]
pub(super) enum RenameCommand {
    /// Rename a database, with its retention policies. The former name is an alias from then on.
    Database(RenameDatabaseArgs),
    /// Rename a table. The former name is an alias from then on.
    Table(RenameTableArgs),
    /// Rename a tag or a field of a table. The former name is an alias from then on.
    Column(RenameColumnArgs),
}

/// The options of `neap rename database`.
#[derive(Debug, Args)]
pub(super) struct RenameDatabaseArgs {
    /// The name of the database, or an alias.
    name: String,

    /// The new name.
    new_name: String,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap rename table`.
#[derive(Debug, Args)]
pub(super) struct RenameTableArgs {
    /// The name of the table, or an alias.
    name: String,

    /// The new name.
    new_name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete database_alias`.
#[derive(Debug, Args)]
pub(super) struct DeleteDatabaseAliasArgs {
    /// The alias.
    alias: String,

    #[command(flatten)]
    confirmation: DeletionConfirmation,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete table_alias`.
#[derive(Debug, Args)]
pub(super) struct DeleteTableAliasArgs {
    /// The alias.
    alias: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    confirmation: DeletionConfirmation,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Executes `neap rename`.
pub(super) async fn run(command: &RenameCommand, console: &mut Console) -> CommandResult {
    let text = match command {
        RenameCommand::Database(args) => {
            let query = [("db", args.name.as_str()), ("name", args.new_name.as_str())];
            let client = args.connection.client(None)?;
            client.post("/api/v3/configure/database/rename", &query).await?;
            format!("Database {:?} renamed to {:?}", args.name, args.new_name)
        }
        RenameCommand::Table(args) => {
            let database = args.database.database.as_str();
            let query = [
                ("db", database),
                ("table", args.name.as_str()),
                ("name", args.new_name.as_str()),
            ];
            let client = args.connection.client(None)?;
            client.post("/api/v3/configure/table/rename", &query).await?;
            let (name, new_name) = (&args.name, &args.new_name);
            format!("Table {database:?}.{name:?} renamed to {new_name:?}")
        }
        RenameCommand::Column(args) => return columns::rename(args, console).await,
    };
    console.print(text).map_err(CommandError::Output)
}

/// Executes `neap delete database_alias`.
pub(super) async fn delete_database_alias(
    args: &DeleteDatabaseAliasArgs,
    console: &mut Console,
) -> CommandResult {
    let name = format!("alias {:?}", args.alias);
    args.confirmation.require_on_terminal(&name, console)?;
    let query = [("alias", args.alias.as_str())];
    let client = args.connection.client(None)?;
    client.delete("/api/v3/configure/database/alias", &query).await?;
    let text = format!("Alias {:?} deleted successfully", args.alias);
    console.print(text).map_err(CommandError::Output)
}

/// Executes `neap delete table_alias`.
pub(super) async fn delete_table_alias(
    args: &DeleteTableAliasArgs,
    console: &mut Console,
) -> CommandResult {
    let (database, alias) = (args.database.database.as_str(), args.alias.as_str());
    let name = format!("alias {database:?}.{alias:?}");
    args.confirmation.require_on_terminal(&name, console)?;
    let client = args.connection.client(None)?;
    let query = [("db", database), ("alias", alias)];
    client.delete("/api/v3/configure/table/alias", &query).await?;
    let text = format!("Alias {database:?}.{alias:?} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}
