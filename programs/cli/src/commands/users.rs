//! Users: `neap create user`, `show users`, `update user`, `update user-roles`, `delete user`,
//! `user require-password-reset`, and `neap manage`.

use clap::{Args, Subcommand};
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommandError, CommandResult,
    confirm::DeletionArgs,
    name_argument::{NameArgument, UserName},
    options::ConnectionArgs,
    password::PasswordArgs,
    roles,
    rows::{Rows, ServerListArgs},
};
use crate::client::{ApiPath, Client};

/// The path of users.
const USERS: &str = "/api/v3/users";

/// The subcommands of `neap user`.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// End the sessions of a user, who must set another password before the next sign-in.
    RequirePasswordReset(NamedUserArgs),
}

/// The subcommands of `neap manage`.
#[derive(Debug, Subcommand)]
pub(super) enum ManageCommand {
    /// Create the first user, an administrator, and the operator token of a new cluster.
    InitAdmin(InitAdminArgs),
    /// Create another administrator token.
    AddAdminToken(AddAdminTokenArgs),
}

/// The options of `neap manage init-admin`.
#[derive(Debug, Args)]
pub(super) struct InitAdminArgs {
    /// The name of the user.
    #[arg(short = 'u', long, value_name = "NAME", default_value = "admin")]
    username: String,

    /// The name to show.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,

    #[command(flatten)]
    password: PasswordArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap manage add-admin-token`.
#[derive(Debug, Args)]
pub(super) struct AddAdminTokenArgs {
    /// The name of the token.
    #[arg(long, value_name = "NAME")]
    name: String,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap create user`.
#[derive(Debug, Args)]
pub(super) struct CreateUserArgs {
    #[command(flatten)]
    username: NameArgument<UserName>,

    /// The name to show.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,

    /// The names of roles.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "Member"
    )]
    roles: Vec<String>,

    /// The id of the user at the identity provider. The user gets no password.
    #[arg(long, value_name = "ID", conflicts_with = "password_file")]
    oauth_id: Option<String>,

    #[command(flatten)]
    password: PasswordArgs,

    /// Let the user keep the password. By default, the user must set another one before the first sign-in.
    #[arg(long)]
    keep_password: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap update user`.
#[derive(Debug, Args)]
pub(super) struct UpdateUserArgs {
    #[command(flatten)]
    username: NameArgument<UserName>,

    /// The name to show; an empty one removes it.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,

    /// The id of the user at the identity provider; an empty one removes it.
    #[arg(long, value_name = "ID")]
    oauth_id: Option<String>,

    /// `true`: end the sessions of the user, who can't sign in any more. `false`: allow it again.
    #[arg(long, value_name = "BOOL")]
    disabled: Option<bool>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap update user-roles`.
#[derive(Debug, Args)]
pub(super) struct UpdateUserRolesArgs {
    #[command(flatten)]
    username: NameArgument<UserName>,

