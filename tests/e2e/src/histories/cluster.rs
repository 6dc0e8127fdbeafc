//! The processes of a history, and the places where faults can be injected.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::{Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::store_proxy::{ProxyRuntime, StoreFault, StoreProxy};
use crate::{
    harness::{NeapProcess, ServerClient, StoreFixture, neap_binary, pause},
    lambda::{LambdaStack, use_standard_margins},
};

/// The size of the file system of a directory, so that it can be filled quickly.
const DISK: &str = "size=64m";
/// The pause after a failed start.
const RESTART: Duration = Duration::from_millis(500);
/// The variable with the path of `libfaketime`, which changes the clock of a process.
const CLOCK_LIBRARY: &str = "NEAP_TEST_LIBFAKETIME";
/// The mode of processes that do everything. They refresh materialized views, and run plugins if there are any.
pub(super) const ALL_MODES: &str = "all";
/// The interval of flushes and refreshes of views. It is short, so that views change under faults.
const VIEW_INTERVAL: &str = "3s";
/// The file with the plugin of the trigger.
pub(super) const PLUGIN_FILE: &str = "deliver.py";
/// A plugin that writes each row that it receives to the table `delivered`, with its tag, its time and its value.
const PLUGIN: &str = r#"
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("delivered").tag("series", row["series"]).int64_field("v", row["v"])
            influxdb3_local.write(line.time_ns(row["time"]))
"#;

/// The store of a history, and the kind of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum ClusterKind {
    /// Five processes on a directory.
    Directory,
    /// Five processes on our own S3 server.
    OwnS3,
    /// Five processes on a third-party S3 server.
    OtherS3,
    /// The functions of AWS Lambda and two processes, on our own S3 server.
    Functions,
}

impl ClusterKind {
    pub(super) const ALL: [Self; 4] =
        [Self::Directory, Self::OwnS3, Self::OtherS3, Self::Functions];

    /// Returns the name that selects the kind in `NEAP_HISTORY_STORE`.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the modes of the processes.
    fn modes(self) -> &'static [&'static str] {
        match self {
            Self::Functions => &[ALL_MODES, "ingest"],
            _ => &[ALL_MODES, ALL_MODES, "ingest", "query", "compact"],
        }
    }

    /// Whether a trigger runs on writes. Python needs processor time, so not every cluster has one.
    pub(super) fn has_trigger(self) -> bool {
        matches!(self, Self::Directory | Self::OwnS3)
    }
}

/// One process, which faults kill, stop and start again.
#[derive(Debug)]
pub(super) struct Member {
    mode: &'static str,
    store: StoreFixture,
    proxy: Option<StoreProxy>,
    clock: Option<MemberClock>,
    /// The plugin folder of a process that runs plugins.
    plugins: Option<PathBuf>,
    /// Whether the process runs without the privilege to ignore permissions of files.
    is_restricted: bool,
    running: Mutex<Option<RunningMember>>,
    /// Held by a fault, so that two faults do not affect one process at once.
    pub(super) fault: Mutex<()>,
}

/// The wall clock of a process, set by `libfaketime`.
#[derive(Debug)]
struct MemberClock {
    library: String,
    folder: TempDir,
}

