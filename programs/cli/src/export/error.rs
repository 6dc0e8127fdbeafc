//! Errors of exports.

use std::{io, path::Path};

use neap_file_formats::ReadError;
use neap_formats::FormatError;
use neap_rows::columnar::EncodeError;

use crate::client::ClientError;

/// The outcome of a part of an export.
pub(super) type ExportResult<T = ()> = Result<T, ExportError>;

/// Error of an export, or of its verification.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{path}: {error}")]
    File { path: String, error: io::Error },
    #[error("{0} is not empty, and has no export to continue: choose another directory")]
    ForeignFiles(String),
    #[error(
        "{directory} has an export with another {difference}: repeat its options to continue it, or choose another \
         directory"
    )]
    OtherExport {
        directory: String,
        difference: &'static str,
    },
    #[error("another process is exporting into {0}")]
    InUse(String),
    #[error("{path} is not the manifest of an export: {reason}")]
    Manifest { path: String, reason: String },
    #[error("{0} has no export: there is no export.json")]
    NoExport(String),
    #[error("table not found: {0}")]
    NoTable(String),
    #[error("unexpected answer of the server: {0}")]
    Answer(String),
    /// The answer has another number of rows than the server has counted.
    #[error("{part}: the server sent {found} rows, but counts {expected}")]
    RowCount {
        part: String,
        expected: u64,
        found: u64,
    },
    /// The server no longer answers as of the stamp of the export.
    #[error("the state that is exported is no longer the one of stamp {stamp}")]
    SnapshotMoved { stamp: u64 },
    /// The server could not keep one state for long enough.
    #[error(
        "the state of the database changed {0} times before a part of it was exported; use --as-of with a stamp of \
         system.versions"
    )]
    NoStableSnapshot(usize),
    #[error(
        "the state of stamp {stamp} that this export has begun with is no longer available: begin a new export, and \
         see --time-travel of `neap serve` ({reason})"
    )]
    SnapshotGone { stamp: u64, reason: String },
    #[error("the export has more than {0} parts: export it by --from and --to")]
    TooManyParts(usize),
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("the Parquet file of the server can't be read: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("rows can't be converted: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The server's Parquet file can't be read as rows of a table.
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Lines(#[from] EncodeError),
    #[error("a row of table '{table}' can't be written as line protocol: {reason} ({row})")]
    Line {
        table: String,
        reason: String,
        /// The row, shortened.
        row: String,
    },
    #[error("the export was interrupted: {0}")]
    Interrupted(String),
    /// The files differ from their checksums. The differences were already printed.
    #[error("{0} differences were found")]
    Different(usize),
    #[error("the export in {0} is not complete: repeat its command to continue it")]
    Incomplete(String),
}

impl ExportError {
    /// Creates the error of a file operation.
    pub(super) fn of_file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.display().to_string(), error }
    }
}
