//! The failure of a message of a client.
use neap_sql_changes::{ChangeError, SqlError};

use crate::close_reason::CloseReason;

/// The failure of a message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The statement failed. The connection continues.
    Statement(Box<SqlError>),
    /// The connection ends.
    Close(CloseReason),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Statement(Box::new(error))
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        SqlError::from(error).into()
    }
}

impl From<CloseReason> for Failure {
    fn from(reason: CloseReason) -> Self {
        Self::Close(reason)
    }
}
