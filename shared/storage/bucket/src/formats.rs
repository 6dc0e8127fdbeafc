//! The formats of all kinds of objects, and which keys have which.
//!
//! After 0.1.0, the version of a catalog increases with each new field, because an earlier release would lose fields that it
//! does not know. `docs/architecture.md` says when the version of the manifest increases. A new version belongs to a new format
//! level ([`FormatLevels`](crate::FormatLevels)), and is written only in clusters of this level.

use bytes::Bytes;

use crate::{FormatError, Key, ObjectFormat, register::verify_register};

/// The root catalog.
pub const ROOT_CATALOG: ObjectFormat = ObjectFormat::new(*b"NRCT", "root catalog", 1);

/// A database catalog.
pub const DATABASE_CATALOG: ObjectFormat = ObjectFormat::new(*b"NDCT", "database catalog", 1);

/// A manifest.
pub const MANIFEST: ObjectFormat = ObjectFormat::new(*b"NMAN", "manifest", 1);

/// A page of a manifest.
pub const PAGE: ObjectFormat = ObjectFormat::new(*b"NPAG", "manifest page", 1);

/// A segment of the tail.
pub const SEGMENT: ObjectFormat = ObjectFormat::new(*b"NWAL", "segment", 1);

/// The contents of a last or distinct value cache.
pub const CACHE: ObjectFormat = ObjectFormat::new(*b"NCAC", "cache", 1);

/// The saved queries and dashboards of a database.
pub const DOCUMENTS: ObjectFormat = ObjectFormat::new(*b"NDOC", "list of documents", 1);

/// The progress of the materialized views of a database.
pub const VIEW_PROGRESS: ObjectFormat =
    ObjectFormat::new(*b"NVPR", "progress of materialized views", 1);

/// The progress of the rules of a database.
pub const RULE_PROGRESS: ObjectFormat = ObjectFormat::new(*b"NRUL", "progress of rules", 1);

/// The progress of the sites that ship rows to a database.
pub const SITE_PROGRESS: ObjectFormat = ObjectFormat::new(*b"NSIT", "progress of sites", 1);

/// The progress of a trigger.
pub const CHECKPOINT: ObjectFormat = ObjectFormat::new(*b"NECP", "checkpoint", 1);

/// The code of a plugin.
pub const PLUGIN_CODE: ObjectFormat = ObjectFormat::new(*b"NPLG", "code of a plugin", 1);

/// The log of requests to delete rows.
pub const ROW_DELETES: ObjectFormat = ObjectFormat::new(*b"NRDL", "log of row deletes", 1);

/// The progress of an import job.
pub const IMPORT_JOB: ObjectFormat = ObjectFormat::new(*b"NIMP", "import job", 1);

/// The backups of a cluster, or of a place for backups.
pub const BACKUPS: ObjectFormat = ObjectFormat::new(*b"NBKR", "register of backups", 1);

/// The list of the objects of a backup at a place.
pub const BACKUP_MANIFEST: ObjectFormat =
    ObjectFormat::new(*b"NBKM", "list of the objects of a backup", 1);

/// A list of objects that a backup in progress has put at a place.
pub const BACKUP_PROGRESS: ObjectFormat = ObjectFormat::new(*b"NBKP", "progress of a backup", 1);

/// How an object is encoded.
enum Encoding {
    /// A header, and the frame of a register.
    Register(ObjectFormat),
    /// A header, and a payload of its own kind.
    Plain(ObjectFormat),
    /// Without one header for all of the object.
    Other,
}

