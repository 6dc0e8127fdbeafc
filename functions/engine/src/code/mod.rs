//! The code of plugins: its sources, and its path to the disk of the instance that runs it.
//!
//! ```text
//!   plugin folder  DIR/name.py, DIR/package/        run in place, read again when it was modified
//!   uploaded       root catalog: name -> hash  ──┐
//!   gh:path        repository: folder or HTTPS ──┴─> plugins/<hash> ──> a folder of this process ──> worker
//!                                                     the trigger names the hash
//! ```
//!
//! A folder with a manifest may be a plugin of one file. An installation copies a plugin of the repository to one of the
//! first two places.
//!
//! Code from outside the plugin folder is an object, named by the hash of its files. A trigger runs the code that it
//! was created with, on every instance, until its code is updated. Objects never change. The object of a trigger is put
//! again right before the trigger is committed, because that makes it too young to be collected.

mod blocking_io;
mod cache;
mod error;
mod files;
mod folder;
mod install;
mod installed_folder;
mod manifest;
mod object;
mod path;
mod registry;
mod repository;
mod uploads;

use std::{path::PathBuf, sync::Arc, time::Duration};

use neap_bucket::CodeHash;
use neap_catalog::Catalog;

pub use error::PluginCodeError;
pub use files::{PluginSource, PluginSourceFile};
pub use folder::files_on_disk;
pub(crate) use install::InstalledPlugin;
pub use registry::decode_registry_files;
pub(crate) use repository::AvailablePlugin;
pub use repository::{PluginRepository, PluginRepositoryError};

use crate::PluginOnDisk;
use cache::CodeCache;
use folder::PluginFolder;
use manifest::PluginManifest;
use path::PluginPath;
use repository::RepositoryClient;

/// The prefix of the name of a plugin from the repository.
const REPOSITORY_PREFIX: &str = "gh:";

/// The locations of plugin code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCodeSettings {
    /// The plugin folder (`--plugin-dir`).
    pub plugin_folder: Option<PathBuf>,
    /// Whether only plugins of the plugin folder are allowed (`--plugin-dir-only`): no uploads, and no plugins of the
    /// repository.
    pub folder_only: bool,
    /// The location of `gh:` plugins (`--plugin-repo`).
    pub repository: PluginRepository,
    /// Timeout for the repository.
    pub repository_time: Duration,
    /// The folder for code from the bucket; the process creates its own folder inside. `None`: the folder for temporary
    /// files.
    pub cache_folder: Option<PathBuf>,
    /// Maximum bytes of code in the cache folder.
    pub cache_bytes: u64,
}

impl Default for PluginCodeSettings {
    fn default() -> Self {
        Self {
            plugin_folder: None,
            folder_only: false,
            repository: PluginRepository::default(),
            repository_time: Duration::from_secs(30),
            cache_folder: None,
            cache_bytes: 256 << 20,
        }
    }
}

/// The code of a plugin, resolved from the name that a user gave.
#[derive(Clone, Debug)]
pub(crate) enum ResolvedPlugin {
    InFolder(PluginOnDisk),
    /// Code from the catalog or the repository, which is pinned for the trigger.
    Files(Arc<PluginSource>),
}

/// Finds and stores the code of plugins. Each instance has one.
#[derive(Debug)]
pub struct PluginCodeStore {
    catalog: Arc<Catalog>,
    folder: Option<PluginFolder>,
    folder_only: bool,
    repository: RepositoryClient,
    disk: CodeCache,
}

impl PluginCodeStore {
    /// Creates the store over the plugin folder, the catalog and the repository.
    pub fn new(settings: PluginCodeSettings, catalog: Arc<Catalog>) -> Self {
        let world = catalog.bucket().world().clone();
        Self {
            catalog,
            folder: settings.plugin_folder.map(PluginFolder::new),
            folder_only: settings.folder_only,
            repository: RepositoryClient::new(settings.repository, settings.repository_time, world),
            disk: CodeCache::new(settings.cache_folder, settings.cache_bytes),
        }
    }

