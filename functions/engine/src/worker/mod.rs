//! Plugins in processes of their own: long-lived `python3` children that can be limited and killed, so that no plugin
//! takes down a database.
//!
//! ```text
//! Workers ──── a trigger's slot ──── Process ═══ frames over stdin and stdout ═══ host script ── plugin
//!    │              │                   │                                              │
//!    │ at most      │ one at a time,    │ one group of processes; killed whole         │ influxdb3_local, LineBuilder
//!    │ max_workers  │ or max_parallel   │ at a limit, a crash, or the end              │ log, lines, queries, cache
//! ```
//!
//! A run is one call of the plugin's function. What it logs comes at once, the lines that it queues come with
//! [`Finished`], and what it asks for in between goes to its [`RunContext`]. A run that ends in [`RunError`] leaves
//! nothing behind but its log and what it wrote with `write_sync`.

mod answers;
mod cache;
mod call;
mod cgroup;
mod columns;
mod descendants;
mod error;
mod exchange;
mod frames;
mod inputs;
mod installed;
mod pool;
mod printed;
mod process;
mod settings;
mod slot;
#[cfg(test)]
mod tests;

pub use call::{
    Call, Finished, LogLevel, PluginOnDisk, PluginResponse, Run, RunContext, RunLimits, TriggerKey,
};
pub use error::RunError;
pub use pool::Workers;
pub use settings::WorkerSettings;
