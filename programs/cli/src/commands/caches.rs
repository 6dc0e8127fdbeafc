//! `neap create|delete last_cache|distinct_cache`: the caches of a table.

use clap::Args;
use neap_assembly::options::{OptionValueError, parse_duration};
use neap_server::console::Console;
use serde_json::{Value, json};

use super::{
    CommandResult,
    confirm::DeletionArgs,
    name_argument::{CacheName, NameArgument},
    options::{AnswerFormat, ConnectionArgs, TableArgs, without_nulls},
};

const LAST: &str = "/api/v3/configure/last_cache";
const DISTINCT: &str = "/api/v3/configure/distinct_cache";

/// The options of `neap create last_cache`.
#[derive(Debug, Args)]
pub(super) struct CreateLastCacheArgs {
    /// The name of the cache. By default it is made of those of the table and the key columns.
    name: Option<String>,

    #[command(flatten)]
    table: TableArgs,

    /// The columns of the key, separated by commas: tags, strings, integers, booleans. All tags by default.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    key_columns: Option<Vec<String>>,

    /// The other columns to show, separated by commas. By default all, also those that come later.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    value_columns: Option<Vec<String>>,

    /// The number of rows to keep of each key.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    count: u64,

    /// How old a row may be by its own time: `30m`, `4 hours`.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds, default_value = "4 hours")]
    ttl: u64,

    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    format: AnswerFormat,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap create distinct_cache`.
#[derive(Debug, Args)]
pub(super) struct CreateDistinctCacheArgs {
    /// The name of the cache. By default it is made of those of the table and the columns.
    name: Option<String>,

    #[command(flatten)]
    table: TableArgs,

    /// The columns, separated by commas: tags and strings.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    columns: Vec<String>,

    /// Maximum number of value combinations to keep: the latest ones.
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    max_cardinality: u64,

    /// How old a row may be by its own time: `12h`, `7 days`.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds, default_value = "1d")]
    max_age: u64,

    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    format: AnswerFormat,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete last_cache` and `neap delete distinct_cache`.
#[derive(Debug, Args)]
pub(super) struct DeleteCacheArgs {
    #[command(flatten)]
    name: NameArgument<CacheName>,

    #[command(flatten)]
    table: TableArgs,

    #[command(flatten)]
    deletion: DeletionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheKind {
    /// Last value cache.
    Last,
    /// Distinct value cache.
    Distinct,
}

impl CacheKind {
    /// Returns the path of requests, and the name of the kind in messages.
    fn path_and_title(self) -> (&'static str, &'static str) {
        match self {
            Self::Last => (LAST, "last"),
            Self::Distinct => (DISTINCT, "distinct"),
        }
    }
}

/// Returns the name of a new cache from the change to the catalog, which the server answers with.
fn created_name(created: &Value) -> Option<&str> {
    let change = created.pointer("/catalog_batch/Database/ops/0")?.as_object()?;
    let cache = change.values().next()?;
    cache.get("name").or_else(|| cache.get("cache_name"))?.as_str()
}

/// Parses a duration into whole seconds, the unit of the server's API.
fn parse_seconds(text: &str) -> Result<u64, OptionValueError> {
    parse_duration(text).map(|duration| duration.as_secs())
}

/// Creates a last value cache. Returns what to print.
pub(super) async fn create_last(args: &CreateLastCacheArgs) -> CommandResult<String> {
    let body = json!({
        "db": args.table.database,
        "table": args.table.table,
        "name": args.name,
        "key_columns": args.key_columns,
        "value_columns": args.value_columns,
        "count": args.count,
        "ttl": args.ttl,
    });
    create(CacheKind::Last, body, args.format, &args.connection).await
}

/// Creates a distinct value cache. Returns what to print.
pub(super) async fn create_distinct(args: &CreateDistinctCacheArgs) -> CommandResult<String> {
    let body = json!({
        "db": args.table.database,
        "table": args.table.table,
        "name": args.name,
        "columns": args.columns,
        "max_cardinality": args.max_cardinality,
        "max_age": args.max_age,
    });
    create(CacheKind::Distinct, body, args.format, &args.connection).await
}

async fn create(
    kind: CacheKind,
    body: Value,
    format: AnswerFormat,
    connection: &ConnectionArgs,
) -> CommandResult<String> {
    let (path, title) = kind.path_and_title();
    let client = connection.client(None)?;
    Ok(match client.create_json(path, &without_nulls(body)).await? {
        Some(created) => match (format, created_name(&created)) {
            (AnswerFormat::Json, _) => format!("{created:#}"),
            (AnswerFormat::Text, Some(name)) => {
                format!("{title} cache {name:?} created successfully")
            }
            (AnswerFormat::Text, None) => format!("{title} cache created successfully"),
        },
        None => "a cache already exists for the provided parameters".to_owned(),
    })
}

/// Deletes a cache. Returns what to print.
pub(super) async fn delete(
    kind: CacheKind,
    args: &DeleteCacheArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let (path, title) = kind.path_and_title();
    let name = args.name.as_str();
    let client = args.deletion.confirm_on_terminal(&format!("{title} cache {name:?}"), console)?;
    let TableArgs { database, table } = &args.table;
    client
        .delete(path, &[("db", database), ("table", table), ("name", name)])
        .await?;
    Ok(format!("{title} cache deleted successfully"))
}
