//! `neap create`: buckets, databases, tables, columns, caches, tokens, triggers and indexes.

use std::iter;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use neap_assembly::options::{OptionValueError, parse_duration};
use neap_bucket::{World, WriteOrder};
use neap_http::NAME_IS_ALIAS;
use neap_schema::{AutoCreate, OnDuplicate};
use neap_server::console::Console;
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{
    CommandError, CommandResult, backup, backup_restore, caches,
    cold_storage::ColdStorageArgs,
    create_bucket::{self, CreateBucketArgs},
    file_index, materialized_view,
    options::{ConnectionArgs, DatabaseArgs, without_nulls},
    query_group, roles, rules, token, trigger, users,
};
use crate::client::ClientError;

/// The subcommands of `neap create`.
#[derive(Debug, Subcommand)]
pub(super) enum CreateCommand {
    /// Create the bucket of a cluster on S3: private, encrypted, without versions and interrupted uploads.
    Bucket(Box<CreateBucketArgs>),
    /// Create a database. A write to a database that is not there creates it, too.
    Database(CreateDatabaseArgs),
    /// Create a table, with the order of its tags. A write to a table that is not there creates it, too.
    Table(CreateTableArgs),
    /// Add a column to a table. A write of a column that is not there adds it, too.
    Column(CreateColumnArgs),
    /// Create a last value cache: the newest rows for each combination of values of some columns.
    #[command(name = "last_cache")]
    LastCache(caches::CreateLastCacheArgs),
    /// Create a distinct value cache: the combinations of values that some columns have.
    #[command(name = "distinct_cache")]
    DistinctCache(caches::CreateDistinctCacheArgs),
    /// Create an access token. It is shown only once.
    Token(Box<token::CreateTokenArgs>),
    /// Create a user.
    User(Box<users::CreateUserArgs>),
    /// Create a role: a name for permissions.
    Role(roles::CreateRoleArgs),
    /// Create a trigger, which runs a plugin on writes, at times, or on requests.
    Trigger(Box<trigger::CreateTriggerArgs>),
    /// Create an index of columns that queries often ask for single values of.
    #[command(name = "file_index")]
    FileIndex(file_index::CreateFileIndexArgs),
    /// Create a materialized view: a query by windows of time, whose rows are kept in a table.
    #[command(name = "materialized_view")]
    MaterializedView(materialized_view::CreateViewArgs),
    /// Create rules, which record results or fire alerts, from a rule file of Prometheus.
    Rules(rules::CreateRulesArgs),
    /// Create a query group: a set of processes that compute queries together.
    #[command(name = "query_group")]
    QueryGroup(query_group::CreateQueryGroupArgs),
    /// Back up all databases or one, through a server, while they are in use.
    Backup(backup::CreateBackupArgs),
    /// Restore databases from a backup or an earlier moment, through a server, while they are in use.
    Restore(backup_restore::CreateRestoreArgs),
}

/// The options of `neap create database`.
#[derive(Debug, Args)]
pub(super) struct CreateDatabaseArgs {
    /// The name of the database.
    name: String,

    /// How long rows are kept: `7d`, `1 year`. For ever by default.
    #[arg(long, value_name = "DURATION", value_parser = check_duration)]
    retention_period: Option<String>,

    /// Order of writes to different instances: `clock` orders by the store's clock and may swap writes that follow each
    /// other closely; `strict` orders by acknowledgement and costs one more store request per put. `clock` by default.
    #[arg(long, value_name = "clock|strict")]
    order: Option<WriteOrder>,

    /// What writes create: `all`, tables and columns; `columns`, columns of existing tables; `none`, nothing. `all` by
    /// default.
    #[arg(long, value_name = "all|columns|none")]
    auto_create: Option<AutoCreate>,

    /// What a row does to an earlier one with the same tags and time: `replace` or `keep` its values. Tokens with the
    /// permission to append write only where they are kept. Set it before the first table is created. `replace` by default.
    #[arg(long, value_name = "replace|keep")]
    on_duplicate: Option<OnDuplicate>,

    #[command(flatten)]
    cold: ColdStorageArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap create table`.
#[derive(Debug, Args)]
pub(super) struct CreateTableArgs {
    /// The name of the table.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// The names of tags, separated by commas. Rows are sorted by them in this order.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 0..)]
    tags: Vec<String>,

    /// The names and types of fields, `name:type,…`, with the types utf8, int64, uint64, float64, bool.
    #[arg(short = 'f', long, value_name = "FIELDS", value_delimiter = ',', num_args = 0.., value_parser = parse_field)]
    fields: Vec<FieldDefinition>,

    /// How long rows are kept: `7d`, `1 year`. As long as those of the database by default.
    #[arg(long, value_name = "DURATION", value_parser = check_duration)]
    retention_period: Option<String>,

    #[command(flatten)]
    cold: ColdStorageArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap create column`.
#[derive(Debug, Args)]
pub(super) struct CreateColumnArgs {
    /// The name of the column.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    /// The name of the table.
    #[arg(short, long, value_name = "TABLE")]
    table: String,

