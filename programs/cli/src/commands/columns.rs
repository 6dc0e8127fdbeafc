//! `neap rename column`, `neap update column`, `neap delete column` and `neap delete column_alias`.

use clap::Args;
use neap_server::console::Console;
use serde_json::json;

use super::{
    CommandResult,
    confirm::DeletionArgs,
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
    deletion: DeletionArgs,
}

/// Executes `neap rename column`. Returns what to print.
pub(super) async fn rename(args: &RenameColumnArgs) -> CommandResult<String> {
    let TableArgs { database, table } = &args.table;
    let (name, new_name) = (args.name.as_str(), args.new_name.as_str());
    let query = [
        ("db", database.as_str()),
        ("table", table),
        ("column", name),
        ("name", new_name),
    ];
    let client = args.connection.client(None)?;
    client.post("/api/v3/configure/table/column/rename", &query).await?;
    Ok(format!("Column {database:?}.{table:?}.{name:?} renamed to {new_name:?}"))
}

/// Executes `neap update column`. Returns what to print.
pub(super) async fn update(args: &UpdateColumnArgs) -> CommandResult<String> {
    let TableArgs { database, table } = &args.table;
    let (column, kind) = (&args.name, &args.column_type);
    let body = json!({ "db": database, "table": table, "column": column, "type": kind });
    let client = args.connection.client(None)?;
    client.put_json("/api/v3/configure/table/column", &body).await?;
    Ok(format!("Column {database:?}.{table:?}.{column:?} updated successfully"))
}

/// Executes `neap delete column`. Returns what to print.
pub(super) async fn delete(
    args: &DeleteColumnArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let (name, column) = (&args.name, &args.column);
    let TableArgs { database, table } = &column.table;
    let shown = format!("{database:?}.{table:?}.{name:?}");
    let client = column.deletion.confirm(&shown, console)?;
    let query = [("db", database.as_str()), ("table", table), ("column", name)];
    client.delete("/api/v3/configure/table/column", &query).await?;
    Ok(format!("Column {shown} deleted successfully"))
}

/// Executes `neap delete column_alias`. Returns what to print.
pub(super) async fn delete_alias(
    args: &DeleteColumnAliasArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let (alias, column) = (&args.alias, &args.column);
    let TableArgs { database, table } = &column.table;
    let shown = format!("{database:?}.{table:?}.{alias:?}");
    let client = column.deletion.confirm_on_terminal(&format!("alias {shown}"), console)?;
    let query = [("db", database.as_str()), ("table", table), ("alias", alias)];
    client.delete("/api/v3/configure/table/column/alias", &query).await?;
    Ok(format!("Alias {shown} deleted successfully"))
}
