//! A `neap serve` process.

use std::{
    fs::File,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{ServerClient, StoreFixture, neap_binary, program, try_wait_for, wait_for};

/// Maximum duration of a start.
const START: Duration = Duration::from_secs(60);
/// Maximum duration of a graceful stop. It is long, because running requests and the final flush have their own
/// timeouts.
const END: Duration = Duration::from_secs(60);
/// The number of log lines that a failed test shows.
const LOG_TAIL_LINES: usize = 60;

/// A running `neap serve`, killed on drop. Dereferences to the [`ServerClient`] that accepts its requests.
#[derive(Debug)]
pub(crate) struct NeapProcess {
    child: Child,
    server: ServerClient,
    log: PathBuf,
    folder: TempDir,
}

impl NeapProcess {
    /// Starts a server with all roles in one process.
    pub(crate) fn serve(place: &StoreFixture) -> Self {
        Self::serve_with(place, &[])
    }

    /// Starts a server with additional flags.
    pub(crate) fn serve_with(place: &StoreFixture, flags: &[&str]) -> Self {
        let flags: Vec<_> = flags.iter().copied().chain(["--without-auth"]).collect();
        Self::serve_with_tokens(place, &flags)
    }

    /// Starts a server with additional flags that requires tokens.
    pub(crate) fn serve_with_tokens(place: &StoreFixture, flags: &[&str]) -> Self {
        Self::spawn(|command, address| {
            command.args(["serve", "--http-bind", "127.0.0.1:0", "--tcp-listener-file-path"]);
            command.arg(address).args(&place.flags).args(flags);
        })
    }

    /// Starts a server without tokens, with these environment variables.
    pub(crate) fn serve_with_variables(
        place: &StoreFixture,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        Self::spawn(|command, address| {
            command.args(["serve", "--http-bind", "127.0.0.1:0", "--without-auth"]);
            command.arg("--tcp-listener-file-path").arg(address);
            command.args(&place.flags).args(flags);
            command.envs(variables.iter().copied());
        })
    }

    /// Starts a server without tokens, with this umask for the files that it creates.
    pub(crate) fn serve_with_umask(umask: &str, flags: &[&str]) -> Self {
        let mask = format!("umask {umask}; exec \"$0\" \"$@\"");
        Self::spawn_program(Path::new("/bin/sh"), |command, address| {
            command.arg("-c").arg(mask).arg(neap_binary());
            command.args(["serve", "--http-bind", "127.0.0.1:0", "--without-auth"]);
            command.arg("--tcp-listener-file-path").arg(address);
            command.args(flags);
        })
    }

    /// Starts `neap` without arguments. A `.env` file in its working directory sets only what a test needs: a free
    /// port, the file for the address, and no tokens.
    pub(crate) fn without_flags() -> Self {
        Self::spawn(|_, address| {
            let address_file = address.file_name().unwrap().to_str().unwrap();
            let variables = format!(
                "NEAP_HTTP_BIND=127.0.0.1:0\nNEAP_TCP_LISTENER_FILE_PATH={address_file}\nNEAP_WITHOUT_AUTH=true\n"
            );
            std::fs::write(address.with_file_name(".env"), variables).unwrap();
        })
    }

    /// Starts a process in its own folder. `prepare` receives the path of the file for the address.
    fn spawn(prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        Self::spawn_program(&neap_binary(), prepare)
    }

    fn spawn_program(path: &Path, prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        Self::try_spawn(path, prepare).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// Starts a program that runs `neap serve`. `prepare` receives the path of the file for the address. Returns the
    /// reason if the process ends or does not listen in time.
    pub(crate) fn try_spawn(
        path: &Path,
        prepare: impl FnOnce(&mut Command, &Path),
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("neap-e2e-").tempdir().unwrap();
        let (address, log) = (folder.path().join("address"), folder.path().join("log"));
        let mut command = program(path, folder.path());
        prepare(&mut command, &address);
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = command.spawn().unwrap();
        let started = try_wait_for(START, || {
            let ended = child.try_wait().unwrap().map(|status| {
                let log = tail(&log);
                Err(format!("neap serve ended with {status}:\n{log}"))
            });
            ended.or_else(|| std::fs::read_to_string(&address).ok().map(Ok))
        });
        let address = match started.unwrap_or_else(|| Err("no address of a server".to_owned())) {
            Ok(address) => address,
            Err(reason) => {
                child.kill().ok();
                child.wait().ok();
                return Err(reason);
            }
        };
        Ok(Self {
            child,
            server: ServerClient::at(&format!("http://{address}")),
            log,
            folder,
        })
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Stops the process gracefully.
    pub(crate) fn stop(mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        wait_for("end of a server", END, || self.child.try_wait().unwrap())
    }

    /// Waits until the process ends on its own.
    pub(crate) fn end(mut self) -> ExitStatus {
        wait_for("end of a server", END, || self.child.try_wait().unwrap())
    }

    /// Kills the process with `SIGKILL`, which for the process is equivalent to a power cut.
    pub(crate) fn kill(mut self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }

    /// Returns the working directory, which is also the user's home.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the complete output of the process.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Deref for NeapProcess {
    type Target = ServerClient;

    fn deref(&self) -> &ServerClient {
        &self.server
    }
}

impl Drop for NeapProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("--- {} (pid {}):\n{}", self.server.url(), self.child.id(), tail(&self.log));
        }
    }
}

/// Returns the last lines of a file.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
