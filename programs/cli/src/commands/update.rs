//! `neap update`: changes the retention and the cold storage of databases and tables, other settings of databases, the types of
//! columns, and the plugins of triggers.

use clap::{Args, Subcommand};
use neap_assembly::options::{OptionValueError, parse_duration};
use neap_bucket::WriteOrder;
use neap_schema::{AutoCreate, OnDuplicate};
use neap_server::console::Console;
use serde_json::json;

use super::{
    CommandError, CommandResult,
    cold_storage::ColdStorageArgs,
    columns::{self, UpdateColumnArgs},
    name_argument::{DatabaseName, NameArgument},
    options::{ConnectionArgs, DatabaseArgs, without_nulls},
    query_group, trigger, users,
};

/// The subcommands of `neap update`.
#[derive(Debug, Subcommand)]
pub(super) enum UpdateCommand {
    /// Change how long a database keeps rows, when they become cold, how its writes are ordered, and what they create.
    Database(UpdateDatabaseArgs),
    /// Change how long a table keeps rows and when they become cold, whatever its database says.
    Table(UpdateTableArgs),
    /// Change the type of a column from an integer to a float. Its values are converted when they are read.
    Column(UpdateColumnArgs),
    /// Change or disable a user.
    User(users::UpdateUserArgs),
    /// Replace the roles of a user.
    UserRoles(users::UpdateUserRolesArgs),
    /// Replace the plugin of a trigger by one that is here.
    Trigger(trigger::UpdateTriggerArgs),
    /// Change the processes of a query group.
    #[command(name = "query_group")]
    QueryGroup(query_group::UpdateQueryGroupArgs),
}

/// A retention period in the server's syntax; `None` clears it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RetentionSetting(Option<String>);

/// Validates a duration. The server interprets it; this refuses the same values.
fn parse_retention(text: &str) -> Result<RetentionSetting, OptionValueError> {
    match text {
        "none" => Ok(RetentionSetting(None)),
        duration => parse_duration(duration).map(|_| RetentionSetting(Some(duration.to_owned()))),
    }
}

/// The options of `neap update database`.
#[derive(Debug, Args)]
pub(super) struct UpdateDatabaseArgs {
    #[command(flatten)]
    name: NameArgument<DatabaseName>,

    /// How long rows are kept: `7d`, `1 year`. `none`: for ever.
    #[arg(short = 'r', long, value_name = "DURATION|none", value_parser = parse_retention, required_unless_present_any = ["order", "auto_create", "on_duplicate", "cold_after"])]
    retention_period: Option<RetentionSetting>,

    /// Order of writes to different instances: `clock` orders by the store's clock and may swap writes that follow each
    /// other closely; `strict` orders by acknowledgement and costs one more store request per put.
    #[arg(long, value_name = "clock|strict")]
    order: Option<WriteOrder>,

    /// What writes create: `all`, tables and columns; `columns`, columns of existing tables; `none`, nothing.
    #[arg(long, value_name = "all|columns|none")]
    auto_create: Option<AutoCreate>,

    /// What a row does to an earlier one with the same tags and time: `replace` or `keep` its values. Tokens with the
    /// permission to append write only where they are kept. Set it before the first table is created.
    #[arg(long, value_name = "replace|keep")]
    on_duplicate: Option<OnDuplicate>,

    #[command(flatten)]
    cold: ColdStorageArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap update table`.
#[derive(Debug, Args)]
pub(super) struct UpdateTableArgs {
    /// The name of the table.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// How long rows are kept: `7d`, `1 year`. `none`: as long as those of the database.
    #[arg(short = 'r', long, value_name = "DURATION|none", value_parser = parse_retention, required_unless_present = "cold_after")]
    retention_period: Option<RetentionSetting>,

    #[command(flatten)]
    cold: ColdStorageArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Executes `neap update`.
pub(super) async fn run(command: &UpdateCommand, console: &mut Console) -> CommandResult {
    let text = match command {
        UpdateCommand::Database(args) => update_database(args).await?,
        UpdateCommand::Table(args) => update_table(args).await?,
        UpdateCommand::Column(args) => columns::update(args).await?,
        UpdateCommand::User(args) => users::update(args).await?,
        UpdateCommand::UserRoles(args) => users::update_roles(args).await?,
        UpdateCommand::Trigger(args) => trigger::update(args).await?,
        UpdateCommand::QueryGroup(args) => query_group::update(args).await?,
    };
    console.print(text).map_err(CommandError::Output)
}

async fn update_database(args: &UpdateDatabaseArgs) -> CommandResult<String> {
    args.cold.check()?;
    let db = args.name.as_str();
    let mut settings = without_nulls(json!({
        "order": args.order,
        "auto_create": args.auto_create,
        "on_duplicate": args.on_duplicate,
    }));
    if let Some(RetentionSetting(retention)) = &args.retention_period {
        settings["retention_period"] = json!(retention);
    }
    let client = args.connection.client(None)?;
    if settings != json!({}) {
        settings["db"] = json!(db);
        client.put_json("/api/v3/configure/database", &settings).await?;
    }
    args.cold.apply(&client, db, None).await?;
    Ok(format!("Database {db:?} updated successfully"))
}

async fn update_table(args: &UpdateTableArgs) -> CommandResult<String> {
    // Path of InfluxDB 3 Enterprise, so that the command works with its servers, too.
    const PATH: &str = "/api/v3/enterprise/configure/table/retention_period";
    args.cold.check()?;
    let (db, table) = (&args.database.database, &args.name);
    let client = args.connection.client(None)?;
    let named = [("db", db.as_str()), ("table", table.as_str())];
    match &args.retention_period {
        None => {}
        Some(RetentionSetting(None)) => client.delete(PATH, &named).await?,
        Some(RetentionSetting(Some(duration))) => {
            let [of_db, of_table] = named;
            client.post(PATH, &[of_db, of_table, ("duration", duration)]).await?;
        }
    }
    args.cold.apply(&client, db, Some(table)).await?;
    Ok(format!("Table {db:?}.{table:?} updated successfully"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_duration_or_none() {
        assert_eq!(parse_retention("none"), Ok(RetentionSetting(None)));
        assert_eq!(parse_retention("7d"), Ok(RetentionSetting(Some("7d".to_owned()))));
        assert!(parse_retention("soon").is_err());
    }
}
