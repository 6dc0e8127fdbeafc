//! The reasons why a change is not executed, as errors of SQL and of HTTP.

use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};
use neap_query::{ClientQueryError, QueryError};
use neap_write::WriteFailure;

use crate::sql_error::{SqlError, SqlState};

/// The reason why a change is not executed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The statement is malformed or not supported, or does not fit what exists.
    #[error(transparent)]
    Statement(#[from] SqlError),
    /// The query function refused the statement, or the sender lacks a permission.
    #[error(transparent)]
    Query(Box<ClientQueryError>),
    /// The rows are not stored.
    #[error(transparent)]
    Write(Box<WriteFailure>),
}

impl From<ClientQueryError> for ChangeError {
    fn from(error: ClientQueryError) -> Self {
        Self::Query(Box::new(error))
    }
}

impl From<QueryError> for ChangeError {
    fn from(error: QueryError) -> Self {
        ClientQueryError::from(error).into()
    }
}

impl From<ApiError> for ChangeError {
    fn from(error: ApiError) -> Self {
        ClientQueryError::from(error).into()
    }
}

impl From<CatalogError> for ChangeError {
    fn from(error: CatalogError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<WriteFailure> for ChangeError {
    fn from(failure: WriteFailure) -> Self {
        Self::Write(Box::new(failure))
    }
}

impl From<ChangeError> for SqlError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Statement(error) => error,
            ChangeError::Query(error) => (*error).into(),
            ChangeError::Write(failure) => (*failure).into(),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Statement(error) => error.into(),
            ChangeError::Query(error) => (*error).into(),
            // The text of a refused line names the endpoint of line protocol.
            ChangeError::Write(failure) if matches!(*failure, WriteFailure::Rejected(_)) => {
                SqlError::from(*failure).into()
            }
            ChangeError::Write(failure) => (*failure).into(),
        }
    }
}

impl From<SqlError> for ApiError {
    /// Converts the error of a statement. Those of the functions have kinds of their own.
    fn from(error: SqlError) -> Self {
        let kind = match error.state {
            SqlState::UNDEFINED_DATABASE | SqlState::UNDEFINED_TABLE => Kind::NotFound,
            SqlState::DUPLICATE_DATABASE | SqlState::DUPLICATE_TABLE | SqlState::OBJECT_IN_USE => {
                Kind::Conflict
            }
            SqlState::READ_ONLY => Kind::NotAllowed,
            SqlState::LIMIT_EXCEEDED => Kind::TooLarge,
            _ => Kind::Invalid,
        };
        let text = match error.hint {
            Some(hint) => format!("{}. {hint}", error.message),
            None => error.message,
        };
        Self::json(kind, text)
    }
}

#[cfg(test)]
mod tests {
    use neap_write::{LineError, LineErrorKind};

    use super::*;

    #[test]
    fn errors_of_statements_have_a_kind_and_their_hint() {
        for (error, kind, text) in [
            (SqlError::new(SqlState::DUPLICATE_TABLE, "exists"), Kind::Conflict, "exists"),
            (
                SqlError::new(SqlState::UNDEFINED_TABLE, "no table").with_hint("CREATE it."),
                Kind::NotFound,
                "no table. CREATE it.",
            ),
            (SqlError::syntax("malformed"), Kind::Invalid, "malformed"),
        ] {
            let error = ApiError::from(ChangeError::from(error));
            assert_eq!((error.kind(), error.message()), (kind, text));
        }
    }

    #[test]
    fn a_refused_row_is_named_by_its_number() {
        let refused = || {
            ChangeError::from(WriteFailure::Rejected(LineError {
                kind: LineErrorKind::Schema,
                line_number: 2,
                error_message: "no such value".to_owned(),
                original_line: String::new(),
                conflict: None,
            }))
        };
        let error = ApiError::from(refused());
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(error.message(), "row 2: no such value");
        assert_eq!(SqlError::from(refused()).state, SqlState("22000"));
    }

    #[test]
    fn errors_of_functions_keep_their_kinds() {
        let error = ApiError::from(ChangeError::from(ApiError::text(Kind::Gone, "gone")));
        assert_eq!(error.kind(), Kind::Gone);
        let error = ApiError::from(ChangeError::from(WriteFailure::Busy));
        assert_eq!(error.kind(), Kind::Unavailable);
    }
}
