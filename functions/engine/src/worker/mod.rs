//! Runs plugins in separate processes: long-lived `python3` children that can be limited and killed, so that a plugin
//! can't take down a database.
//!
//! ```text
//! Workers ──── a trigger's slot ──── Process ═══ frames over stdin and stdout ═══ host script ── plugin
//!    │              │                   │                                              │
//!    │ at most      │ one at a time,    │ one process group; killed as a whole         │ influxdb3_local, LineBuilder
//!    │ max_workers  │ or max_parallel   │ at a limit, a crash, or the end              │ log, lines, queries, cache
//! ```
//!
//! A run is one call of the plugin's function. Log lines arrive during the run, queued lines arrive with [`CompletedRun`],
//! and queries and synchronous writes go to the run's [`RunContext`]. A run that ends in a [`RunError`] has no effects
//! except its log and its `write_sync` writes.

mod cache;
mod call;
mod cgroup;
mod columns;
mod descendants;
mod error;
mod exchange;
mod exit_status;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod host_requests;
mod inputs;
mod installed_packages;
mod pool;
mod process;
mod process_output;
mod sandbox;
mod settings;
mod slot;
#[cfg(test)]
mod tests;

pub use call::{
    CompletedRun, LogLevel, PluginInput, PluginOnDisk, PluginResponse, PluginRun, RunContext,
    RunLimits, TriggerKey,
};
pub use error::RunError;
pub use pool::WorkerPool;
pub use sandbox::{NetworkAccess, PLUGIN_USER, SandboxMode, SandboxSettingError, SandboxSettings};
pub use settings::WorkerSettings;
