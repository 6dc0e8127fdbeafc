//! Syncs directories, so that the names of new files survive a power failure.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::files::sync_directory;

/// Maximum number of directories that are known to be durable. Each takes a file descriptor.
const MAX_KNOWN: usize = 128;

/// Directories whose own names survive a power failure: they and all directories above them were synced.
///
/// A directory is kept open, so that no later directory can have its inode: directories are removed when they are empty,
/// and may be created again.
#[derive(Debug, Default)]
pub(super) struct DurableDirectories(Mutex<Vec<KnownDirectory>>);

#[derive(Debug)]
struct KnownDirectory {
    path: PathBuf,
    inode: (u64, u64),
    #[expect(dead_code, reason = "occupies the inode")]
    file: File,
}

impl DurableDirectories {
    /// Waits until the entries of a directory, and the directories from `root` to it, are on the disk. A directory that
    /// is gone has no entries.
    pub(super) fn sync(&self, root: &Path, directory: &Path) -> io::Result<()> {
        let file = match File::open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        file.sync_all()?;
        let metadata = file.metadata()?;
        let inode = (metadata.dev(), metadata.ino());
        if self.is_known(directory, inode) {
            return Ok(());
        }
        let above = directory.ancestors().skip(1);
        above.take_while(|above| above.starts_with(root)).try_for_each(sync_directory)?;
        self.add(KnownDirectory { path: directory.to_owned(), inode, file });
        Ok(())
    }

    /// Returns whether a directory is known, and makes it the last one to be forgotten.
    fn is_known(&self, path: &Path, inode: (u64, u64)) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = known.iter().position(|entry| entry.inode == inode && entry.path == path);
        if let Some(place) = place {
            known[place..].rotate_left(1);
        }
        place.is_some()
    }

    fn add(&self, directory: KnownDirectory) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|entry| entry.path != directory.path);
        if known.len() >= MAX_KNOWN {
            known.remove(0);
        }
        known.push(directory);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_is_known_until_it_is_created_again() {
        let directory = tempfile::tempdir().unwrap();
        let (root, inner) = (directory.path(), directory.path().join("a/b"));
        let durable = DurableDirectories::default();
        let is_known = || {
            let metadata = fs::metadata(&inner).unwrap();
            durable.is_known(&inner, (metadata.dev(), metadata.ino()))
        };
        for _ in 0..3 {
            fs::create_dir_all(&inner).unwrap();
            assert!(!is_known());
            durable.sync(root, &inner).unwrap();
            assert!(is_known());
            fs::remove_dir(&inner).unwrap();
        }
        durable.sync(root, &inner).unwrap();
    }

    #[test]
    fn the_directory_that_was_synced_longest_ago_is_forgotten_first() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let durable = DurableDirectories::default();
        let path = |number: usize| root.join(number.to_string());
        for number in 0..=MAX_KNOWN {
            fs::create_dir(path(number)).unwrap();
            durable.sync(root, &path(number)).unwrap();
            durable.sync(root, &path(0)).unwrap();
        }
        let known = durable.0.lock().unwrap();
        let is_known = |number| known.iter().any(|entry| entry.path == path(number));
        assert_eq!(known.len(), MAX_KNOWN);
        assert!(is_known(0) && !is_known(1) && is_known(2));
    }
}
