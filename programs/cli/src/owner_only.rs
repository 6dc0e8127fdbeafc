//! Files and directories that only their owner may read, and the syncs that make them durable: credentials and tokens, the
//! history of the shell, the files of exports, and the state and the extracted files of imports.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

const DIRECTORY_MODE: u32 = 0o700;

/// The mode of files.
const FILE_MODE: u32 = 0o600;

/// Creates a file for reading and writing, or empties the one that exists.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Opens a file for appending. Creates it if it does not exist, and restricts it to its owner if it does.
pub(crate) fn append_to_file(path: &Path) -> io::Result<File> {
    let file = File::options().append(true).create(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// Writes a file that must not exist, and waits until its contents are on the disk.
pub(crate) fn write_new_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces the contents of a file atomically, and waits until the new contents and the name are on the disk. Creates the
/// file if it does not exist. No other process may replace it at the same time.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    replace_file_through(&path.with_file_name(name), path, bytes)
}

/// Replaces a file as [`replace_file`] does, through the temporary file `new`, which is removed if it exists.
pub(crate) fn replace_file_through(new: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a kill has left may have other permissions.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new_file(new, bytes)?;
    fs::rename(new, path)?;
    parent(path).map_or(Ok(()), sync_directory)
}

/// Creates a directory that must not exist.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// Creates a directory and its missing parents. Existing directories keep their mode. `sync` makes the entries of a
/// directory durable; it is called for the parent of each created one.
pub(crate) fn create_directories(
    path: &Path,
    sync: &impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    if let Some(parent) = parent {
        create_directories(parent, sync)?;
    }
    match create_directory(path) {
        // Another thread was faster.
        Err(_) if path.is_dir() => {}
        created => created?,
    }
    parent.map_or(Ok(()), sync)
}

/// Waits until the entries of the directories from `from` up to `root` are on the disk.
pub(crate) fn sync_up_to(root: &Path, from: &Path) -> io::Result<()> {
    from.ancestors()
        .take_while(|directory| directory.starts_with(root))
        .try_for_each(sync_directory)
}

/// Waits until the entries of a directory are on the disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Returns the directory of a path; the current one for a plain name, and none for the root.
pub(crate) fn parent(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_parent_of_each_new_directory_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let synced = RefCell::new(Vec::new());
        let sync = |directory: &Path| {
            synced.borrow_mut().push(directory.to_owned());
            sync_directory(directory)
        };
        create_directories(&root.join("a/b"), &sync).unwrap();
        assert_eq!(synced.take(), [root.to_owned(), root.join("a")]);
        create_directories(&root.join("a/b"), &sync).unwrap();
        assert!(synced.take().is_empty());
        let failed = |_: &Path| Err(io::Error::other("the disk is gone"));
        assert!(create_directories(&root.join("c"), &failed).is_err());
    }

    #[test]
    fn only_the_owner_has_access_to_what_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        create_directories(&path, &sync_directory).unwrap();
        create_file(&path.join("c")).unwrap();
        assert_eq!(mode(&path), DIRECTORY_MODE);
        assert_eq!(mode(&folder.path().join("a")), DIRECTORY_MODE);
        assert_eq!(mode(&path.join("c")), FILE_MODE);
    }

    #[test]
    fn a_replaced_file_has_the_new_contents_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let left = folder.path().join("state.json.new");
        fs::write(&left, "left by a kill").unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o644)).unwrap();
        for contents in ["one", "other"] {
            replace_file(&path, contents.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
            assert_eq!(mode(&path), FILE_MODE);
        }
        assert!(!left.exists());
        assert!(replace_file(&folder.path().join("missing/state"), b"").is_err());
    }

    #[test]
    fn the_directory_of_a_plain_name_is_the_current_one() {
        assert_eq!(parent(Path::new("a")), Some(Path::new(".")));
        assert_eq!(parent(Path::new("a/b")), Some(Path::new("a")));
        assert_eq!(parent(Path::new("/")), None);
    }
}
