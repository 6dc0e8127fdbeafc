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

mod key_class;
mod prefixes;
mod text;

use neap_schema::{CacheId, DatabaseId, TableId, TriggerId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

pub use self::{key_class::KeyClass, text::KeyError};
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
}

#[cfg(test)]
mod tests;
