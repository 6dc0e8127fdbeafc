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
    /// Names of environment variables that are removed for plugins: by default, credentials of the object store and of
    /// the server.
    pub withheld_variables: Vec<String>,
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

/// Variables with credentials of the object stores that Neap supports, or with their locations: keys, roles of
/// containers and web identities, files; and the file of the administrator's token. Servers add these names with their
/// own prefixes.
const CREDENTIALS: [&str; 43] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_CREDENTIALS_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_TENANT_ID",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "ADMIN_TOKEN_FILE",
];

impl Default for WorkerSettings {
    fn default() -> Self {
        let minutes = |number: u64| Duration::from_secs(60 * number);
        Self {
            python: PathBuf::from("python3"),
            plugin_folder: None,
            withheld_variables: CREDENTIALS.map(str::to_owned).to_vec(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_every_kind_are_withheld() {
        let withheld = WorkerSettings::default().withheld_variables;
        for name in [
            "AWS_SESSION_TOKEN",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ROLE_ARN",
            "AWS_CREDENTIALS_FILE",
            "AZURE_FEDERATED_TOKEN_FILE",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "ADMIN_TOKEN_FILE",
        ] {
            assert!(withheld.iter().any(|it| it == name), "{name}");
        }
        assert!(!withheld.iter().any(|it| it == "AWS_REGION"));
    }
}
