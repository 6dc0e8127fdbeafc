//! How plugins are run, as options.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use neap_engine::{PackageManager, PluginRepository, TriggerKind};

use super::limits::{parse_count, parse_time};
use crate::cli::parse_bytes;

/// Where plugins come from, and what they may use up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Plugins")]
pub(crate) struct PluginArgs {
    /// The folder with plugins, which triggers name by their paths below it. What is uploaded is kept in the store
    /// and needs none.
    #[arg(long, value_name = "FOLDER")]
    pub(super) plugin_dir: Option<PathBuf>,

    /// The virtual environment of plugins, which packages are installed into: by default .venv in --plugin-dir.
    #[arg(long, env = "VIRTUAL_ENV", value_name = "FOLDER")]
    pub(super) virtual_env_location: Option<PathBuf>,

    /// What installs packages: pip, uv, the one of them that is there (discover), or nothing (disabled).
    #[arg(long, value_name = "NAME", default_value = "discover")]
    pub(super) package_manager: PackageManager,

    /// Where plugins are fetched from that triggers name after gh: an address, or a folder with a copy of it. By
    /// default InfluxData's public repository of plugins.
    #[arg(long, value_name = "URL|FOLDER")]
    pub(super) plugin_repo: Option<PluginRepository>,

    /// The kinds of triggers that may be created: wal, schedule, request. All of them by default.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(super) restrict_plugin_triggers_to: Vec<TriggerKind>,

    /// The Python interpreter of plugins, unless there is a virtual environment.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub(super) plugin_python: PathBuf,

    /// The time that a run of a plugin may take.
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "5m")]
    pub(super) plugin_time_limit: Duration,

    /// The processor time that a run of a plugin may take.
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "5m")]
    pub(super) plugin_cpu_limit: Duration,

    /// The memory of the process of a plugin.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "1GiB")]
    pub(super) plugin_memory_limit: usize,

    /// What a run of a plugin may log, write and answer.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "64MiB")]
    pub(super) plugin_output_limit: usize,

    /// The processes that a plugin may have started at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    pub(super) plugin_process_limit: usize,

    /// Processes of all plugins together. When all of them are busy, runs wait.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "32")]
    pub(super) max_plugin_processes: usize,

    /// After how long without a run the process of a plugin ends that keeps nothing in memory.
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "10m")]
    pub(super) plugin_idle_time: Duration,
}
