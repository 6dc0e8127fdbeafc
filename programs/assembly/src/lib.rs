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
//! | [`plugin_files`] | `system.plugin_files` for processes without an engine |

mod plugin_database;
mod plugin_files;
mod processing;
mod processing_options;

pub use plugin_database::PluginDatabase;
pub use plugin_files::plugin_files;
pub use processing::{ProcessingEngine, ProcessingParts, ProcessingSettings};
pub use processing_options::ProcessingOptions;
