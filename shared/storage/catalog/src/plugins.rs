//! Uploaded plugins: entries in the root catalog by name, with the code as objects in the bucket.
//!
//! ```text
//!   upload                                     store
//!     |-- plugins/<hash>: the files -------------> |   crash after: an unreferenced object, collected
//!     |-- root catalog: name -> hash ------------> |   triggers can be created from it
//!   trigger
//!     |-- its catalog: the hash that it runs ----> |   another upload does not change it
//! ```

mod entry;

use neap_bucket::CodeHash;
use neap_schema::DatabaseId;

pub use entry::{PluginEntry, PluginFileEntry};

use crate::{ANY_AGE, Catalog, CatalogError, LimitError, RootCatalog};

/// Maximum number of uploaded plugins in a cluster.
pub const MAX_PLUGINS: usize = 1_000;
/// Maximum number of files of all uploaded plugins. Bounded because the root catalog, which every process reads, lists
/// them.
pub const MAX_FILES_OF_PLUGINS: usize = 5_000;
/// Maximum number of files of a plugin.
pub const MAX_PLUGIN_FILES: usize = 200;
/// Maximum total bytes of the files of a plugin.
pub const MAX_PLUGIN_BYTES: u64 = 2 << 20;
/// Maximum bytes of the path of a plugin file, and of the name of an uploaded plugin.
pub const MAX_PLUGIN_PATH_BYTES: usize = 255;

/// The parameters of an uploaded plugin to register. Its code is already in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlugin {
    /// The hash of its code in the bucket.
    pub code: CodeHash,
    /// Whether it is a folder of files instead of a single file.
    pub is_package: bool,
    /// Its files.
    pub files: Vec<PluginFileEntry>,
}

impl Catalog {
    /// Registers a plugin in place of the one with the code `replaces`; `None`: the name is new.
    ///
    /// # Errors
    /// `PluginChanged` when the present code is not `replaces`, `InvalidPlugin`, `Limit`, or an error of the commit.
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

    /// Deletes an uploaded plugin. Triggers that were created from it keep their code.
    ///
    /// # Errors
    /// `NotFound`, or an error of the commit.
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

    /// Marks a database as one with triggers. Called before its first trigger is committed, so that a search for
    /// triggers that starts from the root catalog finds it.
    pub(crate) async fn mark_has_triggers(&self, database: DatabaseId) -> Result<(), CatalogError> {
        // The mark is never removed, so an outdated catalog suffices.
        let known = self.root(ANY_AGE).await?;
        self.change_known_root(known, |root| Ok((root.set_has_triggers(database)?, ())))
            .await
    }
}

impl PluginEntry {
    fn is_the_same_as(&self, new: &NewPlugin) -> bool {
        (self.code, self.is_package) == (new.code, new.is_package) && self.files == new.files
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
        return Err(LimitError::Plugins { limit }.into());
    }
    let in_others: usize = others().map(|(_, plugin)| plugin.files.len()).sum();
    if in_others + files > MAX_FILES_OF_PLUGINS {
        let limit = MAX_FILES_OF_PLUGINS;
        return Err(LimitError::FilesOfPlugins { limit }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
