//! `neap create|show|update|delete query_group`: sets of processes that compute queries together.

use std::collections::BTreeSet;

use clap::Args;
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandError, CommandResult,
    confirm::DeletionArgs,
    options::{ConnectionArgs, without_nulls},
    rows::{Rows, ServerListArgs},
};
use crate::client::{ApiPath, Client};

const PATH: &str = "/api/v3/enterprise/configure/query_groups";

/// The options of `neap create query_group`.
#[derive(Debug, Args)]
pub(super) struct CreateQueryGroupArgs {
    /// The name of the group.
    name: String,

    /// The names of its processes (`--node-id`), separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    nodes: Vec<String>,

    /// Accepted without effect: all data is in the store.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    replication_factor: u32,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap update query_group`.
#[derive(Debug, Args)]
pub(super) struct UpdateQueryGroupArgs {
    /// The name of the group.
    name: String,

    /// Another name.
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,

    /// The names of its processes (`--node-id`), separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    nodes: Option<Vec<String>>,

    /// Accepted without effect: all data is in the store.
    #[arg(long, value_name = "NUMBER")]
    replication_factor: Option<u32>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete query_group`.
#[derive(Debug, Args)]
pub(super) struct DeleteQueryGroupArgs {
    /// The name of the group.
    name: String,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// A group in the server's response.
#[derive(Deserialize)]
struct QueryGroup {
    id: u64,
    name: String,
    nodes: BTreeSet<String>,
    replication_factor: u32,
}

#[derive(Deserialize)]
struct QueryGroupList {
    query_groups: Vec<QueryGroup>,
}

/// Creates a group. Returns what to print.
pub(super) async fn create(args: &CreateQueryGroupArgs) -> CommandResult<String> {
    let body = json!({
        "name": args.name,
        "nodes": args.nodes,
        "replication_factor": args.replication_factor,
    });
    args.connection.client(None)?.post_json(PATH, &body).await?;
    Ok(format!("Query group {:?} created successfully", args.name))
}

/// Changes a group, and returns the message.
pub(super) async fn update(args: &UpdateQueryGroupArgs) -> CommandResult<String> {
    let change = json!({
        "name": args.rename,
        "nodes": args.nodes,
        "replication_factor": args.replication_factor,
    });
    let client = args.connection.client(None)?;
    let path = path_of(&client, &args.name).await?;
    client.patch_json(path, &without_nulls(change)).await?;
    Ok(format!("Query group {:?} updated successfully", args.name))
}

/// Deletes a group after a confirmation. Returns what to print.
pub(super) async fn delete(
    args: &DeleteQueryGroupArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let name = format!("query group {:?}", args.name);
    let client = args.deletion.confirm(&name, console)?;
    let path = path_of(&client, &args.name).await?;
    client.delete(path, &[]).await?;
    Ok(format!("Query group {:?} deleted successfully", args.name))
}

/// Lists the groups.
pub(super) async fn show(args: &ServerListArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let groups = list(&client).await?.into_iter().map(|group| {
        let nodes: Vec<_> = group.nodes.into_iter().collect();
        vec![
            json!(group.id),
            json!(group.name),
            json!(nodes.join(",")),
            json!(group.replication_factor),
        ]
    });
    Rows::new(&["id", "name", "nodes", "replication_factor"], groups).print(args.format, console)
}

async fn list(client: &Client) -> CommandResult<Vec<QueryGroup>> {
    let list: QueryGroupList = client.fetch_json(Method::GET, PATH, &[]).await?;
    Ok(list.query_groups)
}

/// Returns the path of the group with a name.
async fn path_of(client: &Client, name: &str) -> CommandResult<ApiPath> {
    let groups = list(client).await?;
    let group = groups
        .iter()
        .find(|group| group.name == name)
        .ok_or_else(|| CommandError::NoQueryGroup(name.to_owned()))?;
    Ok(ApiPath::below(PATH, &[&group.id.to_string()])?)
}
