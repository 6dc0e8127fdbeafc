//! Errors with the codes of PostgreSQL (SQLSTATE).

use std::num::NonZeroUsize;

use arrow::error::ArrowError;
use datafusion::{
    common::SchemaError, error::DataFusionError, sql::sqlparser::tokenizer::TokenizerError,
};
use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};
use neap_query::{ClientQueryError, QueryError, QueryErrorKind};
use neap_write::WriteFailure;

/// A code of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlState(
    /// The five characters.
    pub &'static str,
);

impl SqlState {
    /// A message of a client is malformed.
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    /// The statement or option is not supported.
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    /// A variable has no such value.
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    /// A text is no value of its type.
    pub const INVALID_TEXT: Self = Self("22P02");
    /// The rows of a `COPY` are malformed.
    pub const BAD_COPY_FILE: Self = Self("22P04");
    /// The server or the sender may not change anything.
    pub const READ_ONLY: Self = Self("25006");
    /// The statement needs a transaction.
    pub const NO_ACTIVE_TRANSACTION: Self = Self("25P01");
    /// An earlier statement of the transaction failed.
    pub const FAILED_TRANSACTION: Self = Self("25P02");
    /// The transaction is idle for too long, or its snapshot is too old.
    pub const IDLE_IN_TRANSACTION_TIMEOUT: Self = Self("25P03");
    /// The prepared statement does not exist.
    pub const UNDEFINED_STATEMENT: Self = Self("26000");
    /// The sender is not known.
    pub const INVALID_AUTHORIZATION: Self = Self("28000");
    /// The password is wrong.
    pub const INVALID_PASSWORD: Self = Self("28P01");
    /// The cursor does not exist.
    pub const UNDEFINED_CURSOR: Self = Self("34000");
    /// The savepoint does not exist.
    pub const UNDEFINED_SAVEPOINT: Self = Self("3B001");
    /// The database does not exist.
    pub const UNDEFINED_DATABASE: Self = Self("3D000");
    /// The sender lacks a permission.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    /// The statement is malformed.
    pub const SYNTAX: Self = Self("42601");
    /// The column does not exist.
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    /// The object does not exist.
    pub const UNDEFINED_OBJECT: Self = Self("42704");
    /// The table does not exist.
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    /// The statement has no such placeholder.
    pub const UNDEFINED_PARAMETER: Self = Self("42P02");
    /// The cursor exists.
    pub const DUPLICATE_CURSOR: Self = Self("42P03");
    /// The database exists.
    pub const DUPLICATE_DATABASE: Self = Self("42P04");
    /// The prepared statement exists.
    pub const DUPLICATE_STATEMENT: Self = Self("42P05");
    /// The table exists.
    pub const DUPLICATE_TABLE: Self = Self("42P07");
    /// There is no memory.
    pub const OUT_OF_MEMORY: Self = Self("53200");
    /// There are too many connections or queries.
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    /// A limit is exceeded.
    pub const LIMIT_EXCEEDED: Self = Self("54000");
    /// There are too many columns.
    pub const TOO_MANY_COLUMNS: Self = Self("54011");
    /// The object is in use.
    pub const OBJECT_IN_USE: Self = Self("55006");
    /// The query was cancelled, or took too long.
    pub const QUERY_CANCELED: Self = Self("57014");
    /// The server stops.
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    /// The server can't answer now.
    pub const UNAVAILABLE: Self = Self("57P03");
    /// The session was idle for too long.
    pub const IDLE_SESSION_TIMEOUT: Self = Self("57P05");
    /// The state is not readable any more.
    pub const SNAPSHOT_TOO_OLD: Self = Self("72000");
    /// A bug in the server.
    pub const INTERNAL: Self = Self("XX000");
}

/// An error of a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// The code.
    pub state: SqlState,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The character of the statement where the error is, from 1.
    pub position: Option<usize>,
    /// The place of the error in the data of the client, such as a line of `COPY`.
    pub context: Option<String>,
    /// The number of the refused row among those of a write, from 1.
    pub row: Option<NonZeroUsize>,
}

