//! `neap delete`: databases, tables, rows, caches, tokens, triggers and indexes.

use std::convert::Infallible;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    CommandError,
    caches::{self, CacheKind, DeleteCacheArgs},
    confirm, file_index,
    options::{ConnectionArgs, DatabaseArgs},
    token, trigger,
};
use crate::console::Console;

/// The subcommands of `neap delete`.
#[derive(Debug, Subcommand)]
pub(super) enum DeleteCommand {
    /// Delete a database.
    Database(DeleteDatabaseArgs),
    /// Delete a table.
    Table(DeleteTableArgs),
    /// Delete rows of a table by time and tags. Rows written later are not affected.
    Rows(DeleteRowsArgs),
    /// Delete a last value cache. The rows of its table stay.
    #[command(name = "last_cache")]
    LastCache(DeleteCacheArgs),
    /// Delete a distinct value cache. The rows of its table stay.
    #[command(name = "distinct_cache")]
    DistinctCache(DeleteCacheArgs),
    /// Delete a token. Requests with it are refused.
    Token(token::DeleteTokenArgs),
    /// Delete a trigger. Its plugin's files stay.
    Trigger(trigger::DeleteTriggerArgs),
    /// Delete the index of a table or a database.
    #[command(name = "file_index")]
    FileIndex(file_index::DeleteFileIndexArgs),
}

/// Options of all deletions.
#[derive(Debug, Args)]
struct DeletionArgs {
    /// When the data is deleted permanently: `now`, `never`, `default`, or a time such as 2027-01-01T00:00:00Z. Until
    /// then it is hidden.
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    hard_delete: Option<String>,

    /// Don't ask.
    #[arg(short = 'y', long)]
    yes: bool,
}

/// Parses a time, which the server interprets, or a keyword in any case.
fn parse_when(text: &str) -> Result<String, Infallible> {
    let word = text.to_lowercase();
    Ok(match word.as_str() {
        "now" | "never" | "default" => word,
        _ => text.to_owned(),
    })
}

/// The options of `neap delete database`.
#[derive(Debug, Args)]
pub(super) struct DeleteDatabaseArgs {
    /// The name of the database.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    deletion: DeletionArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete table`.
#[derive(Debug, Args)]
pub(super) struct DeleteTableArgs {
    /// The name of the table.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    deletion: DeletionArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete rows`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").args(["condition", "start", "stop"]).required(true).multiple(true))]
pub(super) struct DeleteRowsArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// The name of the table.
    #[arg(short = 't', long, value_name = "NAME")]
    table: String,

    /// Which rows: comparisons of tags with values, joined by AND and OR, such as `host = 'a' OR host = 'b'`.
    /// All of them by default.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,

    /// The first time of the rows, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,

    /// The last time of the rows.
    #[arg(long, value_name = "TIME")]
    stop: Option<String>,

    /// Don't ask.
    #[arg(short = 'y', long)]
    yes: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct DeleteRows<'a> {
    db: &'a str,
    table: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a str>,
}

async fn delete_rows(args: &DeleteRowsArgs, console: &mut Console) -> Result<(), CommandError> {
    let (db, table) = (&args.database.database, &args.table);
    let name = format!("rows of {db:?}.{table:?}");
    if !args.yes {
        confirm::deletion(&name, console)?;
    }
    let body = DeleteRows {
        db,
        table,
        condition: args.condition.as_deref(),
        start: args.start.as_deref(),
        stop: args.stop.as_deref(),
    };
    let client = args.connection.client(None)?;
    client.post_json("/api/v3/delete_rows", &body).await?;
    let text = format!("Rows of {db:?}.{table:?} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}

/// Executes `neap delete` after a confirmation.
///
/// # Errors
///
/// The answer was no, or the request failed or was refused.
pub(super) async fn run(
    command: &DeleteCommand,
    console: &mut Console,
) -> Result<(), CommandError> {
    let (path, mut query, deletion, connection, title, name) = match command {
        DeleteCommand::Database(args) => (
            "/api/v3/configure/database",
            vec![("db", args.name.as_str())],
            &args.deletion,
            &args.connection,
            "Database",
            format!("{:?}", args.name),
        ),
        DeleteCommand::Table(args) => (
            "/api/v3/configure/table",
            vec![
                ("db", args.database.database.as_str()),
                ("table", args.name.as_str()),
            ],
            &args.deletion,
            &args.connection,
            "Table",
            format!("{:?}.{:?}", args.database.database, args.name),
        ),
        DeleteCommand::Rows(args) => return delete_rows(args, console).await,
        DeleteCommand::LastCache(args) => {
            return caches::delete(CacheKind::Last, args, console).await;
        }
        DeleteCommand::DistinctCache(args) => {
            return caches::delete(CacheKind::Distinct, args, console).await;
        }
        DeleteCommand::Token(args) => return token::delete(args, console).await,
        DeleteCommand::Trigger(args) => return trigger::delete(args, console).await,
        DeleteCommand::FileIndex(args) => return file_index::delete(args, console).await,
    };
    if !deletion.yes {
        confirm::deletion(&name, console)?;
    }
    if let Some(when) = &deletion.hard_delete {
        query.push(("hard_delete_at", when));
    }
    connection.client(None)?.delete(path, &query).await?;
    let text = format!("{title} {name} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}
