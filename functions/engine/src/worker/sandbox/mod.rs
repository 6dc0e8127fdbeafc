//! Confines the processes of plugins: to the files of the system and of the plugin, to their own processes, and on
//! request without the network.
//!
//! ```text
//!   Sandbox ── the interpreter without a plugin ──> the folders of its modules
//!      │
//!      └── a new thread ── Landlock: files, signals ── fork ──> interpreter ── plugin host ── plugin
//!               │          seccomp: processes, sockets     │         │
//!               │          capabilities                    │         └ inherits the restrictions, as do its children
//!               └ ends after the start                     └ another user, if the server runs as root
//! ```
//!
//! Restrictions apply to one thread and to the processes that it starts, and can't be removed. A thread that exists for
//! one start therefore confines a plugin without code between `fork` and `exec`, and the server stays unconfined.

mod file_rules;
#[cfg(target_os = "linux")]
mod landlock_rules;
mod settings;
#[cfg(target_os = "linux")]
mod system_calls;
mod temporary_folder;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(target_os = "linux")]
mod user;

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_bucket::World;
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    sync::oneshot,
};

use crate::worker::RunError;
use file_rules::FileRules;
#[cfg(target_os = "linux")]
use landlock_rules::confine_files;
pub use settings::{NetworkAccess, PLUGIN_USER, SandboxMode, SandboxSettingError, SandboxSettings};
#[cfg(target_os = "linux")]
use system_calls::{confine_network, confine_processes};
use temporary_folder::TemporaryFolder;
#[cfg(not(target_os = "linux"))]
use unsupported::{
    ProcessUser, confine_files, confine_network, confine_processes, limit_capabilities,
};
#[cfg(target_os = "linux")]
use user::{ProcessUser, limit_capabilities};

/// Prints the interpreter and the folders of its modules as JSON.
const PROBE: &str = "import json, os, sys\n\
    print(json.dumps({'executable': sys.executable, 'folders': [os.path.realpath(sys.executable), sys.prefix, \
    sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sys.path]}))";

/// Timeout of the probe, long enough for a busy machine with a slow disk.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);

/// The interpreter behind a name or a wrapper script.
#[derive(Debug, Deserialize)]
pub(super) struct ProbedInterpreter {
    executable: PathBuf,
    folders: Vec<PathBuf>,
}

/// A folder with code, identified by its file number: a rule of the kernel does not apply to a later folder of the same
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CodeFolder {
    path: PathBuf,
    device: u64,
    number: u64,
}

impl CodeFolder {
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            number: metadata.ino(),
        })
    }
}

/// The restrictions of one process.
#[derive(Debug)]
pub(super) struct Confinement {
    settings: Arc<SandboxSettings>,
    interpreter: Arc<ProbedInterpreter>,
    /// The folder with the plugin's code, and the plugin folder.
    code: Vec<CodeFolder>,
    /// `None`: the user of the server.
    user: Option<ProcessUser>,
    /// Removed with the process.
    temporary: TemporaryFolder,
    has_warned: Arc<AtomicBool>,
}

/// Creates the restrictions of processes.
#[derive(Debug)]
pub(super) struct Sandbox {
    settings: Arc<SandboxSettings>,
    plugin_folder: Option<PathBuf>,
    /// The last probed interpreter, by its generation.
    probed: Mutex<Option<(u64, Arc<ProbedInterpreter>)>>,
    has_warned: Arc<AtomicBool>,
    /// The first process also removes the temporary files of killed servers.
    abandoned_files: Once,
}

impl Sandbox {
    pub(super) fn new(settings: SandboxSettings, plugin_folder: Option<PathBuf>) -> Self {
        Self {
            settings: Arc::new(settings),
            plugin_folder,
            probed: Mutex::default(),
            has_warned: Arc::default(),
            abandoned_files: Once::new(),
        }
    }

    fn is_on(&self) -> bool {
        self.settings.mode != SandboxMode::Off || self.settings.network == NetworkAccess::Deny
    }

    /// Returns the folders with the code of a plugin: the plugin folder, or the folder of the code from the bucket.
    fn code_folders(&self, code: Option<&Path>) -> Vec<CodeFolder> {
        let plugin_folder = self.plugin_folder.as_deref();
        let is_inside =
            |code: &&Path| !plugin_folder.is_some_and(|folder| code.starts_with(folder));
        let own = code.filter(is_inside).and_then(Path::parent);
        let folders = own.into_iter().chain(plugin_folder);
        folders.filter_map(CodeFolder::at).collect()
    }

    /// Returns whether a process with these restrictions can read this code.
    pub(super) fn admits(&self, confinement: Option<&Confinement>, code: &Path) -> bool {
        confinement.is_none_or(|confinement| confinement.code == self.code_folders(Some(code)))
    }

