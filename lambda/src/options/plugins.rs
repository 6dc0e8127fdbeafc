//! How plugins are run, as options.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use neap_assembly::ProcessingSettings;
use neap_engine::{
    CodeSettings, EngineSettings, PackageManager, PackageSettings, PluginRepository, TriggerKind,
    WorkerSettings,
};
use neap_http::BodyLimits;

use super::{parse_bytes, parse_count, parse_time};

/// What a plugin could speak to Lambda with in place of the function, or get the function's credentials by.
const OF_LAMBDA: [&str; 3] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// The beginnings of the names of variables that can hold what options can.
const PREFIXES: [&str; 2] = ["NEAP_", "INFLUXDB3_"];

/// Where plugins come from, and what they may use up, as with `neap serve`.
#[derive(Args, Clone, Debug)]
pub struct PluginOptions {
    /// A folder with plugins in the package of the function. What is uploaded is kept in the bucket and needs none
    #[arg(long, value_name = "FOLDER")]
    plugin_dir: Option<PathBuf>,

    /// A virtual environment of plugins in the package of the function, or in a layer
    #[arg(long, env = "VIRTUAL_ENV", value_name = "FOLDER")]
    virtual_env_location: Option<PathBuf>,

    /// What installs packages: nothing (disabled), for an instance would have them alone; else pip, uv, discover
    #[arg(long, value_name = "NAME", default_value = "disabled")]
    package_manager: PackageManager,

    /// Where plugins are fetched from that triggers name after gh:
    #[arg(long, value_name = "URL|FOLDER")]
    plugin_repo: Option<PluginRepository>,

    /// The kinds of triggers that may be created: wal, schedule, request. All of them by default
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    restrict_plugin_triggers_to: Vec<TriggerKind>,

    /// The Python interpreter of plugins, unless there is a virtual environment
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    plugin_python: PathBuf,

    /// The time that a run of a plugin may take; never longer than the function has
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "5m")]
    plugin_time_limit: Duration,

    /// The processor time that a run of a plugin may take
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "5m")]
    plugin_cpu_limit: Duration,

    /// The memory of the process of a plugin
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "1GiB")]
    plugin_memory_limit: usize,

    /// What a run of a plugin may log, write and answer
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "64MiB")]
    plugin_output_limit: usize,

    /// The processes that a plugin may have started at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    plugin_process_limit: usize,

    /// Processes of all plugins together. When all of them are busy, runs wait
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "8")]
    max_plugin_processes: usize,

    /// After how long without a run the process of a plugin ends that keeps nothing in memory
    #[arg(long, value_name = "DURATION", value_parser = parse_time, default_value = "10m")]
    plugin_idle_time: Duration,
}

impl PluginOptions {
    /// How plugins are run.
    pub(crate) fn settings(&self, body: BodyLimits) -> ProcessingSettings {
        let workers = WorkerSettings::default();
        let withheld_variables = withheld(&workers.withheld_variables);
        ProcessingSettings {
            engine: EngineSettings::default(),
            workers: WorkerSettings {
                withheld_variables: withheld_variables.clone(),
                wall_time: self.plugin_time_limit,
                cpu_time: self.plugin_cpu_limit,
                memory_bytes: self.plugin_memory_limit as u64,
                output_bytes: self.plugin_output_limit,
                max_descendants: self.plugin_process_limit,
                stop_after_idle: self.plugin_idle_time,
                max_workers: self.max_plugin_processes,
                ..workers
            },
            code: CodeSettings {
                plugin_folder: self.plugin_dir.clone(),
                repository: self.plugin_repo.clone().unwrap_or_default(),
                ..CodeSettings::default()
            },
            packages: PackageSettings {
                manager: self.package_manager,
                environment: self.virtual_env_location.clone(),
                python: self.plugin_python.clone(),
                withheld_variables,
                ..PackageSettings::default()
            },
            allowed: self.restrict_plugin_triggers_to.clone(),
            body,
            ..ProcessingSettings::default()
        }
    }
}

/// The variables that are withheld from plugins, under all names that they have here.
fn withheld(names: &[String]) -> Vec<String> {
    let own = |name: &String| PREFIXES.map(|prefix| format!("{prefix}{name}"));
    let own = names.iter().flat_map(own);
    let of_lambda = OF_LAMBDA.map(str::to_owned);
    names.iter().cloned().chain(own).chain(of_lambda).collect()
}
