//! The folder for the temporary files of a plugin's process.
//!
//! A server holds a lock of the kernel on the folder of each of its processes. It removes the folder with the process. A
//! killed server can't, but the kernel releases its locks: a later server of the same user removes the folders without one.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use tempfile::TempDir;

/// Prefix of the names of the folders.
const PREFIX: &str = "neap-plugin-files-";

/// Number of attempts to create a folder, each of which another server may remove before it is locked.
const ATTEMPTS: usize = 4;

/// A locked folder, removed when dropped.
#[derive(Debug)]
pub(super) struct TemporaryFolder {
    // Fields are dropped in this order: the folder is removed before it is unlocked.
    folder: TempDir,
    /// `None`: the file system has no locks. No server then removes the folder of a killed one.
    _lock: Option<File>,
}

impl TemporaryFolder {
    /// Creates a folder in `parent`, which belongs to the user `owner` or else to the user of the server.
    /// Fails if the folder can't be created.
    pub(super) fn create_in(parent: &Path, owner: Option<u32>) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = try_lock(folder.path());
            if owner.is_some() {
                chown(folder.path(), owner, None)?;
            }
            if !matches!(lock, Ok(None)) {
                return Ok(Self { folder, _lock: lock.ok().flatten() });
            }
        }
        Err(io::Error::other("other servers remove the folder for temporary files"))
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders in `parent` that killed servers of the same user have left. Folders of the user `owner` are among
/// them.
pub(super) fn remove_abandoned(parent: &Path, owner: Option<u32>) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let users = [Some(rustix::process::geteuid().as_raw()), owner];
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|metadata| users.contains(&Some(metadata.uid())));
        if !is_ours {
            continue;
        }
        let path = entry.path();
        let Ok(Some(_lock)) = try_lock(&path) else {
            continue;
        };
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::debug!(path = %path.display(), "removed the temporary files of a killed server")
            }
            Err(error) => tracing::warn!(
                path = %path.display(),
                %error,
                "the temporary files of a killed server can't be removed"
            ),
        }
    }
}

/// Locks a folder. `None`: another server has the lock, or the folder is gone.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match file.try_lock() {
        Ok(()) => Ok(fs::exists(path)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_killed_server_is_removed_and_one_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = TemporaryFolder::create_in(parent.path(), None).unwrap();
        let TemporaryFolder { folder, _lock: lock } =
            TemporaryFolder::create_in(parent.path(), None).unwrap();
        let killed = folder.keep();
        fs::write(killed.join("file"), "x").unwrap();
        drop(lock);
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        remove_abandoned(parent.path(), None);
        assert!(used.path().is_dir());
        assert!(!killed.exists());
        assert!(other.is_dir());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        fs::write(target.path().join("file"), "x").unwrap();
        let link = parent.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(target.path(), &link).unwrap();
        remove_abandoned(parent.path(), None);
        assert!(target.path().join("file").exists());
    }
}
