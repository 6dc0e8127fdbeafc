//! A child process that runs the plugin host.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use neap_bucket::World;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    child_environment,
    worker::{
        RunError, WorkerSettings,
        cgroup::{Cgroup, CgroupLimits, CgroupParent},
        descendants::{self, ProcessMarker},
        exit_status::describe,
        frames::{self, FrameReader, kind},
        process_output::ProcessOutput,
        sandbox::{Confinement, Sandbox, start_error},
    },
};

/// The script that reads the modules of the host from standard input.
const BOOTSTRAP: &str = include_str!("../../python/bootstrap.py");

/// The modules of the host, in order of their dependencies.
const MODULES: [(&str, &str); 8] = [
    ("frames", include_str!("../../python/frames.py")),
    ("rows", include_str!("../../python/rows.py")),
    ("line_builder", include_str!("../../python/line_builder.py")),
    ("cache", include_str!("../../python/cache.py")),
    ("local", include_str!("../../python/local.py")),
    ("response", include_str!("../../python/response.py")),
    ("plugin", include_str!("../../python/plugin.py")),
    ("host", include_str!("../../python/host.py")),
];

/// Timeout of the start of an interpreter, long enough for a busy machine with a slow disk.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeout of the wait for a process that was killed or has closed its pipe.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of the hand-over of a cache.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Bytes by which a frame may exceed the output limit of a run.
const FRAME_SLACK: usize = 1 << 20;

#[derive(Serialize)]
struct SettingsHeader {
    memory_bytes: u64,
}

#[derive(Serialize)]
struct HandOverHeader {
    forced: bool,
}

#[derive(Serialize)]
struct TakeOverHeader {
    /// Seconds.
    elapsed: f64,
}

/// The first message of a host.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) version: String,
    pub(super) executable: String,
    /// The folders in which the interpreter looks for packages.
    pub(super) package_folders: Vec<PathBuf>,
}

/// Counts a live process until it is dropped.
#[derive(Debug)]
struct LiveProcessGuard(Arc<AtomicUsize>);

impl LiveProcessGuard {
    fn new(alive: Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::AcqRel);
        Self(alive)
    }
}

impl Drop for LiveProcessGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A handle for signalling and observing a process without its pipes.
#[derive(Clone, Debug)]
pub(super) struct ProcessHandle {
    pub(super) pid: Pid,
    pub(super) marker: ProcessMarker,
    /// Whether the plugin has started processes.
    pub(super) forked: Arc<AtomicBool>,
    /// The cgroup of the process, if the server may create cgroups.
    pub(super) group: Option<Arc<Cgroup>>,
}

impl ProcessHandle {
    /// Raises `KeyboardInterrupt` in the plugin.
    pub(super) fn interrupt(&self) {
        let _gone = kill_process(self.pid, Signal::INT);
    }

    /// Returns whether the process has ended, without reaping it.
    pub(super) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Kills the process with its process group and cgroup. Returns blocking work that kills other descendants, if the
    /// plugin has started processes.
    fn kill(&self) -> Option<impl FnOnce() + Send + 'static> {
        let _gone = kill_process_group(self.pid, Signal::KILL);
        if let Some(group) = &self.group {
            group.kill();
        }
        let marker = self.marker.clone();
        let forked = self.forked.load(Ordering::Acquire);
        forked.then_some(move || descendants::kill(&marker))
    }
}

/// A plugin host. Dropping it kills the process and its descendants.
#[derive(Debug)]
pub(super) struct Process {
    /// The number of the process, unique in this server.
    pub(super) number: u64,
    /// The generation of the interpreter at the start of the process.
    pub(super) generation: u64,
    pub(super) handle: ProcessHandle,
    pub(super) hello: Hello,
    pub(super) input: ChildStdin,
    pub(super) frames: FrameReader<ChildStdout>,
    pub(super) printed: Arc<ProcessOutput>,
    child: Option<Child>,
    /// Its folder for temporary files is removed after the process is killed.
    pub(super) confinement: Option<Confinement>,
    _alive: LiveProcessGuard,
}

