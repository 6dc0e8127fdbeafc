//! `neap show system`: lists and shows the system tables of a server.

use clap::{Args, Subcommand};
use neap_query::quoted_name;
use neap_server::console::Console;
use serde::Deserialize;

use crate::{
    client::{Client, ClientError},
    commands::{
        CommandError, CommandResult,
        options::{ConnectionArgs, OutputFormat},
        output::{self, OutputArgs},
        rows::RowFormat,
    },
};

/// Selects the names and columns of the tables.
const TABLES: &str = "SELECT table_name, array_agg(column_name ORDER BY column_name) AS column_names \
    FROM information_schema.columns WHERE table_schema = 'system' GROUP BY table_name ORDER BY table_name";

/// Tables that are shown newest first, with the time column to sort by.
const LATEST: [(&str, &str); 2] = [("processing_engine_logs", "time"), ("queries", "issue_time")];

/// The options of `neap show system`, accepted before or after the subcommand.
#[derive(Debug, Args)]
#[command(mut_args(|arg| arg.global(true)))]
pub(in crate::commands) struct SystemArgs {
    /// The database. By default the server's own, which is for admins.
    #[arg(short = 'd', long, value_name = "NAME", default_value = "_internal")]
    database: String,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(subcommand)]
    what: SystemCommand,
}

#[derive(Debug, Subcommand)]
enum SystemCommand {
    /// List the system tables with their columns.
    TableList(OutputArgs),
    /// Show a system table.
    Table(SystemTableArgs),
    /// Show the first rows of each system table.
    Summary(SummaryArgs),
}

#[derive(Debug, Args)]
struct SystemTableArgs {
    /// The name of the table.
    table: String,

    /// Maximum number of rows to show; 0 for all.
    #[arg(short = 'l', long, value_name = "NUMBER", default_value_t = 100)]
    limit: u64,

    /// The columns to sort by, separated by commas.
    #[arg(short = 'o', long, value_name = "COLUMNS", value_delimiter = ',')]
    order_by: Vec<String>,

    /// The columns to show, separated by commas; all by default.
    #[arg(short = 's', long, value_name = "COLUMNS", value_delimiter = ',')]
    select: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct SummaryArgs {
    /// Maximum number of rows to show of each table; 0 for all.
    #[arg(short = 'l', long, value_name = "NUMBER", default_value_t = 10)]
    limit: u64,

    /// The form of the tables.
    #[arg(long, value_enum, default_value = "pretty")]
    format: RowFormat,
}

#[derive(Deserialize)]
struct SystemTableName {
    table_name: String,
}

/// Executes `neap show system`.
pub(super) async fn run(args: &SystemArgs, console: &mut Console) -> CommandResult {
    let server = SystemDatabase {
        client: args.connection.client(None)?,
        database: &args.database,
    };
    match &args.what {
        SystemCommand::TableList(output) => server.show(TABLES, output, console).await,
        SystemCommand::Table(args) => server.show_table(args, console).await,
        SystemCommand::Summary(args) => server.summarize(args, console).await,
    }
}

/// A database on a server.
struct SystemDatabase<'a> {
    client: Client,
    database: &'a str,
}

impl SystemDatabase<'_> {
    async fn show(&self, sql: &str, output: &OutputArgs, console: &mut Console) -> CommandResult {
        output.check(console)?;
        let format = output.format.as_str();
        let response = self.client.query_sql(self.database, sql, format).await?;
        output.deliver(&self.client, response, console).await
    }

    async fn show_table(&self, args: &SystemTableArgs, console: &mut Console) -> CommandResult {
        let sql = select(&args.table, &args.select, &args.order_by, args.limit);
        match self.show(&sql, &args.output, console).await {
            Err(CommandError::Client(refusal)) if is_unknown_table(&refusal) => {
                // Return the original refusal if the table list can't be read either.
                let Ok(tables) = self.tables().await else {
                    return Err(refusal.into());
                };
                if tables.contains(&args.table) {
                    Err(refusal.into())
                } else {
                    Err(CommandError::NoSystemTable { name: args.table.clone(), tables })
                }
            }
            outcome => outcome,
        }
    }

    async fn summarize(&self, args: &SummaryArgs, console: &mut Console) -> CommandResult {
        let format = OutputFormat::from(args.format);
        for table in self.tables().await? {
            let sql = select(&table, &[], &[], args.limit);
            let answer = self.client.query_sql(self.database, &sql, format.as_str()).await?;
            console.print(format_args!("{table} summary:")).map_err(CommandError::Output)?;
            output::deliver(&self.client, answer, format, None, console).await?;
        }
        Ok(())
    }

    async fn tables(&self) -> Result<Vec<String>, ClientError> {
        let tables: Vec<SystemTableName> = self.client.query_rows(self.database, TABLES).await?;
        Ok(tables.into_iter().map(|table| table.table_name).collect())
    }
}

fn is_unknown_table(refusal: &ClientError) -> bool {
    matches!(refusal, ClientError::Refused { status, body, .. } if status.is_client_error() && body.contains("not found"))
}

/// Builds the query for a table. The columns and the sort order are inserted as SQL, unescaped.
fn select(table: &str, columns: &[String], order: &[String], limit: u64) -> String {
    let columns = match columns {
        [] => "*".to_owned(),
        columns => columns.join(", "),
    };
    let latest = LATEST.iter().find(|(name, _)| *name == table);
    let order = match (order, latest) {
        ([], None) => String::new(),
        ([], Some((_, time))) => format!(" ORDER BY {time} DESC"),
        (order, _) => format!(" ORDER BY {}", order.join(", ")),
    };
    let limit = match limit {
        0 => String::new(),
        limit => format!(" LIMIT {limit}"),
    };
    let table = quoted_name(table);
    format!("SELECT {columns} FROM system.{table}{order}{limit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_queried_as_asked_for() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        insta::assert_snapshot!(select("tokens", &[], &[], 0), @r#"SELECT * FROM system."tokens""#);
        insta::assert_snapshot!(select("queries", &[], &[], 100), @r#"SELECT * FROM system."queries" ORDER BY issue_time DESC LIMIT 100"#);
        insta::assert_snapshot!(select("queries", &names(&["id", "phase"]), &names(&["id desc"]), 5), @r#"SELECT id, phase FROM system."queries" ORDER BY id desc LIMIT 5"#);
        insta::assert_snapshot!(select("a\"b", &[], &[], 1), @r#"SELECT * FROM system."a""b" LIMIT 1"#);
    }
}
