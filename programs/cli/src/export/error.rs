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
pub enum ExportError {
    /// A request failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// The directory has files that no export wrote.
    #[error("{0} is not empty, and has no export to continue: choose another directory")]
    ForeignFiles(String),
    /// The directory has another export.
    #[error(
        "{directory} has an export with another {difference}: repeat its options to continue it, or choose another \
         directory"
    )]
    OtherExport {
        /// The directory.
        directory: String,
        /// The option that differs.
        difference: &'static str,
    },
    /// Another process exports into the directory.
    #[error("another process is exporting into {0}")]
    InUse(String),
    /// The manifest can't be decoded.
    #[error("{path} is not the manifest of an export: {reason}")]
    Manifest {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The directory has no export.
    #[error("{0} has no export: there is no export.json")]
    NoExport(String),
    /// The database has no such table.
    #[error("table not found: {0}")]
    NoTable(String),
    /// The server's answer can't be decoded.
    #[error("unexpected answer of the server: {0}")]
    Answer(String),
    /// The answer has another number of rows than the server has counted.
    #[error("{part}: the server sent {found} rows, but counts {expected}")]
    RowCount {
        /// The table and its time range.
        part: String,
        /// The number of rows that the server counts.
        expected: u64,
        /// The number of rows that it sent.
        found: u64,
    },
    /// The server no longer answers as of the stamp of the export.
    #[error("the state that is exported is no longer the one of stamp {stamp}")]
    SnapshotMoved {
        /// The stamp of the export.
        stamp: u64,
    },
    /// The server could not keep one state for long enough.
    #[error(
        "the state of the database changed {0} times before a part of it was exported; use --as-of with a stamp of \
         system.versions"
    )]
    NoStableSnapshot(usize),
    /// The state of an interrupted export is gone.
    #[error(
        "the state of stamp {stamp} that this export has begun with is no longer available: begin a new export, and \
         see --time-travel of `neap serve` ({reason})"
    )]
    SnapshotGone {
        /// The stamp of the export.
        stamp: u64,
        /// The server's answer.
        reason: String,
    },
    /// The export has too many parts.
    #[error("the export has more than {0} parts: export it by --from and --to")]
    TooManyParts(usize),
    /// A value can't be written in the format.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// The server's Parquet file can't be read.
    #[error("the Parquet file of the server can't be read: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow can't convert rows.
    #[error("rows can't be converted: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The server's Parquet file can't be read as rows of a table.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rows can't be written as line protocol.
    #[error(transparent)]
    Lines(#[from] EncodeError),
    /// A row can't be written as line protocol.
    #[error("a row of table '{table}' can't be written as line protocol: {reason} ({row})")]
    Line {
        /// The table.
        table: String,
        /// The cause.
        reason: String,
        /// The row, shortened.
        row: String,
    },
    /// A thread of the export ended unexpectedly.
    #[error("the export was interrupted: {0}")]
    Interrupted(String),
    /// The files differ from their checksums. The differences were already printed.
    #[error("{0} differences were found")]
    Different(usize),
    /// The export has not finished.
    #[error("the export in {0} is not complete: repeat its command to continue it")]
    Incomplete(String),
}

impl ExportError {
    /// Creates the error of a file operation.
    pub(super) fn of_file(path: &Path, error: io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            error,
        }
    }
}
