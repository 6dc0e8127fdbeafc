//! Roles: `neap create role`, `show roles`, `delete role`.

use clap::Args;
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommandError, CommandResult,
    confirm::DeletionArgs,
    name_argument::{NameArgument, RoleName},
    options::ConnectionArgs,
    rows::{Rows, ServerListArgs},
};
use crate::client::{ApiPath, Client};

/// The path of roles.
const ROLES: &str = "/api/v3/roles";

/// The options of `neap create role`.
#[derive(Debug, Args)]
pub(super) struct CreateRoleArgs {
    #[command(flatten)]
    name: NameArgument<RoleName>,

    /// What the role is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// What the role allows, as for tokens: `db:home:read,write`. May be repeated.
    #[arg(
        long = "permission",
        value_name = "TYPE:NAMES:ACTIONS",
        required = true
    )]
    permissions: Vec<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete role`.
#[derive(Debug, Args)]
pub(super) struct DeleteRoleArgs {
    #[command(flatten)]
    name: NameArgument<RoleName>,

    #[command(flatten)]
    deletion: DeletionArgs,
}

#[derive(Deserialize)]
struct RoleList {
    items: Vec<ListedRole>,
}

#[derive(Deserialize)]
struct ListedRole {
    id: u64,
    name: String,
    description: Option<String>,
}

#[derive(Deserialize)]
struct RolePermissions {
    text: String,
}

async fn all_roles(client: &Client) -> CommandResult<Vec<ListedRole>> {
    let list: RoleList = client.fetch_json(Method::GET, ROLES, &[]).await?;
    Ok(list.items)
}

/// Returns the ids of the roles with these names.
pub(super) async fn ids(client: &Client, names: &[String]) -> CommandResult<Vec<u64>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let roles = all_roles(client).await?;
    let ids = names.iter().map(|name| {
        let role = roles.iter().find(|role| role.name == *name);
        let missing = || CommandError::Account(format!("there is no role {name:?}"));
        role.map(|role| role.id).ok_or_else(missing)
    });
    ids.collect()
}

/// Executes `neap create role`. Returns what to print.
pub(super) async fn create(args: &CreateRoleArgs) -> CommandResult<String> {
    let name = args.name.as_str();
    let body = json!({
        "name": name,
        "description": args.description,
        "permissions": args.permissions,
    });
    args.connection.client(None)?.post_json(ROLES, &body).await?;
    Ok(format!("Role {name:?} created successfully"))
}

/// Executes `neap show roles`.
pub(super) async fn show(args: &ServerListArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let mut rows = Vec::new();
    for role in all_roles(&client).await? {
        let path = ApiPath::below(ROLES, &[&role.id.to_string(), "permissions"])?;
        let permissions: RolePermissions = client.fetch_json(Method::GET, path, &[]).await?;
        rows.push(vec![
            Value::from(role.id),
            Value::from(role.name),
            Value::from(role.description),
            Value::from(permissions.text),
        ]);
    }
    Rows::new(&["id", "name", "description", "permissions"], rows).print(args.format, console)
}

/// Executes `neap delete role`. Returns what to print.
pub(super) async fn delete(args: &DeleteRoleArgs, console: &mut Console) -> CommandResult<String> {
    let name = args.name.as_str();
    let client = args.deletion.confirm(&format!("role {name:?}"), console)?;
    for id in ids(&client, &[name.to_owned()]).await? {
        client.delete(ApiPath::below(ROLES, &[&id.to_string()])?, &[]).await?;
    }
    Ok(format!("Role {name:?} deleted"))
}
