//! The decisions of all operations on whole databases and clusters about the objects of each kind of key.
//!
//! Backups, restores, copies, purges and checks work from this list, so that they agree on what belongs to a database and
//! to a cluster. A new kind of key does not compile before each operation has a decision about it.

use neap_schema::{CacheId, DatabaseId, TableId, TriggerId};
use ulid::Ulid;

use crate::{CodeHash, ConsoleFile, ExportName, Key, PublishedObject, SegmentName, Stamp};

/// The decisions about the objects with keys of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Whether a backup of a database at another place contains them.
    pub backup: BackupPolicy,
    /// How a restore brings them back.
    pub restore: RestorePolicy,
    /// Whether a copy of the cluster contains them.
    pub copy: CopyPolicy,
    /// When they are deleted.
    pub purge: PurgePolicy,
    /// How a check of the bucket reads them.
    pub check: CheckPolicy,
}

/// Whether a backup contains objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupPolicy {
    /// Yes. They are registers of the database, which change.
    Register,
    /// Yes, if the registers reference them. They never change.
    Referenced,
    /// No. They are derived from others, describe the progress of work on the present database, or belong to no
    /// database.
    Excluded,
}

/// How a restore brings objects back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// Their bytes are copied.
    Copied,
    /// The restored database gets new ones with the same contents.
    Rewritten,
    /// Not at all.
    Excluded,
}

/// Whether a copy of a cluster contains objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPolicy {
    /// Yes. They are replaced when the copy is updated, because they may have changed.
    Replaced(CopyStage),
    /// Yes. They never change, so an update adds only the missing ones.
    Added(CopyStage),
    /// No. They are derived from others, short-lived, or belong to the place of the cluster.
    Excluded,
}

/// The order in which the objects of a cluster are copied, so that the copy is consistent while the cluster is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyStage {
    /// The progress of work on the data. It must not be ahead of the data in the copy.
    Progress,
    /// Segments. A manifest that is copied later has the rows of segments that are flushed in the meantime.
    Tail,
    /// Manifests, and documents: catalogs record whether they exist.
    Manifests,
    /// The objects that manifests reference, and other objects of databases.
    Objects,
    /// Catalogs, which are at least as new as the data.
    Catalogs,
    /// The code of plugins that catalogs reference.
    Code,
    /// The register of backups, whose copies the root catalog names.
    Backups,
    /// The root catalog. Without it, a copy is not a cluster.
    Root,
}

/// When objects are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgePolicy {
    /// With their database. They lie below one of its prefixes.
    WithDatabase,
    /// With their database, after everything else. They are its registers.
    DatabaseRegister,
    /// Some time after the last reference is gone.
    Unreferenced,
    /// At a certain age, or by the component that has put them.
    Expired,
    /// Only by a request.
    Kept,
}

/// How a check of the bucket reads objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckPolicy {
    /// It decodes them together with the objects that reference them.
    Decoded,
    /// A full check verifies the header of each object: magic, version and checksum, and the frame of a register. Registers
    /// of the cluster are verified by every check.
    Header,
    /// It lists them.
    Listed,
}

impl KeyPolicy {
    /// The decisions about objects that no backup contains.
    const fn without_backup(copy: CopyPolicy, purge: PurgePolicy, check: CheckPolicy) -> Self {
        Self {
            backup: BackupPolicy::Excluded,
            restore: RestorePolicy::Excluded,
            copy,
            purge,
            check,
        }
    }
}

impl CopyPolicy {
    /// Returns the stage at which the objects are copied; `None` if they are not.
    pub fn stage(self) -> Option<CopyStage> {
        match self {
            Self::Replaced(stage) | Self::Added(stage) => Some(stage),
            Self::Excluded => None,
        }
    }
}

impl CopyStage {
    /// All stages, in their order.
    pub const ALL: [Self; 8] = [
        Self::Progress,
        Self::Tail,
        Self::Manifests,
        Self::Objects,
        Self::Catalogs,
        Self::Code,
        Self::Backups,
        Self::Root,
    ];

