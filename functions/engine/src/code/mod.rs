//! The code of plugins: where it comes from, and how it gets onto the disk of whoever runs it.
//!
//! ```text
//!   plugin folder  DIR/name.py, DIR/package/        run as it lies there, read again when it was modified
//!   uploaded       root catalog: name -> hash  ──┐
//!   gh:path        repository: folder or HTTPS ──┴─> plugins/<hash> ──> a folder of this process ──> worker
//!                                                     the trigger names the hash
//! ```
//!
//! What does not lie in the plugin folder is an object that goes by the hash of its files: a trigger runs the code that
//! it was created with until somebody gives it other code, on every instance alike. Objects never change; the one of a
//! trigger that is to be committed is put again first, which makes it too young to be collected.

mod disk;
mod error;
mod files;
mod folder;
mod object;
mod path;
mod repository;
mod uploads;

use std::{path::PathBuf, sync::Arc, time::Duration};

use neap_bucket::CodeHash;
use neap_catalog::Catalog;

pub use error::CodeError;
pub use files::{PluginFile, PluginFiles};
pub use folder::files_on_disk;
pub use repository::{PluginRepository, PluginRepositoryError};

use crate::PluginOnDisk;
use disk::Disk;
use folder::PluginFolder;
use path::PluginPath;
use repository::Repository;

/// What a plugin of a repository has before its path.
const REPOSITORY_PREFIX: &str = "gh:";

/// Where the code of plugins is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeSettings {
    /// The plugin folder (`--plugin-dir`).
    pub plugin_folder: Option<PathBuf>,
    /// Where `gh:` plugins are (`--plugin-repo`).
    pub repository: PluginRepository,
    /// How long the repository may take to answer.
    pub repository_time: Duration,
    /// The folder in which code from the bucket is laid down, in a folder of its own; `None`: that for temporary
    /// files.
    pub cache_folder: Option<PathBuf>,
    /// The most bytes that are laid down there.
    pub cache_bytes: u64,
}

impl Default for CodeSettings {
    fn default() -> Self {
        Self {
            plugin_folder: None,
            repository: PluginRepository::default(),
            repository_time: Duration::from_secs(30),
            cache_folder: None,
            cache_bytes: 256 << 20,
        }
    }
}

/// The code of a plugin that somebody named.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It lies in the plugin folder.
    InFolder(PluginOnDisk),
    /// It comes from elsewhere, and is to be pinned.
    Files(Arc<PluginFiles>),
}

/// The code of plugins, one for each instance.
#[derive(Debug)]
pub struct PluginCode {
    catalog: Arc<Catalog>,
    folder: Option<PluginFolder>,
    repository: Repository,
    disk: Disk,
}

impl PluginCode {
    /// Of the plugins in a plugin folder, in the catalog, and in a repository.
    pub fn new(settings: CodeSettings, catalog: Arc<Catalog>) -> Self {
        let world = catalog.bucket().world().clone();
        Self {
            catalog,
            folder: settings.plugin_folder.map(PluginFolder::new),
            repository: Repository::new(settings.repository, settings.repository_time, world),
            disk: Disk::new(settings.cache_folder, settings.cache_bytes),
        }
    }

    /// The code that a trigger runs, on disk. It costs no request when this instance has it already.
    ///
    /// # Errors
    /// The plugin folder has no such plugin any more, or the code can't be read or laid down.
    pub async fn on_disk(
        &self,
        plugin: &str,
        code: Option<CodeHash>,
    ) -> Result<PluginOnDisk, CodeError> {
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

    /// The code of a plugin on disk, for a run that leaves nothing behind.
    ///
    /// # Errors
    /// There is no such plugin, or the code can't be read or laid down.
    pub async fn on_disk_by_name(&self, plugin: &str) -> Result<PluginOnDisk, CodeError> {
        match self.find(plugin).await? {
            Found::InFolder(plugin) => Ok(plugin),
            Found::Files(files) => {
                let (hash, name) = (files.hash(), name_on_disk(plugin));
                match self.disk.get(hash, &name) {
                    Some(there) => Ok(there),
                    None => self.disk.lay_down(hash, name, files).await,
                }
            }
        }
    }

    /// What a new trigger of a plugin is to run: its code is in the bucket then. `None`: what lies in the plugin folder.
    ///
    /// # Errors
    /// There is no such plugin, or its code can't be read or put.
    pub async fn pin(&self, plugin: &str) -> Result<Option<CodeHash>, CodeError> {
        match self.find(plugin).await? {
            Found::InFolder(_) => Ok(None),
            Found::Files(files) => {
                let hash = object::put(self.catalog.bucket(), &files).await?;
                Ok(Some(hash))
            }
        }
    }

    /// A plugin by the name that a user gave: one of the repository, else an uploaded one, else one in the plugin
    /// folder.
    async fn find(&self, plugin: &str) -> Result<Found, CodeError> {
        if let Some(path) = plugin.strip_prefix(REPOSITORY_PREFIX) {
            let path = PluginPath::parse(path)?;
            let files = self.repository.fetch(&path).await?;
            return Ok(Found::Files(Arc::new(files)));
        }
        let path = PluginPath::parse(plugin)?;
        if let Some(files) = self.uploaded(&path).await? {
            return Ok(Found::Files(Arc::new(files)));
        }
        Ok(Found::InFolder(self.in_folder(&path).await?))
    }

    async fn in_folder(&self, path: &PluginPath) -> Result<PluginOnDisk, CodeError> {
        let folder = self.folder.as_ref().ok_or(CodeError::NoPluginFolder)?;
        folder.plugin(path).await
    }
}

/// The name of the file or folder in which a plugin is laid down: that of the package, to its own modules.
fn name_on_disk(plugin: &str) -> String {
    let path = plugin.strip_prefix(REPOSITORY_PREFIX).unwrap_or(plugin);
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "" | "." | ".." => "plugin".to_owned(),
        name => name.to_owned(),
    }
}

/// Does what may wait for the disk.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, CodeError> + Send + 'static,
) -> Result<R, CodeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(CodeError::Io(error.to_string())))
}

#[cfg(test)]
mod tests;
