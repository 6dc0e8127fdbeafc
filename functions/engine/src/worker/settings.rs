//! The numbers of the worker.

use std::{path::PathBuf, time::Duration};

/// How plugins are run and limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The interpreter: a path, or a name to look for in `PATH`. That of a virtual environment sees its packages.
    pub python: PathBuf,
    /// The plugin folder, which plugins find as `PLUGIN_DIR` in their environment.
    pub plugin_folder: Option<PathBuf>,
    /// Names of environment variables that plugins don't get: by default credentials of the object store and of the
    /// server.
    pub withheld_variables: Vec<String>,
    /// The time that a run may take.
    pub wall_time: Duration,
    /// The processor time that a run may take, in whole seconds, rounded up.
    pub cpu_time: Duration,
    /// The memory that a plugin's process may have: writable memory of its own, by `RLIMIT_DATA`.
    pub memory_bytes: u64,
    /// The bytes that a run may log, queue and answer.
    pub output_bytes: usize,
    /// The processes that a plugin may have started at a time.
    pub max_descendants: usize,
    /// After how long without a run a process ends that keeps nothing in memory but what it can hand over.
    pub stop_after_idle: Duration,
    /// How long a run may take to end when the server stops or its trigger is disabled.
    pub grace: Duration,
    /// The processes that may be alive at a time. When all are busy, runs wait. Half of them are left to runs that don't
    /// overlap with others of their trigger, and a quarter to requests, dry runs, and triggers whose runs never overlap.
    pub max_workers: usize,
    /// The runs of one trigger that may overlap, if it allows that at all and there are enough processes.
    pub max_parallel_runs: usize,
    /// How long a request or a dry run waits for its turn. Other runs have nobody who waits for them: they keep their
    /// place in the queue.
    pub max_wait: Duration,
    /// The runs of one trigger that may wait.
    pub max_waiting_runs: usize,
    /// What cached values that are kept outside the processes may take up in all.
    pub cache_bytes: usize,
}

/// What gives access to the object stores that Neap knows, or says where that lies: keys, roles of containers and of
/// web identities, files. Besides, the file of the administrator's token. Servers add the names that their own prefixes
/// make of these.
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
