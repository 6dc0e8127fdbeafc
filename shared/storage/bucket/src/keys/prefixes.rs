//! The prefixes of keys, and the database that a key or a prefix names.

use neap_schema::{DatabaseId, TableId, TriggerId};
use ulid::Ulid;

use super::Key;
use crate::Stamp;

impl Key {
    /// The first parts of the keys of all objects that are needed until Neap deletes them. Others are results of
    /// queries and objects of store checks.
    pub const KEPT_PREFIXES: [&'static str; 14] = [
        "backups/",
        "cache/",
        "catalog",
        "console/",
        "data/",
        "db/",
        "engine/",
        "exports/",
        "imports/",
        "nodes/",
        "plugins/",
        "published/",
        "row_deletes",
        "tail/",
    ];

    /// The prefix of the registers of all databases.
    pub const DATABASES_PREFIX: &'static str = "db/";

    /// The prefix of the registers of a database.
    pub fn database_prefix(database: DatabaseId) -> String {
        format!("{}{database}/", Self::DATABASES_PREFIX)
    }

    /// The prefix of all objects of the processing engine.
    pub const ENGINE_PREFIX: &'static str = "engine/";

    /// The prefix of the files that `COPY` statements wrote.
    pub const EXPORTS_PREFIX: &'static str = "exports/";

    /// The prefix of the status of processes.
    pub const NODES_PREFIX: &'static str = "nodes/";

    /// The prefix of all segments of all databases.
    pub const TAIL_PREFIX: &'static str = "tail/";

    /// The prefix of the segments of a database.
    pub fn tail_prefix(database: DatabaseId) -> String {
        format!("{}{database}/", Self::TAIL_PREFIX)
    }

    /// Returns a key that sorts after all segments at or below `mark` and before all above it.
    pub fn tail_after(database: DatabaseId, mark: Stamp) -> String {
        format!(
            "{}{:0width$}~",
            Self::tail_prefix(database),
            mark.as_u64(),
            width = Stamp::DIGITS
        )
    }

    /// The prefix of the sections, bundles and pages of a database.
    pub fn data_prefix(database: DatabaseId) -> String {
        format!("data/{database}/")
    }

    /// The prefix of the contents of the caches of a database.
    pub fn cache_prefix(database: DatabaseId) -> String {
        format!("cache/{database}/")
    }

    /// The prefix of all objects of the processing engine for a database.
    pub fn engine_prefix(database: DatabaseId) -> String {
        format!("{}{database}/", Self::ENGINE_PREFIX)
    }

    /// The prefix of the log lines of a database's plugins.
    pub fn engine_log_prefix(database: DatabaseId) -> String {
        format!("{}log/", Self::engine_prefix(database))
    }

    /// The prefix of the claims of the runs of a schedule.
    pub fn tick_prefix(database: DatabaseId, trigger: TriggerId) -> String {
        format!("{}{trigger}/tick/", Self::engine_prefix(database))
    }

    /// The prefix of the metadata of all published tables.
    pub const PUBLISHED_PREFIX: &'static str = "published/iceberg/";

    /// The prefix of the metadata of the published tables of a database.
    pub fn published_prefix(database: DatabaseId) -> String {
        format!("{}{database}/", Self::PUBLISHED_PREFIX)
    }

    /// The prefix of a published table, without a slash at the end.
    pub fn published_table(database: DatabaseId, table: TableId) -> String {
        format!("{}{table}", Self::published_prefix(database))
    }

    /// The prefix of all import jobs and their files.
    pub const IMPORTS_PREFIX: &'static str = "imports/";

    /// The prefix of the code of plugins.
    pub const PLUGINS_PREFIX: &'static str = "plugins/";

    /// The prefix of all backups.
    pub const BACKUPS_PREFIX: &'static str = "backups/";

    /// The prefix of a backup at a place for backups.
    pub fn backup_prefix(backup: Ulid) -> String {
        format!("{}{backup}/", Self::BACKUPS_PREFIX)
    }

    /// The prefix of the objects that a backup has put at a place for backups. Below it, they have the keys that they
    /// have in the cluster.
    pub fn backup_objects_prefix(backup: Ulid) -> String {
        format!("{}objects/", Self::backup_prefix(backup))
    }

    /// The prefix of the lists of objects that a backup in progress has put at a place for backups.
    pub fn backup_progress_prefix(backup: Ulid) -> String {
        format!("{}progress/", Self::backup_prefix(backup))
    }

    /// The prefix of one run of a store check.
    pub fn probe_prefix(run: u64) -> String {
        format!("probe/{run:016x}/")
    }

    /// Returns the database that a key or a prefix names; `None` if it names none.
    pub fn database_in(key: &str) -> Option<DatabaseId> {
        let (kind, rest) = key.split_once('/')?;
        let rest = match kind {
            "cache" | "data" | "db" | "engine" | "exports" | "tail" => rest,
            "published" => rest.strip_prefix("iceberg/")?,
            _ => return None,
        };
        let (database, _) = rest.split_once('/')?;
        database.parse().ok()
    }
}