impl MemberClock {
    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

#[derive(Debug)]
struct RunningMember {
    process: NeapProcess,
    instance: u64,
}

/// The numbers of instances. Each start has a new one.
static INSTANCES: AtomicU64 = AtomicU64::new(0);

impl Member {
    fn new(
        mode: &'static str,
        store: &StoreFixture,
        runtime: &ProxyRuntime,
        plugins: Option<&Path>,
    ) -> Self {
        let proxy = store.endpoint().map(|endpoint| StoreProxy::start(runtime, endpoint));
        // A directory has one clock, that of its machine.
        let library = proxy.as_ref().and_then(|_| std::env::var(CLOCK_LIBRARY).ok());
        let clock = library.map(|library| {
            let folder = TempDir::new().unwrap();
            let clock = MemberClock { library, folder };
            fs::write(clock.file(), "+0").unwrap();
            clock
        });
        let through = proxy.as_ref().map(StoreProxy::url);
        let plugins = plugins.filter(|_| mode == ALL_MODES);
        let member = Self {
            mode,
            plugins: plugins.map(Path::to_owned),
            store: through.map_or_else(|| store.clone(), |url| store.through(&url)),
            is_restricted: proxy.is_none() && geteuid().is_root(),
            proxy,
            clock,
            running: Mutex::default(),
            fault: Mutex::default(),
        };
        member.start().unwrap_or_else(|reason| panic!("{reason}"));
        member
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<RunningMember>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process. Returns the reason if it does not start.
    fn start(&self) -> Result<(), String> {
        let neap = neap_binary();
        let path = if self.is_restricted {
            Path::new("setpriv")
        } else {
            &neap
        };
        let process = NeapProcess::try_spawn(path, |command, address| {
            if self.is_restricted {
                command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
                command.arg(&neap);
            }
            command.args(["serve", "--http-bind", "127.0.0.1:0", "--without-auth"]);
            command.arg("--tcp-listener-file-path").arg(address);
            command.args(["--wal-flush-interval", "5ms", "--mode", self.mode]);
            command.args(["--rollup-interval", VIEW_INTERVAL]);
            command.args(&self.store.flags);
            if let Some(plugins) = &self.plugins {
                command.arg("--plugin-dir").arg(plugins);
                if self.is_restricted {
                    // Another user may be unable to start the interpreter.
                    command.args(["--plugin-user", "0"]);
                }
            }
            if let Some(clock) = &self.clock {
                command.env("LD_PRELOAD", &clock.library);
                command.env("FAKETIME_TIMESTAMP_FILE", clock.file());
                // The monotonic clock stays. The file is read again each time.
                command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
                command.env("DONT_FAKE_MONOTONIC", "1");
                command.env("FAKETIME_NO_CACHE", "1");
            }
        })?;
        *self.running() =
            Some(RunningMember { process, instance: INSTANCES.fetch_add(1, Ordering::Relaxed) });
        Ok(())
    }

    /// Returns the number of the instance, and the address that accepts its requests, if it has been started.
    pub(super) fn instance(&self) -> Option<(u64, ServerClient)> {
        let guard = self.running();
        let running = guard.as_ref()?;
        Some((running.instance, ServerClient::clone(&running.process)))
    }

    /// Kills the process with `SIGKILL`.
    pub(super) fn kill(&self) {
        if let Some(running) = self.running().take() {
            running.process.kill();
        }
    }

    /// Stops the process gracefully.
    pub(super) fn terminate(&self) {
        let running = self.running().take();
        if let Some(running) = running {
            running.process.stop();
        }
    }

    /// Starts the process until it runs.
    pub(super) fn restart(&self) {
        while self.running().is_none() {
            if self.start().is_err() {
                pause(RESTART);
            }
        }
    }

    /// Suspends the process for a time.
    pub(super) fn suspend(&self, time: Duration) {
        let signal = |signal| {
            if let Some(running) = &*self.running() {
                kill_process(running.process.pid(), signal).unwrap();
            }
        };
        signal(Signal::STOP);
        pause(time);
        signal(Signal::CONT);
    }

    /// Injects a fault between the process and its store.
    pub(super) fn set_store_fault(&self, fault: StoreFault) {
        if let Some(proxy) = &self.proxy {
            proxy.set_fault(fault);
        }
    }

    /// Whether the wall clock of the process can be changed.
    pub(super) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Sets the difference of the wall clock of the process from the real time.
    pub(super) fn set_clock(&self, seconds: i64) {
        if let Some(clock) = &self.clock {
            // The process may read the file at any moment, so the file is replaced.
            let new = clock.folder.path().join("new");
            fs::write(&new, format!("{seconds:+}")).unwrap();
            fs::rename(new, clock.file()).unwrap();
        }
    }

    fn answers(&self, role: &str) -> bool {
        self.mode == ALL_MODES || self.mode == role
    }
}

/// All processes of a history.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The store, without faults.
    pub(super) store: StoreFixture,
    pub(super) members: Vec<Member>,
    pub(super) functions: Option<LambdaStack>,
    pub(super) disk: Option<Disk>,
    /// The plugin folder.
    _plugins: Option<TempDir>,
}

impl Cluster {
    /// Starts all processes. `None` if the kind of store is not available.
    pub(super) fn start(kind: ClusterKind) -> Option<Self> {
        let runtime = ProxyRuntime::start();
        let (mut disk, mut functions) = (None, None);
        // Faults last as long as the standard margins, which the promises rely on.
        let store = match kind {
            ClusterKind::Directory => {
                let mounted = Disk::mount();
                let store = StoreFixture::at(mounted.store().to_str().unwrap());
                disk = Some(mounted);
                store
            }
            ClusterKind::OwnS3 => StoreFixture::neap_s3_server(),
            ClusterKind::OtherS3 => StoreFixture::third_party_s3()?,
            ClusterKind::Functions => {
                let stack = LambdaStack::start_with(use_standard_margins);
                let store = stack.place.clone();
                functions = Some(stack);
                store
            }
        }
        .with_standard_margins();
        let plugins = kind.has_trigger().then(plugin_folder);
        let folder = plugins.as_ref().map(TempDir::path);
        let members = kind.modes().iter().map(|mode| Member::new(mode, &store, &runtime, folder));
        Some(Self {
            members: members.collect(),
            store,
            functions,
            disk,
            _plugins: plugins,
        })
    }

