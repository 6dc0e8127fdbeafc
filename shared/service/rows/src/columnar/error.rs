//! Errors of a mapping, and reasons why a row is refused.

use arrow_schema::{ArrowError, DataType};
use neap_schema::{ColumnType, CreationRefused, NulInColumnName, TableNameError};
use thiserror::Error;

use crate::{
    line_protocol::{LineErrorKind, Precision},
    schema_limits::LimitExceeded,
};

/// Reasons why a mapping does not fit its batches.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum MappingError {
    #[error("the rows need the name of a table")]
    NoTable,
    #[error(transparent)]
    TableName(#[from] TableNameError),
    /// The values of the rows are too large, each counted as often as it occurs.
    #[error(
        "the rows have {bytes} bytes when they are decoded, more than {limit}: use smaller parts"
    )]
    TooLarge {
        /// The size of the values in bytes.
        bytes: usize,
        limit: usize,
    },
    /// No batch has a column that is chosen as a tag by its name.
    #[error("the tag column '{0}' does not exist")]
    NoTagColumn(String),
    /// A column has an empty name. Contains its position, from 1.
    #[error("column {0} has no name")]
    UnnamedColumn(usize),
    #[error("several columns have the name '{0}'")]
    DuplicateColumn(String),
    #[error("the time column '{0}' does not exist")]
    NoTimeColumn(String),
    #[error("the time column '{column}' has the type {data_type}, which holds no time")]
    TimeColumnType { column: String, data_type: DataType },
    /// The time format is neither a name nor a valid pattern.
    #[error(
        "invalid time format '{0}': use auto, rfc3339, s, ms, us, ns, or a strftime pattern such as '%Y-%m-%d %H:%M:%S'"
    )]
    TimeFormat(String),
}

/// Reasons why a batch cannot be written as line protocol.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The mapping does not fit the batch.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A column cannot be converted.
    #[error("cannot convert a column: {0}")]
    Arrow(#[from] ArrowError),
}

/// Reasons why a row is refused. The texts that line protocol has, too, are the same.
#[derive(Clone, Debug, PartialEq, Error)]
pub(crate) enum RowRefusal {
    #[error("{0}")]
    Unreadable(String),
    #[error("No fields were provided")]
    NoFields,
    #[error("Unable to parse floating-point value `{value}` of column '{column}'")]
    NotFinite { column: String, value: String },
    #[error("String is greater than 1MB in column '{0}'")]
    StringTooLong(String),
    #[error("line protocol has no newline in names and tags, such as in column '{0}'")]
    NewlineInName(String),
    #[error("Unable to parse timestamp value `{0}`")]
    Timestamp(String),
    #[error("timestamp, {0}, out of range for precision: {1:?}")]
    TimestampOutOfRange(i64, Precision),
    #[error("column '{column}' has the type {data_type}, which cannot be stored")]
    UnsupportedType { column: String, data_type: DataType },
    #[error("invalid column type for column '{column}', expected {expected}, got {got}")]
    ColumnType {
        column: String,
        expected: ColumnType,
        got: ColumnType,
    },
    #[error("value `{value}` of column '{column}' cannot be stored exactly as {expected}")]
    Inexact {
        column: String,
        value: String,
        expected: ColumnType,
    },
    #[error("'{0}' is a reserved column")]
    ReservedColumn(String),
    #[error(transparent)]
    ColumnName(#[from] NulInColumnName),
    #[error("'{0}' is named twice, by its name and by an alias")]
    RepeatedColumn(String),
    #[error(transparent)]
    Creation(#[from] CreationRefused),
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl RowRefusal {
    pub(crate) fn kind(&self) -> LineErrorKind {
        match self {
            Self::Unreadable(_)
            | Self::NoFields
            | Self::NotFinite { .. }
            | Self::StringTooLong(_)
            | Self::NewlineInName(_)
            | Self::Timestamp(_) => LineErrorKind::Parse,
            Self::TimestampOutOfRange(..)
            | Self::UnsupportedType { .. }
            | Self::ColumnType { .. }
            | Self::Inexact { .. }
            | Self::ReservedColumn(_)
            | Self::ColumnName(_)
            | Self::RepeatedColumn(_)
            | Self::Creation(_) => LineErrorKind::Schema,
            Self::Limit(_) => LineErrorKind::Limit,
        }
    }
}
