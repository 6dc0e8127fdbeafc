//! Errors of commands.

use std::{io, path::Path, time::Duration};

use neap_aws_bucket::BucketError;
use neap_backup::{BackupError, CopyError};
use neap_catalog::CatalogError;
use neap_fsck::FsckError;
use neap_manifest::{ManifestError, RestoreError};
use neap_mcp::StdioError;
use neap_sync::{HttpTargetError, ShipError, SiteSourceError};

use super::{config::ConfigError, import::SourceError};
use neap_compact::{CompactError, TimeTravelTooShort};
use neap_server::{ServeError, stores::StoresError};

use crate::{
    client::{ClientError, UploadError},
    export::ExportError,
    import::ImportError,
};

/// The outcome of a command, or of a part of one. Commands of a server fail if a request fails or is refused, if the user does not
/// confirm, and if the result can't be printed.
pub(crate) type CommandResult<T = ()> = Result<T, CommandError>;

/// Error of a command, shown as `<Command> command failed: <error>`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Some files were not uploaded. Their errors are reported.
    #[error("{failed} of {total} files were not uploaded")]
    FilesNotUploaded { failed: usize, total: usize },
    #[error("{path}: {error}")]
    File { path: String, error: io::Error },
    #[error(
        "node '{node}' did not stop within {timeout:?}, and is {state}; it stops as soon as its requests in progress end"
    )]
    NodeNotStopped {
        node: String,
        state: String,
        timeout: Duration,
    },
    #[error("cannot print the result: {0}")]
    Output(io::Error),
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    #[error("no {0} given: pass it as an argument, in a file with --file, or to standard input")]
    MissingInput(&'static str),
    /// The command line lacks an option that only some uses of the command need.
    #[error("{0}")]
    Usage(clap::Error),
    #[error("more than one argument: put the {what} in quotes: {command}")]
    NotQuoted { what: &'static str, command: String },
    /// A statement was refused, and more is known than the error says.
    #[error("{error}\n{hint}")]
    Statement { error: ClientError, hint: String },
    /// The results of several statements can't be put into one file.
    #[error("several statements have several results: run each by itself, or print text")]
    SeveralResults,
    #[error("Cannot proceed without confirmation")]
    NotConfirmed,
    /// The output is a terminal and the format is Parquet.
    #[error("cannot print Parquet to a terminal: write it to a file with --output")]
    ParquetToTerminal,
    #[error("Failed to create token, error: {0}")]
    TokenNotCreated(Box<Self>),
    /// The response to a token creation contains no token. The response is not shown, because it may contain a token
    /// elsewhere.
    #[error("the server's answer has no token")]
    NoToken,
    /// A server without support for `--with-created` has deleted the named token.
    #[error(
        "the server has deleted this token, and not the tokens that it created: it does not know --with-created"
    )]
    OnlyTokenDeleted,
    #[error("{0}")]
    Account(String),
    /// A folder is not a Python package, so it can't be a plugin.
    #[error("the folder '{path}' is not a plugin: it has no __init__.py")]
    NotAPlugin { path: String },
    /// The files of a plugin exceed the size limit of one request.
    #[error("the plugin is too large: its files have more than {limit} bytes together")]
    PluginTooLarge {
        /// Maximum total size in bytes.
        limit: u64,
    },
    #[error("the {what} is too large: it has more than {limit} bytes")]
    InputTooLarge {
        what: &'static str,
        /// Maximum size in bytes.
        limit: u64,
    },
    #[error("system table '{name}' not found, there are: {}", tables.join(", "))]
    NoSystemTable { name: String, tables: Vec<String> },
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Mcp(#[from] StdioError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{place} must not be used with these settings, data would be lost:\n{report}")]
    BucketLosesData { place: String, report: String },
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Stores(#[from] StoresError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The time-travel period is too short: dropped data would be deleted while queries read it.
    #[error(transparent)]
    TimeTravel(#[from] TimeTravelTooShort),
    #[error("the requested earlier state is no longer available{}", oldest_text(oldest.as_deref()))]
    VersionGone { oldest: Option<String> },
    #[error(transparent)]
    Fsck(#[from] FsckError),
    /// The time of a store that is no directory was requested.
    #[error("--clock requires a store in a directory")]
    NoDirectory,
    /// The time of a directory can't be read or set.
    #[error("the time of the directory can't be read or set: {0}")]
    DirectoryTime(io::Error),
    /// The check found damage, which was already printed.
    #[error("{errors} errors were found")]
    Damaged { errors: u64 },
    #[error("the copy is not complete: {0}")]
    Copy(#[from] CopyError),
    #[error("--to: {0}")]
    Destination(String),
    /// The source deleted an object before it was copied; the findings were already printed.
    #[error("the copy is incomplete, {errors} errors were found: run the command again")]
    CopyNotWhole { errors: u64 },
    #[error(transparent)]
    SyncTarget(#[from] HttpTargetError),
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// The synchronization of a database can't be started or ended.
    #[error(transparent)]
    SiteSource(#[from] SiteSourceError),
    /// The data directory, or that of the backups, does not exist.
    #[error("there is no directory {0}")]
    MissingDirectory(String),
    #[error("there is no database cluster in {0}")]
    NoCluster(String),
    #[error("database not found: {0}")]
    NoDatabase(String),
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// Some compaction steps failed; the reasons were already printed.
    #[error("{failed} failures, listed above")]
    NotFlushed { failed: usize },
    #[error("errors in the configuration:\n{0}")]
    Config(#[from] ConfigError),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("query group not found: {0}")]
    NoQueryGroup(String),
    #[error("table '{database}.{table}' already exists")]
    TableExists { database: String, table: String },
}

impl CommandError {
    /// Creates the error of a file operation.
    pub(super) fn of_file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.display().to_string(), error }
    }

    /// Returns a hint to print on a separate line after the error.
    pub(super) fn hint(&self) -> Option<&'static str> {
        self.client_error()?.hint()
    }

    /// Returns the error of the request that failed.
    fn client_error(&self) -> Option<&ClientError> {
        match self {
            Self::Client(error)
            | Self::Upload(UploadError::Client(error))
            | Self::Export(ExportError::Client(error)) => Some(error),
            Self::Upload(UploadError::Stopped { error, .. }) => match error.as_ref() {
                UploadError::Client(error) => Some(error),
                _ => None,
            },
            Self::TokenNotCreated(error) => error.client_error(),
            _ => None,
        }
    }
}

fn oldest_text(oldest: Option<&str>) -> String {
    oldest.map_or(String::new(), |oldest| format!(", the oldest version is of {oldest}"))
}