impl SqlError {
    /// Creates an error with a code and a message.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            hint: None,
            position: None,
            context: None,
            row: None,
        }
    }

    /// Creates the error of a statement or option that is not supported.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// Creates the error of a database that does not exist.
    pub fn undefined_database(name: &str) -> Self {
        let message = format!("database \"{name}\" does not exist");
        Self::new(SqlState::UNDEFINED_DATABASE, message)
    }

    /// Creates the error of a malformed statement.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(SqlState::SYNTAX, message)
    }

    /// Creates the error of a malformed message.
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(SqlState::PROTOCOL_VIOLATION, message)
    }

    /// Returns the error with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Returns the error with its place in the data of the client.
    #[must_use]
    pub fn in_context(self, context: String) -> Self {
        Self { context: Some(context), ..self }
    }

    /// Returns the error with the position in `statement` that its message names, as the parser writes it. `before` is the
    /// number of characters before the statement in the text of the client.
    #[must_use]
    pub fn in_statement(self, statement: &str, before: usize) -> Self {
        let position = self.position.or_else(|| {
            let Some((_, rest)) = self.message.split_once("at Line: ") else {
                let is_at_end = self.message.contains("found: EOF");
                return is_at_end.then(|| statement.chars().count() + 1);
            };
            let (line, rest) = rest.split_once(", Column: ")?;
            let digits = rest.find(|character: char| !character.is_ascii_digit());
            let column = rest.get(..digits.unwrap_or(rest.len()))?;
            character_position(statement, line.parse().ok()?, column.parse().ok()?)
        });
        Self { position: position.map(|position| position + before), ..self }
    }
}

/// Returns the number of the character at a line and a column, all from 1.
fn character_position(text: &str, line: usize, column: usize) -> Option<usize> {
    let lines = text.split_inclusive('\n').take(line.checked_sub(1)?);
    let before: usize = lines.map(|line| line.chars().count()).sum();
    Some(before + column)
}

impl From<ArrowError> for SqlError {
    fn from(error: ArrowError) -> Self {
        Self::new(arrow_state(&error), error.to_string())
    }
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        Self::new(execution_state(error.find_root()), error.strip_backtrace())
    }
}

impl From<TokenizerError> for SqlError {
    fn from(error: TokenizerError) -> Self {
        Self::syntax(format!("{}{}", error.message, error.location))
    }
}

impl From<ClientQueryError> for SqlError {
    fn from(error: ClientQueryError) -> Self {
        match error {
            ClientQueryError::Query(error) => error.into(),
            ClientQueryError::Request(error) => error.into(),
        }
    }
}

impl From<QueryError> for SqlError {
    fn from(error: QueryError) -> Self {
        let state = match &error {
            QueryError::DatabaseNotFound(_) => SqlState::UNDEFINED_DATABASE,
            QueryError::Timeout(_) => {
                let message = "canceling statement due to statement timeout";
                return Self::new(SqlState::QUERY_CANCELED, message);
            }
            QueryError::Killed => SqlState::QUERY_CANCELED,
            QueryError::Busy => SqlState::TOO_MANY_CONNECTIONS,
            QueryError::OutOfMemory => SqlState::OUT_OF_MEMORY,
            QueryError::Stopped => SqlState::ADMIN_SHUTDOWN,
            QueryError::TooManyRows { .. } => SqlState::LIMIT_EXCEEDED,
            QueryError::ReadOnly | QueryError::ReadOnlyDefinition | QueryError::NoWriter => {
                SqlState::READ_ONLY
            }
            error if error.is_out_of_memory() => SqlState::OUT_OF_MEMORY,
            error if error.kind() == QueryErrorKind::Unavailable => SqlState::UNAVAILABLE,
            QueryError::Planning(cause) => planning_state(cause.find_root()),
            QueryError::Execution(cause) => execution_state(cause.find_root()),
            error => kind_state(error.kind()),
        };
        Self::new(state, error.to_string())
    }
}

/// Returns whether a statement names a table that does not exist.
pub(crate) fn names_missing_table(error: &ClientQueryError) -> bool {
    matches!(error, ClientQueryError::Query(QueryError::Planning(cause))
        if planning_state(cause.find_root()) == SqlState::UNDEFINED_TABLE)
}

fn kind_state(kind: QueryErrorKind) -> SqlState {
    match kind {
        QueryErrorKind::Invalid => SqlState("42000"),
        QueryErrorKind::NotFound => SqlState::UNDEFINED_OBJECT,
        QueryErrorKind::Gone => SqlState::SNAPSHOT_TOO_OLD,
        QueryErrorKind::NotImplemented => SqlState::FEATURE_NOT_SUPPORTED,
        QueryErrorKind::Unavailable => SqlState::UNAVAILABLE,
        QueryErrorKind::Internal => SqlState::INTERNAL,
    }
}