    /// Returns the code of a trigger on disk. Costs no request if this instance has the code already.
    ///
    /// # Errors
    /// The plugin is no longer in the plugin folder, or the code can't be read or written to disk.
    pub async fn on_disk(
        &self,
        plugin: &str,
        code: Option<CodeHash>,
    ) -> Result<PluginOnDisk, PluginCodeError> {
        let Some(hash) = code else {
            return self.in_folder(&PluginPath::parse(plugin)?).await;
        };
        let name = name_on_disk(plugin);
        if let Some(there) = self.disk.get(hash, &name) {
            return Ok(there);
        }
        let files = object::read(self.catalog.bucket(), hash).await?;
        self.disk.lay_down(hash, name, Arc::new(files)).await
    }

    /// Returns the code of a plugin on disk by the plugin's name, for a run that stores nothing.
    ///
    /// # Errors
    /// There is no such plugin, or the code can't be read or written to disk.
    pub async fn on_disk_by_name(&self, plugin: &str) -> Result<PluginOnDisk, PluginCodeError> {
        match self.find(plugin).await? {
            ResolvedPlugin::InFolder(plugin) => Ok(plugin),
            ResolvedPlugin::Files(files) => {
                let (hash, name) = (files.hash(), name_on_disk(plugin));
                match self.disk.get(hash, &name) {
                    Some(there) => Ok(there),
                    None => self.disk.lay_down(hash, name, files).await,
                }
            }
        }
    }

    /// Stores the code for a new trigger in the bucket and returns its hash. `None`: the plugin is in the plugin
    /// folder, and is not pinned.
    ///
    /// # Errors
    /// There is no such plugin, or its code can't be read or put.
    pub async fn pin(&self, plugin: &str) -> Result<Option<CodeHash>, PluginCodeError> {
        match self.find(plugin).await? {
            ResolvedPlugin::InFolder(_) => Ok(None),
            ResolvedPlugin::Files(files) => {
                let hash = object::put(self.catalog.bucket(), &files).await?;
                Ok(Some(hash))
            }
        }
    }

    /// Returns the manifest of a plugin by the plugin's name; `None` if it has none.
    /// Fails if there is no such plugin, or its manifest can't be read.
    pub(crate) async fn manifest(
        &self,
        plugin: &str,
    ) -> Result<Option<PluginManifest>, PluginCodeError> {
        if let Some(path) = plugin.strip_prefix(REPOSITORY_PREFIX) {
            self.require_other_sources()?;
            return self.repository.manifest(&PluginPath::parse(path)?).await;
        }
        let path = PluginPath::parse(plugin)?;
        let (first, rest) = path.split_first();
        if !self.folder_only
            && let Some((_, files)) = self.upload_of(first).await?
        {
            return files.manifest_of(rest);
        }
        let folder = self.folder.as_ref().ok_or(PluginCodeError::NoPluginFolder)?;
        folder.manifest(&path).await
    }

    /// Rejects code from outside the plugin folder if only that folder is allowed.
    fn require_other_sources(&self) -> Result<(), PluginCodeError> {
        if self.folder_only {
            Err(PluginCodeError::FolderOnly)
        } else {
            Ok(())
        }
    }

    /// Resolves the name of a plugin: first in the repository, then among uploaded plugins, then in the plugin folder.
    async fn find(&self, plugin: &str) -> Result<ResolvedPlugin, PluginCodeError> {
        if let Some(path) = plugin.strip_prefix(REPOSITORY_PREFIX) {
            self.require_other_sources()?;
            let path = PluginPath::parse(path)?;
            let files = self.repository.fetch(&path).await?;
            return Ok(ResolvedPlugin::Files(Arc::new(files)));
        }
        let path = PluginPath::parse(plugin)?;
        if !self.folder_only
            && let Some(files) = self.uploaded(&path).await?
        {
            return Ok(ResolvedPlugin::Files(Arc::new(files)));
        }
        Ok(ResolvedPlugin::InFolder(self.in_folder(&path).await?))
    }

    async fn in_folder(&self, path: &PluginPath) -> Result<PluginOnDisk, PluginCodeError> {
        let folder = self.folder.as_ref().ok_or(PluginCodeError::NoPluginFolder)?;
        folder.plugin(path).await
    }
}

/// Returns the name of the file or folder of a plugin on disk. The modules of a package import it by this name.
fn name_on_disk(plugin: &str) -> String {
    let path = plugin.strip_prefix(REPOSITORY_PREFIX).unwrap_or(plugin).trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "" | "." | ".." => "plugin".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
