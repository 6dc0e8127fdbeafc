//! Errors of InfluxQL statements.

use datafusion::common::DataFusionError;
use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};
use neap_identity::IdentityError;
use neap_influxql::{BindError, MultipleDatabasesError, ParseError};

use crate::{QueryError, QueryErrorKind};

/// The reason why an InfluxQL statement failed. Messages are those of InfluxDB 3 where it has one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InfluxqlError {
    #[error("error in InfluxQL statement: {0}")]
    Parse(#[from] ParseError),
    /// A placeholder has no value, or one that InfluxQL has no constant for.
    #[error("error in InfluxQL statement: {0}")]
    Bind(#[from] BindError),
    /// The text does not contain exactly one statement, which the interface requires.
    #[error("must provide only one InfluxQl statement per query")]
    NotOneStatement,
    /// The statement needs a database, and neither it nor the request names one.
    #[error("must specify a 'db' parameter, or provide the database in the InfluxQL query")]
    NoDatabase,
    /// The statement names two databases.
    #[error(transparent)]
    ConflictingDatabases(#[from] MultipleDatabasesError),
    #[error(
        "provided a database in both the parameters ({parameter}) and query string ({statement}) that do not match, \
         if providing a query that specifies the database, you can omit the 'database' parameter from your request"
    )]
    DatabaseMismatch {
        /// The database of the request.
        parameter: String,
        /// The database in the statement.
        statement: String,
    },
    /// The statement changes something, which this interface does not support.
    #[error("This feature is not implemented: {0}")]
    NotImplemented(&'static str),
    /// The statement is one of InfluxDB 1.x, and its answer has the form of that interface, or it changes something and came
    /// as a query of InfluxDB 2.
    #[error("{0} is supported only by /query")]
    OnlyV1(&'static str),
    /// The statement changes something, but came by GET, which clients may repeat, prefetch or link.
    #[error("{0} requires a POST request")]
    ReadOnly(&'static str),
    /// The statement asks for something impossible.
    #[error("{0}")]
    Invalid(String),
    /// The caller lacks the permission.
    #[error("{0}")]
    Forbidden(ApiError),
    /// The catalog could not be read or changed.
    #[error("{0}")]
    Catalog(#[from] CatalogError),
    /// A password can't be used.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Query(#[from] QueryError),
    /// The query of a statement that stores its rows failed after some of them were stored.
    #[error("{stored} rows are stored, the others are not: {error}")]
    PartlyStored {
        /// Number of rows that are stored.
        stored: usize,
        error: QueryError,
    },
}

impl InfluxqlError {
    /// The error message within an answer of the v1 interface.
    pub(crate) fn answer_text(&self) -> String {
        match self {
            Self::Query(QueryError::DatabaseNotFound(name)) => {
                format!("database not found: {name}")
            }
            Self::Query(QueryError::Planning(error)) => planning_text(error.find_root()),
            other => other.to_string(),
        }
    }

    /// Whether the error applies to the whole request, which then gets an error status.
    pub(crate) fn applies_to_request(&self) -> bool {
        match self {
            Self::Forbidden(_) => true,
            Self::Query(error) => error.kind() == QueryErrorKind::Unavailable,
            _ => false,
        }
    }
}

/// The text of a planning error as InfluxDB 1 shows it: only the cause.
fn planning_text(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text) => text.clone(),
        other => other.to_string(),
    }
}

impl From<ApiError> for InfluxqlError {
    fn from(error: ApiError) -> Self {
        Self::Forbidden(error)
    }
}

impl From<InfluxqlError> for ApiError {
    fn from(error: InfluxqlError) -> Self {
        let text = error.to_string();
        match error {
            InfluxqlError::Forbidden(error) => error,
            InfluxqlError::Query(error) => error.into(),
            InfluxqlError::Catalog(error) => error.into(),
            InfluxqlError::Identity(error) => error.into(),
            // The same statement may be repeated: it stores the same points.
            InfluxqlError::PartlyStored { .. } => Self::text(Kind::Unavailable, text),
            InfluxqlError::NotImplemented(_) | InfluxqlError::ReadOnly(_) => {
                Self::text(Kind::NotAllowed, text)
            }
            InfluxqlError::Parse(_)
            | InfluxqlError::Bind(_)
            | InfluxqlError::NotOneStatement
            | InfluxqlError::OnlyV1(_)
            | InfluxqlError::NoDatabase
            | InfluxqlError::ConflictingDatabases(_)
            | InfluxqlError::DatabaseMismatch { .. }
            | InfluxqlError::Invalid(_) => Self::text(Kind::Invalid, text),
        }
    }
}
