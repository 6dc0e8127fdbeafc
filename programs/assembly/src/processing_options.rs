//! Command-line options for running plugins, shared by `neap serve` and the engine function.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use neap_engine::{
    EngineSettings, NetworkAccess, PLUGIN_USER, PackageManager, PackageSettings,
    PluginCodeSettings, PluginRepository, SandboxMode, SandboxSettings, TriggerKind,
    WorkerSettings,
};
use neap_http::BodyLimits;

use crate::{
    ProcessingSettings,
    options::{parse_bytes, parse_count, parse_nonzero_duration},
};

/// Options for plugin sources and resource limits.
#[derive(Args, Clone, Debug)]
pub struct ProcessingOptions {
    /// The folder with plugins, which triggers name by their paths below it. What is uploaded is kept in the store
    /// and needs none.
    #[arg(long, value_name = "FOLDER")]
    pub plugin_dir: Option<PathBuf>,

    /// Allow only plugins in --plugin-dir: uploads and plugins of the repository are refused, and triggers of such
    /// plugins are left to other servers.
    #[arg(long)]
    pub plugin_dir_only: bool,

    /// The virtual environment of plugins, which packages are installed into: by default .venv in --plugin-dir.
    #[arg(long, env = "VIRTUAL_ENV", value_name = "FOLDER")]
    pub virtual_env_location: Option<PathBuf>,

    /// The package installer: pip, uv, the available one of them (discover), or none (disabled).
    #[arg(long, value_name = "NAME", default_value = "discover")]
    pub package_manager: PackageManager,

    /// Install no packages and create no virtual environment, whatever --package-manager says.
    #[arg(long)]
    pub disable_package_management: bool,

    /// The repository of plugins that triggers name with the prefix gh: an address, or a folder with a copy of it. By
    /// default InfluxData's public repository of plugins.
    #[arg(long, value_name = "URL|FOLDER")]
    pub plugin_repo: Option<PluginRepository>,

    /// The kinds of triggers that may be created: wal, schedule, request. All of them by default.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub restrict_plugin_triggers_to: Vec<TriggerKind>,

    /// Maximum number of concurrent runs of a trigger whose runs may overlap.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "8")]
    pub async_trigger_concurrency_limit: usize,

    /// The Python interpreter of plugins, unless there is a virtual environment.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub plugin_python: PathBuf,

    /// Confine plugins to the system's libraries, their own code, and a folder for temporary files: if the kernel can
    /// do it (auto), always (required: without Landlock, plugins don't run), or never (off).
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub plugin_sandbox: SandboxMode,

    /// Whether plugins may use the network: allow or deny.
    #[arg(long, value_name = "ACCESS", default_value = "allow")]
    pub plugin_network: NetworkAccess,

    /// Further files and folders that confined plugins may read.
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub plugin_read_path: Vec<PathBuf>,

    /// Further files and folders that confined plugins may read and write.
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub plugin_write_path: Vec<PathBuf>,

    /// The user id of plugins, if the server runs as root. With 0, plugins run as root, too.
    #[arg(long, value_name = "UID", default_value_t = PLUGIN_USER)]
    pub plugin_user: u32,

    /// Environment variables of the server that plugins and package installers get, in addition to those that every
    /// program needs.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub plugin_env: Vec<String>,

    /// The time that a run of a plugin may take.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "5m")]
    pub plugin_time_limit: Duration,

    /// The processor time that a run of a plugin may take.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "5m")]
    pub plugin_cpu_limit: Duration,

    /// The memory of the process of a plugin.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "1GiB")]
    pub plugin_memory_limit: usize,

    /// Maximum bytes that a run of a plugin may log, write and answer.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "64MiB")]
    pub plugin_output_limit: usize,

    /// Maximum number of concurrent child processes of a plugin.
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    pub plugin_process_limit: usize,

    /// Maximum number of processes of all plugins. When all are busy, runs wait.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count, default_value = "32")]
    pub max_plugin_processes: usize,

    /// Idle time after which the process of a plugin without in-memory state is stopped.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, default_value = "10m")]
    pub plugin_idle_time: Duration,
}

