//! `neap create|status|show|delete|cancel backup`.

use clap::Args;
use neap_server::console::Console;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandResult,
    confirm::DeletionArgs,
    jobs::{JobProgress, ShownJob, print_jobs, print_status},
    name_argument::{BackupName, NameArgument, NewBackupName},
    options::{ConnectionArgs, without_nulls},
    rows::ServerListArgs,
};
use crate::client::ApiPath;

/// Path of InfluxDB 3 Enterprise.
const BACKUPS: &str = "/api/v3/enterprise/backup";

/// The options of `neap create backup`.
#[derive(Debug, Args)]
pub(super) struct CreateBackupArgs {
    #[command(flatten)]
    name: NameArgument<NewBackupName, Option<String>>,

    /// Replace a backup of the same name when the new one is completed.
    #[arg(long)]
    force: bool,

    /// At another place, copy only the objects that the parent lacks.
    #[arg(long, requires = "parent")]
    incremental: bool,

    /// The name of the backup that an incremental backup continues.
    #[arg(long, value_name = "NAME", requires = "incremental")]
    parent: Option<String>,

    /// Back up only this database; all of them by default.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    /// The place to back up to, one of those that the server permits (--backup-to). By default the bucket itself, which
    /// costs no copy.
    #[arg(long, value_name = "URL|DIR")]
    to: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap status backup` and `neap cancel backup`.
#[derive(Debug, Args)]
pub(super) struct NamedBackupArgs {
    #[command(flatten)]
    name: NameArgument<BackupName>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap delete backup`.
#[derive(Debug, Args)]
pub(super) struct DeleteBackupArgs {
    #[command(flatten)]
    name: NameArgument<BackupName>,

    /// Delete all incremental backups that continue it, too.
    #[arg(long)]
    incremental: bool,

    #[command(flatten)]
    deletion: DeletionArgs,
}

#[derive(Deserialize)]
struct StartedBackup {
    backup_name: String,
}

#[derive(Deserialize)]
struct Backup {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    progress: JobProgress,
    parent: Option<String>,
    to: Option<String>,
}

impl ShownJob for Backup {
    const LIST: &'static str = "backups";
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "type",
        "status",
        "created_at",
        "completed_at",
        "total_files",
        "total_size_bytes",
        "parent",
        "to",
        "error",
    ];

    fn progress(&self) -> &JobProgress {
        &self.progress
    }

    fn title(&self) -> String {
        format!("Backup {:?}", self.name)
    }

    fn values(&self) -> [Option<&str>; 4] {
        let (parent, to) = (self.parent.as_deref(), self.to.as_deref());
        [Some(&self.name), Some(&self.kind), parent, to]
    }
}

/// Starts a backup. Returns what to print.
pub(super) async fn create(args: &CreateBackupArgs) -> CommandResult<String> {
    let body = json!({
        "type": if args.incremental { "incremental" } else { "full" },
        "name": args.name.as_deref(),
        "force": args.force,
        "parent": args.parent,
        "database": args.database,
        "to": args.to,
    });
    let client = args.connection.client(None)?;
    let started: StartedBackup = client.ask_json(BACKUPS, &without_nulls(body)).await?;
    Ok(format!(
        "Backup {0:?} started: `neap status backup {0:?}` shows when it is completed",
        started.backup_name
    ))
}

/// Prints the state of a backup.
pub(super) async fn status(args: &NamedBackupArgs, console: &mut Console) -> CommandResult {
    let path = ApiPath::below(BACKUPS, &[args.name.as_str()])?;
    print_status::<Backup>(&args.connection, path, console).await
}

/// Lists the backups.
pub(super) async fn show(args: &ServerListArgs, console: &mut Console) -> CommandResult {
    print_jobs::<Backup>(args, BACKUPS, console).await
}

/// Cancels a backup in progress. Returns what to print.
pub(super) async fn cancel(args: &NamedBackupArgs) -> CommandResult<String> {
    let name = args.name.as_str();
    let client = args.connection.client(None)?;
    client.delete_json(BACKUPS, &json!({ "name": name })).await?;
    Ok(format!("Backup {name:?} is cancelled"))
}

/// Deletes a backup after a confirmation. Returns what to print.
pub(super) async fn delete(
    args: &DeleteBackupArgs,
    console: &mut Console,
) -> CommandResult<String> {
    let name = args.name.as_str();
    let path = ApiPath::below(BACKUPS, &[name])?;
    let client = args.deletion.confirm(&format!("backup {name:?}"), console)?;
    let incremental = args.incremental.to_string();
    client.delete(path, &[("incremental", &incremental)]).await?;
    Ok(format!("Backup {name:?} deleted successfully"))
}
