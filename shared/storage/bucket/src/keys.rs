//! The keys of all objects. This is the only module that builds and parses keys.
//!
//! ```text
//! catalog                            root catalog
//! row_deletes                        the log of requests to delete rows (register)
//! db/<id>/catalog                    database catalog
//! db/<id>/manifest                   manifest
//! db/<id>/documents                  saved queries and dashboards of a database (register)
//! db/<id>/views                      the progress of the materialized views of a database (register)
//! db/<id>/rules                      the progress of the rules of a database (register)
//! db/<id>/sites                      the progress of the sites that ship rows to a database (register)
//! tail/<id>/<stamp>-<nonce>.wal      segments
//! data/<id>/<ulid>.parquet           one section, a Parquet file
//! data/<id>/<ulid>.bundle            bundles: several sections, one after the other
//! data/<id>/<ulid>.page              spilled pages of a manifest
//! cache/<id>/<cache>/<ulid>          contents of last and distinct value caches
//! engine/<id>/<trigger>/checkpoint   the progress of a trigger (register)
//! engine/<id>/<trigger>/tick/<ms>    the claim of a scheduled run, by its milliseconds since the Unix epoch
//! engine/<id>/log/<ulid>             lines that plugins of a database logged
//! plugins/<hash>                     the code of a plugin, by the SHA-256 of its files
//! results/<ulid>.<ext>               large query results
//! results/<query>/<ulid>             rows of one task of a distributed query, too many for a response
//! exports/<id>/<name>                files that `COPY` statements wrote
//! published/iceberg/<id>/<table>/metadata/<name>   metadata of published tables, for other tools
//! imports/<ulid>/job                 the progress of an import job (register)
//! imports/<ulid>/file.parquet        the file that the job imports
//! console/<name>                     the files of the console's page, which a deployment put there
//! nodes/<ulid>                       the status of a running process
//! backups/register                   the backups of a cluster and its restores (register); the same at a place for backups
//! backups/<ulid>/manifest            the objects of a backup, at a place for backups
//! probe/<nonce>/...                  temporary objects of a store check
//! ```
//!
//! Stamps have 20 decimal digits, so that segments sort by them.

use std::{fmt, str::FromStr};

use neap_schema::{CacheId, DatabaseId, TableId, TriggerId};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use ulid::Ulid;

use crate::{CodeHash, ConsoleFile, ExportName, PublishedObject, Stamp};

/// The name of a segment. Equal stamps of two instances are ordered by nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentName {
    /// The position in the order of all writes.
    pub stamp: Stamp,
    /// A random number for each segment, so that its key is unique.
    pub nonce: u64,
}

