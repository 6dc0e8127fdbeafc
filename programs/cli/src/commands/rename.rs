//! `neap rename`: databases, tables and columns. Their former names are aliases until `neap delete` deletes them.

use clap::{Args, Subcommand};
use neap_server::console::Console;

use super::{
    CommandError, CommandResult,
    columns::{self, RenameColumnArgs},
    confirm::DeletionArgs,
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
    deletion: DeletionArgs,
}

/// The options of `neap delete table_alias`.
#[derive(Debug, Args)]
pub(super) struct DeleteTableAliasArgs {
    /// The alias.
    alias: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    deletion: DeletionArgs,
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
            let (database, name) = (&args.database.database, &args.name);
            let new_name = &args.new_name;
            let query = [("db", database.as_str()), ("table", name), ("name", new_name)];
            let client = args.connection.client(None)?;
            client.post("/api/v3/configure/table/rename", &query).await?;
            format!("Table {database:?}.{name:?} renamed to {new_name:?}")
        }
        RenameCommand::Column(args) => columns::rename(args).await?,
    };
    console.print(text).map_err(CommandError::Output)
}

/// Executes `neap delete database_alias`. Returns what to print.
pub(super) async fn delete_database_alias(
    args: &DeleteDatabaseAliasArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let alias = &args.alias;
    let client = args.deletion.confirm_on_terminal(&format!("alias {alias:?}"), console)?;
    client.delete("/api/v3/configure/database/alias", &[("alias", alias)]).await?;
    Ok(format!("Alias {alias:?} deleted successfully"))
}

/// Executes `neap delete table_alias`. Returns what to print.
pub(super) async fn delete_table_alias(
    args: &DeleteTableAliasArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let (database, alias) = (&args.database.database, &args.alias);
    let name = format!("{database:?}.{alias:?}");
    let client = args.deletion.confirm_on_terminal(&format!("alias {name}"), console)?;
    let query = [("db", database.as_str()), ("alias", alias)];
    client.delete("/api/v3/configure/table/alias", &query).await?;
    Ok(format!("Alias {name} deleted successfully"))
}