    /// The type: tag, utf8, int64, uint64, float64 or bool.
    #[arg(long = "type", value_name = "TYPE", value_parser = column_types())]
    column_type: String,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FieldDefinition {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

const FIELD_TYPES: [&str; 5] = ["utf8", "int64", "uint64", "float64", "bool"];

/// Accepts the types of columns.
fn column_types() -> PossibleValuesParser {
    PossibleValuesParser::new(iter::once("tag").chain(FIELD_TYPES))
}

fn parse_field(text: &str) -> Result<FieldDefinition, String> {
    let (name, data_type) = text
        .rsplit_once(':')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("a field is written as name:type")?;
    if FIELD_TYPES.contains(&data_type) {
        Ok(FieldDefinition { name: name.to_owned(), data_type: data_type.to_owned() })
    } else {
        Err(format!("'{data_type}' is not one of {}", FIELD_TYPES.join(", ")))
    }
}

/// Validates a duration. The server interprets it; this refuses the same values.
fn check_duration(text: &str) -> Result<String, OptionValueError> {
    parse_duration(text).map(|_| text.to_owned())
}

/// Executes `neap create`.
pub(super) async fn run(
    command: &CreateCommand,
    console: &mut Console,
    world: World,
) -> CommandResult {
    let text = match command {
        CreateCommand::Bucket(args) => return create_bucket::run(args, console, &world).await,
        CreateCommand::Database(args) => create_database(args).await?,
        CreateCommand::Table(args) => create_table(args).await?,
        CreateCommand::Column(args) => create_column(args).await?,
        CreateCommand::LastCache(args) => caches::create_last(args).await?,
        CreateCommand::DistinctCache(args) => caches::create_distinct(args).await?,
        CreateCommand::Token(args) => return token::create(args, console, world).await,
        CreateCommand::User(args) => users::create(args, console).await?,
        CreateCommand::Role(args) => roles::create(args).await?,
        CreateCommand::Trigger(args) => trigger::create(args).await?,
        CreateCommand::FileIndex(args) => file_index::create(args).await?,
        CreateCommand::MaterializedView(args) => materialized_view::create(args).await?,
        CreateCommand::Rules(args) => rules::create(args, console).await?,
        CreateCommand::QueryGroup(args) => query_group::create(args).await?,
        CreateCommand::Backup(args) => backup::create(args).await?,
        CreateCommand::Restore(args) => return backup_restore::create(args, console).await,
    };
    console.print(text).map_err(CommandError::Output)
}

async fn create_database(args: &CreateDatabaseArgs) -> CommandResult<String> {
    args.cold.check()?;
    let body = json!({
        "db": args.name,
        "retention_period": args.retention_period,
        "order": args.order,
        "auto_create": args.auto_create,
        "on_duplicate": args.on_duplicate,
    });
    let client = args.connection.client(None)?;
    client.post_json("/api/v3/configure/database", &without_nulls(body)).await?;
    args.cold.apply(&client, &args.name, None).await?;
    Ok(format!("Database {:?} created successfully", args.name))
}

async fn create_table(args: &CreateTableArgs) -> CommandResult<String> {
    args.cold.check()?;
    let (database, table) = (&args.database.database, &args.name);
    let body = json!({
        "db": database,
        "table": table,
        "tags": args.tags,
        "fields": args.fields,
        "retention_period": args.retention_period,
    });
    let client = args.connection.client(None)?;
    match client.post_json("/api/v3/configure/table", &without_nulls(body)).await {
        Err(ref error @ ClientError::Refused { status: StatusCode::CONFLICT, .. })
            if error.code().as_deref() != Some(NAME_IS_ALIAS) =>
        {
            Err(CommandError::TableExists { database: database.clone(), table: table.clone() })
        }
        outcome => {
            outcome?;
            args.cold.apply(&client, database, Some(table)).await?;
            Ok(format!("Table {database:?}.{table:?} created successfully"))
        }
    }
}

async fn create_column(args: &CreateColumnArgs) -> CommandResult<String> {
    let (database, table, column) = (&args.database.database, &args.table, &args.name);
    let kind = &args.column_type;
    let body = json!({ "db": database, "table": table, "column": column, "type": kind });
    let client = args.connection.client(None)?;
    client.post_json("/api/v3/configure/table/column", &body).await?;
    Ok(format!("Column {database:?}.{table:?}.{column:?} created successfully"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_a_name_and_a_type() {
        let field = parse_field("a:b:float64").unwrap();
        assert_eq!((field.name.as_str(), field.data_type.as_str()), ("a:b", "float64"));
        insta::assert_snapshot!(parse_field("a:decimal").unwrap_err(), @"'decimal' is not one of utf8, int64, uint64, float64, bool");
        assert!(parse_field("a").is_err());
        assert!(parse_field(":bool").is_err());
    }
}