/// The key of an object.
///
/// # Examples
///
/// ```
/// use neap_bucket::Key;
/// use neap_schema::DatabaseId;
///
/// let key = Key::Manifest(DatabaseId::new(3));
/// assert_eq!(key.to_string(), "db/3/manifest");
/// assert_eq!("db/3/manifest".parse::<Key>()?, key);
/// assert!("db/03/manifest".parse::<Key>().is_err());
/// # Ok::<(), neap_bucket::KeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The register of the cluster.
    RootCatalog,
    /// The register with the requests to delete rows.
    RowDeletes,
    /// The register with the tables of a database.
    DatabaseCatalog(DatabaseId),
    /// The register with the sections of a database.
    Manifest(DatabaseId),
    /// The register with the saved queries and dashboards of a database.
    Documents(DatabaseId),
    /// The register with the progress of the materialized views of a database.
    ViewProgress(DatabaseId),
    /// The register with the progress of the rules of a database.
    RuleProgress(DatabaseId),
    /// The register with the progress of the sites that ship rows to a database.
    SiteProgress(DatabaseId),
    /// A segment of the tail.
    Segment(DatabaseId, SegmentName),
    /// One section.
    Parquet(DatabaseId, Ulid),
    /// A bundle of several sections.
    Bundle(DatabaseId, Ulid),
    /// A spilled page of a manifest.
    Page(DatabaseId, Ulid),
    /// The contents of a last or distinct value cache at the low-water mark of a manifest.
    Cache(DatabaseId, CacheId, Ulid),
    /// The register with the progress of a trigger.
    Checkpoint(DatabaseId, TriggerId),
    /// The claim of one run of a schedule, by its time in milliseconds since the Unix epoch.
    Tick(DatabaseId, TriggerId, u64),
    /// Lines that the plugins of a database logged.
    EngineLog(DatabaseId, Ulid),
    /// The code of a plugin, by the SHA-256 of its files.
    PluginCode(CodeHash),
    /// A query result with its file extension.
    QueryResult(Ulid, String),
    /// The rows of one task of a distributed query: the id of the query, and a name that is unique for each attempt.
    TaskResult(Ulid, Ulid),
    /// A file that a `COPY` statement wrote.
    Export(DatabaseId, ExportName),
    /// An object with the metadata of a published table.
    Published(DatabaseId, TableId, PublishedObject),
    /// The register with the progress of an import job.
    ImportJob(Ulid),
    /// The file of an import job.
    ImportFile(Ulid),
    /// A file of the console's page.
    Console(ConsoleFile),
    /// The status of a process, by the id of the process.
    Node(Ulid),
    /// The register with the backups of a cluster, or of a place for backups.
    Backups,
    /// The list of the objects of a backup, at a place for backups.
    BackupManifest(Ulid),
    /// A list of objects that a backup in progress has put, at a place for backups.
    BackupProgress(Ulid, Ulid),
    /// A temporary object of a store check: run and name.
    Probe(u64, String),
}

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

    /// Returns the database that the object belongs to; `None` if it belongs to none.
    pub fn database(&self) -> Option<DatabaseId> {
        match self {
            Self::DatabaseCatalog(database)
            | Self::Manifest(database)
            | Self::Documents(database)
            | Self::ViewProgress(database)
            | Self::RuleProgress(database)
            | Self::SiteProgress(database)
            | Self::Segment(database, _)
            | Self::Parquet(database, _)
            | Self::Bundle(database, _)
            | Self::Page(database, _)
            | Self::Cache(database, ..)
            | Self::Checkpoint(database, _)
            | Self::Tick(database, ..)
            | Self::EngineLog(database, _)
            | Self::Export(database, _)
            | Self::Published(database, ..) => Some(*database),
            Self::RootCatalog
            | Self::RowDeletes
            | Self::ImportJob(_)
            | Self::ImportFile(_)
            | Self::PluginCode(_)
            | Self::QueryResult(..)
            | Self::TaskResult(..)
            | Self::Console(_)
            | Self::Node(_)
            | Self::Backups
            | Self::BackupManifest(_)
            | Self::BackupProgress(..)
            | Self::Probe(..) => None,
        }
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

    /// Returns the class of the object.
    pub fn class(&self) -> KeyClass {
        match self {
            Self::RootCatalog => KeyClass::RootCatalog,
            Self::RowDeletes => KeyClass::RowDeletes,
            Self::ImportJob(_) | Self::ImportFile(_) => KeyClass::Import,
            Self::DatabaseCatalog(_) => KeyClass::DatabaseCatalog,
            Self::Manifest(_) => KeyClass::Manifest,
            Self::Documents(_) => KeyClass::Documents,
            Self::ViewProgress(_) => KeyClass::ViewProgress,
            Self::RuleProgress(_) => KeyClass::RuleProgress,
            Self::SiteProgress(_) => KeyClass::SiteProgress,
            Self::Segment(..) => KeyClass::Tail,
            Self::Parquet(..) | Self::Bundle(..) => KeyClass::Data,
            Self::Page(..) => KeyClass::Page,
            Self::Cache(..) => KeyClass::Cache,
            Self::Checkpoint(..) | Self::Tick(..) | Self::EngineLog(..) => KeyClass::Engine,
            Self::PluginCode(_) => KeyClass::Plugin,
            Self::QueryResult(..) | Self::TaskResult(..) => KeyClass::Result,
            Self::Export(..) => KeyClass::Export,
            Self::Published(..) => KeyClass::Published,
            Self::Console(_) => KeyClass::Console,
            Self::Node(_) => KeyClass::Node,
            Self::Backups | Self::BackupManifest(_) | Self::BackupProgress(..) => KeyClass::Backup,
            Self::Probe(..) => KeyClass::Probe,
        }
    }
}

