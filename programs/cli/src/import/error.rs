//! Errors of imports.

use std::{io, path::Path};

use neap_catalog::DatabaseNameError;
use neap_tsm::TsmError;
use tokio::task::JoinError;

use crate::client::{ClientError, FileRowsError, SplitError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the source: {0}")]
    Source(ClientError),
    /// The source answered a query with an error, or with something else than rows.
    #[error("the source answered '{query}' with: {reason}")]
    Query { query: String, reason: String },
    #[error(transparent)]
    Shard(#[from] TsmError),
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    /// A file of lines cannot be read to its end.
    #[error("cannot read {name}: {error}")]
    Lines { name: String, error: SplitError },
    /// A file of rows cannot be read to its end.
    #[error("cannot read {name}: {error}")]
    Rows { name: String, error: FileRowsError },
    #[error(
        "{0} has no data of InfluxDB: name the folder that contains 'data' or 'engine', or a backup with its manifest"
    )]
    NoData(String),
    #[error("nothing to import: the filters exclude everything")]
    NothingLeft,
    /// A manifest, an archive, or a database file is invalid.
    #[error("{path} is invalid: {reason}")]
    Invalid { path: String, reason: String },
    #[error(
        "the database '{name}' of {origin}: {error}; give it another name with --rename '{origin}=NAME'"
    )]
    DatabaseName {
        origin: String,
        name: String,
        error: DatabaseNameError,
    },
    /// A source names no database, and no option does.
    #[error("{0} names no database: name one with --into")]
    NoDatabase(String),
    /// Columns have several types, and the conflict policy refuses them.
    #[error(
        "{count} columns have several types, listed above: choose with --conflict what to do with them (suffix, convert or skip)"
    )]
    Conflicts { count: usize },
    /// A table was not there when the shards were scanned.
    #[error(
        "the table {0} appeared after the scan: stop the server whose files are imported, and run the import again"
    )]
    NewTable(String),
    /// Two buckets of different organisations become one database, and no option says so.
    #[error(
        "the buckets {one} and {other} would both become the database '{database}': give them databases with --bucket {one}=NAME and --bucket {other}=NAME"
    )]
    SameDatabase {
        one: String,
        other: String,
        database: String,
    },
    /// The values of fields that are integers and floats cannot be told apart over InfluxQL.
    #[error(
        "{0} fields have several types of numbers, listed above, which a running server does not tell apart: copy them as floats with --conflict convert, or import the files of the server with --path"
    )]
    MixedNumbers(usize),
    #[error(
        "the URL of --from has a user or a password: name it with --source-token user:password, or --source-token-file"
    )]
    UserInfo,
    /// The file with the state of an earlier import belongs to another one.
    #[error(
        "{path} is the state of another import or other options, of {other}: remove it, or name another file with --state"
    )]
    OtherState { path: String, other: String },
    #[error("cannot encode rows of {table}: {reason}")]
    Encode { table: String, reason: String },
    #[error("reading the source failed: {0}")]
    Worker(#[from] JoinError),
    /// A thread that reads the source panicked, and left no message.
    #[error("reading the source failed")]
    WorkerStopped,
    /// The server or the source has fewer rows than were sent or announced.
    #[error("{0} tables have other counts than the source, listed above")]
    Counts(usize),
    /// Rows were refused by the server, or could not be read; they were already printed.
    #[error("{refused} rows were refused, {damaged} damaged parts were left out, listed above")]
    Incomplete { refused: u64, damaged: u64 },
}

impl ImportError {
    /// Creates the error of a file operation.
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), error }
    }

    /// Creates the error of a file with invalid contents.
    pub(super) fn invalid(path: &Path, reason: impl ToString) -> Self {
        Self::Invalid { path: path.display().to_string(), reason: reason.to_string() }
    }
}