impl Key {
    fn encoding(&self) -> Encoding {
        match self {
            Self::RootCatalog => Encoding::Register(ROOT_CATALOG),
            Self::DatabaseCatalog(_) => Encoding::Register(DATABASE_CATALOG),
            Self::Manifest(_) => Encoding::Register(MANIFEST),
            Self::Documents(_) => Encoding::Register(DOCUMENTS),
            Self::ViewProgress(_) => Encoding::Register(VIEW_PROGRESS),
            Self::RuleProgress(_) => Encoding::Register(RULE_PROGRESS),
            Self::SiteProgress(_) => Encoding::Register(SITE_PROGRESS),
            Self::Checkpoint(..) => Encoding::Register(CHECKPOINT),
            Self::RowDeletes => Encoding::Register(ROW_DELETES),
            Self::ImportJob(_) => Encoding::Register(IMPORT_JOB),
            Self::Backups => Encoding::Register(BACKUPS),
            Self::Segment(..) => Encoding::Plain(SEGMENT),
            Self::Cache(..) => Encoding::Plain(CACHE),
            Self::PluginCode(_) => Encoding::Plain(PLUGIN_CODE),
            Self::BackupManifest(_) => Encoding::Plain(BACKUP_MANIFEST),
            Self::BackupProgress(..) => Encoding::Plain(BACKUP_PROGRESS),
            // An object has several pages, each with a header.
            Self::Page(..)
            | Self::Parquet(..)
            | Self::Bundle(..)
            | Self::Tick(..)
            | Self::EngineLog(..)
            | Self::QueryResult(..)
            | Self::TaskResult(..)
            | Self::Export(..)
            | Self::Published(..)
            | Self::ImportFile(_)
            | Self::Console(_)
            | Self::Node(_)
            | Self::Probe(..) => Encoding::Other,
        }
    }

    /// Returns the format of objects with keys of this kind; `None` if they have no header for all of the object.
    pub fn format(&self) -> Option<ObjectFormat> {
        match self.encoding() {
            Encoding::Register(format) | Encoding::Plain(format) => Some(format),
            Encoding::Other => None,
        }
    }

    /// Returns whether objects with keys of this kind are registers.
    pub fn is_register(&self) -> bool {
        matches!(self.encoding(), Encoding::Register(_))
    }

    /// Verifies an object with this key as its readers do: magic, version and checksum, and the frame of a register. An
    /// object without a header passes.
    ///
    /// # Errors
    /// The object is damaged, or was written by a newer release.
    pub fn verify(&self, object: &Bytes) -> Result<(), FormatError> {
        let key = self.to_string();
        match self.encoding() {
            Encoding::Register(format) => verify_register(format, &key, object),
            Encoding::Plain(format) => format.decode(&key, object).map(|_| ()),
            Encoding::Other => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::DatabaseId;

    use super::*;
    use crate::{CheckPolicy, compression};

    fn keys() -> impl Iterator<Item = (Key, ObjectFormat)> {
        let keys = Key::one_of_each_kind(DatabaseId::new(1)).into_iter();
        keys.filter_map(|key| {
            let format = key.format()?;
            Some((key, format))
        })
    }

    #[test]
    fn every_object_that_is_compared_with_its_checksum_has_a_format() {
        for key in Key::one_of_each_kind(DatabaseId::new(1)) {
            let is_compared = key.policy().check == CheckPolicy::Header;
            assert!(!is_compared || key.format().is_some(), "{key}");
        }
    }

    #[test]
    fn every_format_has_a_magic_of_its_own() {
        let mut magics: Vec<_> = keys().map(|(_, format)| format.magic).collect();
        let all = magics.len();
        magics.sort_unstable();
        magics.dedup();
        assert_eq!(magics.len(), all);
    }

    #[test]
    fn objects_of_another_kind_of_a_later_version_and_without_the_frame_of_a_register_are_refused()
    {
        for (key, format) in keys() {
            let payload = if key.is_register() {
                compression::compress(br#"{"version":1,"recent":[],"value":{}}"#).unwrap()
            } else {
                b"payload".to_vec()
            };
            assert_eq!(key.verify(&format.encode(1, &payload)), Ok(()), "{key}");
            let newer = ObjectFormat { version: format.version + 1, ..format };
            let error = key.verify(&newer.encode(1, &payload)).unwrap_err();
            assert!(matches!(error, FormatError::Newer { .. }), "{key}: {error}");
            let other = ObjectFormat { magic: *b"TEST", ..format };
            let error = key.verify(&other.encode(1, &payload)).unwrap_err();
            assert!(matches!(error, FormatError::Magic { .. }), "{key}: {error}");
            let frameless = key.verify(&format.encode(1, b"payload"));
            assert_eq!(frameless.is_err(), key.is_register(), "{key}");
        }
    }
}
