//! The stores that the tests use.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
};

use neap_test_inputs::{Input, skip};
use tempfile::TempDir;

use super::{program, s3_server_binary};

/// A store of its own, shared by all processes that are given it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What it is, for messages.
    pub(crate) name: &'static str,
    /// The flags that open it.
    pub(crate) flags: Vec<String>,
    folder: Arc<TempDir>,
    server: Option<Arc<Mutex<Option<S3Process>>>>,
}

/// `neap-s3-server` on a directory, until it is dropped.
#[derive(Debug)]
struct S3Process {
    child: Child,
    endpoint: String,
    bucket: String,
}

impl S3Process {
    /// Starts it on a port, or on a free one with 0.
    fn start(folder: &Path, port: &str) -> Self {
        let mut command = program(&s3_server_binary(), folder);
        command.args([port, "."]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (endpoint, bucket) = line.trim().split_once(' ').expect("endpoint and bucket");
        let (endpoint, bucket) = (endpoint.to_owned(), bucket.to_owned());
        Self {
            child,
            endpoint,
            bucket,
        }
    }
}

impl Drop for S3Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(
        tempfile::Builder::new()
            .prefix("neap-e2e-")
            .tempdir()
            .unwrap(),
    )
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    let flags = pairs
        .iter()
        .flat_map(|(flag, value)| [format!("--{flag}"), (*value).to_owned()]);
    flags.collect()
}

impl Place {
    /// The memory of a process.
    pub(crate) fn memory() -> Self {
        let flags = flags(&[("object-store", "memory")]);
        Self {
            name: "memory",
            flags,
            folder: folder(),
            server: None,
        }
    }

    /// A directory.
    pub(crate) fn directory() -> Self {
        let folder = folder();
        let path = folder.path().to_str().unwrap().to_owned();
        let flags = flags(&[("object-store", "file"), ("data-dir", &path)]);
        Self {
            name: "directory",
            flags,
            folder,
            server: None,
        }
    }

    /// A directory that is there already.
    pub(crate) fn at(path: &str) -> Self {
        Self {
            name: "directory",
            flags: flags(&[("object-store", "file"), ("data-dir", path)]),
            folder: folder(),
            server: None,
        }
    }

    /// An S3 server of our own, in a process of its own, on a directory.
    pub(crate) fn own_s3() -> Self {
        let folder = folder();
        let server = S3Process::start(folder.path(), "0");
        let flags = s3_flags(&server.endpoint, &server.bucket, "AKIDTEST", "SKTEST");
        let server = Arc::new(Mutex::new(Some(server)));
        Self {
            name: "own S3 server",
            flags,
            folder,
            server: Some(server),
        }
    }

    /// Whether the bucket is in the folder.
    pub(crate) fn is_in_folder(&self) -> bool {
        self.server.is_some() || self.name == "directory"
    }

    /// A bucket of an S3 server of our own that runs already.
    pub(crate) fn s3(endpoint: &str, bucket: &str) -> Self {
        Self {
            name: "own S3 server",
            flags: s3_flags(endpoint, bucket, "AKIDTEST", "SKTEST"),
            folder: folder(),
            server: None,
        }
    }

    /// Kills the S3 server of our own, does something, and starts it again where it was.
    pub(crate) fn without_store<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let mut server = self
            .server
            .as_ref()
            .expect("an S3 server of our own")
            .lock()
            .unwrap();
        let endpoint = server.take().expect("a server that runs").endpoint.clone();
        let outcome = meanwhile();
        let port = endpoint.rsplit_once(':').expect("a port").1;
        *server = Some(S3Process::start(self.folder.path(), port));
        outcome
    }

    /// A part of the bucket of a server that somebody else has written and started, if there is one.
    pub(crate) fn other_s3() -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("NEAP_TEST_S3_{name}")).ok();
        let Some(endpoint) = variable("ENDPOINT") else {
            skip(
                Input::Installed,
                "NEAP_TEST_S3_ENDPOINT and NEAP_TEST_S3_BUCKET name no second S3 server",
            );
            return None;
        };
        let names = ["BUCKET", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"];
        let [bucket, key, secret] =
            names.map(|name| variable(name).unwrap_or_else(|| panic!("NEAP_TEST_S3_{name}")));
        let folder = folder();
        let prefix = folder
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let mut flags = s3_flags(&endpoint, &bucket, &key, &secret);
        flags.extend(["--key-prefix".to_owned(), prefix]);
        Some(Self {
            name: "other S3 server",
            flags,
            folder,
            server: None,
        })
    }

    /// The folder of the store, or one that belongs to the test as the store does.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The flags that open it, after a command.
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
