//! Errors of loading and storing the code of plugins.

use neap_bucket::{FormatError, StoreError};
use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};

/// An error of loading or storing the code of a plugin, with the message of InfluxDB 3 Core where it has one.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum PluginCodeError {
    /// The server has no plugin folder, and the plugin is not an uploaded one.
    #[error("Node not configured with plugin directory")]
    NoPluginFolder,
    #[error(
        "Plugin installation has been disabled: this server runs only plugins of its plugin directory (--plugin-dir-only)"
    )]
    FolderOnly,
    /// A path leaves its folder.
    #[error(
        "Path traversal detected: plugin filename '{0}' attempts to access files outside the plugin directory"
    )]
    PathTraversal(String),
    /// The file or folder does not exist.
    #[error("reading plugin file: Plugin not found: {0}")]
    NotFound(String),
    /// A folder is not a package: it has no `__init__.py`.
    #[error("reading plugin file: Multi-file plugin directory must contain __init__.py: {0}")]
    NoInit(String),
    /// A file or folder can't be read or written.
    #[error("reading plugin file: {0}")]
    Io(String),
    #[error("error fetching plugin from repository: {status} {url}")]
    Refused {
        status: String,
        /// The requested URL, without credentials.
        url: String,
    },
    /// The repository did not answer, or its response is not a plugin.
    #[error("error fetching plugin from repository: {0}")]
    Repository(String),
    /// The files are not a valid plugin.
    #[error("invalid plugin: {0}")]
    Invalid(String),
    #[error("Plugin not found: {0}")]
    NoTrigger(String),
    #[error("several databases have a trigger named '{0}': specify the database")]
    Ambiguous(String),
    /// The code that a trigger names is not in the bucket.
    #[error("the code of the plugin is not in the object store: {0}")]
    Missing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is damaged, or too new for this release.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The catalog could not be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<PluginCodeError> for ApiError {
    fn from(error: PluginCodeError) -> Self {
        let message = error.to_string();
        match error {
            // InfluxDB 3 answers these with an internal error, which makes clients repeat the request.
            PluginCodeError::NoPluginFolder
            | PluginCodeError::PathTraversal(_)
            | PluginCodeError::NotFound(_)
            | PluginCodeError::NoInit(_) => {
                Self::text(Kind::Invalid, format!("Plugin error: {message}"))
            }
            // The repository has no such plugin.
            PluginCodeError::Refused { status, .. } if status.starts_with('4') => {
                Self::text(Kind::Invalid, format!("Plugin error: {message}"))
            }
            PluginCodeError::Io(_)
            | PluginCodeError::Refused { .. }
            | PluginCodeError::Repository(_) => {
                Self::text(Kind::Internal, format!("Plugin error: {message}"))
            }
            PluginCodeError::FolderOnly => Self::text(Kind::Forbidden, message),
            PluginCodeError::Invalid(_) => Self::text(Kind::Invalid, message),
            PluginCodeError::NoTrigger(_) => Self::text(Kind::NotFound, message),
            PluginCodeError::Ambiguous(_) => Self::text(Kind::Conflict, message),
            PluginCodeError::Missing(_) => Self::text(Kind::Corrupt, message),
            PluginCodeError::Store(error) => error.into(),
            PluginCodeError::Format(error) => CatalogError::Format(error).into(),
            PluginCodeError::Catalog(error) => error.into(),
        }
    }
}
