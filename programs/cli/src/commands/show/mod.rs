//! `neap show`: lists the contents of a server or a store.

mod listing;
mod plugins;
mod system;

use std::time::Duration;

use clap::{Args, Subcommand};
use neap_bucket::{StoreConfig, World};
use neap_manifest::Manifest;
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use self::listing::{ListArgs, list};
use super::{
    CommandError, CommandResult, backup, backup_restore, materialized_view,
    open_cluster::{OpenCluster, time_text},
    options::ConnectionArgs,
    output::OutputArgs,
    query_group, roles,
    rows::{DatabaseListArgs, RowFormat, Rows, ServerListArgs},
    rules, users,
};

/// The subcommands of `neap show`.
#[derive(Debug, Subcommand)]
pub(super) enum ShowCommand {
    /// List the databases.
    Databases(ShowDatabasesArgs),
    /// List the tokens, without their secrets.
    Tokens(ListArgs),
    /// List the users.
    Users(ServerListArgs),
    /// List the roles, with what they allow.
    Roles(ServerListArgs),
    /// List the plugins that triggers have, or those that a repository has.
    Plugins(plugins::ShowPluginsArgs),
    /// List the processes that serve the cluster or recently served it.
    Nodes(ListArgs),
    /// List the query groups: sets of processes that compute queries together.
    #[command(name = "query_groups")]
    QueryGroups(ServerListArgs),
    /// List the materialized views and continuous queries of a database.
    #[command(name = "materialized_views")]
    MaterializedViews(DatabaseListArgs),
    /// List the rules of a database, with their states.
    Rules(DatabaseListArgs),
    /// List the backups.
    Backups(ServerListArgs),
    /// List the restores that run or have ended, newest first.
    Restores(ServerListArgs),
    /// Show the system tables of a server.
    #[command(visible_alias = "s")]
    System(system::SystemArgs),
    /// List how long tables keep rows.
    Retention(ShowRetentionArgs),
    /// Show the license status: none is needed.
    License(LicenseArgs),
    /// List the versions of a database that can be queried and restored, on the store itself.
    Versions(Box<ShowVersionsArgs>),
}

/// The options of `neap show versions`.
#[derive(Debug, Args)]
pub(super) struct ShowVersionsArgs {
    /// The database; a deleted database has the name that the deletion gave it.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: String,

    /// The form of the list.
    #[arg(long, value_enum, default_value = "pretty")]
    format: RowFormat,

    #[command(flatten)]
    store: StoreConfig,
}

/// The options of `neap show retention`.
#[derive(Debug, Args)]
pub(super) struct ShowRetentionArgs {
    /// The database; all of them by default.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    /// The form of the list.
    #[arg(long, value_enum, default_value = "pretty")]
    format: RowFormat,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The retention of a table in the server's response.
#[derive(Deserialize)]
struct RetentionRow {
    database: String,
    table: String,
    retention_period_ns: Option<u64>,
    source: Option<String>,
}

/// The options of `neap show databases`.
#[derive(Debug, Args)]
pub(super) struct ShowDatabasesArgs {
    /// List those that are deleted, too.
    #[arg(long)]
    show_deleted: bool,

