//! Temporary files, directories and what makes them last.

use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use crate::StoreTime;

/// A file that has its bytes but not its place. Dropping it without [`TempFile::land`] removes it.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    file: File,
    landed: bool,
}

impl TempFile {
    /// Writes the bytes and waits until they are on the disk.
    pub(super) fn write(path: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        let file = File::create_new(&path)?;
        let mut temp = Self {
            path,
            file,
            landed: false,
        };
        temp.file.write_all(bytes)?;
        temp.file.sync_data()?;
        Ok(temp)
    }

    /// Sets the time of the last modification and reads it back.
    pub(super) fn set_modified(&self, time: StoreTime) -> io::Result<fs::Metadata> {
        let since_epoch = Duration::from_micros(u64::try_from(time.micros()).unwrap_or(0));
        let times = FileTimes::new().set_modified(UNIX_EPOCH + since_epoch);
        self.file.set_times(times)?;
        self.file.metadata()
    }

    /// Takes the place, from a file that may be there, and creates the directories on the way. Returns the
    /// directories whose entries changed.
    pub(super) fn land(mut self, root: &Path, path: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        let parent = path.parent().unwrap_or(root);
        let renamed = match fs::rename(&self.path, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_directories(root, parent, &mut changed)?;
                fs::rename(&self.path, path)
            }
            renamed => renamed,
        };
        renamed?;
        self.landed = true;
        changed.insert(parent.to_owned());
        Ok(changed)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.landed
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file stays behind");
        }
    }
}

/// Creates `directory` and what is missing above it, and notes the directories that got a new entry.
fn create_directories(
    root: &Path,
    directory: &Path,
    changed: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => {
            create_directories(root, directory.parent().unwrap_or(root), changed)?;
            fs::create_dir(directory)?;
        }
        Err(error) => return Err(error),
    }
    changed.insert(directory.parent().unwrap_or(root).to_owned());
    Ok(())
}

/// Removes a file, and the directories above it that are empty then. Returns the directory whose entries
/// changed; `None` when there was no such file.
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

/// Waits until the entries of the directories are on the disk. One that is gone needs nothing.
pub(super) fn sync(directories: &BTreeSet<PathBuf>) -> io::Result<()> {
    for directory in directories {
        match File::open(directory) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes files that were last modified before `limit`: what processes left behind that were killed.
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
