//! Why a command failed.

use std::{io, path::Path};

use neap_catalog::CatalogError;
use neap_fsck::FsckError;
use neap_manifest::{ManifestError, RestoreError};
use reqwest::StatusCode;

use super::{config::ConfigError, copier::CopyError};
use neap_compact::{CompactError, TimeTravelTooShort};

use crate::{
    client::{ClientError, UploadError},
    serve::ServeError,
    stores::StoresError,
};

/// The failure of a command, shown as `<Command> command failed: <error>`.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A request failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Not everything was written.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// The result can't be printed.
    #[error("cannot print the result: {0}")]
    Output(io::Error),
    /// The input can't be read.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    /// Nothing was given to work on.
    #[error("no {0} given: pass it as an argument, in a file with --file, or to standard input")]
    NothingGiven(&'static str),
    /// The command line lacks what only some uses of a command can do without.
    #[error("{0}")]
    Usage(clap::Error),
    /// Several arguments where there is one.
    #[error("more than one argument: put the {what} in quotes: {command}")]
    NotQuoted {
        /// The text that the arguments are pieces of.
        what: &'static str,
        /// The command with the text in quotes.
        command: String,
    },
    /// A question was not answered with yes.
    #[error("Cannot proceed without confirmation")]
    NotConfirmed,
    /// A Parquet file would go to a terminal.
    #[error("a Parquet file is not for a terminal: write it to a file with --output")]
    ParquetToTerminal,
    /// A token could not be created.
    #[error("Failed to create token, error: {0}")]
    TokenNotCreated(Box<Self>),
    /// The answer to the creation of a token has none. It is not shown, since it may hold one elsewhere.
    #[error("the server's answer has no token")]
    NoToken,
    /// A folder is no Python package, so it can't be a plugin.
    #[error("the folder '{path}' is no plugin: it has no __init__.py")]
    NotAPlugin {
        /// The folder.
        path: String,
    },
    /// The files of a plugin are more than a server takes at once.
    #[error("the plugin is too large: its files have more than {limit} bytes together")]
    PluginTooLarge {
        /// The most bytes that they may have.
        limit: u64,
    },
    /// There is no such system table.
    #[error("system table '{name}' not found, there are: {}", tables.join(", "))]
    NoSystemTable {
        /// The name that was given.
        name: String,
        /// The names that there are.
        tables: Vec<String>,
    },
    /// The server can't be started.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The store can't be used.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// The catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A database can't be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// What was dropped would be deleted while queries read it.
    #[error(transparent)]
    TimeTravel(#[from] TimeTravelTooShort),
    /// The version that was asked for can't be read any more.
    #[error("the data as of then are gone{}", oldest_text(oldest.as_deref()))]
    VersionGone {
        /// The time of the oldest version that can be read.
        oldest: Option<String>,
    },
    /// The check was broken off.
    #[error(transparent)]
    Fsck(#[from] FsckError),
    /// There is damage; what it is was told before.
    #[error("{errors} errors were found")]
    Damaged {
        /// How many findings are errors.
        errors: u64,
    },
    /// The cluster could not be copied.
    #[error("the copy is not complete: {0}")]
    Copy(#[from] CopyError),
    /// The place to copy to is none.
    #[error("--to: {0}")]
    Destination(String),
    /// The source removed something before it was copied; what it is was told before.
    #[error("the copy is not whole, {errors} errors were found: run the command again")]
    CopyNotWhole {
        /// How many findings are errors.
        errors: u64,
    },
    /// Nobody has used the store.
    #[error("there is no database cluster in {0}")]
    NoCluster(String),
    /// There is no such database.
    #[error("database not found: {0}")]
    NoDatabase(String),
    /// Compaction failed.
    #[error(transparent)]
    Compact(#[from] CompactError),
    /// Compaction failed in places; why was told before.
    #[error("{failed} failures, told above")]
    NotFlushed {
        /// How many.
        failed: usize,
    },
    /// The configuration has mistakes.
    #[error("mistakes in the configuration:\n{0}")]
    Config(#[from] ConfigError),
    /// No thread can be started.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// A table is there already.
    #[error("table '{database}.{table}' already exists")]
    TableExists {
        /// The database.
        database: String,
        /// The table.
        table: String,
    },
}

impl CommandError {
    /// The error of a file.
    pub(super) fn of_file(path: &Path, error: io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            error,
        }
    }

    /// What might help, for a line of its own behind the error.
    pub(super) fn hint(&self) -> Option<&'static str> {
        (self.refusal()? == StatusCode::UNAUTHORIZED).then_some(
            "The server wants a valid token: pass it with --token, or set NEAP_AUTH_TOKEN",
        )
    }

    /// The status of the server's refusal, if it is one.
    fn refusal(&self) -> Option<StatusCode> {
        match self {
            Self::Client(ClientError::Refused { status, .. })
            | Self::Upload(UploadError::Client(ClientError::Refused { status, .. })) => {
                Some(*status)
            }
            Self::TokenNotCreated(error) => error.refusal(),
            _ => None,
        }
    }
}

fn oldest_text(oldest: Option<&str>) -> String {
    oldest.map_or(String::new(), |oldest| {
        format!(", the oldest version is of {oldest}")
    })
}