    /// Returns the prefixes of the keys that are copied at this stage from a cluster with these databases.
    pub fn prefixes(self, databases: impl Iterator<Item = DatabaseId>) -> Vec<String> {
        let prefixes: &[&str] = match self {
            Self::Progress => {
                &["row_deletes", Key::DATABASES_PREFIX, Key::ENGINE_PREFIX, Key::IMPORTS_PREFIX]
            }
            Self::Tail => &[Key::TAIL_PREFIX],
            Self::Manifests | Self::Catalogs => &[Key::DATABASES_PREFIX],
            // Exports outlive their database.
            Self::Objects => &[Key::EXPORTS_PREFIX],
            Self::Code => &[Key::PLUGINS_PREFIX],
            Self::Backups => &[Key::BACKUPS_PREFIX],
            Self::Root => &["catalog"],
        };
        let fixed = prefixes.iter().map(|prefix| (*prefix).to_owned());
        let of_database = |database| {
            [
                Key::data_prefix(database),
                Key::cache_prefix(database),
                Key::engine_prefix(database),
            ]
        };
        match self {
            Self::Objects => databases.flat_map(of_database).chain(fixed).collect(),
            _ => fixed.collect(),
        }
    }
}

impl Key {
    /// Returns the decisions about objects with keys of this kind.
    pub fn policy(&self) -> KeyPolicy {
        use CheckPolicy::{Decoded, Header, Listed};
        use CopyPolicy::{Added, Replaced};
        use PurgePolicy::{DatabaseRegister, Expired, Kept, Unreferenced, WithDatabase};
        use RestorePolicy::{Copied, Rewritten};
        match self {
            // A restore brings back no token, user or role that was revoked.
            Self::RootCatalog => {
                KeyPolicy::without_backup(Replaced(CopyStage::Root), Kept, Decoded)
            }
            Self::DatabaseCatalog(_) => KeyPolicy {
                backup: BackupPolicy::Register,
                restore: Rewritten,
                copy: Replaced(CopyStage::Catalogs),
                purge: DatabaseRegister,
                check: Decoded,
            },
            Self::Documents(_) | Self::Manifest(_) => KeyPolicy {
                backup: BackupPolicy::Register,
                restore: Rewritten,
                copy: Replaced(CopyStage::Manifests),
                purge: DatabaseRegister,
                check: Decoded,
            },
            // Views: it is about versions of the manifest, which a restored database does not have. Rules: a restored database
            // evaluates them anew. Sites: they ship to the database that they know.
            Self::ViewProgress(_) | Self::RuleProgress(_) | Self::SiteProgress(_) => {
                KeyPolicy::without_backup(Replaced(CopyStage::Progress), DatabaseRegister, Decoded)
            }
            // A backup flushes them.
            Self::Segment(..) => {
                KeyPolicy::without_backup(Added(CopyStage::Tail), WithDatabase, Decoded)
            }
            Self::Parquet(..) | Self::Bundle(..) => KeyPolicy {
                backup: BackupPolicy::Referenced,
                restore: Copied,
                copy: Added(CopyStage::Objects),
                purge: WithDatabase,
                check: Decoded,
            },
            Self::Page(..) => KeyPolicy {
                backup: BackupPolicy::Referenced,
                restore: Rewritten,
                copy: Added(CopyStage::Objects),
                purge: WithDatabase,
                check: Decoded,
            },
            // Compaction builds them again.
            Self::Cache(..) => {
                KeyPolicy::without_backup(Added(CopyStage::Objects), WithDatabase, Decoded)
            }
            // The triggers of a restored database are disabled, and begin anew when they are enabled.
            Self::Checkpoint(..) => {
                KeyPolicy::without_backup(Replaced(CopyStage::Progress), WithDatabase, Header)
            }
            Self::EngineLog(..) => {
                KeyPolicy::without_backup(Added(CopyStage::Objects), WithDatabase, Listed)
            }
            // A tick is claimed within minutes. Published metadata contain the address of the bucket.
            Self::Tick(..) | Self::Published(..) => {
                KeyPolicy::without_backup(CopyPolicy::Excluded, WithDatabase, Listed)
            }
            Self::PluginCode(_) => KeyPolicy {
                backup: BackupPolicy::Referenced,
                restore: Copied,
                copy: Added(CopyStage::Code),
                purge: Unreferenced,
                check: Header,
            },
            // A client may replace an exported file.
            Self::Export(..) => {
                KeyPolicy::without_backup(Replaced(CopyStage::Objects), Kept, Listed)
            }
            Self::RowDeletes => {
                KeyPolicy::without_backup(Replaced(CopyStage::Progress), Kept, Header)
            }
            Self::ImportJob(_) => {
                KeyPolicy::without_backup(Replaced(CopyStage::Progress), Expired, Header)
            }
            Self::ImportFile(_) => {
                KeyPolicy::without_backup(Added(CopyStage::Progress), Expired, Listed)
            }
            Self::Backups => KeyPolicy::without_backup(Replaced(CopyStage::Backups), Kept, Header),
            // Objects of a place for backups, and files that a deployment puts.
            Self::BackupManifest(_) | Self::BackupProgress(..) | Self::Console(_) => {
                KeyPolicy::without_backup(CopyPolicy::Excluded, Kept, Listed)
            }
            Self::QueryResult(..) | Self::TaskResult(..) | Self::Node(_) | Self::Probe(..) => {
                KeyPolicy::without_backup(CopyPolicy::Excluded, Expired, Listed)
            }
        }
    }

