//! Access of users other than the owner to a data directory: the modes of the files and directories that are created in
//! it.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use clap::ValueEnum;

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o777;
/// The special bits of a directory's mode, such as the set-group-ID bit, with which new entries inherit the group.
const SPECIAL: u32 = 0o7000;

/// The access of users other than the owner to a data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DirectoryAccess {
    /// Only the owner
    #[default]
    Owner,
    /// The group may read: for a backup by another user.
    GroupRead,
    /// The group may read and write: for processes of several users.
    GroupWrite,
}

impl DirectoryAccess {
    fn directory_mode(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::GroupRead => 0o750,
            Self::GroupWrite => 0o770,
        }
    }

    fn file_mode(self) -> u32 {
        self.directory_mode() & !0o111
    }

    /// Returns the permission bits that the mode of no file or directory should have.
    fn forbidden(self) -> u32 {
        PERMISSIONS & !self.directory_mode()
    }

    /// Whether the process's umask may have removed permissions that others should have.
    fn is_masked(self) -> bool {
        self != Self::Owner
    }

    /// Creates a directory, independent of the process's umask.
    pub(super) fn create_directory(self, path: &Path) -> io::Result<()> {
        let mode = self.directory_mode();
        DirBuilder::new().mode(mode).create(path)?;
        if self.is_masked() {
            let special = fs::metadata(path)?.mode() & SPECIAL;
            fs::set_permissions(path, Permissions::from_mode(special | mode))?;
        }
        Ok(())
    }

    /// Creates a directory unless it exists.
    pub(super) fn create_missing_directory(self, path: &Path) -> io::Result<()> {
        match self.create_directory(path) {
            Err(_) if path.is_dir() => Ok(()),
            created => created,
        }
    }

    /// Creates a new file for reading and writing.
    pub(super) fn create_file(self, path: &Path) -> io::Result<File> {
        let mode = self.file_mode();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        if self.is_masked() {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(file)
    }
}

/// A data directory that more users can access than configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposedDirectory {
    access: DirectoryAccess,
}

impl ExposedDirectory {
    /// Checks whether the mode of a directory or of its entries gives more access than `access`. Returns `None` also
    /// for a directory that cannot be read.
    pub fn find(root: &Path, access: DirectoryAccess) -> Option<Self> {
        let exposed = |mode: u32| mode & access.forbidden() != 0;
        let mode = fs::metadata(root).ok()?.mode();
        // Users who can write to the directory can replace its entries; users who can enter it can access the entries
        // as far as their modes allow.
        let is_exposed = mode & access.forbidden() & 0o022 != 0
            || exposed(mode) && {
                let entries = fs::read_dir(root).ok()?.flatten();
                let mut modes = entries.filter_map(|entry| Some(entry.metadata().ok()?.mode()));
                modes.any(exposed)
            };
        is_exposed.then_some(Self { access })
    }

    /// The mode argument of `chmod -R` that removes the excess access.
    pub fn chmod_mode(self) -> &'static str {
        match self.access {
            DirectoryAccess::Owner => "go=",
            DirectoryAccess::GroupRead => "g-w,o=",
            DirectoryAccess::GroupWrite => "o=",
        }
    }
}

impl fmt::Display for ExposedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.access {
            DirectoryAccess::Owner => "users other than its owner may use it",
            DirectoryAccess::GroupRead => {
                "users other than its owner may write to it, or users outside its group may read it"
            }
            DirectoryAccess::GroupWrite => "users other than its owner and its group may use it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DirectoryStore, PutMode, Store, World};

    /// Returns the modes of a directory and of everything below it.
    fn modes(root: &Path) -> Vec<(bool, u32)> {
        let mut found = vec![(true, fs::metadata(root).unwrap().mode() & 0o7777)];
        for entry in fs::read_dir(root).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                found.extend(modes(&entry.path()))
            } else {
                found.push((false, metadata.mode() & 0o7777))
            }
        }
        found
    }

    async fn filled(root: &Path, access: DirectoryAccess) {
        let store = DirectoryStore::open_with(root, access, &World::system()).unwrap();
        for key in ["catalog", "db/1/catalog", "tail/1/a.wal", "catalog"] {
            let put = store.put(key, b"x".as_slice().into(), PutMode::Overwrite);
            put.await.unwrap();
        }
    }

    #[tokio::test]
    async fn created_files_and_directories_have_the_configured_modes() {
        for (access, directory, file) in [
            (DirectoryAccess::Owner, 0o700, 0o600),
            (DirectoryAccess::GroupRead, 0o750, 0o640),
            (DirectoryAccess::GroupWrite, 0o770, 0o660),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("above/data");
            filled(&root, access).await;
            let modes = modes(&root);
            assert!(modes.len() >= 10, "{modes:?}");
            for (is_directory, mode) in modes {
                assert_eq!(mode, if is_directory { directory } else { file }, "{access:?}");
            }
            assert_eq!(ExposedDirectory::find(&root, access), None);
        }
    }

    #[tokio::test]
    async fn a_set_group_id_directory_keeps_its_bit() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o2770)).unwrap();
        filled(&root, DirectoryAccess::GroupWrite).await;
        for (is_directory, mode) in modes(&root) {
            assert_eq!(mode, if is_directory { 0o2770 } else { 0o660 });
        }
    }
}
