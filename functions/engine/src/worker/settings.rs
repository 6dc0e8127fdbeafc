//! Settings of the worker.

use std::{path::PathBuf, time::Duration};

use super::SandboxSettings;

/// Settings for running and limiting plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The interpreter: a path, or a name that is searched in `PATH`. An interpreter of a virtual environment sees the
    /// packages of that environment.
    pub python: PathBuf,
    /// The plugin folder, passed to plugins as `PLUGIN_DIR` in their environment.
    pub plugin_folder: Option<PathBuf>,
    /// Names of environment variables of the server that plugins get, in addition to those that every program needs.
    pub passed_variables: Vec<String>,
    /// The resources of the machine that plugins may use.
    pub sandbox: SandboxSettings,
    /// Wall time limit of a run.
    pub wall_time: Duration,
    /// CPU time limit of a run, rounded up to whole seconds.
    pub cpu_time: Duration,
    /// Memory limit of a plugin's process in bytes: private writable memory, by `RLIMIT_DATA`.
    pub memory_bytes: u64,
    /// Maximum bytes of log, queued lines and response of a run together.
    pub output_bytes: usize,
    /// Maximum number of processes that a plugin may have started at a time.
    pub max_descendants: usize,
    /// The idle time after which a process ends, if it can hand over all of its state.
    pub stop_after_idle: Duration,
    /// Grace period for a run when the server stops or its trigger is disabled.
    pub grace: Duration,
    /// Maximum number of live processes. Runs wait if all are busy. Half of them are reserved for runs that do not
    /// overlap with others of their trigger, and a quarter for requests, dry runs, and triggers whose runs never
    /// overlap.
    pub max_workers: usize,
    /// Maximum number of concurrent runs of one trigger, if the trigger allows concurrency and there are enough
    /// processes.
    pub max_parallel_runs: usize,
    /// Maximum wait of a request or a dry run for a process. Other runs have no waiting client, so they stay in the
    /// queue.
    pub max_wait: Duration,
    /// Maximum number of waiting runs of one trigger.
    pub max_waiting_runs: usize,
    /// Maximum bytes of cached values outside the processes.
    pub cache_bytes: usize,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        let minutes = |number: u64| Duration::from_secs(60 * number);
        Self {
            python: PathBuf::from("python3"),
            plugin_folder: None,
            passed_variables: Vec::new(),
            sandbox: SandboxSettings::default(),
            wall_time: minutes(5),
            cpu_time: minutes(5),
            memory_bytes: 1 << 30,
            output_bytes: 64 << 20,
            max_descendants: 64,
            stop_after_idle: minutes(10),
            grace: Duration::from_secs(5),
            max_workers: 32,
            max_parallel_runs: 8,
            max_wait: Duration::from_secs(30),
            max_waiting_runs: 1_000,
            cache_bytes: 256 << 20,
        }
    }
}
