//! Plugins that were uploaded: in the root catalog by name, their code as objects in the bucket.
//!
//! ```text
//!   upload                                     store
//!     |-- plugins/<hash>: the files -------------> |   crash after: an object that nothing names, collected
//!     |-- root catalog: name -> hash ------------> |   triggers can be created from it
//!   trigger
//!     |-- its catalog: the hash that it runs ----> |   another upload does not change it
//! ```

use neap_bucket::{CodeHash, StoreTime};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{ANY_AGE, Catalog, CatalogError, LimitReached, RootCatalog};

/// The most plugins that are uploaded to a cluster.
pub const MAX_PLUGINS: usize = 1_000;
/// The most files of all uploaded plugins together: they are named in the root catalog, which everybody reads.
pub const MAX_FILES_OF_PLUGINS: usize = 5_000;
/// The most files of a plugin.
pub const MAX_PLUGIN_FILES: usize = 200;
/// The most bytes of the files of a plugin together.
pub const MAX_PLUGIN_BYTES: u64 = 2 << 20;
/// The greatest length of the path of a file of a plugin, and of the name of an uploaded plugin.
pub const MAX_PLUGIN_PATH_BYTES: usize = 255;

/// An uploaded plugin as the root catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// Its code in the bucket.
    pub code: CodeHash,
    /// Whether it is a folder of files, and not one file.
    #[serde(default)]
    pub is_package: bool,
    /// Its files, sorted by path.
    pub files: Vec<PluginFileEntry>,
    /// When it was uploaded or changed last, by the store's clock.
    pub modified: StoreTime,
}

/// A file of an uploaded plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFileEntry {
    /// The path below the plugin's folder; of a plugin of one file, its name.
    pub path: String,
    /// The size in bytes.
    pub bytes: u64,
}

/// An uploaded plugin that is to be entered: its code is in the bucket already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlugin {
    /// Its code in the bucket.
    pub code: CodeHash,
    /// Whether it is a folder of files, and not one file.
    pub is_package: bool,
    /// Its files.
    pub files: Vec<PluginFileEntry>,
}

impl Catalog {
    /// Enters a plugin in place of the one that `replaces` names; `None`: there is none of this name yet.
    ///
    /// # Errors
    /// `PluginChanged` when there is another one now, `InvalidPlugin`, `Limit`, and what a commit can end with.
    pub async fn put_plugin(
        &self,
        name: &str,
        new: NewPlugin,
        replaces: Option<CodeHash>,
    ) -> Result<(), CatalogError> {
        check(name, &new)?;
        let mut new = new;
        new.files.sort_by(|one, other| one.path.cmp(&other.path));
        let put = |root: &mut RootCatalog| {
            let before = root.plugins.get(name);
            if before.map(|plugin| plugin.code) != replaces {
                let name = name.to_owned();
                return Err(CatalogError::PluginChanged { name });
            }
            if before.is_some_and(|before| before.is_the_same_as(&new)) {
                return Ok((false, ()));
            }
            check_number(root, name, new.files.len())?;
            let (now, count) = (self.now()?, new.files.len());
            let entry = PluginEntry {
                code: new.code,
                is_package: new.is_package,
                files: new.files.clone(),
                modified: now,
            };
            root.plugins.insert(name.to_owned(), entry);
            let detail = format!("{count} files, {}", new.code);
            root.note(now, "put plugin", name, Some(detail));
            Ok((true, ()))
        };
        self.change_root(put).await
    }

    /// Deletes an uploaded plugin. Triggers that were created from it keep the code that they have.
    ///
    /// # Errors
    /// `NotFound`, and what a commit can end with.
    pub async fn delete_plugin(&self, name: &str) -> Result<(), CatalogError> {
        let delete = |root: &mut RootCatalog| {
            if root.plugins.remove(name).is_none() {
                let name = name.to_owned();
                return Err(CatalogError::NotFound { name });
            }
            root.note(self.now()?, "delete plugin", name, None);
            Ok((true, ()))
        };
        self.change_root(delete).await
    }

    /// Says that a database has triggers, or is about to: before its first one is committed, so that whoever looks
    /// for triggers finds them from the root catalog on.
    pub(crate) async fn expect_triggers(&self, database: DatabaseId) -> Result<(), CatalogError> {
        // What was set once stays, so an old catalog proves it.
        let known = self.root(ANY_AGE).await?;
        self.change_known_root(known, |root| Ok((root.set_has_triggers(database)?, ())))
            .await
    }
}

impl PluginEntry {
    fn is_the_same_as(&self, new: &NewPlugin) -> bool {
        (self.code, self.is_package) == (new.code, new.is_package) && self.files == new.files
    }

    /// The size of its files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

fn check(name: &str, new: &NewPlugin) -> Result<(), CatalogError> {
    if name.is_empty() {
        return Err(CatalogError::EmptyName { what: "plugin" });
    }
    let invalid = |reason: String| Err(CatalogError::InvalidPlugin { reason });
    let mut paths = new.files.iter().map(|file| file.path.as_str());
    if name.len() > MAX_PLUGIN_PATH_BYTES || paths.any(|path| path.len() > MAX_PLUGIN_PATH_BYTES) {
        return invalid(format!("plugin path too long: max {MAX_PLUGIN_PATH_BYTES}"));
    }
    if new.files.len() > MAX_PLUGIN_FILES {
        return invalid(format!("a plugin has at most {MAX_PLUGIN_FILES} files"));
    }
    let sizes = new.files.iter().map(|file| file.bytes);
    if sizes.fold(0, u64::saturating_add) > MAX_PLUGIN_BYTES {
        return invalid(format!("a plugin has at most {MAX_PLUGIN_BYTES} bytes"));
    }
    Ok(())
}

fn check_number(root: &RootCatalog, name: &str, files: usize) -> Result<(), CatalogError> {
    let others = || root.plugins.iter().filter(|(other, _)| *other != name);
    if others().count() >= MAX_PLUGINS {
        let limit = MAX_PLUGINS;
        return Err(LimitReached::Plugins { limit }.into());
    }
    let in_others: usize = others().map(|(_, plugin)| plugin.files.len()).sum();
    if in_others + files > MAX_FILES_OF_PLUGINS {
        let limit = MAX_FILES_OF_PLUGINS;
        return Err(LimitReached::FilesOfPlugins { limit }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
