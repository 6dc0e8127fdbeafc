//! Tests of the restrictions of plugins, in real processes.

use std::{fs, net::TcpListener, path::Path};

use neap_test_inputs::has_landlock;

use super::*;
use crate::{NetworkAccess, SandboxMode, SandboxSettings};

/// Reads the file that the arguments of the plugin name, or returns the error.
const READ: &str = "try:\n    return open(args['path']).read()\n\
                    except OSError as error:\n    return type(error).__name__";

/// Writes the file that the arguments of the plugin name.
const WRITE: &str = "try:\n    open(args['path'], 'w').write('x')\n    return 'written'\n\
                     except OSError as error:\n    return type(error).__name__";

fn confined(sandbox: SandboxSettings) -> WorkerSettings {
    WorkerSettings {
        sandbox: SandboxSettings {
            mode: SandboxMode::Required,
            ..sandbox
        },
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
async fn a_confined_plugin_cannot_read_the_environment_of_the_server() {
    if !has_landlock(1) {
        return;
    }
    let mut stage = stage(SandboxSettings::default(), READ);
    let environment = format!("/proc/{}/environ", std::process::id());
    assert_eq!(
        answer(&mut stage, Path::new(&environment)).await,
        "PermissionError"
    );
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
    let readable = vec![folder.path().to_owned()];
    let sandbox = SandboxSettings {
        readable,
        ..SandboxSettings::default()
    };
    let mut reader = stage(sandbox.clone(), READ);
    assert_eq!(answer(&mut reader, &path).await, "data");
    let mut writer = stage(sandbox.clone(), WRITE);
    assert_eq!(answer(&mut writer, &path).await, "PermissionError");
    let sandbox = SandboxSettings {
        writable: sandbox.readable,
        ..SandboxSettings::default()
    };
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
    let denied = SandboxSettings {
        network: NetworkAccess::Deny,
        ..SandboxSettings::default()
    };
    let mut denied = stage(denied, connect);
    assert_eq!(
        answer(&mut denied, Path::new(&port)).await,
        "PermissionError"
    );
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
        sandbox: SandboxSettings {
            mode: SandboxMode::Off,
            ..SandboxSettings::default()
        },
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
    let mut stage = stage(
        SandboxSettings::default(),
        "import os\nreturn str(os.getpid())",
    );
    let first = stage.text().await;
    assert_eq!(stage.text().await, first);
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("plugin.py");
    fs::copy(&stage.run.code.path, &path).unwrap();
    stage.run.code = PluginOnDisk {
        path,
        version: "2".into(),
    };
    assert_ne!(stage.text().await, first);
}
