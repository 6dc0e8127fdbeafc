//! Connects functions that depend on each other.
//!
//! A function crate depends on the shared crates and on no other function. It declares each dependency on another
//! function as a trait of its own; this crate implements these traits, for the server and for the standalone functions
//! (docs/decisions/0015).
//!
//! | item | contents |
//! |---|---|
//! | [`PluginDatabase`] | queries and writes for plugins |
//! | [`ProcessingEngine`] | the processing engine: plugins, their worker processes, and their database |
//! | [`ProcessingOptions`] | its settings, as command-line options of the server and of the engine function |
//! | [`CatalogLimitOptions`] | limits on databases, tables and columns, as command-line options of the server and of the functions |
//! | [`NotifierOptions`] | the targets of notifications, as command-line options of the server and of the query function |
//! | [`plugin_files`] | `system.plugin_files` for processes without an engine |
//! | [`stores`], [`store_location`] | open the store that options or a URL name |
//! | [`options`] | the parsers of option values, such as durations and sizes |
//!
//! The stores need the feature `stores`, their locations `locations`, the plugins `plugins`, the limits `limits`, and the
//! notifications `notifications`.

#[cfg(feature = "limits")]
mod catalog_limit_options;
#[cfg(feature = "notifications")]
mod notifier_options;
pub mod options;
#[cfg(feature = "plugins")]
mod plugin_database;
#[cfg(feature = "plugins")]
mod plugin_files;
#[cfg(feature = "plugins")]
mod processing;
#[cfg(feature = "plugins")]
mod processing_options;
#[cfg(feature = "locations")]
pub mod store_location;
#[cfg(feature = "stores")]
pub mod stores;

#[cfg(feature = "limits")]
pub use catalog_limit_options::CatalogLimitOptions;
#[cfg(feature = "notifications")]
pub use notifier_options::NotifierOptions;
#[cfg(feature = "plugins")]
pub use plugin_database::PluginDatabase;
#[cfg(feature = "plugins")]
pub use plugin_files::plugin_files;
#[cfg(feature = "plugins")]
pub use processing::{ProcessingEngine, ProcessingParts, ProcessingSettings};
#[cfg(feature = "plugins")]
pub use processing_options::ProcessingOptions;
