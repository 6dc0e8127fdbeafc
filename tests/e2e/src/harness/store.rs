//! The stores of the tests.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use neap_test_inputs::{InputOrigin, skip};
use tempfile::TempDir;

use super::{program, s3_server_binary};

/// The flag with the URL of an S3 server.
const ENDPOINT: &str = "--aws-endpoint";

/// The flags for the standard margins of the storage protocol.
const STANDARD_MARGINS: [&str; 2] = ["--protocol-margins", "standard"];

/// A time after which copies of a catalog are no longer used in a directory with short margins: more than their maximum
/// age of 1 s (`ProtocolMargins` in `shared/storage/bucket`).
pub(crate) const CATALOG_AGE: Duration = Duration::from_millis(1_500);

/// A separate store, shared by all processes with its flags.
#[derive(Clone, Debug)]
pub(crate) struct StoreFixture {
    /// The kind of store, for messages.
    pub(crate) name: &'static str,
    /// The flags that open the store.
    pub(crate) flags: Vec<String>,
    folder: Arc<TempDir>,
    server: Option<Arc<Mutex<Option<S3Process>>>>,
}

/// `neap-s3-server` on a directory, stopped on drop.
#[derive(Debug)]
struct S3Process {
    child: Child,
    endpoint: String,
    bucket: String,
}

impl S3Process {
    /// Starts the server on a port; port 0 selects a free one.
    fn start(folder: &Path, port: &str) -> Self {
        let mut command = program(&s3_server_binary(), folder);
        command.args([port, "."]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (endpoint, bucket) = line.trim().split_once(' ').expect("endpoint and bucket");
        let (endpoint, bucket) = (endpoint.to_owned(), bucket.to_owned());
        Self { child, endpoint, bucket }
    }
}

impl Drop for S3Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::Builder::new().prefix("neap-e2e-").tempdir().unwrap())
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    let flags = pairs
        .iter()
        .flat_map(|(flag, value)| [format!("--{flag}"), (*value).to_owned()]);
    flags.collect()
}

impl StoreFixture {
    /// Returns a store in the memory of a process.
    pub(crate) fn memory() -> Self {
        let flags = flags(&[("object-store", "memory")]);
        Self { name: "memory", flags, folder: folder(), server: None }
    }

    /// Returns a store in a new directory.
    pub(crate) fn directory() -> Self {
        let folder = folder();
        let path = folder.path().to_str().unwrap().to_owned();
        let flags = flags(&[("object-store", "file"), ("data-dir", &path)]);
        Self { name: "directory", flags, folder, server: None }
    }

    /// Returns a store in an existing directory.
    pub(crate) fn at(path: &str) -> Self {
        Self {
            name: "directory",
            flags: flags(&[("object-store", "file"), ("data-dir", path)]),
            folder: folder(),
            server: None,
        }
    }

    /// Returns a store on a new process of our own S3 server, on a directory.
    pub(crate) fn neap_s3_server() -> Self {
        let folder = folder();
        let server = S3Process::start(folder.path(), "0");
        let flags = s3_flags(&server.endpoint, &server.bucket, "AKIDTEST", "SKTEST");
        let server = Arc::new(Mutex::new(Some(server)));
        Self { name: "own S3 server", flags, folder, server: Some(server) }
    }

    /// Gives the cluster the margins that clusters have by default. For tests that count the requests between two
    /// revalidations of catalogs, that freeze processes or change their clocks, and that load the machine for a while.
    pub(crate) fn with_standard_margins(mut self) -> Self {
        self.flags.extend(STANDARD_MARGINS.map(str::to_owned));
        self
    }

    /// Returns the age at which a segment may be flushed (`ProtocolMargins` in `shared/storage/bucket`). `neap compact`
    /// itself waits until the newest rows have it.
    pub(crate) fn flush_lag(&self) -> Duration {
        let is_network = !matches!(self.name, "memory" | "directory");
        let is_standard = self.flags.iter().any(|flag| flag == STANDARD_MARGINS[0]);
        Duration::from_millis(match (is_network, is_standard) {
            (false, false) => 2_500,
            (false, true) => 8_000,
            (true, false) => 4_500,
            (true, true) => 20_000,
        })
    }

