//! `neap create|status|show|cancel restore`: restores from backups, through a server.

use clap::Args;
use neap_server::console::Console;
use serde::Deserialize;
use serde_json::json;

use super::{
    CommandError, CommandResult, confirm,
    jobs::{JobProgress, ShownJob, print_jobs, print_status},
    options::{ConnectionArgs, without_nulls},
    rows::ServerListArgs,
};
use crate::{client::ApiPath, times::as_of_for_server};

/// Path of InfluxDB 3 Enterprise.
const RESTORES: &str = "/api/v3/enterprise/restore";

/// Tells that restored rows do not expire.
pub(super) const RETENTION_IS_OFF: &str = "Retention is off in what is restored, so that old rows do not expire: set it again with `neap update database --retention-period`, or restore with --keep-retention";

/// The options of `neap create restore`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("state").args(["backup", "as_of"]).required(true))]
pub(super) struct CreateRestoreArgs {
    /// The name of the backup.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,

    /// The place that has the backup, if the cluster does not list it. One of those that the server permits.
    #[arg(long, value_name = "URL|DIR", requires = "backup")]
    from: Option<String>,

    /// Restore --database to this time or stamp, in place of a backup: 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME|STAMP", value_parser = as_of_for_server, requires = "database")]
    as_of: Option<String>,

    /// Restore only this database; all of the backup by default.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    /// Restore --database as a new database of this name. By default, the restored databases replace the present ones.
    #[arg(long, value_name = "NAME", requires = "database")]
    to: Option<String>,

    /// Use the retention of the backup. Without it, restored rows are kept forever, because they may be older than the
    /// retention.
    #[arg(long)]
    keep_retention: bool,

    /// Don't ask.
    #[arg(short = 'y', long)]
    yes: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The options of `neap status restore` and `neap cancel restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreIdArgs {
    /// The id of the restore.
    id: String,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Deserialize)]
struct StartedRestore {
    restore_id: String,
}

#[derive(Deserialize)]
struct Restore {
    restore_id: String,
    backup_name: String,
    #[serde(flatten)]
    progress: JobProgress,
    database: Option<String>,
    to: Option<String>,
}

impl ShownJob for Restore {
    const LIST: &'static str = "restores";
    const COLUMNS: &'static [&'static str] = &[
        "restore_id",
        "backup_name",
        "status",
        "created_at",
        "completed_at",
        "total_files",
        "total_size_bytes",
        "database",
        "to",
        "error",
    ];

    fn progress(&self) -> &JobProgress {
        &self.progress
    }

    fn title(&self) -> String {
        format!("Restore {} of {:?}", self.restore_id, self.backup_name)
    }

    fn values(&self) -> [Option<&str>; 4] {
        let (database, to) = (self.database.as_deref(), self.to.as_deref());
        [Some(&self.restore_id), Some(&self.backup_name), database, to]
    }
}

/// Starts a restore, after a confirmation if it replaces databases.
pub(super) async fn create(args: &CreateRestoreArgs, console: &mut Console) -> CommandResult {
    if args.to.is_none() && !args.yes {
        confirm::replacement(args.database.as_deref(), console)?;
    }
    let body = json!({
        "backup_name": args.backup,
        "from": args.from,
        "as_of": args.as_of,
        "database": args.database,
        "to": args.to,
        "keep_retention": args.keep_retention,
    });
    let client = args.connection.client(None)?;
    let started: StartedRestore = client.ask_json(RESTORES, &without_nulls(body)).await?;
    let text = format!("Restore {} started", started.restore_id);
    console.print(text).map_err(CommandError::Output)?;
    if !args.keep_retention {
        console.report(RETENTION_IS_OFF);
    }
    Ok(())
}

/// Prints the state of a restore.
pub(super) async fn status(args: &RestoreIdArgs, console: &mut Console) -> CommandResult {
    let path = ApiPath::below(RESTORES, &[&args.id])?;
    print_status::<Restore>(&args.connection, path, console).await
}

/// Lists the restores, newest first.
pub(super) async fn show(args: &ServerListArgs, console: &mut Console) -> CommandResult {
    print_jobs::<Restore>(args, RESTORES, console).await
}

/// Cancels a restore in progress. Returns what to print.
pub(super) async fn cancel(args: &RestoreIdArgs) -> CommandResult<String> {
    let client = args.connection.client(None)?;
    client.delete(ApiPath::below(RESTORES, &[&args.id])?, &[]).await?;
    Ok(format!("Restore {} is cancelled", args.id))
}
