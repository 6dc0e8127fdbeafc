//! Tests of the restrictions of plugins, in real processes.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command},
};

use neap_test_inputs::{InputOrigin, has_landlock, skip};

use super::*;
use crate::{NetworkAccess, PLUGIN_USER, SandboxMode, SandboxSettings};

/// Reads the file that the arguments of the plugin name, or returns the error.
const READ: &str = "try:\n    return open(args['path']).read()\n\
                    except OSError as error:\n    return type(error).__name__";

/// Writes the file that the arguments of the plugin name.
const WRITE: &str = "try:\n    open(args['path'], 'w').write('x')\n    return 'written'\n\
                     except OSError as error:\n    return type(error).__name__";

fn confined(sandbox: SandboxSettings) -> WorkerSettings {
    WorkerSettings {
        sandbox: SandboxSettings { mode: SandboxMode::Required, ..sandbox },
        ..settings()
    }
}

fn stage(sandbox: SandboxSettings, body: &str) -> WorkerFixture {
    WorkerFixture::with(confined(sandbox), &request_function(body))
}

/// Returns the answer of the plugin for the argument `path`.
async fn answer(stage: &mut WorkerFixture, path: &Path) -> String {
    let path = path.to_str().unwrap().to_owned();
    stage.run.arguments = Some(BTreeMap::from([("path".to_owned(), path)]));
    stage.text().await
}

#[tokio::test]
async fn a_confined_plugin_cannot_read_files_outside_of_its_folder() {
    if !has_landlock(1) {
        return;
    }
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("token");
    fs::write(&secret, "s").unwrap();
    let mut stage = stage(SandboxSettings::default(), READ);
    assert_eq!(answer(&mut stage, &secret).await, "PermissionError");
    let shadow = Path::new("/etc/shadow");
    assert_eq!(answer(&mut stage, shadow).await, "PermissionError");
    let own = stage.folder.path().join("settings");
    fs::write(&own, "own").unwrap();
    assert_eq!(answer(&mut stage, &own).await, "own");
}

#[tokio::test]
async fn a_confined_plugin_cannot_read_the_environment_and_the_memory_of_the_server() {
    if !has_landlock(1) {
        return;
    }
    for user in [PLUGIN_USER, 0] {
        let mut stage = stage(of_user(user), READ);
        for file in ["environ", "maps", "mem", "fd/0", "root/etc/shadow"] {
            let path = format!("/proc/{}/{file}", std::process::id());
            let answer = answer(&mut stage, Path::new(&path)).await;
            assert_eq!(answer, "PermissionError", "{file}, user {user}");
        }
    }
}

/// Tries to reach the process in the argument `path`. Returns the attempts that are not refused.
const REACH: &str = r#"
import ctypes, os, platform, resource
target = int(args["path"])
libc = ctypes.CDLL(None, use_errno=True)
column = ("x86_64", "aarch64").index(platform.machine())
numbers = {"ioprio_set": (251, 30), "kcmp": (312, 272), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "sched_setattr": (314, 274),
    "rt_sigqueueinfo": (129, 138)}
def call(function, *arguments):
    arguments = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    if function in numbers:
        arguments.insert(0, ctypes.c_long(numbers[function][column]))
        function = "syscall"
    if getattr(libc, function)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
