//! The packages that an interpreter finds, and whether they have changed: a process keeps the modules that it has
//! imported.
//!
//! Installers replace what they install: each change adds or removes an entry of a folder on the module path, so it
//! changes the time of that folder. That is what is looked at before a run, one `stat` for each folder. Only after a
//! change are the entries compared.

use std::{
    fs::{self, DirEntry, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The most folders that are watched.
const MAX_FOLDERS: usize = 32;

/// Folders that describe an installed package. They are made anew with each installation, of the same version, too.
const DESCRIPTIONS: [&str; 2] = [".dist-info", ".egg-info"];

/// What interpreters write beside modules, which is no change of them.
const BYTECODE: &str = "__pycache__";

/// The packages of the interpreter that plugins run by.
#[derive(Debug, Default)]
pub(super) struct InstalledPackages {
    folders: Vec<WatchedFolder>,
}

/// A folder on the module path.
#[derive(Debug, PartialEq, Eq)]
struct WatchedFolder {
    path: PathBuf,
    identity: Option<Identity>,
    entries: u64,
}

/// What changes when an entry of a folder does, or when the folder is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
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
        Self {
            entries: entries(&path),
            path,
            identity,
        }
    }

    /// Looks whether packages have changed since the last look.
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
    /// Watches the folders of an interpreter that has started. Those that are watched already keep what is known of them.
    pub(super) fn watch(&mut self, folders: &[PathBuf]) {
        let folders = folders.get(..MAX_FOLDERS).unwrap_or(folders);
        let is_known = self.folders.iter().map(|folder| &folder.path).eq(folders);
        if !is_known {
            self.folders = folders.iter().cloned().map(WatchedFolder::new).collect();
        }
    }

    /// Looks whether packages were installed, replaced or removed since the last look.
    pub(super) fn have_changed(&mut self) -> bool {
        let mut have_changed = false;
        for folder in &mut self.folders {
            have_changed |= folder.has_changed();
        }
        have_changed
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path)
        .ok()
        .map(|metadata| Identity::of(&metadata))
}

/// A number that is another one when packages in the folder have changed.
fn entries(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // In no order.
    entries
        .map(|entry| fingerprint(&entry))
        .fold(0, u64::wrapping_add)
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
    // A folder of modules changes with the bytecode in it.
    if !metadata.is_dir() || DESCRIPTIONS.iter().any(|end| text.ends_with(end)) {
        Identity::of(&metadata).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes a folder, and makes sure that its time says so, however coarse the clock of the file system is.
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
    fn what_installers_do_is_a_change_and_what_interpreters_do_is_none() {
        let site = tempfile::tempdir().unwrap();
        let site = site.path();
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
        // The same version again, as with `pip install --force-reinstall`.
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
        // Another process of the same interpreter does not take the change for seen.
        installed.watch(&folders);
        assert!(installed.have_changed());
        fs::create_dir(site.join("nowhere")).unwrap();
        fs::write(site.join("nowhere/module.py"), "").unwrap();
        assert!(installed.have_changed());
    }
}
