//! The files of plugins, for `system.plugin_files`.
//!
//! What plugins are made of is known to the processing engine, a function of its own, which asks queries of this one:
//! whoever puts both together says here where the files are.

use std::{error::Error, fmt};

use async_trait::async_trait;

/// A file of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// The trigger that runs it; of an uploaded plugin that no trigger runs, its own name.
    pub plugin: String,
    /// Its path, beginning with the name of the plugin.
    pub name: String,
    /// Where it is: in the file system of the process, or in the bucket.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was changed last, in milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// Why the files of plugins are not known.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PluginFilesError(pub Box<dyn Error + Send + Sync>);

/// Where the files of plugins are.
#[async_trait]
pub trait PluginFiles: fmt::Debug + Send + Sync + 'static {
    /// The files of all plugins that triggers run or that were uploaded.
    ///
    /// # Errors
    /// What triggers there are, or what plugins are made of, can't be read.
    async fn files(&self) -> Result<Vec<PluginFile>, PluginFilesError>;
}
