//! The classes of objects.

use strum::{IntoStaticStr, VariantArray};

use super::Key;

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

impl Key {
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
