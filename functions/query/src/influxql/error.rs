//! Why a statement in InfluxQL was not carried out.

use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};
use neap_influxql::{BindError, LiftError, ParseError};

use crate::{QueryError, QueryErrorKind};

/// Why a statement in InfluxQL was not carried out, in the words of InfluxDB 3 where it has some.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InfluxqlError {
    /// The text is not InfluxQL.
    #[error("error in InfluxQL statement: {0}")]
    Parse(#[from] ParseError),
    /// A placeholder has no value, or one that InfluxQL has no constant for.
    #[error("error in InfluxQL statement: {0}")]
    Bind(#[from] BindError),
    /// There is not exactly one statement where there has to be.
    #[error("must provide only one InfluxQl statement per query")]
    Several,
    /// The statement is about a database, and nobody says which.
    #[error("must specify a 'db' parameter, or provide the database in the InfluxQL query")]
    NoDatabase,
    /// The statement names two databases.
    #[error(transparent)]
    Databases(#[from] LiftError),
    /// The statement names another database than the request.
    #[error(
        "provided a database in both the parameters ({parameter}) and query string ({statement}) that do not match, \
         if providing a query with an `INFLUXQL` query, consider removing the database parameter"
    )]
    Mismatch {
        /// The database of the request.
        parameter: String,
        /// The database in the statement.
        statement: String,
    },
    /// The statement changes something, and this is not the place for it.
    #[error("This feature is not implemented: {0}")]
    NotImplemented(&'static str),
    /// The statement changes something, and the request may be repeated, fetched ahead or followed from a link.
    #[error("{0} is a statement for POST")]
    ReadOnly(&'static str),
    /// The statement asks for what there can't be.
    #[error("{0}")]
    Invalid(String),
    /// The caller may not do it.
    #[error("{0}")]
    Refused(ApiError),
    /// The catalog could not be read or changed.
    #[error("{0}")]
    Catalog(#[from] CatalogError),
    /// The query failed.
    #[error("{0}")]
    Query(#[from] QueryError),
}

impl InfluxqlError {
    /// The text within an answer of the v1 interface.
    pub(crate) fn in_answer(&self) -> String {
        match self {
            Self::Query(QueryError::DatabaseNotFound(name)) => {
                format!("database not found: {name}")
            }
            Self::Query(QueryError::Planning(error)) => format!("datafusion error: {error}"),
            other => other.to_string(),
        }
    }

    /// Whether the request as a whole has to be told, with a status of its own.
    pub(crate) fn is_of_request(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Query(error) => error.kind() == QueryErrorKind::Unavailable,
            _ => false,
        }
    }
}

impl From<ApiError> for InfluxqlError {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<InfluxqlError> for ApiError {
    fn from(error: InfluxqlError) -> Self {
        let text = error.to_string();
        match error {
            InfluxqlError::Refused(error) => error,
            InfluxqlError::Query(error) => error.into(),
            InfluxqlError::Catalog(error) => error.into(),
            InfluxqlError::NotImplemented(_) | InfluxqlError::ReadOnly(_) => {
                Self::text(Kind::NotAllowed, text)
            }
            InfluxqlError::Parse(_)
            | InfluxqlError::Bind(_)
            | InfluxqlError::Several
            | InfluxqlError::NoDatabase
            | InfluxqlError::Databases(_)
            | InfluxqlError::Mismatch { .. }
            | InfluxqlError::Invalid(_) => Self::text(Kind::Invalid, text),
        }
    }
}
