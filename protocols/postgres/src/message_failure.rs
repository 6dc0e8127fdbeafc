//! The failure of a message: that of its statement, or that of the connection.

use neap_sql_changes::{ChangeError, SqlError};

use crate::close_reason::CloseReason;

/// The reason why a message of a client failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MessageFailure {
    /// The statement failed. The connection continues.
    Statement(Box<SqlError>),
    /// The connection ends.
    Close(CloseReason),
}

impl From<SqlError> for MessageFailure {
    fn from(error: SqlError) -> Self {
        Self::Statement(Box::new(error))
    }
}

impl From<ChangeError> for MessageFailure {
    fn from(error: ChangeError) -> Self {
        SqlError::from(error).into()
    }
}

impl From<CloseReason> for MessageFailure {
    fn from(reason: CloseReason) -> Self {
        Self::Close(reason)
    }
}
