//! Temporary files, how they get their names, and how files are removed.

use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes, Metadata},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::{
    access::DirectoryAccess,
    file_version::{UNSETTLED_NANOS, modified},
};
use crate::StoreTime;

/// Number of times that missing directories are created for a file, because other operations may remove them again
/// while they are empty.
const ATTEMPTS: usize = 100;

/// A file without a name of an object. Dropping it removes its temporary name.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
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
        Ok(Self { path, file })
    }

    /// The temporary name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Waits until the bytes are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Sets the time of the last modification and reads it back.
    pub(super) fn set_modified(&self, time: StoreTime) -> io::Result<Metadata> {
        set_modified(&self.file, time, 0)?;
        self.file.metadata()
    }

    /// Like [`set_modified`](Self::set_modified), for a file whose name may not survive a power failure.
    pub(super) fn set_unsettled(&self, time: StoreTime) -> io::Result<Metadata> {
        set_modified(&self.file, time, UNSETTLED_NANOS.unsigned_abs())?;
        self.file.metadata()
    }

    /// Renames the file to `path`, replacing any existing file. Creates missing directories.
    pub(super) fn rename(
        &self,
        root: &Path,
        path: &Path,
        access: DirectoryAccess,
    ) -> io::Result<()> {
        in_directory(root, path, access, || fs::rename(&self.path, path))
    }

    /// Gives the file the name `path`, unless there is one. Creates missing directories.
    pub(super) fn link(&self, root: &Path, path: &Path, access: DirectoryAccess) -> io::Result<()> {
        in_directory(root, path, access, || fs::hard_link(&self.path, path))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Err(error) = ignore_missing(fs::remove_file(&self.path)) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file could not be removed");
        }
    }
}

/// Sets the time of the last modification to `time` and `nanos` nanoseconds.
pub(super) fn set_modified(file: &File, time: StoreTime, nanos: u64) -> io::Result<()> {
    let micros = Duration::from_micros(u64::try_from(time.micros()).unwrap_or(0));
    let since_epoch = micros.saturating_add(Duration::from_nanos(nanos));
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + since_epoch))
}

/// Repeats an operation that gives a file the name `path` while a directory of it is missing.
fn in_directory(
    root: &Path,
    path: &Path,
    access: DirectoryAccess,
    operation: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    let directory = path.parent().unwrap_or(root);
    let mut outcome = operation();
    for _ in 0..ATTEMPTS {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_directories(root, directory, access)?;
                outcome = operation();
            }
            ended => return ended,
        }
    }
    outcome
}

/// Creates `directory` and its missing parents. Another operation may remove them at once, because they are empty.
fn create_directories(root: &Path, directory: &Path, access: DirectoryAccess) -> io::Result<()> {
    match access.create_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => {
            create_directories(root, directory.parent().unwrap_or(root), access)?;
            match access.create_directory(directory) {
                Err(error) if is_settled_by_others(&error) => Ok(()),
                created => created,
            }
        }
        created => created,
    }
}

fn is_settled_by_others(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::AlreadyExists || kind == io::ErrorKind::NotFound
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
    directories.iter().try_for_each(|directory| sync_directory(directory))
}

/// Waits until the entries of a directory are on the disk. A directory that is gone needs no sync.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Regards an operation on a file that is not there as done.
pub(super) fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes files that were last modified before `limit`, except those whose names are kept: those that killed processes
/// left behind. If a process is only suspended, its put fails.
pub(super) fn remove_older(
    directory: &Path,
    limit: StoreTime,
    is_kept: impl Fn(&str) -> bool,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_old = |metadata: Metadata| modified(&metadata) < limit;
        if !entry.file_name().to_str().is_some_and(&is_kept) && entry.metadata().is_ok_and(is_old) {
            ignore_missing(fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}
