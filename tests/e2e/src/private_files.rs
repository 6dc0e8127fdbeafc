//! Only the owner has access to files on disk, regardless of the umask, unless an option also grants access to the
//! group.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use tempfile::TempDir;

use crate::harness::{NeapProcess, Reply, assert_contains};

/// Returns the distinct modes of the directories and of the files below a directory, itself included.
fn modes(root: &Path) -> (Vec<u32>, Vec<u32>) {
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.mode() & 0o7777;
        if metadata.is_dir() {
            directories.push(mode);
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(mode);
        }
    }
    for modes in [&mut directories, &mut files] {
        modes.sort_unstable();
        modes.dedup();
    }
    (directories, files)
}

/// Starts a server on a directory, creates a token and writes rows. Returns the server's log.
fn server_log_after_use(folder: &Path, umask: &str, access: &str) -> String {
    let (data, plugins) = (folder.join("above/data"), folder.join("plugins"));
    let flags = [
        "--object-store",
        "file",
        "--data-dir",
        data.to_str().unwrap(),
        "--data-dir-access",
        access,
        "--plugin-dir",
        plugins.to_str().unwrap(),
    ];
    let neap = NeapProcess::serve_with_umask(umask, &flags);
    // At the second start, the token already exists.
    Reply::receive(neap.request("POST", "/api/v3/configure/token/admin")).unwrap();
    neap.write("d", "m,host=a v=1 1\nm,host=b v=2 2");
    assert_eq!(neap.query("d", "SELECT v FROM m").len(), 2);
    let log = neap.log();
    neap.stop();
    log
}

#[test]
fn a_data_directory_is_accessible_only_to_its_owner_and_optionally_the_group() {
    for umask in ["022", "000"] {
        for (access, directory, file) in [
            ("owner", 0o700, 0o600),
            ("group-read", 0o750, 0o640),
            ("group-write", 0o770, 0o660),
        ] {
            let folder = TempDir::new().unwrap();
            let log = server_log_after_use(folder.path(), umask, access);
            assert!(!log.contains("warning: --data-dir "), "{log}");
            let data = folder.path().join("above/data");
            assert_eq!(modes(&data), (vec![directory], vec![file]), "{umask} {access}");
            let plugins = fs::metadata(folder.path().join("plugins")).unwrap();
            assert_eq!(plugins.mode() & 0o777, 0o700);
        }
    }
}

#[test]
fn a_directory_that_is_open_to_others_causes_warnings() {
    let folder = TempDir::new().unwrap();
    server_log_after_use(folder.path(), "022", "owner");
    let data = folder.path().join("above/data");
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&data, 0o755);
    open(&data.join("catalog"), 0o644);
    let log = server_log_after_use(folder.path(), "022", "owner");
    let data = data.display();
    let warning = format!(
        "warning: --data-dir {data}: users other than its owner may use it; chmod -R go= {data}"
    );
    assert_contains!(log, &warning);
    let closed = std::process::Command::new("chmod")
        .args(["-R", "go=", &data.to_string()])
        .status();
    assert!(closed.unwrap().success());
    let log = server_log_after_use(folder.path(), "022", "owner");
    assert!(!log.contains("warning: --data-dir "), "{log}");
}
