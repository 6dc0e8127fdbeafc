//! `neap debug catalog`: shows the catalogs of a cluster, directly on the store. Tokens, users and keys are not shown.

use std::{fmt::Write, time::Duration};

use clap::{Args, Subcommand};
use neap_bucket::{Key, StoreConfig, StoreTime, World};
use neap_catalog::{DatabaseCatalog, RootCatalog};
use neap_schema::DatabaseId;
use neap_server::console::Console;
use serde_json::{Value, json};

use super::{
    CommandError, CommandResult,
    open_cluster::{OpenCluster, time_text},
};

/// The subcommands of `neap debug catalog`.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// List the catalogs, with their numbers of commits and the times of the last ones.
    List(Box<CatalogArgs>),
    /// Print databases, tables and columns as JSON.
    Snapshot(Box<CatalogArgs>),
    /// Print the number of commits of the root catalog.
    Sequence(Box<CatalogArgs>),
}

/// The options of `neap debug catalog`.
#[derive(Debug, Args)]
pub(super) struct CatalogArgs {
    #[command(flatten)]
    store: StoreConfig,
}

/// Shows the catalogs.
///
/// # Errors
///
/// The store holds no cluster, a catalog can't be read, or the output is closed.
pub(super) async fn run(
    command: &CatalogCommand,
    console: &mut Console,
    world: World,
) -> CommandResult {
    let (CatalogCommand::List(args)
    | CatalogCommand::Snapshot(args)
    | CatalogCommand::Sequence(args)) = command;
    let cluster = OpenCluster::open(&args.store, &world).await?;
    let root = cluster.catalog.root(Duration::ZERO).await?;
    let text = match command {
        CatalogCommand::Sequence(_) => root.version.to_string(),
        CatalogCommand::List(_) => {
            let mut text = line(&Key::RootCatalog, root.version, root.committed);
            for database in root.value.databases().keys() {
                let catalog = cluster.catalog.database(*database, Duration::ZERO).await?;
                let key = Key::DatabaseCatalog(*database);
                text.push_str(&line(&key, catalog.version, catalog.committed));
            }
            text.trim_end().to_owned()
        }
        CatalogCommand::Snapshot(_) => {
            let mut databases = Vec::new();
            for database in root.value.databases().keys() {
                let catalog = cluster.catalog.database(*database, Duration::ZERO).await?;
                databases.push(database_json(*database, &root.value, &catalog.value));
            }
            let catalog = json!({ "sequence": root.version, "databases": databases });
            format!("{catalog:#}")
        }
    };
    console.print(text).map_err(CommandError::Output)
}

fn line(key: &Key, version: u64, committed: Option<StoreTime>) -> String {
    let mut text = format!("{key}\t{version}");
    if let Some(committed) = committed {
        write!(text, "\t{}", time_text(committed)).ok();
    }
    text.push('\n');
    text
}

fn database_json(id: DatabaseId, root: &RootCatalog, catalog: &DatabaseCatalog) -> Value {
    let entry = root.databases().get(&id);
    let tables: Vec<_> = catalog
        .all_tables()
        .map(|table| {
            let columns: Vec<_> = table
                .columns()
                .iter()
                .map(|column| json!({ "name": column.name, "type": column.column_type }))
                .collect();
            json!({
                "id": table.id().to_string(),
                "name": table.name(),
                "deleted": table.deletion().is_some(),
                "columns": columns,
            })
        })
        .collect();
    json!({
        "id": id.to_string(),
        "name": entry.map(|entry| entry.name.as_str()),
        "deleted": entry.is_some_and(|entry| entry.deletion.is_some()),
        "retention_seconds": catalog.retention().map(|period| period.as_secs()),
        "tables": tables,
    })
}
