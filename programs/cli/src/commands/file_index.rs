//! `neap create file_index` and `neap delete file_index`: manage the columns that file indexes cover.

use clap::Args;
use neap_server::console::Console;
use serde_json::json;

use super::{
    CommandResult,
    confirm::DeletionArgs,
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
}

/// The options of `neap create file_index`.
#[derive(Debug, Args)]
pub(super) struct CreateFileIndexArgs {
    /// The columns, separated by commas or spaces.
    #[arg(value_name = "COLUMNS", value_delimiter = ',', required = true)]
    columns: Vec<String>,

    #[command(flatten)]
    indexed: IndexTargetArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete file_index`.
#[derive(Debug, Args)]
pub(super) struct DeleteFileIndexArgs {
    #[command(flatten)]
    indexed: IndexTargetArgs,

    #[command(flatten)]
    deletion: DeletionArgs,
}

impl IndexTargetArgs {
    fn name(&self) -> String {
        let database = &self.database.database;
        let table = self.table.as_ref().map_or(String::new(), |table| format!(".{table:?}"));
        format!("{database:?}{table}")
    }
}

/// Creates an index. Returns what to print.
pub(super) async fn create(args: &CreateFileIndexArgs) -> CommandResult<String> {
    let IndexTargetArgs { database, table } = &args.indexed;
    let body = json!({ "db": database.database, "table": table, "columns": args.columns });
    args.connection.client(None)?.post_json(FILE_INDEX, &body).await?;
    let name = args.indexed.name();
    Ok(format!("File index of {name} created successfully"))
}

/// Deletes an index. Returns what to print.
pub(super) async fn delete(
    args: &DeleteFileIndexArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let IndexTargetArgs { database, table } = &args.indexed;
    let name = args.indexed.name();
    let asked = format!("the file index of {name}");
    let client = args.deletion.confirm_on_terminal(&asked, console)?;
    let body = json!({ "db": database.database, "table": table });
    client.delete_json(FILE_INDEX, &body).await?;
    Ok(format!("File index of {name} deleted successfully"))
}
