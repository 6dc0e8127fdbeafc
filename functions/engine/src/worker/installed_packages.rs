//! Detects changes of the packages of an interpreter, because a process keeps the modules that it has imported.
//!
//! Installers replace files: each change adds or removes an entry of a folder on the module path, so it changes the
//! modification time of that folder. The check before a run is one `stat` for each folder. Entries are compared only if
//! a folder has changed.

use std::{
    fs::{self, DirEntry, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Maximum number of watched folders.
const MAX_FOLDERS: usize = 32;

/// Suffixes of the metadata folders of installed packages. Each installation creates them anew, even for the same
/// version.
const DESCRIPTIONS: [&str; 2] = [".dist-info", ".egg-info"];

/// The folder for bytecode, which interpreters write; it is not a change of a package.
const BYTECODE: &str = "__pycache__";

/// The packages of the interpreter that runs plugins.
#[derive(Debug, Default)]
pub(super) struct InstalledPackages {
    folders: Vec<WatchedFolder>,
}

/// A folder on the module path.
#[derive(Debug, PartialEq, Eq)]
struct WatchedFolder {
    path: PathBuf,
    identity: Option<FileIdentity>,
    entries: u64,
}

/// The attributes that change when a folder gains or loses an entry, or is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileIdentity {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileIdentity {
    fn from_metadata(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl WatchedFolder {
    fn new(path: PathBuf) -> Self {
        let identity = identity(&path);
        Self { entries: entries(&path), path, identity }
    }

    /// Returns whether packages have changed since the last check.
    fn has_changed(&mut self) -> bool {
        let identity = identity(&self.path);
        if identity == self.identity {
            return false;
        }
        let before = std::mem::replace(&mut self.entries, entries(&self.path));
        self.identity = identity;
        self.entries != before
    }
}

impl InstalledPackages {
    /// Watches the package folders of an interpreter. If they are watched already, their recorded state is kept.
    pub(super) fn watch(&mut self, folders: &[PathBuf]) {
        let folders = folders.get(..MAX_FOLDERS).unwrap_or(folders);
        let is_known = self.folders.iter().map(|folder| &folder.path).eq(folders);
        if !is_known {
            self.folders = folders.iter().cloned().map(WatchedFolder::new).collect();
        }
    }

    /// Returns whether packages were installed, replaced or removed since the last check.
    pub(super) fn have_changed(&mut self) -> bool {
        let mut have_changed = false;
        for folder in &mut self.folders {
            have_changed |= folder.has_changed();
        }
        have_changed
    }
}

fn identity(path: &Path) -> Option<FileIdentity> {
    fs::metadata(path).ok().map(|metadata| FileIdentity::from_metadata(&metadata))
}

/// Returns a hash that changes when packages in the folder change.
fn entries(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Independent of the order of the entries.
    entries.map(|entry| fingerprint(&entry)).fold(0, u64::wrapping_add)
}

fn fingerprint(entry: &DirEntry) -> u64 {
    let name = entry.file_name();
    let Ok(metadata) = entry.metadata() else {
        return 0;
    };
    let text = name.to_string_lossy();
    if text == BYTECODE {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    metadata.ino().hash(&mut hasher);
    // The times of a folder of modules change with its bytecode, so they do not count.
    if !metadata.is_dir() || DESCRIPTIONS.iter().any(|end| text.ends_with(end)) {
        FileIdentity::from_metadata(&metadata).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes a folder, and repeats a neutral change until its modification time differs, because the clock of the
    /// file system may be coarse.
    fn change(folder: &Path, change: impl FnOnce()) {
        let before = identity(folder);
        change();
        let mut number = 0;
        while identity(folder) == before {
            number += 1;
            let other = folder.join(BYTECODE).join(number.to_string());
            fs::create_dir_all(&other).unwrap();
            fs::remove_dir_all(folder.join(BYTECODE)).unwrap();
        }
    }

    #[test]
    fn installs_are_changes_and_bytecode_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let site = directory.path();
        for folder in ["pack", "pack-1.dist-info"] {
            fs::create_dir(site.join(folder)).unwrap();
        }
        fs::write(site.join("single.py"), "NAME = 1").unwrap();
        let mut installed = InstalledPackages::default();
        let folders = [site.to_owned(), site.join("nowhere")];
        installed.watch(&folders);
        assert!(!installed.have_changed());
        change(site, || fs::create_dir(site.join(BYTECODE)).unwrap());
        change(site, || {
            fs::create_dir(site.join("pack").join(BYTECODE)).unwrap();
        });
        assert!(!installed.have_changed());
        // The same version again, like `pip install --force-reinstall`.
        change(site, || {
            fs::rename(site.join("pack-1.dist-info"), site.join("~ack")).unwrap();
            fs::create_dir(site.join("pack-1.dist-info")).unwrap();
            fs::remove_dir(site.join("~ack")).unwrap();
        });
        assert!(installed.have_changed());
        assert!(!installed.have_changed());
        change(site, || {
            fs::write(site.join("new"), "NAME = 2").unwrap();
            fs::rename(site.join("new"), site.join("single.py")).unwrap();
        });
        assert!(installed.have_changed());
        change(site, || {
            fs::write(site.join("editable.pth"), "/src").unwrap();
        });
        // The start of another process with the same interpreter does not reset the detection.
        installed.watch(&folders);
        assert!(installed.have_changed());
        fs::create_dir(site.join("nowhere")).unwrap();
        fs::write(site.join("nowhere/module.py"), "").unwrap();
        assert!(installed.have_changed());
    }
}
