//! `neap create token` and `neap delete token`: manage access tokens.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use neap_assembly::options::parse_duration;
use neap_bucket::World;
use neap_catalog::{ClientPrivateKey, ClientPublicKey, OPERATOR_TOKEN_NAME};
use neap_server::console::Console;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    CommandError, CommandResult,
    confirm::{self, DeletionArgs},
    name_argument::{NameArgument, TokenName},
    options::{AnswerFormat, ConnectionArgs},
    token_file,
};
use crate::client::{Client, ClientError};

const ADMIN: &str = "/api/v3/configure/token/admin";
const REGENERATE: &str = "/api/v3/configure/token/admin/regenerate";
const NAMED_ADMIN: &str = "/api/v3/configure/token/named_admin";
/// Path of InfluxDB 3 Enterprise, so that the command works with its servers, too.
const RESOURCE: &str = "/api/v3/enterprise/configure/token";
const TOKEN: &str = "/api/v3/configure/token";

/// The options of `neap create token`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("kind").args(["admin", "permissions"]).required(true))]
#[command(group = clap::ArgGroup::new("named").args(["name", "questdb"]))]
#[command(group = clap::ArgGroup::new("expiring").args(["name", "offline", "questdb"]).multiple(true))]
pub(super) struct CreateTokenArgs {
    /// Create an admin token, which may do everything: without --name the first one, the operator token.
    #[arg(long)]
    admin: bool,

    /// What the token may do, as TYPE:NAMES:ACTIONS; may be given several times. With the type `db`, names of
    /// databases and read, write, append, create, describe, delete. With `system`, health, metrics, ping, ready
    /// and read. `*` stands for all names. All parts but the type may be lists with commas.
    #[arg(long = "permission", value_name = "PERMISSION", value_parser = parse_permission, requires = "named")]
    permissions: Vec<Permission>,

    /// A name for the token.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Create a key with this name for QuestDB's clients over TCP, which sign with it instead of sending a token. The
    /// key is generated here, and the server gets its public part only.
    #[arg(long, value_name = "NAME", requires = "permissions", conflicts_with_all = ["admin", "offline"])]
    questdb: Option<String>,

    /// How long the token is good: `90d`, `1y`. Until it is deleted by default.
    #[arg(long, value_name = "DURATION", value_parser = parse_expiry, requires = "expiring")]
    expiry: Option<Duration>,

    /// Replace the operator token. The old one stops working at once.
    #[arg(long, requires = "admin", conflicts_with_all = ["permissions", "name", "expiry", "offline"])]
    regenerate: bool,

    /// The form of the answer.
    #[arg(long, value_enum, default_value = "text")]
    format: AnswerFormat,

