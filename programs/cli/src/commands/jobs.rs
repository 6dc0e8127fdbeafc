//! The states and lists of backups and restores, as a server answers them.

use std::collections::BTreeMap;

use neap_server::console::Console;
use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    CommandError, CommandResult,
    options::ConnectionArgs,
    rows::{Rows, ServerListArgs},
};
use crate::client::ApiPath;

/// The progress of a backup or restore.
#[derive(Deserialize)]
pub(super) struct JobProgress {
    status: String,
    created_at: String,
    completed_at: Option<String>,
    total_files: u64,
    total_size_bytes: u64,
    error: Option<String>,
}

/// A backup or restore in an answer.
pub(super) trait ShownJob: DeserializeOwned {
    /// The name of the list in an answer.
    const LIST: &'static str;

    /// The columns of the list: its first two values, its progress, its last two values, and its error.
    const COLUMNS: &'static [&'static str];

    fn progress(&self) -> &JobProgress;

    /// Returns its kind and name.
    fn title(&self) -> String;

    fn values(&self) -> [Option<&str>; 4];
}

/// Prints the state of a job.
pub(super) async fn print_status<T: ShownJob>(
    connection: &ConnectionArgs,
    path: impl Into<ApiPath>,
    console: &mut Console,
) -> CommandResult {
    let client = connection.client(None)?;
    let job: T = client.fetch_json(Method::GET, path, &[]).await?;
    let progress = job.progress();
    let reason = progress.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    let text = format!(
        "{} is {}{reason}\n{} files, {} bytes",
        job.title(),
        progress.status,
        progress.total_files,
        progress.total_size_bytes
    );
    console.print(text).map_err(CommandError::Output)
}

/// Prints all jobs of a kind.
pub(super) async fn print_jobs<T: ShownJob>(
    args: &ServerListArgs,
    path: impl Into<ApiPath>,
    console: &mut Console,
) -> CommandResult {
    let client = args.connection.client(None)?;
    let mut answer: BTreeMap<String, Vec<T>> = client.fetch_json(Method::GET, path, &[]).await?;
    let jobs = answer.remove(T::LIST).unwrap_or_default();
    let rows = jobs.iter().map(|job| {
        let [name, kind, source, target] = job.values().map(Value::from);
        let progress = job.progress();
        vec![
            name,
            kind,
            json!(progress.status),
            json!(progress.created_at),
            json!(progress.completed_at),
            json!(progress.total_files),
            json!(progress.total_size_bytes),
            source,
            target,
            json!(progress.error),
        ]
    });
    Rows::new(T::COLUMNS, rows).print(args.format, console)
}
