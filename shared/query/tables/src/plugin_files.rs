//! The files of plugins, for `system.plugin_files`.
//!
//! The processing engine knows the files of plugins. It is a function of its own and sends queries to this one. The
//! code that assembles both implements [`PluginFiles`] here.

use std::{error::Error, fmt};

use async_trait::async_trait;

/// A file of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// The name of the trigger that runs the plugin; if no trigger runs it, the name of the uploaded plugin.
    pub plugin: String,
    /// The path of the file, beginning with the name of the plugin.
    pub name: String,
    /// The location of the file: in the file system of the process, or in the bucket.
    pub path: String,
    /// The size of the file, in bytes.
    pub size_bytes: u64,
    /// The time of the last change, in milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// An error while the files of plugins are listed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PluginFilesError(pub Box<dyn Error + Send + Sync>);

/// Lists the files of plugins.
#[async_trait]
pub trait PluginFiles: fmt::Debug + Send + Sync + 'static {
    /// Returns the files of all plugins that triggers run or that were uploaded.
    ///
    /// # Errors
    /// The triggers or the files of plugins can't be read.
    async fn files(&self) -> Result<Vec<PluginFile>, PluginFilesError>;
}
