//! Why the code of a plugin can't be had.

use neap_bucket::{FormatError, StoreError};
use neap_catalog::CatalogError;
use neap_http::{ApiError, Kind};

/// Why the code of a plugin can't be had or kept, in the words of InfluxDB 3 Core where it has some.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodeError {
    /// The server has no plugin folder, and the plugin is not an uploaded one.
    #[error("Node not configured with plugin directory")]
    NoPluginFolder,
    /// A path leads out of the folder that it belongs to.
    #[error(
        "Path traversal detected: plugin filename '{0}' attempts to access files outside the plugin directory"
    )]
    PathTraversal(String),
    /// There is no such file or folder.
    #[error("reading plugin file: Plugin not found: {0}")]
    NotFound(String),
    /// A folder is no package.
    #[error("reading plugin file: Multi-file plugin directory must contain __init__.py: {0}")]
    NoInit(String),
    /// A file or folder can't be read or written.
    #[error("reading plugin file: {0}")]
    Io(String),
    /// The repository refuses.
    #[error("error fetching plugin from repository: {status} {url}")]
    Refused {
        /// What it answered.
        status: String,
        /// What was asked for.
        url: String,
    },
    /// The repository does not answer, or not with a plugin.
    #[error("error fetching plugin from repository: {0}")]
    Repository(String),
    /// Files make no plugin.
    #[error("invalid plugin: {0}")]
    Invalid(String),
    /// No trigger has this name.
    #[error("Plugin not found: {0}")]
    NoTrigger(String),
    /// Triggers of several databases have this name.
    #[error("triggers of several databases are called '{0}': name the database")]
    Ambiguous(String),
    /// Code that a trigger names is not in the bucket.
    #[error("the code of the plugin is not in the object store: {0}")]
    Missing(String),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is damaged, or too new for this release.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The catalog could not be read or changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<CodeError> for ApiError {
    fn from(error: CodeError) -> Self {
        let message = error.to_string();
        match error {
            // As InfluxDB 3 answers them, whosever mistake it is.
            CodeError::NoPluginFolder
            | CodeError::PathTraversal(_)
            | CodeError::NotFound(_)
            | CodeError::NoInit(_)
            | CodeError::Io(_)
            | CodeError::Refused { .. }
            | CodeError::Repository(_) => {
                Self::text(Kind::Internal, format!("Plugin error: {message}"))
            }
            CodeError::Invalid(_) => Self::text(Kind::Invalid, message),
            CodeError::NoTrigger(_) => Self::text(Kind::NotFound, message),
            CodeError::Ambiguous(_) => Self::text(Kind::Conflict, message),
            CodeError::Missing(_) => Self::text(Kind::Corrupt, message),
            CodeError::Store(error) => error.into(),
            CodeError::Format(error) => CatalogError::Format(error).into(),
            CodeError::Catalog(error) => error.into(),
        }
    }
}