impl ProcessingOptions {
    /// Converts the options into settings.
    pub fn settings(&self, body: BodyLimits) -> ProcessingSettings {
        ProcessingSettings {
            engine: EngineSettings {
                parallel_runs: self.async_trigger_concurrency_limit,
                plugin_folder_only: self.plugin_dir_only,
                ..EngineSettings::default()
            },
            workers: WorkerSettings {
                passed_variables: self.plugin_env.clone(),
                sandbox: SandboxSettings {
                    mode: self.plugin_sandbox,
                    network: self.plugin_network,
                    readable: self.plugin_read_path.clone(),
                    writable: self.plugin_write_path.clone(),
                    user: self.plugin_user,
                },
                wall_time: self.plugin_time_limit,
                cpu_time: self.plugin_cpu_limit,
                memory_bytes: self.plugin_memory_limit as u64,
                output_bytes: self.plugin_output_limit,
                max_descendants: self.plugin_process_limit,
                stop_after_idle: self.plugin_idle_time,
                max_workers: self.max_plugin_processes,
                max_parallel_runs: self.async_trigger_concurrency_limit,
                ..WorkerSettings::default()
            },
            code: PluginCodeSettings {
                plugin_folder: self.plugin_dir.clone(),
                folder_only: self.plugin_dir_only,
                repository: self.plugin_repo.clone().unwrap_or_default(),
                ..PluginCodeSettings::default()
            },
            packages: PackageSettings {
                manager: if self.disable_package_management {
                    PackageManager::Disabled
                } else {
                    self.package_manager
                },
                environment: self.virtual_env_location.clone(),
                python: self.plugin_python.clone(),
                passed_variables: self.plugin_env.clone(),
                ..PackageSettings::default()
            },
            allowed: self.restrict_plugin_triggers_to.clone(),
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        plugins: ProcessingOptions,
    }

    fn settings(args: &[&str]) -> ProcessingSettings {
        let args = ["neap"].iter().chain(args);
        let plugins = Command::try_parse_from(args).unwrap().plugins;
        plugins.settings(BodyLimits::default())
    }

    #[test]
    fn options_become_settings() {
        let usual = settings(&[]);
        let defaults = WorkerSettings::default();
        assert_eq!(usual.workers.wall_time, defaults.wall_time);
        assert_eq!(usual.workers.memory_bytes, defaults.memory_bytes);
        assert_eq!(usual.workers.output_bytes, defaults.output_bytes);
        assert_eq!(usual.workers.max_workers, defaults.max_workers);
        assert_eq!(usual.workers.sandbox, SandboxSettings::default());
        assert_eq!(usual.packages.manager, PackageManager::Discover);
        assert_eq!(usual.engine, EngineSettings::default());
        assert!(!usual.code.folder_only);
        let all = settings(&[
            "--plugin-dir=/p",
            "--virtual-env-location=/v",
            "--package-manager=uv",
            "--plugin-repo=/r",
            "--restrict-plugin-triggers-to=wal,request",
            "--plugin-python=/python",
            "--plugin-sandbox=required",
            "--plugin-network=deny",
            "--plugin-read-path=/models,/data",
            "--plugin-write-path=/results",
            "--plugin-time-limit=2s",
            "--plugin-cpu-limit=3s",
            "--plugin-memory-limit=1MB",
            "--plugin-output-limit=1KiB",
            "--plugin-process-limit=4",
            "--max-plugin-processes=5",
            "--async-trigger-concurrency-limit=3",
            "--plugin-dir-only",
            "--plugin-user=1000",
            "--plugin-env=HTTPS_PROXY,MODEL",
            "--plugin-idle-time=6s",
        ]);
        let expected = WorkerSettings {
            passed_variables: vec!["HTTPS_PROXY".into(), "MODEL".into()],
            sandbox: SandboxSettings {
                mode: SandboxMode::Required,
                network: NetworkAccess::Deny,
                readable: vec!["/models".into(), "/data".into()],
                writable: vec!["/results".into()],
                user: 1000,
            },
            wall_time: Duration::from_secs(2),
            cpu_time: Duration::from_secs(3),
            memory_bytes: 1_000_000,
            output_bytes: 1024,
            max_descendants: 4,
            max_workers: 5,
            max_parallel_runs: 3,
            stop_after_idle: Duration::from_secs(6),
            ..defaults
        };
        assert_eq!(all.workers, expected);
        assert_eq!(all.packages.passed_variables, expected.passed_variables);
        assert_eq!(all.engine.parallel_runs, 3);
        assert!(all.engine.plugin_folder_only && all.code.folder_only);
        assert_eq!(all.code.plugin_folder, Some("/p".into()));
        assert_eq!(all.code.repository, PluginRepository::Folder("/r".into()));
        assert_eq!(all.packages.environment, Some("/v".into()));
        assert_eq!(all.packages.manager, PackageManager::Uv);
        assert_eq!(all.packages.python, PathBuf::from("/python"));
        assert_eq!(all.allowed, [TriggerKind::Wal, TriggerKind::Request]);
    }

    #[test]
    fn package_management_can_be_disabled_whatever_the_package_manager() {
        let args = ["--package-manager=pip", "--disable-package-management"];
        assert_eq!(settings(&args).packages.manager, PackageManager::Disabled);
    }

    #[test]
    fn invalid_values_are_refused() {
        for arg in [
            "--package-manager=conda",
            "--restrict-plugin-triggers-to=wal,cron",
            "--plugin-sandbox=on",
            "--plugin-network=loopback",
            "--plugin-time-limit=0s",
            "--plugin-memory-limit=0",
            "--max-plugin-processes=0",
            "--async-trigger-concurrency-limit=0",
        ] {
            assert!(Command::try_parse_from(["neap", arg]).is_err(), "{arg}");
        }
    }
}
