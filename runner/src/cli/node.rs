//! `neap stop node` and `neap remove node`: accepted for scripts written for InfluxDB 3 Enterprise.
//!
//! A node of InfluxDB 3 Enterprise owns files and an entry in the catalog, and both must be released in order. In Neap,
//! all acknowledged data is in the store and belongs to no node.

use clap::{Args, Subcommand};

use super::{CommandError, options::ConnectionArgs};
use crate::console::Console;

/// The subcommands of `neap stop`.
#[derive(Debug, Subcommand)]
pub(super) enum StopCommand {
    /// Accepted for InfluxDB 3 Enterprise: nothing needs to be done before a node stops.
    Node(StopNodeArgs),
}

/// The subcommands of `neap remove`.
#[derive(Debug, Subcommand)]
pub(super) enum RemoveCommand {
    /// Accepted for InfluxDB 3 Enterprise: nothing needs to be done after a node has stopped.
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

    #[command(flatten)]
    _connection: ConnectionArgs,
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

    /// Accepted without effect: no data is lost.
    #[arg(long = "force-finalize")]
    _force_finalize: bool,

    #[command(flatten)]
    _connection: ConnectionArgs,
}

/// Prints that a node needs no stopping.
///
/// # Errors
///
/// The output is closed.
pub(super) fn stop(command: &StopCommand, console: &mut Console) -> Result<(), CommandError> {
    let StopCommand::Node(args) = command;
    let text = format!(
        "Nothing to do for node {:?}: stop its process, all acknowledged data is in the store",
        args.node_id
    );
    console.print(text).map_err(CommandError::Output)
}

/// Prints that a node needs no removal.
///
/// # Errors
///
/// The output is closed.
pub(super) fn remove(command: &RemoveCommand, console: &mut Console) -> Result<(), CommandError> {
    let RemoveCommand::Node(args) = command;
    let text = format!(
        "Nothing to do for node {:?}: it has no data of its own",
        args.node_id
    );
    console.print(text).map_err(CommandError::Output)
}