    /// Show which tables and columns writes may create.
    #[arg(long)]
    show_settings: bool,

    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap show license`.
#[derive(Debug, Args)]
pub(super) struct LicenseArgs {
    #[command(flatten)]
    _connection: ConnectionArgs,
}

/// Executes `neap show`.
pub(super) async fn run(
    command: &ShowCommand,
    console: &mut Console,
    world: World,
) -> CommandResult {
    match command {
        ShowCommand::Databases(args) => show_databases(args, console).await,
        ShowCommand::Tokens(args) => list("tokens", args, console).await,
        ShowCommand::Users(args) => users::show(args, console).await,
        ShowCommand::Roles(args) => roles::show(args, console).await,
        ShowCommand::Plugins(args) => plugins::run(args, console).await,
        ShowCommand::Nodes(args) => list("nodes", args, console).await,
        ShowCommand::QueryGroups(args) => query_group::show(args, console).await,
        ShowCommand::MaterializedViews(args) => materialized_view::show(args, console).await,
        ShowCommand::Rules(args) => rules::show(args, console).await,
        ShowCommand::Backups(args) => backup::show(args, console).await,
        ShowCommand::Restores(args) => backup_restore::show(args, console).await,
        ShowCommand::System(args) => system::run(args, console).await,
        ShowCommand::License(_) => console
            .print("Neap is free software: it needs no license")
            .map_err(CommandError::Output),
        ShowCommand::Retention(args) => show_retention(args, console).await,
        ShowCommand::Versions(args) => show_versions(args, console, world).await,
    }
}

async fn show_versions(
    args: &ShowVersionsArgs,
    console: &mut Console,
    world: World,
) -> CommandResult {
    let opened = OpenCluster::open(&args.store, &world).await?;
    let database = opened.database(&args.database).await?;
    let read = opened.manifests.read(database, None).await?;
    let register = opened.manifests.register(database);
    let manifest = opened.catalog.verify_absence(&register, read).await?;
    let versions = Manifest::versions(&manifest).into_iter().map(|version| {
        vec![
            json!(version.version),
            json!(time_text(version.mark.time())),
            json!(version.mark.as_u64()),
            version.committed.map_or(Value::Null, |at| json!(time_text(at))),
        ]
    });
    Rows::new(&["version", "writes_until", "stamp", "committed"], versions)
        .print(args.format, console)
}

async fn show_retention(args: &ShowRetentionArgs, console: &mut Console) -> CommandResult {
    let query: Vec<_> = args.database.iter().map(|database| ("db", database.as_str())).collect();
    let client = args.connection.client(None)?;
    let path = "/api/v3/configure/retention";
    let kept: Vec<RetentionRow> = client.fetch_json(Method::GET, path, &query).await?;
    let rows = kept.into_iter().map(|kept| {
        let period = kept.retention_period_ns.map(Duration::from_nanos);
        vec![
            json!(kept.database),
            json!(kept.table),
            json!(retention_text(period)),
            kept.source.map_or(Value::Null, Value::from),
        ]
    });
    Rows::new(&["database", "table", "retention_period", "set_for"], rows)
        .print(args.format, console)
}

/// Formats a retention period in the largest unit that it is a multiple of: `infinite`, `7d`, `36h` (InfluxDB 3 `show
/// retention`).
pub(super) fn retention_text(period: Option<Duration>) -> String {
    let Some(period) = period else {
        return "infinite".to_owned();
    };
    let units = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = period.as_nanos();
    let unit = units.iter().find(|(size, _)| nanos.is_multiple_of(*size));
    let (size, unit) = unit.copied().unwrap_or((1, "ns"));
    format!("{}{unit}", nanos / size)
}

async fn show_databases(args: &ShowDatabasesArgs, console: &mut Console) -> CommandResult {
    args.output.check(console)?;
    let client = args.connection.client(None)?;
    let show_deleted = args.show_deleted.to_string();
    let mut query =
        vec![("format", args.output.format.as_str()), ("show_deleted", show_deleted.as_str())];
    // Servers of InfluxDB 3 don't know the parameter.
    if args.show_settings {
        query.push(("show_settings", "true"));
    }
    let request = client.request(Method::GET, "/api/v3/configure/database").query(&query);
    let response = client.send(request).await?;
    args.output.deliver(&client, response, console).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_shown_in_the_largest_unit_that_fits() {
        for (seconds, expected) in
            [(7 * 86_400, "7d"), (36 * 3_600, "36h"), (90, "90s"), (60, "1m")]
        {
            let period = Some(Duration::from_secs(seconds));
            assert_eq!(retention_text(period), expected);
        }
        assert_eq!(retention_text(None), "infinite");
        assert_eq!(retention_text(Some(Duration::from_nanos(1))), "1ns");
    }
}