    /// Ask no server: write a file for `neap serve --admin-token-file`.
    #[arg(
        long,
        requires = "admin",
        requires = "output_file",
        conflicts_with = "permissions"
    )]
    offline: bool,

    /// The file to write with --offline. It must not be there.
    #[arg(long, value_name = "FILE", requires = "offline")]
    output_file: Option<PathBuf>,

    /// Don't ask.
    #[arg(short = 'y', long)]
    yes: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete token`.
#[derive(Debug, Args)]
pub(super) struct DeleteTokenArgs {
    #[command(flatten)]
    token_name: NameArgument<TokenName>,

    /// Delete also the tokens that it created, and those that they created.
    #[arg(long)]
    with_created: bool,

    #[command(flatten)]
    deletion: DeletionArgs,
}

/// A permission in the form of requests. The server validates its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Permission {
    resource_type: String,
    resource_names: Vec<String>,
    actions: Vec<String>,
}

#[derive(Serialize)]
struct NewToken<'a> {
    token_name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    permissions: &'a [Permission],
    expiry_secs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<ClientPublicKey>,
}

/// Parses `TYPE:NAMES:ACTIONS` (InfluxDB 3 `create token --permission`).
fn parse_permission(text: &str) -> Result<Permission, String> {
    let parts: Vec<_> = text.split(':').collect();
    let [kind, names, actions] = parts[..] else {
        return Err("a permission is written as TYPE:NAMES:ACTIONS".to_owned());
    };
    let list = |what: &str, text: &str| {
        let items: Vec<_> = text.split(',').map(|item| item.trim().to_owned()).collect();
        if items.iter().any(String::is_empty) {
            Err(format!("the list of {what} has an empty item"))
        } else {
            Ok(items)
        }
    };
    match kind.trim() {
        "" => Err("the type is missing".to_owned()),
        kind => Ok(Permission {
            resource_type: kind.to_owned(),
            resource_names: list("names", names)?,
            actions: list("actions", actions)?,
        }),
    }
}

/// Parses a duration of at least one second, the unit of the server's API.
fn parse_expiry(text: &str) -> Result<Duration, String> {
    let expiry = parse_duration(text).map_err(|error| error.to_string())?;
    match expiry.as_secs() {
        0 => Err("must be at least one second".to_owned()),
        _ => Ok(expiry),
    }
}

/// Creates a token and prints it. It can't be shown again.
pub(super) async fn create(
    args: &CreateTokenArgs,
    console: &mut Console,
    world: World,
) -> CommandResult {
    if let Some(path) = &args.output_file {
        let name = args.name.as_deref().unwrap_or(OPERATOR_TOKEN_NAME);
        token_file::write(path, name, args.expiry, &world)?;
        let text = format!("Token saved to: {}", path.display());
        return console.print(text).map_err(CommandError::Output);
    }
    let not_created = |error| CommandError::TokenNotCreated(Box::new(error));
    let text = match &args.questdb {
        Some(name) => {
            let key = ClientPrivateKey::generate(&world);
            let registered = register_key(args, name, key.public_key()).await;
            registered.map_err(not_created)?;
            match args.format {
                AnswerFormat::Text => key_as_text(name, &key, console.out_has_colors()),
                AnswerFormat::Json => key_as_json(name, &key),
            }
        }
        None => {
            let token = request(args, console).await.map_err(not_created)?;
            match args.format {
                AnswerFormat::Text => as_text(&token, console.out_has_colors()),
                AnswerFormat::Json => as_json(&token),
            }
        }
    };
    console.print(text).map_err(CommandError::Output)
}

/// Registers a key on the server.
async fn register_key(
    args: &CreateTokenArgs,
    name: &str,
    public_key: ClientPublicKey,
) -> CommandResult {
    let body = NewToken {
        token_name: name,
        permissions: &args.permissions,
        expiry_secs: args.expiry.map(|expiry| expiry.as_secs()),
        public_key: Some(public_key),
    };
    let client = args.connection.client(None)?;
    let answer: Value = client.ask_json(RESOURCE, &body).await?;
    // A server that does not know keys creates a token instead.
    match answer.get("public_key") {
        Some(Value::Object(_)) => Ok(()),
        _ => Err(CommandError::NoToken),
    }
}

/// Creates the requested token on the server.
async fn request(args: &CreateTokenArgs, console: &mut Console) -> CommandResult<String> {
    if args.regenerate && !args.yes {
        confirm::regeneration(console)?;
    }
    let client = args.connection.client(None)?;
    let answer = ask(&client, args).await?;
    let token = answer.get("token").and_then(Value::as_str);
    token.map(str::to_owned).ok_or(CommandError::NoToken)
}

async fn ask(client: &Client, args: &CreateTokenArgs) -> Result<Value, ClientError> {
    let Some(name) = &args.name else {
        let path = if args.regenerate { REGENERATE } else { ADMIN };
        return client.fetch_json(Method::POST, path, &[]).await;
    };
    let body = NewToken {
        token_name: name,
        permissions: &args.permissions,
        expiry_secs: args.expiry.map(|expiry| expiry.as_secs()),
        public_key: None,
    };
    let path = if args.admin { NAMED_ADMIN } else { RESOURCE };
    client.ask_json(path, &body).await
}

/// Returns the text in these colours, if the terminal has any.
fn styled(in_colors: bool, codes: &str, text: &str) -> String {
    if in_colors {
        format!("\u{1b}[{codes}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// The part of a client's configuration that names a key and its numbers. The names of keys need no escapes.
fn key_options(name: &str, key: &ClientPrivateKey) -> String {
    let public = key.public_key();
    let (d, x, y) = (key.reveal(), public.x(), public.y());
    format!("username={name};token={d};token_x={x};token_y={y};")
}

fn key_as_text(name: &str, key: &ClientPrivateKey, in_colors: bool) -> String {
    let styled = |codes, text| styled(in_colors, codes, text);
    format!(
        "\n{}\n\n{} tcp::addr=HOST:9009;{}\n\n{} Store this key securely, as it will not be shown again.\n",
        styled("4", "New key created successfully!"),
        styled("1", "Client Configuration:"),
        key_options(name, key),
        styled("1;31", "IMPORTANT:"),
    )
}

fn key_as_json(name: &str, key: &ClientPrivateKey) -> String {
    let public = key.public_key();
    let help = "Keep this key in a safe place, it is not shown again. Clients of QuestDB over TCP need all four values";
    let shown = json!({
        "help_msg": help,
        "username": name,
        "token": key.reveal(),
        "token_x": public.x(),
        "token_y": public.y(),
    });
    format!("{shown:#}")
}

fn as_text(token: &str, in_colors: bool) -> String {
    let styled = |codes, text| styled(in_colors, codes, text);
    format!(
        "\n{}\n\n{} {token}\n{} Authorization: Bearer {token}\n\n{} Store this token securely, as it will not be shown again.\n",
        styled("4", "New token created successfully!"),
        styled("1", "Token:"),
        styled("1", "HTTP Requests Header:"),
        styled("1;31", "IMPORTANT:"),
    )
}

fn as_json(token: &str) -> String {
    let help = format!(
        "Keep this token in a safe place, it is not shown again. Requests need it as 'Authorization: Bearer {token}'"
    );
    format!("{:#}", json!({ "help_msg": help, "token": token }))
}

/// Deletes a token after a confirmation.
pub(super) async fn delete(args: &DeleteTokenArgs, console: &mut Console) -> CommandResult {
    let name = args.token_name.as_str();
    if name == OPERATOR_TOKEN_NAME {
        let text = format!(
            "The operator token {name:?} can't be deleted. To replace it: neap create token --admin --regenerate --token TOKEN"
        );
        return console.print(text).map_err(CommandError::Output);
    }
    let also = if args.with_created {
        " and the tokens that it created"
    } else {
        ""
    };
    let client = args.deletion.confirm(&format!("{name:?}{also}"), console)?;
    if args.with_created {
        let parameters = [("token_name", name), ("with_created", "true")];
        let answer = client.fetch_json(Method::DELETE, TOKEN, &parameters).await;
        let answer: Value = match answer {
            // A server that does not know the parameter answers with an empty body.
            Err(ClientError::UnexpectedResponse { .. }) => {
                return Err(CommandError::OnlyTokenDeleted);
            }
            answer => answer?,
        };
        let names = deleted_names(&answer).ok_or(CommandError::OnlyTokenDeleted)?;
        for name in names {
            let text = format!("Token {name:?} deleted successfully");
            console.print(text).map_err(CommandError::Output)?;
        }
        return Ok(());
    }
    client.delete(TOKEN, &[("token_name", name)]).await?;
    let text = format!("Token {name:?} deleted successfully");
    console.print(text).map_err(CommandError::Output)
}

/// Returns the names in the answer to a deletion with created tokens.
fn deleted_names(answer: &Value) -> Option<Vec<&str>> {
    let names = answer.get("deleted_tokens")?.as_array()?;
    names.iter().map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_have_a_type_names_and_actions() {
        let permission = parse_permission("db:a, b:read,write").unwrap();
        let expected = json!({
            "resource_type": "db", "resource_names": ["a", "b"], "actions": ["read", "write"],
        });
        assert_eq!(serde_json::to_value(permission).unwrap(), expected);
        assert!(parse_permission("*:*:*").is_ok());
        for bad in ["", "db", "db:a", "db:a:read:more", ":a:read", "db:a,:read", "db:a:"] {
            assert!(parse_permission(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expiry_has_a_second_at_least() {
        assert_eq!(parse_expiry("90d"), Ok(Duration::from_hours(90 * 24)));
        assert!(parse_expiry("10ms").is_err());
        assert!(parse_expiry("soon").is_err());
    }

    #[test]
    fn terminals_get_colours() {
        insta::assert_snapshot!(as_text("apiv3_x", true).replace('\u{1b}', "ESC"), @r"

        ESC[4mNew token created successfully!ESC[0m

        ESC[1mToken:ESC[0m apiv3_x
        ESC[1mHTTP Requests Header:ESC[0m Authorization: Bearer apiv3_x

        ESC[1;31mIMPORTANT:ESC[0m Store this token securely, as it will not be shown again.
        ");
    }
}
