//! `neap stop node` and `neap remove node`: end a process, and delete its record.
//!
//! ```text
//!   command                      server                         process
//!     |-- POST node/stop ---------->|-- request in its record --->| reads it within 30 s
//!     |-- GET node/stop, again ---->|   "stopping"                | ends its requests
//!     |                             |   "stopped" <-- its record -| exits
//! ```
//!
//! A process that was killed answers no request, and counts as stopped after 2 minutes. All acknowledged data is in the
//! store and belongs to no process.

use std::time::Duration;

use clap::{Args, Subcommand};
use neap_assembly::options::parse_duration;
use neap_bucket::World;
use neap_server::console::Console;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandError, CommandResult,
    name_argument::{NameArgument, NodeName},
    options::ConnectionArgs,
};
use crate::client::{Client, ClientError};

/// The endpoint that requests a stop, and that shows its progress.
const STOP_PATH: &str = "/api/v3/enterprise/configure/node/stop";

/// Interval between two looks at the progress of a stop.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The subcommands of `neap stop`.
#[derive(Debug, Subcommand)]
pub(super) enum StopCommand {
    /// Stop a process after its requests in progress, and wait for it.
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
    #[command(flatten)]
    node_id: NameArgument<NodeName>,

    /// Accepted without effect: there is no confirmation.
    #[arg(long = "force")]
    _force: bool,

    /// How long to wait until the process has stopped.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m")]
    timeout: Duration,

    /// Return as soon as the process is asked to stop.
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap remove node`.
#[derive(Debug, Args)]
pub(super) struct RemoveNodeArgs {
    #[command(flatten)]
    node_id: NameArgument<NodeName>,

    /// Accepted without effect: there is no confirmation.
    #[arg(long = "no-confirm")]
    _no_confirm: bool,

    /// Remove it even if it is recorded as running. No data is lost.
    #[arg(long)]
    force_finalize: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The progress of a stop.
#[derive(Debug, Deserialize)]
struct NodeStopStatus {
    instances: Vec<InstanceStatus>,
}

/// The state of one process.
#[derive(Debug, Deserialize)]
struct InstanceStatus {
    instance_id: String,
    state: String,
    is_answering: bool,
}

impl InstanceStatus {
    fn is_stopped(&self) -> bool {
        self.state == "stopped"
    }
}

/// Stops the processes with a name, and waits until they have stopped.
pub(super) async fn stop(
    command: &StopCommand,
    console: &mut Console,
    world: &World,
) -> CommandResult {
    let StopCommand::Node(args) = command;
    let client = args.connection.client(None)?;
    let body = json!({ "node_id": args.node_id.as_str() });
    let mut status: NodeStopStatus = client.ask_json(STOP_PATH, &body).await?;
    // Processes that a supervisor starts under the same name in the meantime are not waited for.
    status.instances.retain(|instance| !instance.is_stopped());
    if args.no_wait && !status.instances.is_empty() {
        let text = format!("Node {:?} is asked to stop", args.node_id.as_str());
        return console.print(text).map_err(CommandError::Output);
    }
    let deadline = world.clock.monotonic() + args.timeout;
    while let Some(waiting) = status.instances.first() {
        if world.clock.monotonic() >= deadline {
            return Err(CommandError::NodeNotStopped {
                node: args.node_id.as_str().to_owned(),
                state: waiting.state.clone(),
                timeout: args.timeout,
            });
        }
        world.clock.sleep(POLL_INTERVAL).await;
        status.instances = refresh(&client, args.node_id.as_str(), status.instances).await?;
    }
    let text = format!("Node {:?} is stopped", args.node_id.as_str());
    console.print(text).map_err(CommandError::Output)
}

/// Returns those of the processes that have not stopped yet.
async fn refresh(
    client: &Client,
    node_id: &str,
    waiting: Vec<InstanceStatus>,
) -> Result<Vec<InstanceStatus>, ClientError> {
    let query = [("node_id", node_id)];
    let asked = client.fetch_json(Method::GET, STOP_PATH, &query).await;
    let is_gone = |error: &ClientError| {
        matches!(error, ClientError::Unreachable { .. } | ClientError::Interrupted { .. })
    };
    match asked {
        Ok(NodeStopStatus { mut instances }) => {
            instances.retain(|instance| {
                let is_same = |other: &InstanceStatus| other.instance_id == instance.instance_id;
                !instance.is_stopped() && waiting.iter().any(is_same)
            });
            Ok(instances)
        }
        // The process that answers is the only one to stop, and accepts no requests any more.
        Err(error) if is_gone(&error) && waiting.iter().all(|one| one.is_answering) => {
            Ok(Vec::new())
        }
        // Its record was removed.
        Err(ClientError::Refused { status, .. }) if status == reqwest::StatusCode::NOT_FOUND => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Removes a process from the list of nodes.
pub(super) async fn remove(command: &RemoveCommand, console: &mut Console) -> CommandResult {
    let RemoveCommand::Node(args) = command;
    let client = args.connection.client(None)?;
    let body = json!({ "node_id": args.node_id.as_str(), "force_finalize": args.force_finalize });
    let path = "/api/v3/enterprise/configure/node/remove";
    client.post_json(path, &body).await?;
    let text = format!("Node {:?} is removed", args.node_id.as_str());
    console.print(text).map_err(CommandError::Output)
}