/// The class of objects that a key or prefix names, for request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum KeyClass {
    /// The root catalog.
    RootCatalog,
    /// The log of requests to delete rows.
    RowDeletes,
    /// Import jobs and their files, and listings of them.
    Import,
    /// Database catalogs, and listings of the registers of databases.
    DatabaseCatalog,
    /// Manifests.
    Manifest,
    /// Saved queries and dashboards.
    Documents,
    /// The progress of materialized views.
    ViewProgress,
    /// The progress of rules.
    RuleProgress,
    /// The progress of sites.
    SiteProgress,
    /// Segments, and listings of them.
    Tail,
    /// Sections and bundles of them, and listings of data.
    Data,
    /// Pages of manifests.
    Page,
    /// Contents of caches, and listings of them.
    Cache,
    /// Checkpoints, claims and logs of the processing engine, and listings of them.
    Engine,
    /// The code of plugins, and listings of it.
    Plugin,
    /// Query results.
    Result,
    /// Exported files.
    Export,
    /// Metadata of published tables, and listings of it.
    Published,
    /// Files of the console's page.
    Console,
    /// The status of processes, and listings of it.
    Node,
    /// Backups, and listings of them.
    Backup,
    /// Store checks.
    Probe,
    /// Objects that Neap did not write.
    Other,
}

impl KeyClass {
    /// All classes.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The class of a key or of a prefix that is listed.
    pub fn from_key(key: &str) -> Self {
        match key.parse::<Key>() {
            Ok(key) => key.class(),
            Err(_) if key.starts_with(Key::DATABASES_PREFIX) => Self::DatabaseCatalog,
            Err(_) if key.starts_with(Key::TAIL_PREFIX) => Self::Tail,
            Err(_) if key.starts_with("data/") => Self::Data,
            Err(_) if key.starts_with("cache/") => Self::Cache,
            Err(_) if key.starts_with(Key::ENGINE_PREFIX) => Self::Engine,
            Err(_) if key.starts_with(Key::PLUGINS_PREFIX) => Self::Plugin,
            Err(_) if key.starts_with(Key::PUBLISHED_PREFIX) => Self::Published,
            Err(_) if key.starts_with(Key::NODES_PREFIX) => Self::Node,
            Err(_) if key.starts_with(Key::IMPORTS_PREFIX) => Self::Import,
            Err(_) if key.starts_with(Key::BACKUPS_PREFIX) => Self::Backup,
            Err(_) if key.starts_with("probe/") => Self::Probe,
            Err(_) => Self::Other,
        }
    }

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootCatalog => f.write_str("catalog"),
            Self::RowDeletes => f.write_str("row_deletes"),
            Self::ImportJob(ulid) => write!(f, "{}{ulid}/job", Self::IMPORTS_PREFIX),
            Self::ImportFile(ulid) => write!(f, "{}{ulid}/file.parquet", Self::IMPORTS_PREFIX),
            Self::DatabaseCatalog(database) => write!(f, "db/{database}/catalog"),
            Self::Manifest(database) => write!(f, "db/{database}/manifest"),
            Self::Documents(database) => write!(f, "db/{database}/documents"),
            Self::ViewProgress(database) => write!(f, "db/{database}/views"),
            Self::RuleProgress(database) => write!(f, "db/{database}/rules"),
            Self::SiteProgress(database) => write!(f, "db/{database}/sites"),
            Self::Segment(database, name) => write!(
                f,
                "tail/{database}/{:0width$}-{:016x}.wal",
                name.stamp.as_u64(),
                name.nonce,
                width = Stamp::DIGITS,
            ),
            Self::Parquet(database, ulid) => write!(f, "data/{database}/{ulid}.parquet"),
            Self::Bundle(database, ulid) => write!(f, "data/{database}/{ulid}.bundle"),
            Self::Page(database, ulid) => write!(f, "data/{database}/{ulid}.page"),
            Self::Cache(database, cache, ulid) => write!(f, "cache/{database}/{cache}/{ulid}"),
            Self::Checkpoint(database, trigger) => {
                write!(f, "engine/{database}/{trigger}/checkpoint")
            }
            Self::Tick(database, trigger, millis) => {
                let prefix = Self::tick_prefix(*database, *trigger);
                write!(f, "{prefix}{millis:012}")
            }
            Self::EngineLog(database, ulid) => write!(f, "engine/{database}/log/{ulid}"),
            Self::PluginCode(hash) => write!(f, "{}{hash}", Self::PLUGINS_PREFIX),
            Self::QueryResult(ulid, extension) => write!(f, "results/{ulid}.{extension}"),
            Self::TaskResult(query, ulid) => write!(f, "results/{query}/{ulid}"),
            Self::Export(database, name) => write!(f, "exports/{database}/{name}"),
            Self::Published(database, table, name) => {
                let table = Self::published_table(*database, *table);
                write!(f, "{table}/metadata/{name}")
            }
            Self::Console(file) => write!(f, "console/{file}"),
            Self::Node(ulid) => write!(f, "{}{ulid}", Self::NODES_PREFIX),
            Self::Backups => write!(f, "{}register", Self::BACKUPS_PREFIX),
            Self::BackupManifest(ulid) => write!(f, "{}manifest", Self::backup_prefix(*ulid)),
            Self::BackupProgress(backup, part) => {
                write!(f, "{}{part}", Self::backup_progress_prefix(*backup))
            }
            Self::Probe(run, name) => write!(f, "probe/{run:016x}/{name}"),
        }
    }
}

