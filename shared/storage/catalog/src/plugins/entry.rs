//! The entry of an uploaded plugin.

use neap_bucket::{CodeHash, StoreTime};
use serde::{Deserialize, Serialize};

/// The entry of an uploaded plugin in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// The hash of its code in the bucket.
    pub code: CodeHash,
    /// Whether it is a folder of files instead of a single file.
    pub is_package: bool,
    /// Its files, sorted by path.
    pub files: Vec<PluginFileEntry>,
    /// When it was last uploaded or changed, by the store's clock.
    pub modified: StoreTime,
}

impl PluginEntry {
    /// Returns the total size of its files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A file of an uploaded plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFileEntry {
    /// The path below the plugin's folder; for a single-file plugin, the file name.
    pub path: String,
    /// The size in bytes.
    pub bytes: u64,
}
