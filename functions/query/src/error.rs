//! Errors of queries.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use datafusion::{arrow::error::ArrowError, common::SchemaError, error::DataFusionError};
use neap_bucket::Stamp;
use neap_catalog::CatalogError;
use neap_formats::FormatError;
use neap_manifest::{ManifestError, SnapshotError, VersionGone};
use neap_operators::{is_of_pattern, is_of_statement};
use neap_row_delete::{DeleteRowsError, DeleteRowsErrorKind};
use neap_scan::is_temporary;
use neap_wal::{StampError, TailError};

use crate::{CopyError, QueryErrorKind};

/// The reason why a query failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum QueryError {
    /// There is no database of this name.
    #[error("query error: database not found: {0}")]
    DatabaseNotFound(String),
    #[error("{}", without_rule(.0))]
    Planning(#[source] DataFusionError),
    /// The statement is valid, but executing it failed.
    #[error("query error: error while executing plan: {0}")]
    Execution(#[source] DataFusionError),
    /// A worker failed while it computed a part of the answer, and no other could.
    #[error("query error: {0}")]
    WorkerFailed(#[source] DataFusionError),
    /// The rows can't be encoded in the requested format.
    #[error("query error: {0}")]
    Format(#[from] FormatError),
    #[error("query error: {0}")]
    Catalog(#[from] CatalogError),
    /// The state of the database could not be read.
    #[error("query error: {0}{rest}", rest = readable_state(.0))]
    Snapshot(#[from] SnapshotError),
    /// The request may not change data.
    #[error("DELETE requires a POST request")]
    ReadOnly,
    /// The request may not change databases, tables or materialized views.
    #[error("ALTER, and CREATE and DROP MATERIALIZED VIEW, require a POST request")]
    ReadOnlyDefinition,
    #[error("DELETE can't have an as-of time")]
    DeleteAsOf,
    /// The engine has no deleter, or no writer of rows.
    #[error("this server does not accept writes")]
    NoWriter,
    /// The rows were not deleted, or the outcome is unknown.
    #[error("{0}")]
    Delete(#[from] DeleteRowsError),
    /// The file of a `COPY` statement was not written.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// The query took too long.
    #[error("query error: timed out after {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error(
        "query error: the answer has more than {limit} rows, the limit of this server; select fewer rows or \
         add LIMIT"
    )]
    TooManyRows { limit: u64 },
    #[error("query error: too many queries are waiting")]
    Busy,
    /// `KILL QUERY` ended it. The text is that of InfluxDB 1.
    #[error("query interrupted")]
    Killed,
    /// The memory of the process was exhausted while it ran.
    #[error("query error: the memory of the server is exhausted, and this query was ended")]
    OutOfMemory,
    #[error("query error: the server is shutting down")]
    Stopped,
    #[error("can't start the query threads: {0}")]
    ThreadStart(#[source] std::io::Error),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        Self::Execution(error)
    }
}

/// Names the state that can be read instead of the requested one, as a suffix of the error message.
fn readable_state(error: &SnapshotError) -> String {
    let time = |stamp: &Stamp| {
        let time = DateTime::from_timestamp_micros(stamp.time().micros()).unwrap_or_default();
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    };
    match error {
        SnapshotError::VersionGone(VersionGone { oldest: Some(oldest) }) => {
            format!("; the oldest readable state is that of {}", time(oldest))
        }
        SnapshotError::TailTooLong { mark, .. } | SnapshotError::TailTooLarge { mark, .. }
            if *mark > Stamp::ZERO =>
        {
            let time = time(mark);
            format!("; the state of {time} can be read (x-neap-as-of: {mark})")
        }
        _ => String::new(),
    }
}

impl QueryError {
    /// Returns the error of planning a statement. Some statements read rows meanwhile: `SHOW` of InfluxQL is answered, an expression of
    /// PromQL is evaluated, and scans read the tails of tables. A failure to read them is an error of execution.
    pub(crate) fn from_planning(error: DataFusionError) -> Self {
        if is_of_reading(&error) {
            Self::Execution(error)
        } else {
            Self::Planning(error)
        }
    }

    /// Whether the query ran out of memory.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Execution(error) => {
                matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
            }
            _ => false,
        }
    }

    /// Whether the statement names a column that its tables don't have.
    pub(crate) fn is_unknown_column(&self) -> bool {
        let Self::Planning(error) = self else {
            return false;
        };
        matches!(error.find_root(), DataFusionError::SchemaError(cause, _)
            if matches!(**cause, SchemaError::FieldNotFound { .. }))
    }

    /// Returns the error as the failure of a worker.
    pub(crate) fn into_worker_failure(self) -> Self {
        match self {
            Self::Execution(error) => Self::WorkerFailed(error),
            error => error,
        }
    }

    /// How long to wait before retrying, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Snapshot(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> QueryErrorKind {
        match self {
            Self::DatabaseNotFound(_) => QueryErrorKind::NotFound,
            Self::Planning(error) => planning_kind(error),
            Self::Execution(error) if is_temporary(error) => QueryErrorKind::Unavailable,
            Self::Execution(error) => execution_kind(error.find_root()),
            Self::Snapshot(error) => snapshot_kind(error),
            Self::Catalog(error) => catalog_kind(error),
            Self::ReadOnly | Self::ReadOnlyDefinition | Self::NoWriter => {
                QueryErrorKind::NotImplemented
            }
            Self::DeleteAsOf | Self::TooManyRows { .. } | Self::Killed => QueryErrorKind::Invalid,
            Self::Delete(error) => match error.kind {
                DeleteRowsErrorKind::Invalid => QueryErrorKind::Invalid,
                DeleteRowsErrorKind::NotFound => QueryErrorKind::NotFound,
                DeleteRowsErrorKind::Unavailable | DeleteRowsErrorKind::Unknown => {
                    QueryErrorKind::Unavailable
                }
                DeleteRowsErrorKind::Internal => QueryErrorKind::Internal,
            },
            Self::Copy(error) => error.kind(),
            Self::Busy | Self::OutOfMemory | Self::Stopped | Self::WorkerFailed(_) => {
                QueryErrorKind::Unavailable
            }
            Self::Format(error) => format_kind(error),
            Self::Timeout(_) | Self::ThreadStart(_) => QueryErrorKind::Internal,
        }
    }
}

