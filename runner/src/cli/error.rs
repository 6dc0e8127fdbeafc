//! Why a command failed.

use std::io;

use neap_catalog::CatalogError;

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
    /// Several arguments where there is one.
    #[error("more than one argument: put the {0} in quotes")]
    NotQuoted(&'static str),
    /// A question was not answered with yes.
    #[error("Cannot proceed without confirmation")]
    NotConfirmed,
    /// A Parquet file would go to a terminal.
    #[error("a Parquet file is not for a terminal: write it to a file{0}")]
    ParquetToTerminal(&'static str),
    /// The server can't be started.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The store can't be used.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// The catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// There is no such database.
    #[error("database not found: {0}")]
    NoDatabase(String),
    /// Databases were not flushed; why was told before.
    #[error("{failed} databases were not flushed")]
    NotFlushed {
        /// How many.
        failed: usize,
    },
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