buffer = ctypes.create_string_buffer(256)
vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 1)
attempts = {
    "prlimit": lambda: resource.prlimit(target, resource.RLIMIT_NOFILE, (5, 5)),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, target, 19),
    "priority of the group": lambda: os.setpriority(os.PRIO_PGRP, target, 19),
    "affinity": lambda: os.sched_setaffinity(target, {0}),
    "scheduler": lambda: os.sched_setscheduler(target, os.SCHED_BATCH, os.sched_param(0)),
    "parameters": lambda: os.sched_setparam(target, os.sched_param(0)),
    "attributes": lambda: call("sched_setattr", target, buffer, 0),
    "priority of I/O": lambda: call("ioprio_set", 1, target, 3 << 13),
    "pages": lambda: call("move_pages", target, 0, None, None, None, 0),
    "all pages": lambda: call("migrate_pages", target, 8, buffer, buffer),
    "trace": lambda: call("ptrace", 16, target, 0, 0),
    "read": lambda: call("process_vm_readv", target, vector, 1, vector, 1, 0),
    "write": lambda: call("process_vm_writev", target, vector, 1, vector, 1, 0),
    "comparison": lambda: call("kcmp", target, os.getpid(), 1, 0, 0),
    "descriptor": lambda: call("pidfd_getfd", os.pidfd_open(target) if hasattr(os, "pidfd_open") else 0, 0, 0),
    "advice": lambda: call("process_madvise", 0, vector, 1, 20, 0),
    "signal": lambda: os.kill(target, 0),
    "signal to all": lambda: os.kill(-1, 0),
    "queued signal": lambda: call("rt_sigqueueinfo", target, 0, buffer),
}
if os.getuid():
    # For root, an attempt that succeeds would change all processes of the machine.
    attempts["priority of the user"] = lambda: os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0))
    attempts["priority of I/O of the user"] = lambda: call("ioprio_set", 3, 0, 0)
reached = []
for name, attempt in attempts.items():
    try:
        attempt()
        reached.append(name)
    except PermissionError:
        pass
    except OSError as error:
        reached.append(name + ": " + error.strerror)
return reached
"#;

/// A process of the server that plugins must not reach.
struct OtherProcess(Child);

