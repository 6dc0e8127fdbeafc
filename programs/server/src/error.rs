//! The errors that prevent the server from starting.

use std::io;

use neap_catalog::{CatalogError, TokenHashError};
use neap_compact::TimeTravelTooShort;
use neap_query::QueryError;

use crate::stores::StoresError;

/// Errors that prevent the server from starting.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        error: io::Error,
    },
    /// The file for the address can't be written.
    #[error("{path}: {error}")]
    AddressFile {
        /// The file.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// The environment variable for the name of the process is not set.
    #[error("--node-id-from-env: the environment variable {0} is not set")]
    NoNodeId(String),
    /// The name of the process is set twice.
    #[error("--node-id and --node-id-from-env are both set; set only one")]
    TwoNodeIds,
    /// The log filter is invalid.
    #[error("--log-filter {filter}: {reason}")]
    LogFilter {
        /// The filter.
        filter: String,
        /// The cause.
        reason: String,
    },
    /// Only one of the two files that HTTPS needs is set.
    #[error("{given} is set, but {missing} is not: HTTPS requires both")]
    IncompleteTls {
        /// The option that is set.
        given: &'static str,
        /// The option that is not.
        missing: &'static str,
    },
    /// An option that `--sync-to` needs is not set.
    #[error("--sync-to is set, but {0} is not")]
    IncompleteSync(&'static str),
    /// Rows can't be shipped to another cluster.
    #[error("{0}")]
    Sync(String),
    /// Users can't sign in as the options say.
    #[error(transparent)]
    Users(#[from] neap_identity::SettingsError),
    /// The service that signs users in can't be set up.
    #[error(transparent)]
    Identity(#[from] neap_identity::IdentityError),
    /// Notifications can't be sent.
    #[error(transparent)]
    Notifications(#[from] neap_query::NotifierError),
    /// Only one of the two options that the assistant needs is set.
    #[error("{given} is set, but {missing} is not: the assistant requires both a URL and a model")]
    IncompleteAssistant {
        /// The option that is set.
        given: &'static str,
        /// The option that is not.
        missing: &'static str,
    },
    /// The key of the assistant is set twice.
    #[error("--assistant-key and --assistant-key-file are both set; set only one")]
    TwoAssistantKeys,
    /// The file with the key of the assistant can't be read.
    #[error("--assistant-key-file {path}: {error}")]
    AssistantKey {
        /// The file.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// The file with the key of the assistant is too long to be a key.
    #[error("--assistant-key-file {path} is longer than {max_bytes} bytes")]
    LongAssistantKey {
        /// The file.
        path: String,
        /// Maximum length of the file, in bytes.
        max_bytes: u64,
    },
    /// The assistant can't be used.
    #[error(transparent)]
    Assistant(#[from] neap_console::AssistantError),
    /// The process lacks the function that replaces tokens.
    #[error("--admin-token-recovery-http-bind needs --mode ingest or all")]
    NoRecovery,
    /// The process lacks the function that accepts writes.
    #[error("{0} needs --mode ingest or all")]
    NoIngest(&'static str),
    /// The process lacks the function that answers queries.
    #[error("{0} needs --mode query or all")]
    NoQuery(&'static str),
    /// Other machines could read the rows of queries on the network.
    #[error(
        "--cluster-address {0} can be reached from other machines: set --cluster-tls-cert, --cluster-tls-key and \
         --cluster-tls-ca, or --cluster-without-tls in a network that others cannot listen to"
    )]
    OpenWorkerPort(String),
    /// The process does not know an address at which others reach its worker port.
    #[error(
        "--cluster-address {0}: no address for other processes is known; set --cluster-advertise"
    )]
    NoAdvertisedAddress(String),
    /// The time-travel period is too short: dropped data would be deleted while queries read it.
    #[error(transparent)]
    TimeTravel(#[from] TimeTravelTooShort),
    /// The file contains no valid admin token.
    #[error("--admin-token-file {path}: {reason}")]
    AdminToken {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The value is not the hash of an admin token.
    #[error("--admin-token-hash: {0}")]
    AdminTokenHash(#[from] TokenHashError),
    /// HTTPS can't be served with these files.
    #[error("{path}: {reason}")]
    Tls {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The folder with plugins can't be used.
    #[error("--plugin-dir {path}: {error}")]
    PluginFolder {
        /// The folder.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// Only plugins of the plugin folder are allowed, and there is none.
    #[error("--plugin-dir-only needs --plugin-dir")]
    NoPluginFolder,
    /// Traces can't be exported.
    #[error("--traces-exporter-otlp-endpoint {endpoint}: {reason}")]
    Traces {
        /// The receiver of traces.
        endpoint: String,
        /// The cause.
        reason: String,
    },
    /// The threads of maintenance can't be started.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// Signals can't be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// The store can't be used.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// The catalog can't be read or created.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Queries can't be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
}
