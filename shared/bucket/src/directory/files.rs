//! Temporary files and directories, and the syncs that make them durable.

use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::access::DirectoryAccess;
use crate::StoreTime;

/// A file that is written but not renamed into place. Dropping it without [`TempFile::land`] removes it.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
    access: DirectoryAccess,
    landed: bool,
}

impl TempFile {
    /// Writes the bytes and waits until they are on the disk.
    pub(super) fn write(path: PathBuf, bytes: &[u8], access: DirectoryAccess) -> io::Result<Self> {
        let mut temp = Self::create(path, access)?;
        temp.append(bytes)?;
        temp.sync()?;
        Ok(temp)
    }

    /// Creates an empty file.
    pub(super) fn create(path: PathBuf, access: DirectoryAccess) -> io::Result<Self> {
        let file = access.create_file(&path)?;
        Ok(Self {
            path,
            file,
            access,
            landed: false,
        })
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Waits until the bytes are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Sets the time of the last modification and reads it back.
    pub(super) fn set_modified(&self, time: StoreTime) -> io::Result<fs::Metadata> {
        let since_epoch = Duration::from_micros(u64::try_from(time.micros()).unwrap_or(0));
        let times = FileTimes::new().set_modified(UNIX_EPOCH + since_epoch);
        self.file.set_times(times)?;
        self.file.metadata()
    }

    /// Renames the file to `path`, replacing any existing file. Creates missing directories and makes them durable with
    /// `sync`. Returns the directory of the file, whose entries the caller must sync.
    pub(super) fn land<'a>(
        mut self,
        root: &'a Path,
        path: &'a Path,
        sync: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<&'a Path> {
        let parent = path.parent().unwrap_or(root);
        let renamed = match fs::rename(&self.path, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_directories(root, parent, self.access, &sync)?;
                fs::rename(&self.path, path)
            }
            renamed => renamed,
        };
        renamed?;
        self.landed = true;
        Ok(parent)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.landed
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file could not be removed");
        }
    }
}

/// Creates `directory` and its missing parents. The caller holds the lock, and a directory that may not be durable is
/// removed again. Therefore any directory that another operation finds is durable and needs no further sync.
fn create_directories(
    root: &Path,
    directory: &Path,
    access: DirectoryAccess,
    sync: &impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let above = directory.parent().unwrap_or(root);
    let created = match access.create_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => {
            create_directories(root, above, access, sync)?;
            access.create_directory(directory)
        }
        created => created,
    };
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        created => created?,
    }
    sync(above).inspect_err(|_| {
        if let Err(error) = fs::remove_dir(directory) {
            tracing::warn!(path = %directory.display(), %error, "a directory may not survive a power failure");
        }
    })
}

/// Removes a file, and then the directories above it that are empty. Returns the directory whose entries changed;
/// `None` if there was no such file.
pub(super) fn remove(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) => {
            let absent = matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
            );
            return if absent { Ok(None) } else { Err(error) };
        }
    }
    let mut directory = path.parent().unwrap_or(root);
    while directory != root && fs::remove_dir(directory).is_ok() {
        directory = directory.parent().unwrap_or(root);
    }
    Ok(Some(directory.to_owned()))
}

/// Waits until the entries of the directories are on the disk.
pub(super) fn sync(directories: &BTreeSet<PathBuf>) -> io::Result<()> {
    directories
        .iter()
        .try_for_each(|directory| sync_directory(directory))
}

/// Waits until the entries of a directory are on the disk. A directory that is gone needs no sync.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes files that were last modified before `limit`: those that killed processes left behind.
pub(super) fn remove_older(directory: &Path, limit: StoreTime) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let old = entry
            .metadata()
            .is_ok_and(|metadata| super::modified(&metadata) < limit);
        if old {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn temporary(root: &Path) -> TempFile {
        TempFile::write(root.join("temporary"), b"x", DirectoryAccess::Owner).unwrap()
    }

    #[test]
    fn new_directories_are_durable_before_a_file_is_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let synced = RefCell::new(Vec::new());
        let land = |path: &Path| {
            let sync = |directory: &Path| {
                assert!(!path.exists());
                synced.borrow_mut().push(directory.to_owned());
                sync_directory(directory)
            };
            let parent = temporary(root).land(root, path, sync).unwrap();
            assert_eq!(Some(parent), path.parent());
            synced.take()
        };
        assert_eq!(
            land(&root.join("a/b/first")),
            [root.to_owned(), root.join("a")]
        );
        assert!(land(&root.join("a/b/second")).is_empty());
        assert_eq!(land(&root.join("a/c/third")), [root.join("a")]);
    }

    #[test]
    fn a_new_directory_that_may_not_be_durable_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let path = root.join("a/b/file");
        let failed = temporary(root).land(root, &path, |directory| {
            if directory == root {
                return Ok(());
            }
            Err(io::Error::other("the disk is gone"))
        });
        assert!(failed.is_err());
        assert!(root.join("a").exists());
        assert!(!root.join("a/b").exists());
        assert!(!root.join("temporary").exists());
    }
}