    /// Returns the instances that answer requests of a role: `ingest`, `query`, or [`ALL_MODES`]. The functions are last, and
    /// have no number.
    pub(super) fn instances(&self, role: &str) -> Vec<(Option<u64>, ServerClient)> {
        let members =
            self.members.iter().filter(|member| member.answers(role)).filter_map(|member| {
                let (instance, server) = member.instance()?;
                Some((Some(instance), server))
            });
        let functions = self.functions.iter();
        members
            .chain(functions.map(|stack| (None, ServerClient::clone(stack))))
            .collect()
    }

    /// Removes the newest segment from a directory, as no store may do. Returns whether there was one.
    pub(super) fn lose_segment(&self) -> bool {
        let Some(disk) = &self.disk else {
            return false;
        };
        let (mut folders, mut segments) = (vec![disk.store().join("tail")], Vec::new());
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            for entry in entries {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => segments.push(entry.path()),
                }
            }
        }
        segments.retain(|path| path.extension().is_some_and(|end| end == "wal"));
        let newest = segments.into_iter().max();
        newest.is_some_and(|newest| fs::remove_file(newest).is_ok())
    }

    /// Starts a process again that refreshes views. Another process has flushed rows, which it finds when it starts, and
    /// otherwise within ten minutes.
    pub(super) fn restart_refresher(&self) {
        let mut members = self.members.iter();
        if let Some(member) = members.find(|member| member.mode == ALL_MODES) {
            member.terminate();
            member.restart();
        }
    }

    /// Ends all faults, and starts all processes.
    pub(super) fn heal(&self) {
        if let Some(disk) = &self.disk {
            disk.empty();
            disk.set_read_only(false);
        }
        for member in &self.members {
            member.set_store_fault(StoreFault::None);
            member.set_clock(0);
            member.restart();
        }
    }
}

fn plugin_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("neap-e2e-").tempdir().unwrap();
    fs::write(folder.path().join(PLUGIN_FILE), PLUGIN).unwrap();
    folder
}

/// The folder of a directory store: a small file system where that is possible.
#[derive(Debug)]
pub(super) struct Disk {
    folder: TempDir,
    is_mounted: bool,
}

impl Disk {
    fn mount() -> Self {
        let folder = tempfile::Builder::new().prefix("neap-e2e-").tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]);
        let mounted = mount.arg(folder.path()).output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        let disk = Self { folder, is_mounted };
        fs::create_dir_all(disk.store()).unwrap();
        disk
    }

    /// Returns the folder of the store.
    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Whether the disk can be filled.
    pub(super) fn can_be_filled(&self) -> bool {
        self.is_mounted
    }

    /// Fills the disk.
    pub(super) fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        let zeros = vec![0; 64 << 10];
        let filled = loop {
            if let Err(error) = file.write_all(&zeros) {
                break error;
            }
        };
        assert_eq!(filled.kind(), io::ErrorKind::StorageFull, "{filled}");
    }

    /// Removes what filled the disk.
    pub(super) fn empty(&self) {
        fs::remove_file(self.filler()).ok();
    }

    /// Forbids or permits new files in all folders of the store.
    pub(super) fn set_read_only(&self, is_read_only: bool) {
        let mode = if is_read_only { 0o555 } else { 0o755 };
        let mut folders = vec![self.store()];
        while let Some(folder) = folders.pop() {
            // Processes remove folders and create others meanwhile.
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).ok();
            let entries = fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.extend(entries.map(|entry| entry.path()));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.set_read_only(false);
        if self.is_mounted {
            let unmounted = Command::new("umount").arg("--lazy").arg(self.folder.path()).output();
            drop(unmounted);
        }
    }
}