fn planning_state(error: &DataFusionError) -> SqlState {
    match error {
        DataFusionError::SQL(..) => SqlState::SYNTAX,
        DataFusionError::NotImplemented(_) => SqlState::FEATURE_NOT_SUPPORTED,
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { .. } => SqlState::UNDEFINED_COLUMN,
            SchemaError::AmbiguousReference { .. } => SqlState("42702"),
            _ => SqlState("42701"),
        },
        DataFusionError::Plan(message)
            if message.starts_with("table '") && message.ends_with("not found") =>
        {
            SqlState::UNDEFINED_TABLE
        }
        DataFusionError::Plan(message) if message.starts_with("Invalid function") => {
            SqlState("42883")
        }
        DataFusionError::Plan(message) if message.contains(" is not supported") => {
            SqlState::FEATURE_NOT_SUPPORTED
        }
        DataFusionError::Plan(_) => SqlState("42000"),
        other => execution_state(other),
    }
}

fn execution_state(error: &DataFusionError) -> SqlState {
    match error {
        DataFusionError::ArrowError(error, _) => arrow_state(error),
        DataFusionError::ResourcesExhausted(_) => SqlState::OUT_OF_MEMORY,
        DataFusionError::Execution(_) => SqlState("22000"),
        _ => SqlState::INTERNAL,
    }
}

fn arrow_state(error: &ArrowError) -> SqlState {
    match error {
        ArrowError::DivideByZero => SqlState("22012"),
        ArrowError::ArithmeticOverflow(_) => SqlState("22003"),
        ArrowError::CastError(_) | ArrowError::ParseError(_) => SqlState::INVALID_TEXT,
        ArrowError::OffsetOverflowError(_) => SqlState::LIMIT_EXCEEDED,
        _ => SqlState("22000"),
    }
}

impl From<ApiError> for SqlError {
    fn from(error: ApiError) -> Self {
        let state = match error.kind() {
            Kind::Invalid | Kind::UnsupportedMediaType => SqlState("22000"),
            Kind::Unauthenticated | Kind::TooManyRequests => SqlState::INVALID_AUTHORIZATION,
            Kind::Forbidden => SqlState::INSUFFICIENT_PRIVILEGE,
            Kind::NotFound => SqlState::UNDEFINED_OBJECT,
            Kind::Gone => SqlState::SNAPSHOT_TOO_OLD,
            Kind::NotAllowed => SqlState::FEATURE_NOT_SUPPORTED,
            Kind::RequestTimeout => SqlState::QUERY_CANCELED,
            Kind::Conflict => SqlState("42710"),
            Kind::TooLarge | Kind::Limit => SqlState::LIMIT_EXCEEDED,
            Kind::Unavailable => SqlState::UNAVAILABLE,
            // The outcome of a transaction is unknown.
            Kind::Unknown => SqlState("08007"),
            Kind::Corrupt => SqlState("XX001"),
            Kind::Internal => SqlState::INTERNAL,
        };
        Self::new(state, error.message())
    }
}

impl From<CatalogError> for SqlError {
    fn from(error: CatalogError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<WriteFailure> for SqlError {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Rejected(error) => {
                let message = format!("row {}: {}", error.line_number, error.error_message);
                let is_inexact = error.error_message.contains(" cannot be stored exactly as ");
                let state = if is_inexact { "22003" } else { "22000" };
                Self {
                    row: NonZeroUsize::new(error.line_number),
                    ..Self::new(SqlState(state), message)
                }
            }
            other => ApiError::from(other).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_of_a_syntax_error_counts_characters_of_the_text() {
        let error =
            SqlError::syntax("sql parser error: Expected: x, found: y at Line: 2, Column: 3");
        let error = error.in_statement("SELECT 'é'\n, FROM", 10);
        assert_eq!(error.position, Some(10 + 11 + 3));
        let at_end = SqlError::syntax("ParserError(\"Expected: an expression, found: EOF\")");
        assert_eq!(at_end.in_statement("SELECT é +", 10).position, Some(21));
        let without = SqlError::syntax("no position").in_statement("SELECT", 0);
        assert_eq!(without.position, None);
    }

    #[test]
    fn unknown_tables_and_columns_have_their_codes() {
        let unknown = DataFusionError::Plan("table 'public.iox.t' not found".to_owned());
        let error = SqlError::from(QueryError::Planning(unknown));
        assert_eq!(error.state, SqlState::UNDEFINED_TABLE);
        let error = SqlError::from(QueryError::Timeout(std::time::Duration::from_secs(1)));
        assert_eq!(error.state, SqlState::QUERY_CANCELED);
        let error = SqlError::from(ApiError::text(Kind::Forbidden, "no"));
        assert_eq!(error.state, SqlState::INSUFFICIENT_PRIVILEGE);
    }
}