/// All catalog errors except corruption and loss are temporary.
fn catalog_kind(error: &CatalogError) -> QueryErrorKind {
    match error {
        CatalogError::Format(_) | CatalogError::Missing(_) => QueryErrorKind::Internal,
        _ => QueryErrorKind::Unavailable,
    }
}

fn snapshot_kind(error: &SnapshotError) -> QueryErrorKind {
    match error {
        SnapshotError::Catalog(error) => catalog_kind(error),
        SnapshotError::Manifest(ManifestError::Format(_) | ManifestError::Missing(_))
        | SnapshotError::Tail(TailError::Segment(_)) => QueryErrorKind::Internal,
        SnapshotError::VersionGone(_) => QueryErrorKind::Gone,
        SnapshotError::Stamp(StampError::FarAhead { .. }) => QueryErrorKind::Invalid,
        _ => QueryErrorKind::Unavailable,
    }
}

/// Returns an error without the name of the optimizer rule that found it, which says nothing about the statement.
fn without_rule(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(rule, cause) if rule.starts_with("Optimizer rule") => {
            without_rule(cause)
        }
        _ => error,
    }
}

/// Whether rows could not be read, or there is no memory for them. Any statement that reads them may have such an error.
fn is_of_reading(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::External(_) => !is_of_rule(error),
        DataFusionError::ArrowError(cause, _) => matches!(
            **cause,
            ArrowError::ExternalError(_)
                | ArrowError::IoError(..)
                | ArrowError::IpcError(_)
                | ArrowError::MemoryError(_)
                | ArrowError::ParquetError(_)
        ),
        DataFusionError::ExecutionJoin(_)
        | DataFusionError::IoError(_)
        | DataFusionError::ParquetError(_)
        | DataFusionError::ResourcesExhausted(_) => true,
        _ => is_temporary(error),
    }
}

fn planning_kind(error: &DataFusionError) -> QueryErrorKind {
    match error.find_root() {
        DataFusionError::NotImplemented(_) => QueryErrorKind::NotImplemented,
        DataFusionError::Internal(_) | DataFusionError::External(_) if !is_of_rule(error) => {
            QueryErrorKind::Internal
        }
        _ => QueryErrorKind::Invalid,
    }
}

/// The contexts of errors that the optimizer finds in statements, although some are internal errors for it: types that can't be
/// compared, as in `BETWEEN`, and patterns.
const CONTEXTS_OF_STATEMENTS: [&str; 2] = ["type_coercion", "Invalid regex"];

/// Whether a rule of the optimizer has found an error in a statement.
fn is_of_rule(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Context(context, cause) => {
            CONTEXTS_OF_STATEMENTS.contains(&context.as_str()) || is_of_rule(cause)
        }
        _ => false,
    }
}