/// The parameters of a process start.
#[derive(Debug)]
pub(super) struct ProcessOptions<'a> {
    pub(super) settings: &'a WorkerSettings,
    pub(super) world: &'a World,
    pub(super) python: PathBuf,
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) alive: Arc<AtomicUsize>,
    pub(super) groups: Option<Arc<CgroupParent>>,
    pub(super) sandbox: &'a Sandbox,
    /// The code that the process will run.
    pub(super) code: Option<&'a Path>,
}

impl Process {
    /// Starts an interpreter and the plugin host in it.
    pub(super) async fn start(start: ProcessOptions<'_>) -> Result<Self, RunError> {
        let ProcessOptions { settings, world, .. } = start;
        let python = start.python.display().to_string();
        let failed = |reason: String| RunError::NoPython { python: python.clone(), reason };
        let confinement = start
            .sandbox
            .confinement(world, start.generation, start.code, |script| {
                interpreter(settings, &start.python, script)
            })
            .await
            .map_err(|reason| start_error(&start.python, reason))?;
        let marker = ProcessMarker {
            value: format!("{:032x}", world.entropy.next_u128()).into(),
            group: confinement.as_ref().and_then(Confinement::unique_group),
        };
        let spawned = match &confinement {
            Some(confinement) => {
                let mut command = command(settings, confinement.executable(), &marker);
                command.env("TMPDIR", confinement.temporary());
                command.env("HOME", confinement.temporary());
                confinement.spawn(command).await
            }
            None => command(settings, &start.python, &marker).spawn(),
        };
        let mut child = spawned.map_err(|error| failed(error.to_string()))?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(pid), (Some(input), Some(output), Some(errors))) = (pid, pipes) else {
            return Err(failed("it ended at once".to_owned()));
        };
        let limits = CgroupLimits {
            memory_bytes: settings.memory_bytes,
            processes: settings.max_descendants,
        };
        let group = start.groups.and_then(|groups| groups.enter(&marker.value, pid, limits).ok());
        let printed = Arc::new(ProcessOutput::default());
        let reader = Arc::clone(&printed).read(errors, pid, settings.output_bytes);
        tokio::spawn(reader);
        let max_frame = settings.output_bytes.max(settings.cache_bytes) + FRAME_SLACK;
        let mut process = Self {
            number: start.number,
            generation: start.generation,
            handle: ProcessHandle {
                pid,
                marker,
                forked: Arc::default(),
                group: group.map(Arc::new),
            },
            hello: Hello {
                version: String::new(),
                executable: String::new(),
                package_folders: Vec::new(),
            },
            input,
            frames: FrameReader::new(output, max_frame),
            printed,
            child: Some(child),
            confinement,
            _alive: LiveProcessGuard::new(start.alive),
        };
        match world.timeout(START_TIMEOUT, process.handshake(settings)).await {
            Some(Some(hello)) => process.hello = hello,
            Some(None) => {
                let status = process.end(world).await;
                let mut reason = process.printed.tail();
                if reason.is_empty() {
                    reason = status.map_or_else(|| "it ended".to_owned(), describe);
                }
                return Err(failed(reason));
            }
            None => return Err(failed("it did not start in time".to_owned())),
        }
        Ok(process)
    }

    async fn handshake(&mut self, settings: &WorkerSettings) -> Option<Hello> {
        let mut first = serde_json::to_vec(&MODULES).ok()?;
        let length = u32::try_from(first.len()).ok()?;
        first.splice(..0, length.to_le_bytes());
        let memory_bytes = settings.memory_bytes;
        frames::push_header(&mut first, kind::SETTINGS, &SettingsHeader { memory_bytes }, b"");
        self.input.write_all(&first).await.ok()?;
        let frame = self.frames.next().await.ok()?;
        let (hello, _) = frames::split(frame.payload).ok()?;
        (frame.kind == kind::HELLO).then_some(hello)
    }

    /// Requests the pickled values of the process's cache. Returns `None` if the process refuses because state would be
    /// lost; it does not refuse if `is_forced`.
    pub(super) async fn hand_over(&mut self, world: &World, is_forced: bool) -> Option<Bytes> {
        let mut out = Vec::new();
        let header = HandOverHeader { forced: is_forced };
        frames::push_header(&mut out, kind::HAND_OVER, &header, b"");
        let exchange = async {
            self.input.write_all(&out).await.ok()?;
            loop {
                let frame = self.frames.next().await.ok()?;
                match frame.kind {
                    kind::HAND_OVER => return Some(frame.payload),
                    kind::FORKED => self.handle.forked.store(true, Ordering::Release),
                    // A late log line of a thread of the plugin.
                    kind::LOG => {}
                    _ => return None,
                }
            }
        };
        world.timeout(HAND_OVER, exchange).await.flatten()
    }

    /// Sends the cache that an earlier process of the trigger handed over `elapsed` ago.
    pub(super) async fn take_over(&mut self, pickled: &[u8], elapsed: Duration) {
        let mut out = Vec::with_capacity(64 + pickled.len());
        let header = TakeOverHeader { elapsed: elapsed.as_secs_f64() };
        frames::push_header(&mut out, kind::TAKE_OVER, &header, pickled);
        // A closed pipe is detected by the next run.
        let _closed = self.input.write_all(&out).await;
    }

    /// Kills the process and its descendants, and returns its exit status.
    pub(super) async fn end(&mut self, world: &World) -> Option<ExitStatus> {
        // If the process has closed its pipe, its own exit status says more than a kill signal, so it gets a short time
        // to exit.
        let handle = self.handle.clone();
        let ended = async {
            while !handle.has_ended() {
                world.clock.sleep(Duration::from_millis(2)).await;
            }
        };
        world.timeout(Duration::from_millis(200), ended).await;
        if let Some(rest) = handle.kill() {
            let _joined = tokio::task::spawn_blocking(rest).await;
        }
        let mut child = self.child.take()?;
        let status = world.timeout(END_TIMEOUT, child.wait()).await?.ok();
        world.timeout(Duration::from_millis(200), self.printed.ended()).await;
        status
    }

    /// Kills the process at once and waits for its end.
    pub(super) async fn kill(mut self, world: &World) {
        let _gone = kill_process_group(self.handle.pid, Signal::KILL);
        self.end(world).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        if let Some(rest) = self.handle.kill() {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(rest)),
                Err(_) => rest(),
            }
        }
    }
}

/// Returns the command that runs a script in the interpreter.
fn interpreter(settings: &WorkerSettings, python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    // Isolated from the user's modules and from variables that change the interpreter.
    command.args(["-I", "-X", "utf8", "-c", script]);
    command
        .env_clear()
        .envs(child_environment::for_plugins(&settings.passed_variables));
    command
}

fn command(settings: &WorkerSettings, python: &Path, marker: &ProcessMarker) -> Command {
    let mut command = interpreter(settings, python, BOOTSTRAP);
    if let Some(folder) = &settings.plugin_folder {
        command.env("PLUGIN_DIR", folder);
        command.env("INFLUXDB3_PLUGIN_DIR", folder);
    }
    if let Some(environment) = virtual_environment(python) {
        command.env("VIRTUAL_ENV", environment);
    }
    let (name, value) = marker.variable();
    command
        .env(name, value)
        // The times that plugins get have no zone and are in UTC. With this variable, they are right even if a plugin
        // treats them as local times.
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Returns the virtual environment of an interpreter.
fn virtual_environment(python: &Path) -> Option<&Path> {
    let environment = python.parent()?.parent()?;
    environment.join("pyvenv.cfg").is_file().then_some(environment)
}