    /// Returns the restrictions of a new process; `None`: it has none. `probe` is the command that starts the
    /// interpreter without a plugin.
    /// Errors: the reason why the interpreter or its folders are not usable.
    pub(super) async fn confinement(
        &self,
        world: &World,
        generation: u64,
        code: Option<&Path>,
        probe: impl FnOnce(&str) -> Command,
    ) -> Result<Option<Confinement>, String> {
        if !self.is_on() {
            return Ok(None);
        }
        let known = {
            let probed = lock(&self.probed);
            let current = probed.as_ref().filter(|(number, _)| *number == generation);
            current.map(|(_, interpreter)| Arc::clone(interpreter))
        };
        let interpreter = match known {
            Some(interpreter) => interpreter,
            None => {
                let found = Arc::new(probe_interpreter(world, probe(PROBE)).await?);
                *lock(&self.probed) = Some((generation, Arc::clone(&found)));
                found
            }
        };
        let user = ProcessUser::new(&self.settings, world.entropy.next_u64())?;
        let parent = env::temp_dir();
        let owner = user.map(ProcessUser::user);
        let temporary = TemporaryFolder::create_in(&parent, owner);
        self.abandoned_files.call_once(|| {
            if let Some(user) = owner {
                tracing::info!(user, "the server runs as root: plugins run as another user");
            }
            // Many files take long, and nothing depends on it.
            let _detached = tokio::task::spawn_blocking(move || {
                temporary_folder::remove_abandoned(&parent, owner)
            });
        });
        Ok(Some(Confinement {
            settings: Arc::clone(&self.settings),
            interpreter,
            code: self.code_folders(code),
            user,
            temporary: temporary.map_err(|error| error.to_string())?,
            has_warned: Arc::clone(&self.has_warned),
        }))
    }
}

impl Confinement {
    /// Returns the interpreter to start, without a search in `PATH` and without wrapper scripts, which may be outside
    /// of the allowed files.
    pub(super) fn executable(&self) -> &Path {
        &self.interpreter.executable
    }

    /// Returns the folder for temporary files of the process.
    pub(super) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Returns the group that only the process and its descendants have, if there is one.
    pub(super) fn unique_group(&self) -> Option<u32> {
        self.user.and_then(ProcessUser::unique_group)
    }

    /// Starts a process with these restrictions.
    /// Fails if the process does not start, or the kernel can't apply required restrictions.
    pub(super) async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let code: Vec<_> = self.code.iter().map(|folder| folder.path.as_path()).collect();
        let folders = &self.interpreter.folders;
        let rules = FileRules::new(&self.settings, folders, &code, self.temporary());
        if let Some(user) = self.user {
            command.uid(user.user()).gid(user.group());
        }
        let user = self.user;
        let settings = Arc::clone(&self.settings);
        let has_warned = Arc::clone(&self.has_warned);
        let runtime = tokio::runtime::Handle::current();
        let (sender, started) = oneshot::channel();
        std::thread::Builder::new().name("plugin-start".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            let restricted = restrict(&settings, &rules, user, &has_warned);
            let child = restricted.and_then(|()| command.spawn());
            // If the start was cancelled, the process is dropped and thereby killed.
            let _cancelled = sender.send(child);
        })?;
        started
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread of the start ended")))
    }
}

/// Applies the restrictions to the current thread.
fn restrict(
    settings: &SandboxSettings,
    rules: &FileRules,
    user: Option<ProcessUser>,
    has_warned: &AtomicBool,
) -> io::Result<()> {
    let unsupported = |text: String| io::Error::new(io::ErrorKind::Unsupported, text);
    if settings.mode != SandboxMode::Off {
        let is_required = settings.mode == SandboxMode::Required;
        if let Some(reason) = unavailable(rules) {
            if is_required {
                return Err(unsupported(format!(
                    "plugins can't be confined, and --plugin-sandbox is required: {reason}"
                )));
            }
            if !has_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    reason,
                    "plugins are not confined: they can use all files that the server can use"
                );
            }
        }
        limit_capabilities(user)?;
    }
    confine_network(settings.network)
        .map_err(|error| unsupported(format!("the network can't be denied to plugins: {error}")))
}

/// Confines the current thread to files and processes. Returns the reason if the kernel can't do it.
fn unavailable(rules: &FileRules) -> Option<String> {
    let files = match confine_files(rules) {
        Ok(true) => None,
        Ok(false) => Some("the kernel does not support Landlock".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    let processes = confine_processes(std::process::id());
    files.or_else(|| Some(processes.err()?.to_string()))
}

/// Runs the probe.
async fn probe_interpreter(world: &World, mut probe: Command) -> Result<ProbedInterpreter, String> {
    let probe = probe
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = world
        .timeout(PROBE_TIMEOUT, probe.output())
        .await
        .ok_or("it did not start in time")?
        .map_err(|error| error.to_string())?;
    // Files with the suffix .pth may print lines before.
    let lines = String::from_utf8_lossy(&output.stdout);
    let last = lines.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|_| {
        let errors = String::from_utf8_lossy(&output.stderr);
        match errors.trim() {
            "" => super::exit_status::describe(output.status),
            errors => errors.to_owned(),
        }
    })
}

/// Returns the error of a start that fails because of its sandbox.
pub(super) fn start_error(python: &Path, reason: String) -> RunError {
    RunError::NoPython { python: python.display().to_string(), reason }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
