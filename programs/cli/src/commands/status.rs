//! `neap status`: the states of backups and restores.

use clap::Subcommand;
use neap_server::console::Console;

use super::{CommandResult, backup, backup_restore};

/// The subcommands of `neap status`.
#[derive(Debug, Subcommand)]
pub(super) enum StatusCommand {
    /// Show whether a backup is in progress, completed or failed.
    Backup(backup::NamedBackupArgs),
    /// Show whether a restore is in progress, completed or failed.
    Restore(backup_restore::RestoreIdArgs),
}

/// Executes `neap status`.
pub(super) async fn run(command: &StatusCommand, console: &mut Console) -> CommandResult {
    match command {
        StatusCommand::Backup(args) => backup::status(args, console).await,
        StatusCommand::Restore(args) => backup_restore::status(args, console).await,
    }
}
