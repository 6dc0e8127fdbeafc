//! `neap rename column`, `neap update column`, `neap delete column` and `neap delete column_alias`.

use clap::Args;
use neap_server::console::Console;
use serde::Serialize;

use super::{
    CommandError, CommandResult,
    confirm::DeletionConfirmation,
    options::{ConnectionArgs, TableArgs},
};

/// The options of `neap rename column`.
#[derive(Debug, Args)]
pub(super) struct RenameColumnArgs {
    /// The name of the column, or an alias.
    name: String,

    /// The new name.
    new_name: String,

    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap update column`.
#[derive(Debug, Args)]
pub(super) struct UpdateColumnArgs {
    /// The name of the column, or an alias.
    name: String,

    #[command(flatten)]
    table: TableArgs,

    /// The new type: float64, for a column of integers.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["float64"])]
    column_type: String,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct ChangeType<'a> {
    db: &'a str,
    table: &'a str,
    column: &'a str,
    #[serde(rename = "type")]
    column_type: &'a str,
}

/// The options of `neap delete column`.
#[derive(Debug, Args)]
pub(super) struct DeleteColumnArgs {
    /// The name of the column.
    name: String,

    #[command(flatten)]
    column: DeletedColumn,
}

/// The options of `neap delete column_alias`.
#[derive(Debug, Args)]
pub(super) struct DeleteColumnAliasArgs {
    /// The alias.
    alias: String,

    #[command(flatten)]
    column: DeletedColumn,
}

/// The options of deletions of columns and their aliases.
#[derive(Debug, Args)]
struct DeletedColumn {
    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    confirmation: DeletionConfirmation,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Executes `neap rename column`.
pub(super) async fn rename(args: &RenameColumnArgs, console: &mut Console) -> CommandResult {
    let (database, table) = (args.table.database.as_str(), args.table.table.as_str());
    let (name, new_name) = (args.name.as_str(), args.new_name.as_str());
    let query = [
        ("db", database),
        ("table", table),
        ("column", name),
        ("name", new_name),
    ];
    let client = args.connection.client(None)?;
    client.post("/api/v3/configure/table/column/rename", &query).await?;
    let text = format!("Column {database:?}.{table:?}.{name:?} renamed to {new_name:?}");
    console.print(text).map_err(CommandError::Output)
}

/// Executes `neap update column`. Returns what to print.
pub(super) async fn update(args: &UpdateColumnArgs) -> CommandResult<String> {
    let (database, table) = (args.table.database.as_str(), args.table.table.as_str());
    let (column, column_type) = (args.name.as_str(), args.column_type.as_str());
    let body = ChangeType {
        db: database,
        table,
        column,
        column_type,
    };
    let client = args.connection.client(None)?;
    client.put_json("/api/v3/configure/table/column", &body).await?;
    Ok(format!(
        "Column {database:?}.{table:?}.{column:?} updated successfully"
    ))
}

/// Executes `neap delete column`.
pub(super) async fn delete(args: &DeleteColumnArgs, console: &mut Console) -> CommandResult {
    let (name, column) = (args.name.as_str(), &args.column);
    let TableArgs { database, table } = &column.table;
    let shown = format!("{database:?}.{table:?}.{name:?}");
    column.confirmation.require(&shown, console)?;
    let query = [
        ("db", database.as_str()),
        ("table", table.as_str()),
        ("column", name),
    ];
    let client = column.connection.client(None)?;
    client.delete("/api/v3/configure/table/column", &query).await?;
    let text = format!("Column {shown} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}

/// Executes `neap delete column_alias`.
pub(super) async fn delete_alias(
    args: &DeleteColumnAliasArgs,
    console: &mut Console,
) -> CommandResult {
    let (alias, column) = (args.alias.as_str(), &args.column);
    let TableArgs { database, table } = &column.table;
    let shown = format!("{database:?}.{table:?}.{alias:?}");
    column.confirmation.require_on_terminal(&format!("alias {shown}"), console)?;
    let query = [
        ("db", database.as_str()),
        ("table", table.as_str()),
        ("alias", alias),
    ];
    let client = column.connection.client(None)?;
    client.delete("/api/v3/configure/table/column/alias", &query).await?;
    let text = format!("Alias {shown} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}
