//! `neap create|delete materialized_view` and `neap show materialized_views`: queries whose rows are kept in a table.

use clap::Args;
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandResult,
    confirm::DeletionArgs,
    options::{ConnectionArgs, DatabaseArgs},
    rows::{DatabaseListArgs, Rows},
};

const PATH: &str = "/api/v3/configure/materialized_view";

/// The options of `neap create materialized_view`.
#[derive(Debug, Args)]
pub(super) struct CreateViewArgs {
    /// The name of the view, and of its table.
    name: String,

    /// The query: SELECT date_bin(INTERVAL '1 hour', time) AS time, TAGS, AGGREGATES FROM TABLE GROUP BY 1, TAGS.
    query: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete materialized_view`.
#[derive(Debug, Args)]
pub(super) struct DeleteViewArgs {
    /// The name of the view.
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// A view in the server's response.
#[derive(Deserialize)]
struct View {
    name: String,
    source: String,
    target_database: Option<String>,
    target_table: Option<String>,
    query: String,
}

/// Creates a view. Returns what to print.
pub(super) async fn create(args: &CreateViewArgs) -> CommandResult<String> {
    let (db, name) = (&args.database.database, &args.name);
    let view = json!({ "db": db, "name": name, "query": args.query });
    args.connection.client(None)?.post_json(PATH, &view).await?;
    Ok(format!("Materialized view {name:?} created successfully"))
}

/// Deletes a view. Its table stays. Returns what to print.
pub(super) async fn delete(args: &DeleteViewArgs, console: &mut Console) -> CommandResult<String> {
    let (database, name) = (&args.database.database, &args.name);
    let asked = format!("materialized view {name:?}");
    let client = args.deletion.confirm_on_terminal(&asked, console)?;
    client.delete(PATH, &[("db", database), ("name", name)]).await?;
    Ok(format!("Materialized view {name:?} deleted successfully"))
}

/// Lists the views of a database.
pub(super) async fn show(args: &DatabaseListArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let query = [("db", args.database.database.as_str())];
    let fetched_views: Vec<View> = client.fetch_json(Method::GET, PATH, &query).await?;
    let views = fetched_views.into_iter().map(|view| {
        vec![
            json!(view.name),
            json!(view.source),
            json!(view.target_database),
            json!(view.target_table),
            json!(view.query),
        ]
    });
    Rows::new(&["name", "source", "target_database", "target_table", "query"], views)
        .print(args.format, console)
}
