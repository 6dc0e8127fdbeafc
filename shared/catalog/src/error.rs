//! What can go wrong in the catalogs, in the words of InfluxDB 3 where it has some.

use neap_bucket::{FormatError, RegisterError, StoreError};
use neap_schema::ColumnType;

use crate::{GrammarError, LimitReached, MAX_TOKEN_NAME_BYTES, MAX_TOKENS, NameError};

/// Why a catalog could not be read or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CatalogError {
    /// The name of a database is not allowed.
    #[error(transparent)]
    InvalidName(#[from] NameError),
    /// The name of a table, column, cache, trigger or plugin is empty.
    #[error("{what} name cannot be empty")]
    EmptyName {
        /// `table`, `column`, `cache`, `trigger` or `plugin`.
        what: &'static str,
    },
    /// The name of a column is one of Neap's own.
    #[error("'{column}' is a reserved column")]
    ReservedColumn {
        /// The column.
        column: String,
    },
    /// A new table or cache would have two columns of one name.
    #[error("duplicate column '{column}'")]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// A column exists with another type.
    #[error("invalid column type for column '{column}', expected {existing}, got {wanted}")]
    TypeConflict {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        existing: ColumnType,
        /// The type that was asked for.
        wanted: ColumnType,
    },
    /// There is no such table in the database that was named.
    #[error("there is no table '{table}' in the database")]
    NoSuchTable {
        /// The table.
        table: String,
    },
    /// A cache can't be defined like this.
    #[error("invalid configuration provided: {reason}")]
    InvalidCache {
        /// What is wrong.
        reason: String,
    },
    /// A file index can't be defined like this.
    #[error("invalid configuration provided: {reason}")]
    InvalidFileIndex {
        /// What is wrong.
        reason: String,
    },
    /// A trigger can't be defined like this.
    #[error("invalid configuration provided: {reason}")]
    InvalidTrigger {
        /// What is wrong.
        reason: String,
    },
    /// A trigger that is enabled is not deleted.
    #[error("Cannot delete running plugin {name}. Disable it first or use --force.")]
    TriggerEnabled {
        /// The name of the trigger.
        name: String,
    },
    /// A plugin can't be entered like this.
    #[error("invalid configuration provided: {reason}")]
    InvalidPlugin {
        /// What is wrong.
        reason: String,
    },
    /// A plugin is not the one any more that was to be changed.
    #[error("plugin '{name}' was changed meanwhile")]
    PluginChanged {
        /// The name of the plugin.
        name: String,
    },
    /// A column can't be in the key of a last value cache.
    #[error("only uint64, int64, bool, tag, and string columns are supported in the last cache")]
    LastCacheKeyType,
    /// A column can't be in a distinct value cache.
    #[error("only tag and string columns are supported in the distinct cache")]
    DistinctCacheColumnType,
    /// There is no such database, table, cache, trigger or plugin.
    #[error("the requested resource was not found: {name}")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// There is already a database, table, cache or trigger of this name.
    #[error("attempted to create a resource that already exists")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// It is dropped already, with the same time for its data.
    #[error("attempted to modify resource that was already deleted: {name}")]
    AlreadyDeleted {
        /// The name.
        name: String,
    },
    /// Its data is gone, or may be going.
    #[error("the data of '{name}' is deleted for good: it can't be undeleted")]
    Purged {
        /// The name.
        name: String,
    },
    /// Several dropped databases or tables had the name.
    #[error("several that are deleted were called '{name}', name one of {names}")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The names that they have now.
        names: String,
    },
    /// A write names a database that is dropped.
    #[error("cannot write to soft-deleted database '{name}' - it is marked for deletion")]
    SoftDeleted {
        /// The name.
        name: String,
    },
    /// A configured limit would be exceeded.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// There is already a token of this name.
    #[error("token name already exists, {name}")]
    TokenExists {
        /// The name.
        name: String,
    },
    /// The operator token can only be regenerated.
    #[error("cannot delete operator token")]
    OperatorToken,
    /// The name of a token is longer than [`MAX_TOKEN_NAME_BYTES`](crate::MAX_TOKEN_NAME_BYTES).
    #[error("token name too long: max {MAX_TOKEN_NAME_BYTES}")]
    TokenNameTooLong,
    /// There are [`MAX_TOKENS`](crate::MAX_TOKENS) tokens.
    #[error("Adding a new token would exceed limit of {MAX_TOKENS} tokens")]
    TooManyTokens,
    /// A permission can't be understood.
    #[error(transparent)]
    Permission(#[from] GrammarError),
    /// The token of whoever asked for a change is revoked or has expired.
    #[error("the request was not authenticated")]
    Revoked,
    /// The token of whoever asked for a change does not allow it.
    #[error("unauthorized to perform requested action with the token")]
    Forbidden,
    /// Identifiers are used up.
    #[error("there are no more {what} ids")]
    NoMoreIds {
        /// `database`, `table`, `column`, `cache`, `trigger` or `token`.
        what: &'static str,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's answers carry no time.
    #[error("the store's answers carry no usable Date")]
    NoStoreTime,
    /// It can't be told whether the change was made: to be answered as unavailable, never as success.
    #[error("it is unknown whether the catalog was changed: {reason}")]
    Unknown {
        /// The cause, for people.
        reason: String,
    },
    /// The object is damaged, or too new for this release.
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl From<RegisterError> for CatalogError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
        }
    }
}
