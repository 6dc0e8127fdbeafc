//! `neap create file_index` and `neap delete file_index`: manage the columns that file indexes cover.

use clap::Args;
use neap_server::console::Console;
use serde::Serialize;

use super::{
    CommandError, CommandResult,
    confirm::DeletionConfirmation,
    options::{ConnectionArgs, DatabaseArgs},
};

/// Path of InfluxDB 3 Enterprise, so that the command works with its servers, too.
const FILE_INDEX: &str = "/api/v3/enterprise/configure/file_index";

/// The table or database of an index.
#[derive(Debug, Args)]
struct IndexTargetArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// The name of the table; all tables of the database by default.
    #[arg(short = 't', long, value_name = "NAME")]
    table: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap create file_index`.
#[derive(Debug, Args)]
pub(super) struct CreateFileIndexArgs {
    /// The columns, separated by commas or spaces.
    #[arg(value_name = "COLUMNS", value_delimiter = ',', required = true)]
    columns: Vec<String>,

    #[command(flatten)]
    indexed: IndexTargetArgs,
}

/// The options of `neap delete file_index`.
#[derive(Debug, Args)]
pub(super) struct DeleteFileIndexArgs {
    #[command(flatten)]
    indexed: IndexTargetArgs,

    #[command(flatten)]
    confirmation: DeletionConfirmation,
}

#[derive(Serialize)]
struct FileIndex<'a> {
    db: &'a str,
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    columns: &'a [String],
}

impl IndexTargetArgs {
    fn body<'a>(&'a self, columns: &'a [String]) -> FileIndex<'a> {
        FileIndex {
            db: &self.database.database,
            table: self.table.as_deref(),
            columns,
        }
    }

    /// Returns the name for messages.
    fn name(&self) -> String {
        let database = &self.database.database;
        let table = self.table.as_ref().map_or(String::new(), |table| format!(".{table:?}"));
        format!("{database:?}{table}")
    }
}

/// Creates an index.
pub(super) async fn create(args: &CreateFileIndexArgs, console: &mut Console) -> CommandResult {
    let indexed = &args.indexed;
    let client = indexed.connection.client(None)?;
    let body = indexed.body(&args.columns);
    client.post_json(FILE_INDEX, &body).await?;
    let text = format!("File index of {} created successfully", indexed.name());
    console.print(text).map_err(CommandError::Output)
}

/// Deletes an index.
pub(super) async fn delete(args: &DeleteFileIndexArgs, console: &mut Console) -> CommandResult {
    let indexed = &args.indexed;
    let name = format!("the file index of {}", indexed.name());
    args.confirmation.require_on_terminal(&name, console)?;
    let client = indexed.connection.client(None)?;
    client.delete_json(FILE_INDEX, &indexed.body(&[])).await?;
    let text = format!("File index of {} deleted successfully", indexed.name());
    console.print(text).map_err(CommandError::Output)
}