/// Error for text that is not a key of Neap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a key of this database")]
pub struct KeyError(String);

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Accept only the canonical form. Text that parses but is formatted differently is not a key of Neap.
        parse(text)
            .filter(|key| key.to_string() == text)
            .ok_or_else(|| KeyError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Key> {
    match text {
        "catalog" => return Some(Key::RootCatalog),
        "row_deletes" => return Some(Key::RowDeletes),
        _ => {}
    }
    let (kind, rest) = text.split_once('/')?;
    let (first, last) = rest.split_once('/').unwrap_or((rest, ""));
    match kind {
        "db" => match last {
            "catalog" => Some(Key::DatabaseCatalog(first.parse().ok()?)),
            "manifest" => Some(Key::Manifest(first.parse().ok()?)),
            "documents" => Some(Key::Documents(first.parse().ok()?)),
            "views" => Some(Key::ViewProgress(first.parse().ok()?)),
            "rules" => Some(Key::RuleProgress(first.parse().ok()?)),
            "sites" => Some(Key::SiteProgress(first.parse().ok()?)),
            _ => None,
        },
        "tail" => {
            let (stamp, nonce) = last.strip_suffix(".wal")?.split_once('-')?;
            let nonce = u64::from_str_radix(nonce, 16).ok()?;
            let name = SegmentName {
                stamp: stamp.parse().ok()?,
                nonce,
            };
            Some(Key::Segment(first.parse().ok()?, name))
        }
        "data" => {
            let database = first.parse().ok()?;
            let (ulid, extension) = last.split_once('.')?;
            let ulid = Ulid::from_string(ulid).ok()?;
            match extension {
                "parquet" => Some(Key::Parquet(database, ulid)),
                "bundle" => Some(Key::Bundle(database, ulid)),
                "page" => Some(Key::Page(database, ulid)),
                _ => None,
            }
        }
        "cache" => {
            let (cache, ulid) = last.split_once('/')?;
            let ulid = Ulid::from_string(ulid).ok()?;
            Some(Key::Cache(first.parse().ok()?, cache.parse().ok()?, ulid))
        }
        "engine" => {
            let database = first.parse().ok()?;
            match last.split_once('/')? {
                ("log", ulid) => Some(Key::EngineLog(database, Ulid::from_string(ulid).ok()?)),
                (trigger, "checkpoint") => Some(Key::Checkpoint(database, trigger.parse().ok()?)),
                (trigger, rest) => {
                    let millis = rest.strip_prefix("tick/")?.parse().ok()?;
                    Some(Key::Tick(database, trigger.parse().ok()?, millis))
                }
            }
        }
        "plugins" => Some(Key::PluginCode(rest.parse().ok()?)),
        "results" if last.is_empty() => {
            let (ulid, extension) = rest.split_once('.')?;
            Some(Key::QueryResult(
                Ulid::from_string(ulid).ok()?,
                extension.to_owned(),
            ))
        }
        "results" => Some(Key::TaskResult(
            Ulid::from_string(first).ok()?,
            Ulid::from_string(last).ok()?,
        )),
        "exports" => Some(Key::Export(first.parse().ok()?, last.parse().ok()?)),
        "published" => {
            let (database, rest) = rest.strip_prefix("iceberg/")?.split_once('/')?;
            let (table, name) = rest.split_once("/metadata/")?;
            let (database, table) = (database.parse().ok()?, table.parse().ok()?);
            Some(Key::Published(database, table, name.parse().ok()?))
        }
        "imports" => {
            let ulid = Ulid::from_string(first).ok()?;
            match last {
                "job" => Some(Key::ImportJob(ulid)),
                "file.parquet" => Some(Key::ImportFile(ulid)),
                _ => None,
            }
        }
        "console" => Some(Key::Console(rest.parse().ok()?)),
        "nodes" => Some(Key::Node(Ulid::from_string(rest).ok()?)),
        "backups" if rest == "register" => Some(Key::Backups),
        "backups" if last == "manifest" => {
            Some(Key::BackupManifest(Ulid::from_string(first).ok()?))
        }
        "backups" => Some(Key::BackupProgress(
            Ulid::from_string(first).ok()?,
            Ulid::from_string(last.strip_prefix("progress/")?).ok()?,
        )),
        "probe" => Some(Key::Probe(
            u64::from_str_radix(first, 16).ok()?,
            last.to_owned(),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn published_objects() -> impl Strategy<Value = PublishedObject> {
        prop_oneof![
            Just(PublishedObject::VersionHint),
            any::<u64>().prop_map(PublishedObject::Metadata),
            any::<u64>().prop_map(PublishedObject::ManifestList),
            any::<u64>().prop_map(PublishedObject::Manifest),
        ]
    }

    fn keys() -> impl Strategy<Value = Key> {
        let database = any::<u32>().prop_map(DatabaseId::new);
        let ulid = any::<u128>().prop_map(Ulid);
        prop_oneof![
            Just(Key::RootCatalog),
            Just(Key::RowDeletes),
            ulid.clone().prop_map(Key::ImportJob),
            ulid.clone().prop_map(Key::ImportFile),
            database.clone().prop_map(Key::DatabaseCatalog),
            database.clone().prop_map(Key::Manifest),
            database.clone().prop_map(Key::Documents),
            database.clone().prop_map(Key::ViewProgress),
            database.clone().prop_map(Key::RuleProgress),
            database.clone().prop_map(Key::SiteProgress),
            "(assets/)?[a-zA-Z0-9_.-]{1,8}[a-z]"
                .prop_filter("a name begins with no dot", |name| !name.contains("/.")
                    && !name.starts_with('.'))
                .prop_map(|name| Key::Console(name.parse().unwrap())),
            (database.clone(), any::<u64>(), any::<u64>()).prop_map(|(database, stamp, nonce)| {
                Key::Segment(
                    database,
                    SegmentName {
                        stamp: Stamp::from_u64(stamp),
                        nonce,
                    },
                )
            }),
            (database.clone(), ulid.clone())
                .prop_map(|(database, ulid)| Key::Parquet(database, ulid)),
            (database.clone(), ulid.clone())
                .prop_map(|(database, ulid)| Key::Bundle(database, ulid)),
            (database.clone(), ulid.clone()).prop_map(|(database, ulid)| Key::Page(database, ulid)),
            (database.clone(), any::<u32>(), ulid.clone()).prop_map(|(database, cache, ulid)| {
                Key::Cache(database, CacheId::new(cache), ulid)
            }),
            (database.clone(), any::<u32>()).prop_map(|(database, trigger)| {
                Key::Checkpoint(database, TriggerId::new(trigger))
            }),
            (database.clone(), any::<u32>(), any::<u64>()).prop_map(
                |(database, trigger, millis)| {
                    Key::Tick(database, TriggerId::new(trigger), millis)
                }
            ),
            (database.clone(), ulid.clone())
                .prop_map(|(database, ulid)| Key::EngineLog(database, ulid)),
            any::<[u8; 32]>().prop_map(|hash| Key::PluginCode(CodeHash(hash))),
            ulid.clone().prop_map(Key::Node),
            Just(Key::Backups),
            ulid.clone().prop_map(Key::BackupManifest),
            (ulid.clone(), ulid.clone())
                .prop_map(|(backup, part)| Key::BackupProgress(backup, part)),
            (any::<u32>(), "[a-z0-9_=.-]{3,8}(/[a-z0-9=]{1,8}){0,2}").prop_map(
                |(database, name)| Key::Export(DatabaseId::new(database), name.parse().unwrap())
            ),
            (any::<u32>(), any::<u32>(), published_objects()).prop_map(
                |(database, table, name)| {
                    Key::Published(DatabaseId::new(database), TableId::new(table), name)
                }
            ),
            (ulid.clone(), ulid.clone()).prop_map(|(query, ulid)| Key::TaskResult(query, ulid)),
            (ulid, "[a-z]{1,8}").prop_map(|(ulid, extension)| Key::QueryResult(ulid, extension)),
            (any::<u64>(), "[a-z0-9/]{1,8}").prop_map(|(run, name)| Key::Probe(run, name)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn each_kind_has_an_example(key in keys()) {
            let examples = Key::one_of_each_kind(DatabaseId::new(1));
            let kinds = examples.iter().map(std::mem::discriminant);
            prop_assert_eq!(kinds.filter(|kind| *kind == std::mem::discriminant(&key)).count(), 1);
        }

        #[test]
        fn keys_of_all_objects_but_results_and_probes_are_kept(key in keys()) {
            let is_temporary = matches!(
                key,
                Key::QueryResult(..) | Key::TaskResult(..) | Key::Probe(..)
            );
            let text = key.to_string();
            let is_kept = Key::KEPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
            prop_assert_eq!(is_kept, !is_temporary);
        }

        #[test]
        fn every_key_parses_to_itself(key in keys()) {
            let text = key.to_string();
            prop_assert_eq!(text.parse::<Key>(), Ok(key.clone()));
            prop_assert_eq!(KeyClass::from_key(&text), key.class());
            prop_assert_eq!(Key::database_in(&text), key.database());
        }

        #[test]
        fn segments_sort_by_stamp_and_around_a_mark(stamps in proptest::array::uniform2(any::<u64>()), nonce: u64) {
            let database = DatabaseId::new(1);
            let [one, two] = stamps.map(|stamp| {
                Key::Segment(database, SegmentName { stamp: Stamp::from_u64(stamp), nonce }).to_string()
            });
            prop_assert_eq!(one.cmp(&two), stamps[0].cmp(&stamps[1]));
            let after = Key::tail_after(database, Stamp::from_u64(stamps[0]));
            prop_assert!(one < after);
            prop_assert_eq!(two > after, stamps[1] > stamps[0]);
        }
    }

    #[test]
    fn prefixes_name_the_database_of_the_keys_below_them() {
        let database = DatabaseId::new(7);
        for prefix in [
            Key::tail_prefix(database),
            Key::data_prefix(database),
            Key::cache_prefix(database),
            Key::engine_log_prefix(database),
            Key::published_prefix(database),
        ] {
            assert_eq!(Key::database_in(&prefix), Some(database), "{prefix}");
        }
        for key in [
            "tail/",
            "tail/x/",
            "db/7",
            "catalog",
            "results/7/x",
            "published/7/x",
        ] {
            assert_eq!(Key::database_in(key), None, "{key}");
        }
    }

    #[test]
    fn text_that_is_not_canonical_is_not_a_key() {
        for text in [
            "",
            "Catalog",
            "db/01/catalog",
            "tail/1/5-0.wal",
            "data/1/x.parquet",
            "data/1/00000000010000000000000001.section",
            "cache/1/2",
            "cache/1/02/00000000000000000000000001",
            "db/1/other",
            "console/",
            "console/.hidden",
            "console/assets/../index.html",
            "console/other/a.js",
            "engine/1/2/tick/5",
            "engine/1/log",
            "plugins/abc",
            "exports/1",
            "exports/1/",
            "exports/01/a.csv",
            "exports/1/../a.csv",
            "published/iceberg/1/2",
            "published/iceberg/1/2/metadata/v01.metadata.json",
            "published/iceberg/1/2/metadata/v1.json",
            "published/iceberg/1/2/data/v1.metadata.json",
            "imports/00000000000000000000000001",
            "imports/00000000000000000000000001/file",
            "nodes/one",
            "backups/one/manifest",
            "backups/00000000010000000000000001/objects/catalog",
            "nodes/00000000000000000000000001/2",
        ] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
