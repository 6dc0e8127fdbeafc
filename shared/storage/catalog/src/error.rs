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
    /// The name of a column is reserved by Neap.
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
        /// The existing type.
        existing: ColumnType,
        /// The requested type.
        wanted: ColumnType,
    },
    /// A write, or a request with the permission of one, may not create a table or column.
    #[error(transparent)]
    CreationRefused(#[from] CreationRefused),
    /// The table does not exist in the database.
    #[error("there is no table '{table}' in the database")]
    NoSuchTable {
        /// The table.
        table: String,
    },
    /// The column does not exist in the table.
    #[error("there is no column '{column}' in table '{table}'")]
    NoSuchColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A column of this type can't be changed so.
    #[error("column '{column}' can't be {change}: {reason}")]
    FixedColumn {
        /// The column.
        column: String,
        /// `renamed`, `given this type` or `dropped`.
        change: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// The column can't be renamed, widened or dropped.
    #[error("{user} uses the column '{column}'")]
    ColumnInUse {
        /// The column.
        column: String,
        /// The cache or view that uses the column.
        user: String,
    },
    /// The definition of a cache is invalid.
    #[error("invalid configuration provided: {reason}")]
    InvalidCache {
        /// The reason.
        reason: String,
    },
    /// The definition of a file index is invalid.
    #[error("invalid configuration provided: {reason}")]
    InvalidFileIndex {
        /// The reason.
        reason: String,
    },
    /// The definition of a trigger is invalid.
    #[error("invalid configuration provided: {reason}")]
    InvalidTrigger {
        /// The reason.
        reason: String,
    },
    /// The definition of a materialized view is invalid.
    #[error("invalid materialized view: {reason}")]
    InvalidView {
        /// The reason.
        reason: String,
    },
    /// The definition of rules is invalid.
    #[error("invalid rules: {reason}")]
    InvalidRules {
        /// The reason.
        reason: String,
    },
    /// An enabled trigger cannot be deleted without `force`.
    #[error("Cannot delete running plugin {name}. Disable it first or use --force.")]
    TriggerEnabled {
        /// The name of the trigger.
        name: String,
    },
    /// The definition of a plugin is invalid.
    #[error("invalid configuration provided: {reason}")]
    InvalidPlugin {
        /// The reason.
        reason: String,
    },
    /// The definition of a query group is invalid.
    #[error("invalid query group: {reason}")]
    InvalidQueryGroup {
        /// The reason.
        reason: String,
    },
    /// Rows can't become cold as wanted.
    #[error("cold storage: {reason}")]
    InvalidColdStorage {
        /// The reason.
        reason: String,
    },
    /// What rows do to earlier ones can't be changed any more.
    #[error("on-duplicate can't be changed, because the database has or had tables or views")]
    HasTables,
    /// Another request has changed the plugin.
    #[error("plugin '{name}' was changed by another request")]
    PluginChanged {
        /// The name of the plugin.
        name: String,
    },
    /// The type of a column is not allowed in the key of a last value cache.
    #[error("only uint64, int64, bool, tag, and string columns are supported in the last cache")]
    LastCacheKeyType,
    /// The type of a column is not allowed in a distinct value cache.
    #[error("only tag and string columns are supported in the distinct cache")]
    DistinctCacheColumnType,
    /// The database, table, cache, trigger or plugin does not exist.
    #[error("the requested resource was not found: {name}")]
    NotFound {
        /// The requested name.
        name: String,
    },
    /// A database, table, cache or trigger with this name exists.
    #[error("attempted to create a resource that already exists")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// The name is an alias of a database, table or column, so that no other one can have it, and it can't be dropped.
    #[error("'{name}' is an alias of '{present_name}': use this name, or delete the alias first")]
    NameIsAlias {
        /// The name.
        name: String,
        /// The present name of the database, table or column.
        present_name: String,
    },
    /// The database or table can't have the name.
    #[error("'{name}' can't be a new name: {reason}")]
    InvalidRename {
        /// The name.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The alias can't be deleted.
    #[error("{user} uses the alias '{name}'")]
    AliasInUse {
        /// The alias.
        name: String,
        /// The view or trigger that refers to the table or column by the alias.
        user: String,
    },
    /// The database or table is already dropped, with the same deletion time.
    #[error("attempted to modify resource that was already deleted: {name}")]
    AlreadyDeleted {
        /// The name.
        name: String,
    },
    /// The data of the database or table is removed or being removed.
    #[error("the data of '{name}' is deleted for good: it can't be undeleted")]
    Purged {
        /// The name.
        name: String,
    },
    /// Several dropped databases or tables had this name.
    #[error("several deleted resources were named '{name}', use one of {names}")]
    Ambiguous {
        /// The requested name.
        name: String,
        /// Their present names.
        names: String,
    },
    /// A write targets a dropped database.
    #[error("cannot write to soft-deleted database '{name}' - it is marked for deletion")]
    SoftDeleted {
        /// The name.
        name: String,
    },
    /// A configured limit would be exceeded.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A token with this name exists.
    #[error("token name already exists, {name}")]
    TokenExists {
        /// The name.
        name: String,
    },
    /// The operator token cannot be deleted, only regenerated.
    #[error("cannot delete operator token")]
    OperatorToken,
    /// The name of a token is longer than [`MAX_TOKEN_NAME_BYTES`](crate::MAX_TOKEN_NAME_BYTES).
    #[error("token name too long: max {MAX_TOKEN_NAME_BYTES}")]
    TokenNameTooLong,
    /// A user with this name or this id at the identity provider exists.
    #[error("user already exists, {name}")]
    UserExists {
        /// The name.
        name: String,
    },
    /// A property of a user or role is invalid.
    #[error("{reason}")]
    InvalidUser {
        /// The reason.
        reason: String,
    },
    /// A role with this name exists.
    #[error("role already exists, {name}")]
    RoleExists {
        /// The name.
        name: String,
    },
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
    /// The token of the caller allows to append rows, which would replace others in this database.
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
        /// The recorded locations.
        recorded: String,
        /// The locations that this process is configured with.
        configured: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The responses of the store have no usable time.
    #[error("the store's responses have no usable Date header")]
    NoStoreTime,
    /// It is unknown whether the change was committed. Answered as unavailable, never as success.
    #[error("it is unknown whether the catalog was changed: {reason}")]
    Unknown {
        /// The cause, as text.
        reason: String,
    },
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
