//! `neap delete`: databases, tables, columns, rows, caches, tokens, triggers and indexes.

use std::convert::Infallible;

use clap::{Args, Subcommand};
use neap_server::console::Console;

use super::{
    CommandError, CommandResult, backup,
    caches::{self, CacheKind, DeleteCacheArgs},
    columns::{self, DeleteColumnAliasArgs, DeleteColumnArgs},
    confirm::DeletionArgs,
    file_index, materialized_view,
    options::DatabaseArgs,
    query_group, rename, roles,
    row_deletes::{self, DeleteRowsArgs},
    rules, token, trigger, users,
};
use crate::{client::ApiPath, times::time_for_server};

/// The subcommands of `neap delete`.
#[derive(Debug, Subcommand)]
pub(super) enum DeleteCommand {
    /// Delete a database.
    Database(DeleteDatabaseArgs),
    /// Delete a table.
    Table(DeleteTableArgs),
    /// Delete a field of a table. Its values are hidden at once, and removed by merges.
    Column(DeleteColumnArgs),
    /// Delete a former name of a database. A write with it creates another database.
    #[command(name = "database_alias")]
    DatabaseAlias(rename::DeleteDatabaseAliasArgs),
    /// Delete a former name of a table. A write with it creates another table.
    #[command(name = "table_alias")]
    TableAlias(rename::DeleteTableAliasArgs),
    /// Delete a former name of a column. A write with it creates another column.
    #[command(name = "column_alias")]
    ColumnAlias(DeleteColumnAliasArgs),
    /// Delete rows of a table by time and tags. Rows written later are not affected.
    Rows(Box<DeleteRowsArgs>),
    /// Delete a last value cache. The rows of its table stay.
    #[command(name = "last_cache")]
    LastCache(DeleteCacheArgs),
    /// Delete a distinct value cache. The rows of its table stay.
    #[command(name = "distinct_cache")]
    DistinctCache(DeleteCacheArgs),
    /// Delete a token. Requests with it are refused.
    Token(token::DeleteTokenArgs),
    /// Delete a user. Tokens that the user created stay.
    User(users::DeleteUserArgs),
    /// Delete a role, also from its users.
    Role(roles::DeleteRoleArgs),
    /// Delete a trigger. Its plugin's files stay.
    Trigger(trigger::DeleteTriggerArgs),
    /// Delete the index of a table or a database.
    #[command(name = "file_index")]
    FileIndex(file_index::DeleteFileIndexArgs),
    /// Delete a materialized view. Its table and the rows stay.
    #[command(name = "materialized_view")]
    MaterializedView(materialized_view::DeleteViewArgs),
    /// Delete rules. What they have recorded stays.
    Rules(rules::DeleteRulesArgs),
    /// Delete a query group. Its processes continue to run.
    #[command(name = "query_group")]
    QueryGroup(query_group::DeleteQueryGroupArgs),
    /// Delete a backup. Objects that no other database or backup needs are deleted later.
    Backup(backup::DeleteBackupArgs),
}

/// Options of the deletions of databases and tables.
#[derive(Debug, Args)]
struct HardDeletionArgs {
    /// When the data is deleted permanently: `now`, `never`, `default`, or a time such as 2027-01-01T00:00:00Z. Until
    /// then it is hidden.
    #[arg(long, value_name = "WHEN", value_parser = parse_when)]
    hard_delete: Option<String>,

    #[command(flatten)]
    deletion: DeletionArgs,
}

impl HardDeletionArgs {
    /// Deletes a database or a table. Returns what to print.
    async fn delete<'a>(
        &'a self,
        title: &str,
        name: &str,
        kind: &str,
        mut query: Vec<(&'a str, &'a str)>,
        console: &mut Console,
    ) -> CommandResult<String> {
        let client = self.deletion.confirm(name, console)?;
        if let Some(when) = &self.hard_delete {
            query.push(("hard_delete_at", when));
        }
        client.delete(ApiPath::below("/api/v3/configure", &[kind])?, &query).await?;
        Ok(format!("{title} {name} deleted successfully"))
    }
}

/// Parses a date or another time, which the server interprets, or a keyword in any case.
fn parse_when(text: &str) -> Result<String, Infallible> {
    let word = text.to_lowercase();
    Ok(match word.as_str() {
        "now" | "never" | "default" => word,
        _ => time_for_server(text).unwrap_or_else(|_| text.to_owned()),
    })
}

/// The options of `neap delete database`.
#[derive(Debug, Args)]
pub(super) struct DeleteDatabaseArgs {
    /// The name of the database.
    name: String,

    #[command(flatten)]
    hard: HardDeletionArgs,
}

/// The options of `neap delete table`.
#[derive(Debug, Args)]
pub(super) struct DeleteTableArgs {
    /// The name of the table.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    hard: HardDeletionArgs,
}

/// Executes `neap delete` after a confirmation.
pub(super) async fn run(command: &DeleteCommand, console: &mut Console) -> CommandResult {
    let text = match command {
        DeleteCommand::Database(args) => {
            let name = format!("{:?}", args.name);
            let query = vec![("db", args.name.as_str())];
            args.hard.delete("Database", &name, "database", query, console).await?
        }
        DeleteCommand::Table(args) => {
            let (database, table) = (&args.database.database, &args.name);
            let name = format!("{database:?}.{table:?}");
            let query = vec![("db", database.as_str()), ("table", table)];
            args.hard.delete("Table", &name, "table", query, console).await?
        }
        DeleteCommand::DatabaseAlias(args) => rename::delete_database_alias(args, console).await?,
        DeleteCommand::TableAlias(args) => rename::delete_table_alias(args, console).await?,
        DeleteCommand::Column(args) => columns::delete(args, console).await?,
        DeleteCommand::ColumnAlias(args) => columns::delete_alias(args, console).await?,
        DeleteCommand::Rows(args) => row_deletes::delete(args, console).await?,
        DeleteCommand::LastCache(args) => caches::delete(CacheKind::Last, args, console).await?,
        DeleteCommand::DistinctCache(args) => {
            caches::delete(CacheKind::Distinct, args, console).await?
        }
        DeleteCommand::Token(args) => return token::delete(args, console).await,
        DeleteCommand::User(args) => users::delete(args, console).await?,
        DeleteCommand::Role(args) => roles::delete(args, console).await?,
        DeleteCommand::Trigger(args) => trigger::delete(args, console).await?,
        DeleteCommand::FileIndex(args) => file_index::delete(args, console).await?,
        DeleteCommand::MaterializedView(args) => materialized_view::delete(args, console).await?,
        DeleteCommand::Rules(args) => rules::delete(args, console).await?,
        DeleteCommand::QueryGroup(args) => query_group::delete(args, console).await?,
        DeleteCommand::Backup(args) => backup::delete(args, console).await?,
    };
    console.print(text).map_err(CommandError::Output)
}
