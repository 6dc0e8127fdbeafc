//! The limits on the number of objects in a cluster. None is set by default; servers set some.

/// Maximum numbers of objects; `None` means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogLimits {
    /// Databases that are not dropped.
    pub databases: Option<usize>,
    /// Tables of all databases that are not dropped. The tables are counted before the commit, so concurrent commits to
    /// different databases can exceed the limit by the tables that they add.
    pub tables: Option<usize>,
    /// Tables of one database that are not dropped.
    pub tables_per_database: Option<usize>,
    /// Tags and fields of a table.
    pub columns_per_table: Option<usize>,
    /// Tags of a table.
    pub tags_per_table: Option<usize>,
}

impl CatalogLimits {
    /// Maximum tables of a database, unless a server sets another number: ten times those of all databases of InfluxDB
    /// 3 Core. Every query decodes the catalog of its database if it has changed, so that tables cost time and memory.
    pub const TABLES_PER_DATABASE: usize = 20_000;
    /// Maximum columns of a table, unless a server sets another number: twenty times those of InfluxDB 3 Core.
    pub const COLUMNS_PER_TABLE: usize = 10_000;
}

/// The limit that a change would exceed, with the message of InfluxDB 3, which answers 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum LimitError {
    /// [`CatalogLimits::databases`].
    #[error("Adding a new database would exceed limit of {limit} databases")]
    Databases { limit: usize },
    /// [`CatalogLimits::tables`] or [`CatalogLimits::tables_per_database`].
    #[error(
        "Update to schema would exceed number of tables limit: attempted to create table but already have {count} table(s) (limit: {limit})"
    )]
    Tables { count: usize, limit: usize },
    /// [`CatalogLimits::columns_per_table`].
    #[error("Update to schema would exceed number of columns per table limit of {limit} columns")]
    Columns { limit: usize },
    /// [`MAX_ALIASES`](crate::MAX_ALIASES).
    #[error("Renaming again would exceed limit of {limit} aliases: delete some")]
    Aliases { limit: usize },
    /// [`MAX_DROPPED_COLUMNS`](crate::MAX_DROPPED_COLUMNS).
    #[error("Dropping again would exceed limit of {limit} dropped columns of a table")]
    DroppedColumns { limit: usize },
    /// [`MAX_BACKUP_COPIES`](crate::MAX_BACKUP_COPIES).
    #[error("Adding a new backup would exceed limit of {limit} databases in all backups")]
    BackupCopies { limit: usize },
    /// [`MAX_CACHES_PER_TABLE`](crate::MAX_CACHES_PER_TABLE), counted for each kind of cache.
    #[error("Adding a new cache would exceed limit of {limit} caches of a kind per table")]
    Caches { limit: usize },
    /// [`MAX_CACHES`](crate::MAX_CACHES).
    #[error("Adding a new cache would exceed limit of {limit} caches per database")]
    CachesOfDatabase { limit: usize },
    /// [`MAX_TRIGGERS`](crate::MAX_TRIGGERS).
    #[error("Adding a new trigger would exceed limit of {limit} triggers per database")]
    Triggers { limit: usize },
    /// [`MAX_VIEWS`](crate::MAX_VIEWS).
    #[error("Adding a new materialized view would exceed limit of {limit} views per database")]
    Views { limit: usize },
    /// [`MAX_PLUGINS`](crate::MAX_PLUGINS).
    #[error("Adding a new plugin would exceed limit of {limit} plugins")]
    Plugins { limit: usize },
    /// [`MAX_FILES_OF_PLUGINS`](crate::MAX_FILES_OF_PLUGINS).
    #[error("Adding these files would exceed limit of {limit} files of all plugins")]
    FilesOfPlugins { limit: usize },
    /// [`MAX_USERS`](crate::MAX_USERS).
    #[error("Adding a new user would exceed limit of {limit} users")]
    Users { limit: usize },
    /// [`MAX_ROLES`](crate::MAX_ROLES).
    #[error("Adding a new role would exceed limit of {limit} roles")]
    Roles { limit: usize },
    /// [`CatalogLimits::tags_per_table`].
    #[error(
        "Update to schema would exceed number of tag columns per table limit of {limit} columns"
    )]
    Tags { limit: usize },
}

/// Returns `limit` if `count` exceeds it.
pub(crate) fn exceeded_limit(count: usize, limit: Option<usize>) -> Option<usize> {
    limit.filter(|limit| count > *limit)
}
