//! Errors as messages of the protocol.

use neap_http::text_prefix;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::error::{ErrorInfo, PgWireError};

/// Maximum bytes of a message. Encoded errors have a limit.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// The message of an error of rows that have other types than those that were described.
pub(crate) const CHANGED_RESULT_TYPE: &str = "cached plan must not change result type";

/// The function of PostgreSQL that reports this error. Drivers that read its name prepare the statement again.
const CHANGED_RESULT_ROUTINE: &str = "RevalidateCachedQuery";

/// Returns an error as the fields of a message.
pub(crate) fn error_info(error: &SqlError, severity: &str) -> ErrorInfo {
    let message = text_prefix(&error.message, MAX_MESSAGE_BYTES).to_owned();
    let mut info = ErrorInfo::new(severity.to_owned(), error.state.0.to_owned(), message);
    info.severity_nonlocalized = Some(severity.to_owned());
    info.hint = error.hint.clone();
    let context = error.context.as_deref();
    info.where_context = context.map(|context| text_prefix(context, MAX_MESSAGE_BYTES).to_owned());
    if error.message == CHANGED_RESULT_TYPE {
        info.routine = Some(CHANGED_RESULT_ROUTINE.to_owned());
    }
    info.position = error.position.map(|position| position.to_string());
    info
}

/// Returns the error of an answer that can't be encoded.
pub(crate) fn encoding_error(error: PgWireError) -> SqlError {
    match error {
        // The type of a column that has none of PostgreSQL, or a value that its type does not have.
        PgWireError::UserError(info) if info.code == "22003" => {
            SqlError::new(SqlState("22003"), info.message)
        }
        PgWireError::UserError(info) => SqlError::unsupported(info.message),
        other => SqlError::new(SqlState::INTERNAL, other.to_string()),
    }
}
