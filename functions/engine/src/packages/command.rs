//! Runs programs to their end and captures their output.

use std::{ffi::OsStr, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process,
};

use crate::child_environment;

/// Maximum bytes kept of a program's output. The end is kept, because it says why the program failed.
const MAX_OUTPUT_BYTES: usize = 8 << 10;

/// A program with its arguments. It gets no input. Dropping the future of [`run`](Self::run) kills it with its
/// descendants in its process group.
#[derive(Debug)]
pub(super) struct InstallerCommand(process::Command);

impl InstallerCommand {
    /// Creates a command with the environment of installers and the variables named in `further`.
    pub(super) fn new(program: &Path, further: &[String]) -> Self {
        let mut command = process::Command::new(program);
        command
            .env_clear()
            .envs(child_environment::for_installers(further))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Self(command)
    }

    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    pub(super) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Runs the program to its end, and returns the end of its output.
    /// Fails if the program can't be started, or fails. The error holds the end of its output.
    pub(super) async fn run(mut self) -> Result<String, String> {
        let program = self.0.as_std().get_program().to_string_lossy().into_owned();
        let started = self.0.spawn();
        let mut child =
            started.map_err(|error| format!("'{program}' can't be started: {error}"))?;
        let group = ProcessGroup::from_child(&child);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let read = async { tokio::join!(end(out, &mut said), end(err, &mut complained)) };
        let (_, status) = tokio::join!(read, child.wait());
        let status = status.map_err(|error| format!("'{program}': {error}"))?;
        group.release();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if status.success() {
            return Ok(text(&said));
        }
        let texts: Vec<_> = [text(&complained), text(&said)]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        Err(format!("'{program}' ended with {status}: {}", texts.join("\n")))
    }
}

/// Reads a stream to its end and keeps the last [`MAX_OUTPUT_BYTES`].
async fn end(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else {
        return;
    };
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let excess = kept.len().saturating_sub(MAX_OUTPUT_BYTES);
        kept.drain(..excess);
    }
}

/// The process group of a program and its descendants.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn from_child(child: &process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Forgets the group, because the program has ended and its id may be reused.
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails if all processes have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
