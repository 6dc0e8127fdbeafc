//! Errors that end the reading of a file.

use std::io;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;
use thiserror::Error;

/// Reasons why the rest of a file cannot be read.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum ReadError {
    /// The input cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The format is neither given nor recognized.
    #[error("the format of the file is not recognized: name it (csv, jsonl, parquet or arrow)")]
    UnknownFormat,
    /// The end of a Parquet file is needed first, but the input is a stream.
    #[error("Parquet cannot be read from a stream: save it as a file")]
    NeedsFile,
    /// The file is larger than the limit when it is decompressed or decoded.
    #[error("the file has more than {limit} bytes when it is decoded")]
    TooLarge { limit: u64 },
    /// The file has more columns than a table of rows in memory may have.
    #[error("the file has {columns} columns (limit: {limit})")]
    TooManyColumns { columns: usize, limit: usize },
    /// A column whose type is given is not in the header of a CSV file.
    #[error("the file has no column '{name}'")]
    NoColumn { name: String },
    #[error("the Arrow file is cut off after row {row}: its end is missing")]
    CutOff { row: usize },
    #[error("row {row} is longer than {limit} bytes")]
    RowTooLong { row: usize, limit: usize },
    /// An annotation of a CSV file has no meaning.
    #[error("line {line}: {message}")]
    Annotation {
        /// The line in the file, from 1.
        line: u64,
        message: String,
    },
    #[error("cannot read CSV after row {row}: {error}")]
    Csv { row: usize, error: csv::Error },
    #[error("cannot read Parquet after row {row}: {error}")]
    Parquet { row: usize, error: ParquetError },
    /// An Arrow file cannot be read, or an array cannot be built.
    #[error("cannot read Arrow data after row {row}: {error}")]
    Arrow { row: usize, error: ArrowError },
}
