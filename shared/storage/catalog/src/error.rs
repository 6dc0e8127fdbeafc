//! Errors of the catalogs, with the messages of InfluxDB 3 where it has them.

use neap_bucket::{
    FormatError, FormatLevel, FormatLevels, MissingObject, RegisterError, StoreError,
};
use neap_schema::{ColumnType, CreationRefused, NulInColumnName, TableNameError};

use crate::{
    DatabaseNameError, LimitError, MAX_TOKEN_NAME_BYTES, MAX_TOKENS, PermissionRequestError,
};

/// Why a catalog could not be read or changed.
///
/// The documentation of operations says "an error of the commit" for `Store`, `Format`, `Missing`, `NoStoreTime` and
/// `Unknown`.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum CatalogError {
    /// The name of a database is not allowed.
    #[error(transparent)]
    InvalidName(#[from] DatabaseNameError),
    /// The name of a table is not allowed.
    #[error(transparent)]
    InvalidTableName(#[from] TableNameError),
    /// The name of a column is not allowed.
    #[error(transparent)]
    InvalidColumnName(#[from] NulInColumnName),
    /// The name of a column, cache, trigger, plugin, user or role is empty.
    #[error("{what} name cannot be empty")]
    EmptyName {
        /// `column`, `cache`, `trigger`, `plugin`, `user` or `role`.
        what: &'static str,
    },
    #[error("'{column}' is a reserved column")]
    ReservedColumn { column: String },
    /// A new table or cache would have two columns of one name.
    #[error("duplicate column '{column}'")]
    DuplicateColumn { column: String },
    #[error("invalid column type for column '{column}', expected {existing}, got {wanted}")]
    TypeConflict {
        table: String,
        column: String,
        existing: ColumnType,
        wanted: ColumnType,
    },
    /// A write, or a request with the permission of one, may not create a table or column.
    #[error(transparent)]
    CreationRefused(#[from] CreationRefused),
    #[error("there is no table '{table}' in the database")]
    NoSuchTable { table: String },
    #[error("there is no column '{column}' in table '{table}'")]
    NoSuchColumn { table: String, column: String },
    #[error("column '{column}' can't be {change}: {reason}")]
    FixedColumn {
        column: String,
        /// `renamed`, `given this type` or `dropped`.
        change: &'static str,
        reason: &'static str,
    },
    /// The column can't be renamed, widened or dropped.
    #[error("{user} uses the column '{column}'")]
    ColumnInUse {
        column: String,
        /// The cache or view that uses the column.
        user: String,
    },
    #[error("invalid configuration provided: {reason}")]
    InvalidCache { reason: String },
    #[error("invalid configuration provided: {reason}")]
    InvalidFileIndex { reason: String },
    #[error("invalid configuration provided: {reason}")]
    InvalidTrigger { reason: String },
    #[error("invalid materialized view: {reason}")]
    InvalidView { reason: String },
    #[error("invalid rules: {reason}")]
    InvalidRules { reason: String },
    #[error("Cannot delete running plugin {name}. Disable it first or use --force.")]
    TriggerEnabled { name: String },
    #[error("invalid configuration provided: {reason}")]
    InvalidPlugin { reason: String },
    #[error("invalid query group: {reason}")]
    InvalidQueryGroup { reason: String },
    /// Rows can't become cold as wanted.
    #[error("cold storage: {reason}")]
    InvalidColdStorage { reason: String },
    /// What rows do to earlier ones can't be changed any more.
    #[error("on-duplicate can't be changed, because the database has or had tables or views")]
    HasTables,
    #[error("plugin '{name}' was changed by another request")]
    PluginChanged { name: String },
    #[error("only uint64, int64, bool, tag, and string columns are supported in the last cache")]
    LastCacheKeyType,
    #[error("only tag and string columns are supported in the distinct cache")]
    DistinctCacheColumnType,
    /// The database, table, cache, trigger or plugin does not exist.
    #[error("the requested resource was not found: {name}")]
    NotFound { name: String },
    /// A database, table, cache or trigger with this name exists.
    #[error("attempted to create a resource that already exists")]
    AlreadyExists { name: String },
    /// The name is an alias of a database, table or column, so that no other one can have it, and it can't be dropped.
    #[error("'{name}' is an alias of '{present_name}': use this name, or delete the alias first")]
    NameIsAlias {
        name: String,
        /// The present name of the database, table or column.
        present_name: String,
    },
    /// The database or table can't have the name.
    #[error("'{name}' can't be a new name: {reason}")]
    InvalidRename { name: String, reason: String },
    #[error("{user} uses the alias '{name}'")]
    AliasInUse {
        name: String,
        /// The view or trigger that refers to the table or column by the alias.
        user: String,
    },
    /// The database or table is already dropped, with the same deletion time.
    #[error("attempted to modify resource that was already deleted: {name}")]
    AlreadyDeleted { name: String },
    /// The data of the database or table is removed or being removed.
    #[error("the data of '{name}' is deleted for good: it can't be undeleted")]
    Purged { name: String },
    /// Several dropped databases or tables had this name.
    #[error("several deleted resources were named '{name}', use one of {names}")]
    Ambiguous { name: String, names: String },
    #[error("cannot write to soft-deleted database '{name}' - it is marked for deletion")]
    SoftDeleted { name: String },
    /// A configured limit would be exceeded.
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error("token name already exists, {name}")]
    TokenExists { name: String },
    #[error("cannot delete operator token")]
    OperatorToken,
    /// The name of a token is longer than [`MAX_TOKEN_NAME_BYTES`](crate::MAX_TOKEN_NAME_BYTES).
    #[error("token name too long: max {MAX_TOKEN_NAME_BYTES}")]
    TokenNameTooLong,
    /// A user with this name or this id at the identity provider exists.
    #[error("user already exists, {name}")]
    UserExists { name: String },
    /// A property of a user or role is invalid.
    #[error("{reason}")]
    InvalidUser { reason: String },
    #[error("role already exists, {name}")]
    RoleExists { name: String },
    /// A built-in role cannot be changed or deleted.
    #[error("cannot change built-in role")]
    BuiltInRole,
    /// There are [`MAX_TOKENS`](crate::MAX_TOKENS) tokens already.
    #[error("Adding a new token would exceed limit of {MAX_TOKENS} tokens")]
    TooManyTokens,
    /// A permission is invalid.
    #[error(transparent)]
    Permission(#[from] PermissionRequestError),
    /// The token of the caller is revoked or expired.
    #[error("the request was not authenticated")]
    Revoked,
    /// The token of the caller does not allow the change.
    #[error("unauthorized to perform requested action with the token")]
    Forbidden,
    #[error(
        "unauthorized to write: the token may only append, and rows of this database replace others (on-duplicate: replace)"
    )]
    AppendRefused,
    /// All ids of this kind are used.
    #[error("there are no more {what} ids")]
    NoMoreIds {
        /// `database`, `table`, `column`, `cache`, `trigger`, `token`, `user` or `role`.
        what: &'static str,
    },
    /// This program does not know the formats that the others write.
    #[error(
        "the cluster has format level {recorded}, but this program reads and writes {known}: replace it by a release that knows \
         level {recorded}"
    )]
    OtherFormatLevel {
        /// The recorded level.
        recorded: FormatLevel,
        /// The levels of this program.
        known: FormatLevels,
    },
    /// The format level can't be raised to this one.
    #[error("the format level can't be set to {level}: {reason}")]
    InvalidFormatLevel {
        /// The level.
        level: FormatLevel,
        /// The reason.
        reason: String,
    },
    /// This process would put segments where others do not read them, or not read those of others.
    #[error(
        "the cluster has new data in {recorded}, but this process looks for them in {configured}: set --tail-bucket \
         (NEAP_TAIL_BUCKET) as the other processes have it; to move new data to another bucket, set \
         --former-tail-bucket (NEAP_FORMER_TAIL_BUCKET) to the present one"
    )]
    OtherTail {
        recorded: String,
        /// The locations that this process is configured with.
        configured: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store's responses have no usable Date header")]
    NoStoreTime,
    /// It is unknown whether the change was committed. Answered as unavailable, never as success.
    #[error("it is unknown whether the catalog was changed: {reason}")]
    Unknown { reason: String },
    /// The object is damaged, or was written by a newer release.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A register is lost.
    #[error(transparent)]
    Missing(#[from] MissingObject),
}

impl CatalogError {
    /// Returns the error of a table that does not exist.
    pub(crate) fn no_such_table(name: &str) -> Self {
        let table = name.to_owned();
        Self::NoSuchTable { table }
    }
}

impl From<RegisterError> for CatalogError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => Self::Store(error),
            RegisterError::Format(error) => Self::Format(error),
            RegisterError::Missing(error) => Self::Missing(error),
        }
    }
}
