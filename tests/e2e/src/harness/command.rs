//! Commands that run to completion.

use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{neap_binary, wait_for};

/// Maximum duration of a command.
const LIMIT: Duration = Duration::from_secs(120);

/// The result of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    /// The exit status; `None` if a signal ended the command.
    pub(crate) status: Option<i32>,
    /// The standard output, as bytes.
    pub(crate) bytes: Vec<u8>,
    /// The standard output, as text.
    pub(crate) out: String,
    /// The standard error.
    pub(crate) err: String,
}

/// The variable with the margins of the storage protocol in the clusters that `neap` creates.
const MARGINS: &str = "NEAP_PROTOCOL_MARGINS";

/// Returns a command with a clean environment: without the caller's options and without `.env`. Clusters that it creates
/// have short margins, unless the flags of the store say otherwise ([`super::StoreFixture::with_standard_margins`]).
pub(crate) fn program(path: &Path, folder: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().current_dir(folder).env("HOME", folder).stdin(Stdio::null());
    command.env(MARGINS, "short");
    for variable in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
}

/// Splits a command line at its spaces, for arguments that have none.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Runs `neap` with these arguments and empty input.
pub(crate) fn neap<A: AsRef<str>>(arguments: &[A]) -> CommandOutput {
    neap_with_input(arguments, b"")
}

/// Runs `neap` with these arguments and this standard input.
pub(crate) fn neap_with_input<A: AsRef<str>>(arguments: &[A], input: &[u8]) -> CommandOutput {
    let folder = TempDir::new().unwrap();
    let mut command = program(&neap_binary(), folder.path());
    command.args(arguments.iter().map(AsRef::as_ref));
    output_of(command, input)
}

/// Runs a command with this standard input.
pub(crate) fn output_of(mut command: Command, input: &[u8]) -> CommandOutput {
    let folder = TempDir::new().unwrap();
    // Files instead of pipes, because pipes must be read while the command runs.
    let [in_path, out_path, err_path] = ["in", "out", "err"].map(|name| folder.path().join(name));
    File::create(&in_path).unwrap().write_all(input).unwrap();
    command.stdin(File::open(&in_path).unwrap());
    command
        .stdout(File::create(&out_path).unwrap())
        .stderr(File::create(&err_path).unwrap());
    let mut child = command.spawn().unwrap();
    let status = wait_for("end of the command", LIMIT, || child.try_wait().unwrap());
    let bytes = std::fs::read(out_path).unwrap();
    CommandOutput {
        status: status.code(),
        out: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
        err: String::from_utf8_lossy(&std::fs::read(err_path).unwrap()).into_owned(),
    }
}

impl CommandOutput {
    /// Asserts that the command succeeded without messages, and returns its output.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Asserts that the command failed with this status and without output, and returns its messages.
    pub(crate) fn failed(self, status: i32) -> String {
        assert_eq!((self.status, self.out.as_str()), (Some(status), ""), "{}", self.err);
        self.err
    }
}
