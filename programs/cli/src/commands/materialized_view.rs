//! `neap create|delete materialized_view` and `neap show materialized_views`: queries whose rows are kept in a table.

use clap::Args;
use neap_server::console::Console;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    CommandError, CommandResult,
    confirm::DeletionConfirmation,
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
    confirmation: DeletionConfirmation,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Serialize)]
struct NewView<'a> {
    db: &'a str,
    name: &'a str,
    query: &'a str,
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

/// Creates a view.
pub(super) async fn create(args: &CreateViewArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let view = NewView {
        db: &args.database.database,
        name: &args.name,
        query: &args.query,
    };
    client.post_json(PATH, &view).await?;
    let text = format!("Materialized view {:?} created successfully", args.name);
    console.print(text).map_err(CommandError::Output)
}

/// Deletes a view. Its table stays.
pub(super) async fn delete(args: &DeleteViewArgs, console: &mut Console) -> CommandResult {
    let name = format!("materialized view {:?}", args.name);
    args.confirmation.require_on_terminal(&name, console)?;
    let client = args.connection.client(None)?;
    let query = [
        ("db", args.database.database.as_str()),
        ("name", args.name.as_str()),
    ];
    client.delete(PATH, &query).await?;
    let text = format!("Materialized view {:?} deleted successfully", args.name);
    console.print(text).map_err(CommandError::Output)
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
    Rows::new(
        &["name", "source", "target_database", "target_table", "query"],
        views,
    )
    .print(args.format, console)
}
