//! Lists the files of plugins for `system.plugin_files`.
//!
//! A trigger that runs code from the plugin folder lists the files of that folder. A trigger with pinned code lists the
//! files of an object, `plugins/<hash>/<file>`. Uploaded plugins without a trigger come last, under their own names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use neap_bucket::{CodeHash, Key, StoreTime};
use neap_catalog::{Catalog, PluginEntry, RootCatalog, Trigger};
use neap_engine::{PluginCodeError, PluginCodeSettings, PluginCodeStore, files_on_disk};
use neap_query::{PluginFile, PluginFiles, PluginFilesError};

/// Creates a file lister for a process that does not run plugins.
pub fn plugin_files(catalog: Arc<Catalog>, settings: PluginCodeSettings) -> Arc<dyn PluginFiles> {
    let code = Arc::new(PluginCodeStore::new(settings, Arc::clone(&catalog)));
    Arc::new(PluginFileLister { catalog, code })
}

/// Lists the plugin files of a cluster and of the plugin folder of this process.
#[derive(Debug)]
pub(crate) struct PluginFileLister {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) code: Arc<PluginCodeStore>,
}

struct PluginFileOnDisk {
    /// Path relative to the plugin folder; empty for a single-file plugin.
    relative: PathBuf,
    path: PathBuf,
    bytes: u64,
    modified_ms: i64,
}

impl PluginFileLister {
    /// Lists the files that a trigger runs.
    async fn trigger_files(
        &self,
        trigger: &Trigger,
        root: &RootCatalog,
    ) -> Result<Vec<PluginFile>, PluginCodeError> {
        let uploaded = |hash: CodeHash| root.plugins().values().find(|entry| entry.code == hash);
        if let Some(entry) = trigger.code.and_then(uploaded) {
            return Ok(of_entry(&trigger.name, &trigger.plugin, entry));
        }
        let laid_down = match self.code.on_disk(&trigger.plugin, trigger.code).await {
            Ok(laid_down) => laid_down,
            // The files are (or were) in the plugin folder of another process.
            Err(
                PluginCodeError::NotFound(_)
                | PluginCodeError::NoPluginFolder
                | PluginCodeError::NoInit(_),
            ) => {
                return Ok(Vec::new());
            }
            // The files of other triggers are shown.
            Err(
                error @ (PluginCodeError::Missing(_)
                | PluginCodeError::Format(_)
                | PluginCodeError::Invalid(_)
                | PluginCodeError::Io(_)),
            ) => {
                tracing::warn!(trigger = trigger.name, %error, "the code of a trigger can't be read");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let found = tokio::task::spawn_blocking(move || found(&laid_down.path))
            .await
            .map_err(|error| PluginCodeError::Io(error.to_string()))??;
        let file = |file: PluginFileOnDisk| {
            let name = named(&trigger.plugin, &file.relative.to_string_lossy());
            let (path, modified_ms) = match trigger.code {
                // The local path and time of an unpacked object are internal; show those of the object.
                Some(hash) => (path_in_bucket(hash, &name), millis(trigger.since)),
                None => (file.path.display().to_string(), file.modified_ms),
            };
            PluginFile {
                plugin: trigger.name.clone(),
                name,
                path,
                size_bytes: file.bytes,
                modified_ms,
            }
        };
        Ok(found.into_iter().map(file).collect())
    }

    async fn all(&self) -> Result<Vec<PluginFile>, PluginCodeError> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let (mut files, mut in_use) = (Vec::new(), BTreeSet::new());
        for (database, _) in root.databases_with_triggers() {
            let catalog = self.catalog.database(database, Duration::ZERO).await?.value;
            for trigger in catalog.triggers() {
                in_use.extend(trigger.code);
                files.extend(self.trigger_files(trigger, &root).await?);
            }
        }
        for (name, entry) in root.plugins() {
            if !in_use.contains(&entry.code) {
                files.extend(of_entry(name, name, entry));
            }
        }
        Ok(files)
    }
}

#[async_trait]
impl PluginFiles for PluginFileLister {
    async fn files(&self) -> Result<Vec<PluginFile>, PluginFilesError> {
        let files = self.all().await;
        files.map_err(|error| PluginFilesError(Box::new(error)))
    }
}

/// Lists the files of an uploaded plugin from its catalog entry.
fn of_entry(plugin: &str, name: &str, entry: &PluginEntry) -> Vec<PluginFile> {
    let file = |path: &str, bytes: u64| {
        let name = if entry.is_package {
            named(name, path)
        } else {
            name.to_owned()
        };
        PluginFile {
            plugin: plugin.to_owned(),
            path: path_in_bucket(entry.code, &name),
            name,
            size_bytes: bytes,
            modified_ms: millis(entry.modified),
        }
    };
    let files = entry.files.iter();
    files.map(|entry| file(&entry.path, entry.bytes)).collect()
}

/// Returns the displayed file name: the plugin's name followed by the path below its folder.
fn named(plugin: &str, relative: &str) -> String {
    let plugin = plugin.trim_end_matches('/');
    match relative {
        "" => plugin.to_owned(),
        relative => format!("{plugin}/{relative}"),
    }
}

fn path_in_bucket(hash: CodeHash, name: &str) -> String {
    let name = name.rsplit_once(':').map_or(name, |(_, path)| path);
    format!("{}/{name}", Key::PluginCode(hash))
}

fn millis(time: StoreTime) -> i64 {
    time.micros().div_euclid(1_000)
}

/// Lists the plugin files at a path.
fn found(plugin: &Path) -> Result<Vec<PluginFileOnDisk>, PluginCodeError> {
    let files = files_on_disk(plugin)?
        .into_iter()
        .map(|(path, metadata)| PluginFileOnDisk::new(plugin, path, &metadata));
    Ok(files.collect())
}

impl PluginFileOnDisk {
    fn new(plugin: &Path, path: PathBuf, metadata: &fs::Metadata) -> Self {
        let modified = metadata
            .modified()
            .unwrap_or(SystemTime::UNIX_EPOCH)
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        Self {
            relative: path.strip_prefix(plugin).unwrap_or(&path).to_owned(),
            path,
            bytes: metadata.len(),
            modified_ms: i64::try_from(modified).unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
