//! `neap stop node` and `neap remove node`: correct what the cluster knows of a process that was killed.
//!
//! A process that is asked to stop records this itself. All acknowledged data is in the store and belongs to no
//! process, so there is nothing to wait for.

use std::time::Duration;

use clap::{Args, Subcommand};
use neap_options::parse_duration;
use serde_json::json;

use super::{CommandError, options::ConnectionArgs};
use crate::console::Console;

/// The subcommands of `neap stop`.
#[derive(Debug, Subcommand)]
pub(super) enum StopCommand {
    /// Record that a process was stopped, if it could not do that itself.
    Node(StopNodeArgs),
}

/// The subcommands of `neap remove`.
#[derive(Debug, Subcommand)]
pub(super) enum RemoveCommand {
    /// Remove a stopped process from the list of nodes.
    Node(RemoveNodeArgs),
}

/// The options of `neap stop node`.
#[derive(Debug, Args)]
pub(super) struct StopNodeArgs {
    /// The name of the node.
    #[arg(long, value_name = "NAME")]
    node_id: String,

    /// Accepted without effect: there is no confirmation.
    #[arg(long = "force")]
    _force: bool,

    /// Accepted without effect: the server answers when the node is recorded as stopped.
    #[arg(long = "timeout", value_name = "DURATION", value_parser = parse_duration)]
    _timeout: Option<Duration>,

    /// Accepted without effect, as --timeout.
    #[arg(long = "no-wait")]
    _no_wait: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap remove node`.
#[derive(Debug, Args)]
pub(super) struct RemoveNodeArgs {
    /// The name of the node.
    #[arg(long, value_name = "NAME")]
    node_id: String,

    /// Accepted without effect: there is no confirmation.
    #[arg(long = "no-confirm")]
    _no_confirm: bool,

    /// Remove it even if it is recorded as running. No data is lost.
    #[arg(long)]
    force_finalize: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Records that a process has stopped.
///
/// # Errors
///
/// The server refused the request, or the output is closed.
pub(super) async fn stop(command: &StopCommand, console: &mut Console) -> Result<(), CommandError> {
    let StopCommand::Node(args) = command;
    let client = args.connection.client(None)?;
    let body = json!({ "node_id": args.node_id });
    let path = "/api/v3/enterprise/configure/node/stop";
    client.post_json(path, &body).await?;
    let text = format!("Node {:?} is stopped", args.node_id);
    console.print(text).map_err(CommandError::Output)
}

/// Removes a process from the list of nodes.
///
/// # Errors
///
/// The server refused the request, or the output is closed.
pub(super) async fn remove(
    command: &RemoveCommand,
    console: &mut Console,
) -> Result<(), CommandError> {
    let RemoveCommand::Node(args) = command;
    let client = args.connection.client(None)?;
    let body = json!({ "node_id": args.node_id, "force_finalize": args.force_finalize });
    let path = "/api/v3/enterprise/configure/node/remove";
    client.post_json(path, &body).await?;
    let text = format!("Node {:?} is removed", args.node_id);
    console.print(text).map_err(CommandError::Output)
}
