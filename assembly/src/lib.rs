//! How functions are put together where one needs another.
//!
//! A function knows what is shared, and no other function. What it needs of another one it names as a trait of its own;
//! here is what fills these traits, for the server and for the functions on their own (docs/decisions/0015).
//!
//! | piece | what it puts together |
//! |---|---|
//! | [`PluginDatabase`] | queries and writes, for plugins |
//! | [`Processing`] | the processing engine: plugins, the processes that they run in, and their database |
//! | [`ProcessingOptions`] | its settings, as options of the server and of the engine function |
//! | [`plugin_files`] | `system.plugin_files`, where no engine is |

mod plugin_database;
mod plugin_files;
mod processing;
mod processing_options;

pub use plugin_database::PluginDatabase;
pub use plugin_files::plugin_files;
pub use processing::{Processing, ProcessingParts, ProcessingSettings};
pub use processing_options::ProcessingOptions;