    /// The names of all roles that the user has from now on.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 0..)]
    roles: Vec<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete user`.
#[derive(Debug, Args)]
pub(super) struct DeleteUserArgs {
    #[command(flatten)]
    username: NameArgument<UserName>,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// The options of a command for a user.
#[derive(Debug, Args)]
pub(super) struct NamedUserArgs {
    #[command(flatten)]
    username: NameArgument<UserName>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Deserialize)]
struct UserList {
    items: Vec<Value>,
}

async fn all_users(client: &Client) -> CommandResult<Vec<Value>> {
    let list: UserList = client.fetch_json(Method::GET, USERS, &[]).await?;
    Ok(list.items)
}

/// Returns the path of the user with this name, or one below it.
async fn path_of(client: &Client, name: &str, below: &[&str]) -> CommandResult<ApiPath> {
    let users = all_users(client).await?;
    let found = users
        .iter()
        .find(|user| user.get("username").and_then(Value::as_str) == Some(name));
    let id = found
        .and_then(|user| user.get("userId")?.as_u64())
        .ok_or_else(|| CommandError::Account(format!("there is no user {name:?}")))?
        .to_string();
    let segments = [&[id.as_str()][..], below].concat();
    Ok(ApiPath::below(USERS, &segments)?)
}

fn tell(console: &mut Console, text: &str) -> CommandResult {
    console.print_text(text).map_err(CommandError::Output)
}

/// Executes `neap manage`.
pub(super) async fn manage(command: &ManageCommand, console: &mut Console) -> CommandResult {
    match command {
        ManageCommand::InitAdmin(args) => init_admin(args, console).await,
        ManageCommand::AddAdminToken(args) => add_admin_token(args, console).await,
    }
}

async fn init_admin(args: &InitAdminArgs, console: &mut Console) -> CommandResult {
    let password = args.password.read_new(console)?;
    let body = json!({
        "username": args.username,
        "password": password,
        "displayName": args.display_name,
    });
    let host = args.connection.host();
    let client = args.connection.client_without_token(host)?;
    let answer: Value = client.ask_json("/api/v3/configure/user", &body).await?;
    let token = answer
        .get("operatorToken")
        .and_then(Value::as_str)
        .ok_or(CommandError::NoToken)?;
    let text = format!("User {:?} created successfully", args.username);
    tell(console, &text)?;
    tell(console, &format!("Operator token, shown only now: {token}"))
}

async fn add_admin_token(args: &AddAdminTokenArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let path = "/api/v3/configure/token/named_admin";
    let body = json!({ "token_name": args.name });
    let answer: Value = client.ask_json(path, &body).await?;
    let token = answer.get("token").and_then(Value::as_str).ok_or(CommandError::NoToken)?;
    tell(console, &format!("Token, shown only now: {token}"))
}

/// Executes `neap create user`. Returns what to print.
pub(super) async fn create(args: &CreateUserArgs, console: &mut Console) -> CommandResult<String> {
    let (client, username) = (args.connection.client(None)?, args.username.as_str());
    let roles = roles::ids(&client, &args.roles).await?;
    let password = match args.oauth_id {
        Some(_) => None,
        None => Some(args.password.read_new(console)?),
    };
    let body = json!({
        "username": username,
        "displayName": args.display_name,
        "password": password,
        "oauthId": args.oauth_id,
        "roleIds": roles,
        "requiresPasswordReset": !args.keep_password,
    });
    client.post_json(USERS, &body).await?;
    Ok(format!("User {username:?} created successfully"))
}

/// Executes `neap show users`.
pub(super) async fn show(args: &ServerListArgs, console: &mut Console) -> CommandResult {
    let client = args.connection.client(None)?;
    let users = all_users(&client).await?;
    let property = |user: &Value, name: &str| user.get(name).cloned().unwrap_or(Value::Null);
    let roles = |user: &Value| {
        let names = user
            .get("roles")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        Value::from(names.collect::<Vec<_>>().join(","))
    };
    let rows = users.iter().map(|user| {
        vec![
            property(user, "userId"),
            property(user, "username"),
            property(user, "displayName"),
            roles(user),
            property(user, "disabled"),
            property(user, "requiresPasswordReset"),
            property(user, "oauthId"),
        ]
    });
    Rows::new(
        &[
            "id",
            "username",
            "display_name",
            "roles",
            "disabled",
            "requires_password_reset",
            "oauth_id",
        ],
        rows,
    )
    .print(args.format, console)
}

/// Executes `neap update user`. Returns what to print.
pub(super) async fn update(args: &UpdateUserArgs) -> CommandResult<String> {
    let (client, username) = (args.connection.client(None)?, args.username.as_str());
    let path = path_of(&client, username, &[]).await?;
    let body = json!({
        "displayName": args.display_name,
        "oauthId": args.oauth_id,
        "disabled": args.disabled,
    });
    client.patch_json(path, &body).await?;
    Ok(format!("User {username:?} updated"))
}

/// Executes `neap update user-roles`. Returns what to print.
pub(super) async fn update_roles(args: &UpdateUserRolesArgs) -> CommandResult<String> {
    let (client, username) = (args.connection.client(None)?, args.username.as_str());
    let roles = roles::ids(&client, &args.roles).await?;
    let path = path_of(&client, username, &["roles"]).await?;
    let body = json!({ "roleIds": roles });
    client.put_json(path, &body).await?;
    Ok(format!("Roles of user {username:?} updated"))
}

/// Executes `neap delete user`. Returns what to print.
pub(super) async fn delete(args: &DeleteUserArgs, console: &mut Console) -> CommandResult<String> {
    let username = args.username.as_str();
    let client = args.deletion.confirm(&format!("user {username:?}"), console)?;
    let path = path_of(&client, username, &[]).await?;
    client.delete(path, &[]).await?;
    Ok(format!("User {username:?} deleted"))
}

/// Executes `neap user`.
pub(super) async fn run(command: &UserCommand, console: &mut Console) -> CommandResult {
    let UserCommand::RequirePasswordReset(args) = command;
    let client = args.connection.client(None)?;
    let path = path_of(&client, args.username.as_str(), &["require-password-reset"]).await?;
    client.post(path, &[]).await?;
    let text = format!("User {:?} must set another password", args.username.as_str());
    tell(console, &text)
}