    /// Whether [`StoreFixture::folder`] contains the bucket.
    pub(crate) fn is_in_folder(&self) -> bool {
        self.server.is_some() || self.name == "directory"
    }

    /// Returns a bucket of a running process of our own S3 server.
    pub(crate) fn s3(endpoint: &str, bucket: &str) -> Self {
        Self {
            name: "own S3 server",
            flags: s3_flags(endpoint, bucket, "AKIDTEST", "SKTEST"),
            folder: folder(),
            server: None,
        }
    }

    /// Kills our own S3 server, runs `meanwhile`, and starts the server again on the same port and directory.
    pub(crate) fn without_store<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let mut server = self.server.as_ref().expect("an S3 server of our own").lock().unwrap();
        let endpoint = server.take().expect("a server that runs").endpoint.clone();
        let outcome = meanwhile();
        let port = endpoint.rsplit_once(':').expect("a port").1;
        *server = Some(S3Process::start(self.folder.path(), port));
        outcome
    }

    /// Returns a prefix in the bucket of a third-party S3 server, if one is configured.
    pub(crate) fn third_party_s3() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("NEAP_TEST_S3_{name}")).ok();
        let Some(endpoint) = variable("ENDPOINT") else {
            skip(
                InputOrigin::Installed,
                "NEAP_TEST_S3_ENDPOINT and NEAP_TEST_S3_BUCKET name no second S3 server",
            );
            return None;
        };
        let names = ["BUCKET", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"];
        let [bucket, key, secret] =
            names.map(|name| variable(name).unwrap_or_else(|| panic!("NEAP_TEST_S3_{name}")));
        let folder = folder();
        let prefix = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let mut flags = s3_flags(&endpoint, &bucket, &key, &secret);
        flags.extend(["--key-prefix".to_owned(), prefix]);
        Some(Self { name: "other S3 server", flags, folder, server: None })
    }

    /// Returns a container of a server with the interface of Azure.
    pub(crate) fn azure(endpoint: &str, container: &str, account: &str, key: &str) -> Self {
        let mut flags = flags(&[
            ("object-store", "azure"),
            ("bucket", container),
            ("azure-endpoint", endpoint),
            ("azure-storage-account", account),
            ("azure-storage-access-key", key),
        ]);
        flags.push("--azure-allow-http".to_owned());
        Self { name: "Azure", flags, folder: folder(), server: None }
    }

    /// Returns the folder of the store, or a temporary folder for the other kinds of stores.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the URL of the S3 server; `None` for other kinds of stores.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        let flag = self.flags.iter().position(|flag| flag == ENDPOINT)?;
        self.flags.get(flag + 1).map(String::as_str)
    }

    /// Returns the same store, reached through another URL.
    pub(crate) fn through(&self, endpoint: &str) -> Self {
        let mut store = self.clone();
        if let Some(flag) = store.flags.iter().position(|flag| flag == ENDPOINT) {
            store.flags[flag + 1] = endpoint.to_owned();
        }
        store
    }

    /// Returns the arguments of a command, followed by the flags that open the store.
    pub(crate) fn after<'a>(&'a self, command: &'a [&'a str]) -> Vec<&'a str> {
        let flags = self.flags.iter().map(String::as_str);
        command.iter().copied().chain(flags).collect()
    }
}

fn s3_flags(endpoint: &str, bucket: &str, key: &str, secret: &str) -> Vec<String> {
    let mut flags = flags(&[
        ("object-store", "s3"),
        ("bucket", bucket),
        ("aws-endpoint", endpoint),
        ("aws-access-key-id", key),
        ("aws-secret-access-key", secret),
    ]);
    flags.push("--aws-allow-http".to_owned());
    flags
}
