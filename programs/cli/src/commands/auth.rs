//! `neap auth`: signs a user in and out, and sets another password.

mod device_sign_in;

use clap::{Args, Subcommand};
use neap_bucket::World;
use neap_server::console::Console;
use reqwest::StatusCode;
use serde_json::json;

use super::{
    CommandError, CommandResult,
    options::ConnectionArgs,
    password::{self, PasswordArgs},
};
use crate::client::{ClientError, CredentialsFile, SignInResponse, StoredSession};

/// The subcommands of `neap auth`.
#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Sign in. Later commands use the session, and renew it.
    Login(LoginArgs),
    /// Sign out: end the session on the server, and remove it here.
    Logout(LogoutArgs),
    /// Set another password.
    ResetPassword(ResetPasswordArgs),
}

/// The options of `neap auth login`.
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The name of the user. Asked for by default.
    #[arg(short = 'u', long, value_name = "NAME", conflicts_with = "oauth")]
    username: Option<String>,

    #[command(flatten)]
    password: PasswordArgs,

    /// Sign in at the identity provider of the server, in a browser on any device.
    #[arg(long)]
    oauth: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap auth logout`.
#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap auth reset-password`.
#[derive(Debug, Args)]
pub(super) struct ResetPasswordArgs {
    /// The name of the user. Asked for by default.
    #[arg(short = 'u', long, value_name = "NAME")]
    username: Option<String>,

    #[command(flatten)]
    new: PasswordArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Executes `neap auth`.
pub(super) async fn run(
    command: &AuthCommand,
    console: &mut Console,
    world: World,
) -> CommandResult {
    match command {
        AuthCommand::Login(args) => log_in(args, console, &world).await,
        AuthCommand::Logout(args) => log_out(args, console, &world).await,
        AuthCommand::ResetPassword(args) => reset_password(args, console).await,
    }
}

fn file(connection: &ConnectionArgs) -> CommandResult<CredentialsFile> {
    let text = "there is no configuration directory: name a file with --credentials";
    let file = connection.credentials();
    file.ok_or_else(|| CommandError::Account(text.to_owned()))
}

fn name(given: Option<&str>, console: &mut Console) -> CommandResult<String> {
    match given {
        Some(name) => Ok(name.to_owned()),
        None => {
            let name = console.ask("Name:").map_err(CommandError::Input)?;
            Ok(name.trim().to_owned())
        }
    }
}

/// Converts the error of a request with a password. The server answers the same for each reason.
fn of_password(error: ClientError) -> CommandError {
    match error {
        ClientError::Refused { status, body, .. }
            if status == StatusCode::UNAUTHORIZED && body.contains("not authenticated") =>
        {
            let text = "the name or the password is wrong, or the user is disabled";
            CommandError::Account(text.to_owned())
        }
        error => error.into(),
    }
}

async fn log_in(args: &LoginArgs, console: &mut Console, world: &World) -> CommandResult {
    let file = file(&args.connection)?;
    let host = args.connection.host();
    let client = args.connection.client_without_token(host)?;
    let body = if args.oauth {
        let token = device_sign_in::token(&client, &args.connection, console, world).await?;
        json!({ "oauthToken": token })
    } else {
        let name = name(args.username.as_deref(), console)?;
        let password = args.password.read("Password:", console)?;
        json!({ "username": name, "password": password })
    };
    let answer = client.ask_json::<SignInResponse>("/api/v3/authorize", &body).await;
    let signed_in = if args.oauth {
        answer?
    } else {
        answer.map_err(of_password)?
    };
    let text = format!("Signed in as {:?}", signed_in.username);
    let session = StoredSession::new(signed_in, world);
    file.store(host, Some(session), world).await?;
    console.print_text(&text).map_err(CommandError::Output)
}

async fn log_out(args: &LogoutArgs, console: &mut Console, world: &World) -> CommandResult {
    let (file, host) = (file(&args.connection)?, args.connection.host());
    if file.find(host)?.is_none() {
        return Err(CommandError::Account("not signed in".to_owned()));
    }
    let client = args.connection.client(None);
    let ended = match client {
        Ok(client) => client.post("/api/v3/authorize/logout", &[]).await,
        Err(error) => Err(error),
    };
    // The session is removed here in any case, so that it can't be used from this machine.
    file.store(host, None, world).await?;
    ended?;
    console.print("Signed out").map_err(CommandError::Output)
}

async fn reset_password(args: &ResetPasswordArgs, console: &mut Console) -> CommandResult {
    let name = name(args.username.as_deref(), console)?;
    let old = password::ask("Password:", console)?;
    let new = args.new.read_new(console)?;
    let host = args.connection.host();
    let client = args.connection.client_without_token(host)?;
    let body = json!({ "username": name, "password": old, "newPassword": new });
    let changed = client.post_json("/api/v3/authorize/reset-password", &body).await;
    changed.map_err(of_password)?;
    let text = "Password changed: all sessions of the user have ended";
    console.print(text).map_err(CommandError::Output)
}