/// Classifies an execution error. A value that can't be computed is an error of the statement, not of the database.
fn execution_kind(error: &DataFusionError) -> QueryErrorKind {
    match error {
        DataFusionError::ArrowError(error, _) if is_of_statement(error) => QueryErrorKind::Invalid,
        DataFusionError::Internal(text) if is_of_pattern(text) => QueryErrorKind::Invalid,
        // Some functions check their arguments only when they are evaluated.
        DataFusionError::Execution(_) | DataFusionError::Plan(_) => QueryErrorKind::Invalid,
        DataFusionError::NotImplemented(_) => QueryErrorKind::NotImplemented,
        DataFusionError::ResourcesExhausted(_) => QueryErrorKind::Unavailable,
        _ => QueryErrorKind::Internal,
    }
}

/// Classifies an encoding error: a value or a type that the format can't have.
fn format_kind(error: &FormatError) -> QueryErrorKind {
    match error {
        FormatError::Arrow(error) if !is_of_statement(error) => QueryErrorKind::Internal,
        FormatError::Columns { .. } => QueryErrorKind::Internal,
        FormatError::Arrow(_) | FormatError::Parquet(_) => QueryErrorKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        common::{
            DFSchema, exec_datafusion_err, internal_datafusion_err, not_impl_datafusion_err,
            plan_datafusion_err, resources_datafusion_err, unqualified_field_not_found,
        },
        parquet::errors::ParquetError,
    };
    use neap_bucket::{Operation, StoreError};

    use super::*;

    #[test]
    fn errors_that_a_statement_causes_are_its_own() {
        use QueryErrorKind::{Internal, Invalid, NotImplemented};
        let unsupported = ArrowError::NotYetImplemented("a type".to_owned());
        let pattern = DataFusionError::External("unclosed group".into()).context("Invalid regex");
        let types = internal_datafusion_err!("no common type").context("type_coercion");
        let column = unqualified_field_not_found("nope", &DFSchema::empty());
        for (error, kind) in [
            (QueryError::Execution(exec_datafusion_err!("no value")), Invalid),
            (QueryError::Execution(plan_datafusion_err!("unknown encoding")), Invalid),
            (QueryError::Execution(not_impl_datafusion_err!("months")), NotImplemented),
            (QueryError::Execution(unsupported.into()), Invalid),
            (QueryError::Execution(internal_datafusion_err!("no partition")), Internal),
            (QueryError::Execution(DataFusionError::External("disk".into())), Internal),
            (QueryError::Planning(types), Invalid),
            (QueryError::Planning(pattern), Invalid),
            (QueryError::Planning(column), Invalid),
            (QueryError::Planning(internal_datafusion_err!("no plan")), Internal),
            (QueryError::Format(ArrowError::CastError("a time".to_owned()).into()), Invalid),
            (QueryError::Format(ArrowError::MemoryError("moved".to_owned()).into()), Internal),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn failures_to_read_rows_are_errors_of_execution_also_while_a_statement_is_planned() {
        use QueryErrorKind::{Internal, Invalid, Unavailable};
        let lost = StoreError::Unavailable {
            operation: Operation::Get,
            key: "a key".to_owned(),
            reason: "a test".to_owned(),
        };
        let lost = DataFusionError::External(Box::new(CatalogError::Store(lost)));
        let damaged = ParquetError::External("a checksum does not match".into());
        let memory = ParquetError::External(Box::new(resources_datafusion_err!("a section")));
        let pattern = DataFusionError::External("unclosed group".into()).context("Invalid regex");
        for (error, is_execution, kind) in [
            (resources_datafusion_err!("a sort"), true, Unavailable),
            (memory.into(), true, Unavailable),
            (lost, true, Unavailable),
            (damaged.into(), true, Internal),
            (ArrowError::ParquetError("no page".to_owned()).into(), true, Internal),
            (pattern, false, Invalid),
            (ArrowError::DivideByZero.into(), false, Invalid),
            (plan_datafusion_err!("no such table"), false, Invalid),
        ] {
            let error = QueryError::from_planning(error);
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(matches!(error, QueryError::Execution(_)), is_execution, "{error}");
        }
    }

    #[test]
    fn a_column_with_more_text_than_arrow_can_address_is_an_error_of_the_statement() {
        for error in
            [ArrowError::OffsetOverflowError(1 << 31), ArrowError::DictionaryKeyOverflowError]
        {
            let error = QueryError::Execution(error.into());
            assert_eq!(error.kind(), QueryErrorKind::Invalid, "{error}");
        }
        let unknown = QueryError::Execution(ArrowError::MemoryError("moved".to_owned()).into());
        assert_eq!(unknown.kind(), QueryErrorKind::Internal);
    }
}