    /// Returns the registers of a database in the order in which a purge deletes them. The catalog comes last.
    pub fn registers_of(database: DatabaseId) -> [Self; 6] {
        [
            Self::Documents(database),
            Self::ViewProgress(database),
            Self::RuleProgress(database),
            Self::SiteProgress(database),
            Self::Manifest(database),
            Self::DatabaseCatalog(database),
        ]
    }

    /// Returns the prefixes of the objects of a database, except its registers.
    pub fn prefixes_of(database: DatabaseId) -> [String; 5] {
        [
            Self::tail_prefix(database),
            Self::data_prefix(database),
            Self::cache_prefix(database),
            Self::engine_prefix(database),
            Self::published_prefix(database),
        ]
    }

    /// Returns one key of each kind, for tests of operations on all kinds. Keys of databases are of this one.
    pub fn one_of_each_kind(database: DatabaseId) -> Vec<Self> {
        let ulid = Ulid(7);
        let segment = SegmentName { stamp: Stamp::from_u64(7), nonce: 7 };
        let files = [
            "index.html".parse::<ConsoleFile>().ok().map(Self::Console),
            "export.csv".parse::<ExportName>().ok().map(|name| Self::Export(database, name)),
        ];
        let others = [
            Self::RootCatalog,
            Self::RowDeletes,
            Self::DatabaseCatalog(database),
            Self::Manifest(database),
            Self::Documents(database),
            Self::ViewProgress(database),
            Self::RuleProgress(database),
            Self::SiteProgress(database),
            Self::Segment(database, segment),
            Self::Parquet(database, ulid),
            Self::Bundle(database, ulid),
            Self::Page(database, ulid),
            Self::Cache(database, CacheId::new(7), ulid),
            Self::Checkpoint(database, TriggerId::new(7)),
            Self::Tick(database, TriggerId::new(7), 7),
            Self::EngineLog(database, ulid),
            Self::PluginCode(CodeHash([7; 32])),
            Self::QueryResult(ulid, "csv".to_owned()),
            Self::TaskResult(ulid, ulid),
            Self::Published(database, TableId::new(7), PublishedObject::VersionHint),
            Self::ImportJob(ulid),
            Self::ImportFile(ulid),
            Self::Node(ulid),
            Self::Backups,
            Self::BackupManifest(ulid),
            Self::BackupProgress(ulid, ulid),
            Self::Probe(7, "object".to_owned()),
        ];
        files.into_iter().flatten().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: DatabaseId = DatabaseId::new(5);

    #[test]
    fn a_purge_reaches_the_objects_of_a_database_and_no_others() {
        let prefixes = Key::prefixes_of(DATABASE);
        let registers = Key::registers_of(DATABASE);
        for key in Key::one_of_each_kind(DATABASE) {
            let text = key.to_string();
            let purge = key.policy().purge;
            let is_below = prefixes.iter().any(|prefix| text.starts_with(prefix));
            assert_eq!(is_below, purge == PurgePolicy::WithDatabase, "{key}");
            let is_register = registers.contains(&key);
            assert_eq!(is_register, purge == PurgePolicy::DatabaseRegister, "{key}");
            let is_of_database = is_below || is_register;
            assert!(!is_of_database || key.database() == Some(DATABASE), "{key}");
        }
    }

    #[test]
    fn the_prefixes_of_a_stage_reach_the_keys_that_are_copied_at_it() {
        for key in Key::one_of_each_kind(DATABASE) {
            let Some(stage) = key.policy().copy.stage() else {
                continue;
            };
            let prefixes = stage.prefixes([DATABASE].into_iter());
            let text = key.to_string();
            let reaching = prefixes.iter().filter(|prefix| text.starts_with(*prefix));
            assert_eq!(reaching.count(), 1, "{key}");
        }
        assert!(CopyStage::ALL.is_sorted());
    }

    #[test]
    fn a_backup_contains_what_a_restore_brings_back() {
        for key in Key::one_of_each_kind(DATABASE) {
            let policy = key.policy();
            assert_eq!(
                policy.backup == BackupPolicy::Excluded,
                policy.restore == RestorePolicy::Excluded,
                "{key}"
            );
        }
    }
}
