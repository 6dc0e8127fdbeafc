//! `neap cancel`: ends work of a server.

use clap::Subcommand;
use neap_server::console::Console;

use super::{
    CommandError, CommandResult, backup, backup_restore,
    row_deletes::{self, CancelRowDeleteArgs},
};

/// The subcommands of `neap cancel`.
#[derive(Debug, Subcommand)]
pub(super) enum CancelCommand {
    /// Cancel a request to delete rows. Neap deletes rows at once and refuses this; it is for InfluxDB 3 Enterprise.
    RowDelete(Box<CancelRowDeleteArgs>),
    /// Cancel a backup in progress.
    Backup(backup::NamedBackupArgs),
    /// Cancel a restore in progress. The present databases stay.
    Restore(backup_restore::RestoreIdArgs),
}

/// Executes `neap cancel`.
pub(super) async fn run(command: &CancelCommand, console: &mut Console) -> CommandResult {
    let text = match command {
        CancelCommand::RowDelete(args) => row_deletes::cancel(args).await?,
        CancelCommand::Backup(args) => backup::cancel(args).await?,
        CancelCommand::Restore(args) => backup_restore::cancel(args).await?,
    };
    console.print(text).map_err(CommandError::Output)
}