impl OtherProcess {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn of_user(user: u32) -> SandboxSettings {
    SandboxSettings { user, ..SandboxSettings::default() }
}

#[tokio::test]
async fn a_confined_plugin_cannot_reach_processes_of_the_server() {
    // Signals are refused by Linux 6.12 and later.
    if !has_landlock(6) {
        return;
    }
    let other = OtherProcess::start();
    let target = other.0.id().to_string();
    for user in [PLUGIN_USER, 0] {
        let mut stage = stage(of_user(user), REACH);
        let reached = answer(&mut stage, Path::new(&target)).await;
        assert_eq!(reached, "[]", "user {user}");
    }
}

#[tokio::test]
async fn a_confined_plugin_controls_its_own_processes() {
    let body = r#"
import os, resource, signal, subprocess
os.setpriority(os.PRIO_PROCESS, 0, 19)
os.sched_setaffinity(0, os.sched_getaffinity(0))
resource.prlimit(0, resource.RLIMIT_NOFILE, (64, 64))
child = subprocess.Popen(["sleep", "1000"], preexec_fn=lambda: os.nice(0))
limits = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
child.terminate()
return [child.wait() == -signal.SIGTERM, limits]
"#;
    let stage = stage(SandboxSettings::default(), body);
    assert_eq!(stage.text().await, "[true, [64, 64]]");
}

/// Changes the owner, the mode and the times of the file in the argument `path`. Returns the changes that are not
/// refused, and the user and the capabilities of the plugin.
const CHANGE: &str = r#"
import os
path = args["path"]
changed = []
for name, change in {
    "owner": lambda: os.chown(path, os.getuid(), os.getgid()),
    "mode": lambda: os.chmod(path, 0o777),
    "times": lambda: os.utime(path, (1, 1)),
    "time": lambda: os.utime(path),
    "attribute": lambda: os.setxattr(path, "user.x", b"x"),
}.items():
    try:
        change()
        changed.append(name)
    except PermissionError:
        pass
with open("/proc/self/status") as file:
    capabilities = [line.split()[1] for line in file if line.startswith(("CapPrm", "CapEff", "CapAmb"))]
return [changed, os.getuid(), len(set(os.getresgid() + (os.getgid(),))), os.getgroups(), capabilities]
"#;

#[tokio::test]
async fn a_plugin_of_a_server_of_root_has_a_user_that_changes_no_files_of_root() {
    if !rustix::process::geteuid().is_root() {
        skip(InputOrigin::External, "the user of the tests is not root");
        return;
    }
    let mut stage = stage(SandboxSettings::default(), CHANGE);
    let file = stage.folder.path().join("settings");
    fs::write(&file, "x").unwrap();
    let before = fs::metadata(&file).unwrap();
    let answer = answer(&mut stage, &file).await;
    // The capability reads files that only root may read.
    let read = "0000000000000004";
    let expected = format!(r#"[[], {PLUGIN_USER}, 1, [], ["{read}", "{read}", "{read}"]]"#);
    assert_eq!(answer, expected);
    let after = fs::metadata(&file).unwrap();
    assert_eq!(
        (after.uid(), after.mode(), after.mtime(), after.mtime_nsec()),
        (before.uid(), before.mode(), before.mtime(), before.mtime_nsec())
    );
}

#[tokio::test]
async fn a_plugin_inherits_no_files_of_the_server() {
    let body = r#"
import os
kinds = set()
for number in os.listdir("/proc/self/fd"):
    try:
        kinds.add(os.readlink("/proc/self/fd/" + number).split(":")[0])
    except FileNotFoundError:
        pass
return sorted(kinds)
"#;
    let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = stage(SandboxSettings::default(), body);
    assert_eq!(stage.text().await, r#"["/dev/null", "pipe"]"#);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_confined_plugin_cannot_connect_to_abstract_sockets_of_the_server() {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    };
    if !has_landlock(6) {
        return;
    }
    let name = format!("neap-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let body = "import socket\ntry:\n    socket.socket(socket.AF_UNIX).connect('\\0' + args['path'])\n    return 'connected'\n\
                except OSError as error:\n    return type(error).__name__";
    let mut stage = stage(SandboxSettings::default(), body);
    assert_eq!(answer(&mut stage, Path::new(&name)).await, "PermissionError");
}

#[tokio::test]
async fn a_confined_plugin_writes_temporary_files_and_no_others() {
    if !has_landlock(1) {
        return;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let mut stage = stage(SandboxSettings::default(), WRITE);
    let outside = elsewhere.path().join("file");
    assert_eq!(answer(&mut stage, &outside).await, "PermissionError");
    let own_code = stage.run.code.path.clone();
    assert_eq!(answer(&mut stage, &own_code).await, "PermissionError");
    let temporary = "import os, tempfile\nwith tempfile.NamedTemporaryFile() as file:\n    file.write(b'x')\n\
                     return tempfile.gettempdir() + ' ' + os.path.expanduser('~')";
    stage.rewrite(&request_function(temporary), "2");
    let folders = stage.text().await;
    let (temporary, home) = folders.split_once(' ').unwrap();
    assert_eq!(temporary, home);
    assert!(Path::new(temporary).is_dir());
    stage.workers.stop().await;
    assert!(!Path::new(temporary).exists());
}

#[tokio::test]
async fn the_first_process_removes_the_temporary_files_of_a_killed_server() {
    if !has_landlock(1) {
        return;
    }
    let folder = tempfile::tempdir().unwrap().keep();
    fs::write(folder.join("file"), "x").unwrap();
    // Processes of other tests may remove it from now on.
    let name = folder.file_name().unwrap().to_str().unwrap();
    let left = folder.with_file_name(format!("neap-plugin-files-{name}"));
    give_to_plugins(&folder);
    fs::rename(&folder, &left).unwrap();
    let stage = stage(SandboxSettings::default(), "return 'done'");
    // They are removed while the process answers.
    for _ in 0..1_000 {
        assert_eq!(stage.text().await, "done");
        if !left.exists() {
            return;
        }
    }
    panic!("{} is still there", left.display());
}

#[tokio::test]
async fn the_paths_of_the_settings_are_readable_and_writable() {
    if !has_landlock(1) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "data").unwrap();
    give_to_plugins(folder.path());
    give_to_plugins(&path);
    let readable = vec![folder.path().to_owned()];
    let sandbox = SandboxSettings { readable, ..SandboxSettings::default() };
    let mut reader = stage(sandbox.clone(), READ);
    assert_eq!(answer(&mut reader, &path).await, "data");
    let mut writer = stage(sandbox.clone(), WRITE);
    assert_eq!(answer(&mut writer, &path).await, "PermissionError");
    let sandbox = SandboxSettings { writable: sandbox.readable, ..SandboxSettings::default() };
    let mut writer = stage(sandbox, WRITE);
    assert_eq!(answer(&mut writer, &path).await, "written");
}

#[tokio::test]
async fn processes_that_a_confined_plugin_starts_are_confined_too() {
    if !has_landlock(1) {
        return;
    }
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("token");
    fs::write(&secret, "s").unwrap();
    let run = "import subprocess\n\
               ended = subprocess.run(['cat', args['path']], capture_output=True, text=True)\n\
               return ended.stdout + ended.stderr";
    let mut stage = stage(SandboxSettings::default(), run);
    let text = answer(&mut stage, &secret).await;
    assert!(text.contains("Permission denied"), "{text}");
    let readable = Path::new("/etc/passwd");
    assert!(answer(&mut stage, readable).await.contains("root"));
}

#[tokio::test]
async fn a_confined_plugin_cannot_signal_the_server() {
    if !has_landlock(6) {
        return;
    }
    let body = "import os\ntry:\n    os.kill(int(args['path']), 0)\n    return 'sent'\n\
                except OSError as error:\n    return type(error).__name__";
    let mut stage = stage(SandboxSettings::default(), body);
    let server = std::process::id().to_string();
    let sent = answer(&mut stage, Path::new(&server)).await;
    assert_eq!(sent, "PermissionError");
}

#[tokio::test]
async fn the_network_is_allowed_unless_it_is_denied() {
    if !has_landlock(1) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let connect = "import socket\ntry:\n\
                   \x20   socket.create_connection(('127.0.0.1', int(args['path'])), 5).close()\n\
                   \x20   return 'connected'\nexcept OSError as error:\n    return type(error).__name__";
    let mut allowed = stage(SandboxSettings::default(), connect);
    assert_eq!(answer(&mut allowed, Path::new(&port)).await, "connected");
    let denied = SandboxSettings { network: NetworkAccess::Deny, ..SandboxSettings::default() };
    let mut denied = stage(denied, connect);
    assert_eq!(answer(&mut denied, Path::new(&port)).await, "PermissionError");
    let own_processes = "import asyncio, multiprocessing\n\
                         async def wait():\n    await asyncio.sleep(0)\n\
                         asyncio.run(wait())\nqueue = multiprocessing.Queue()\nqueue.put(7)\n\
                         return str(queue.get())";
    denied.rewrite(&request_function(own_processes), "2");
    assert_eq!(denied.text().await, "7");
}

#[tokio::test]
async fn an_unconfined_plugin_uses_the_files_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let off = WorkerSettings {
        sandbox: SandboxSettings { mode: SandboxMode::Off, ..SandboxSettings::default() },
        ..settings()
    };
    let mut stage = WorkerFixture::with(off, &request_function(WRITE));
    assert_eq!(answer(&mut stage, &path).await, "written");
}

#[tokio::test]
async fn code_in_another_folder_gets_a_process_that_may_read_it() {
    if !has_landlock(1) {
        return;
    }
    let mut stage = stage(SandboxSettings::default(), "import os\nreturn str(os.getpid())");
    let first = stage.text().await;
    assert_eq!(stage.text().await, first);
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("plugin.py");
    fs::copy(&stage.run.code.path, &path).unwrap();
    stage.run.code = PluginOnDisk { path, version: "2".into() };
    assert_ne!(stage.text().await, first);
}
