//! The plugin folder: its files and packages run in place.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    PluginCodeError, PluginSource, PluginSourceFile,
    blocking_io::blocking,
    files::INIT,
    path::{PluginPath, existing_below},
};
use crate::PluginOnDisk;

/// The folder in which Python stores compiled modules.
const PYCACHE: &str = "__pycache__";

/// Maximum number of files and folders read in a package.
const MAX_ENTRIES: usize = 2_000;

/// The plugin folder.
#[derive(Clone, Debug)]
pub(super) struct PluginFolder(Arc<PathBuf>);

impl PluginFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(path))
    }

    /// Returns a plugin of this folder. Its version changes when one of its files is modified, added or removed.
    ///
    /// # Errors
    /// `PathTraversal`, `NotFound`, `NoInit`, `Io`.
    pub(super) async fn plugin(&self, path: &PluginPath) -> Result<PluginOnDisk, PluginCodeError> {
        let (folder, path) = (Arc::clone(&self.0), path.clone());
        blocking(move || {
            let path = existing_below(&folder, &path)?;
            if path.is_dir() {
                require_init(&path)?;
            }
            let files = files_on_disk(&path)?.into_iter();
            let seen: Vec<FileFingerprint> =
                files.map(|(path, metadata)| FileFingerprint::new(path, &metadata)).collect();
            let mut hasher = DefaultHasher::new();
            seen.hash(&mut hasher);
            Ok(PluginOnDisk {
                path,
                version: format!("{:016x}", hasher.finish()).into(),
            })
        })
        .await
    }

    /// Reads the files of a plugin of this folder.
    ///
    /// # Errors
    /// Those of [`read`].
    pub(super) async fn files(&self, path: &PluginPath) -> Result<PluginSource, PluginCodeError> {
        let (folder, path) = (Arc::clone(&self.0), path.clone());
        blocking(move || read(&folder, &path)).await
    }
}

/// The attributes that change when a file is modified.
#[derive(Hash)]
struct FileFingerprint {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl FileFingerprint {
    fn new(path: PathBuf, metadata: &fs::Metadata) -> Self {
        Self {
            path,
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
        }
    }
}

/// Reads the plugin at a path below a folder: a file, or the Python files of a package.
///
/// # Errors
/// `PathTraversal`, `NotFound`, `NoInit`, `Io`, and `Invalid` if the plugin is too large.
pub(super) fn read(folder: &Path, path: &PluginPath) -> Result<PluginSource, PluginCodeError> {
    let found = existing_below(folder, path)?;
    if !fs::metadata(&found).map_err(failed)?.is_dir() {
        let content = read_text(&found)?;
        let name = found.file_name().unwrap_or_default().to_string_lossy();
        return PluginSource::single(&name, content);
    }
    require_init(&found)?;
    let mut files = Vec::new();
    for (path, _) in files_on_disk(&found)? {
        let relative = path.strip_prefix(&found).unwrap_or(&path);
        files.push(PluginSourceFile {
            path: relative.to_string_lossy().into_owned(),
            content: read_text(&path)?,
        });
    }
    PluginSource::folder(files)
}

fn read_text(path: &Path) -> Result<String, PluginCodeError> {
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > neap_catalog::MAX_PLUGIN_BYTES {
        let name = path.display();
        return Err(PluginCodeError::Invalid(format!(
            "'{name}' has {bytes} bytes"
        )));
    }
    fs::read_to_string(path).map_err(failed)
}

fn require_init(package: &Path) -> Result<(), PluginCodeError> {
    if package.join(INIT).is_file() {
        return Ok(());
    }
    Err(PluginCodeError::NoInit(package.display().to_string()))
}

fn failed(error: io::Error) -> PluginCodeError {
    PluginCodeError::Io(error.to_string())
}

/// Lists the files of a plugin on disk, in order of path: a single file, or the Python files of its folder, without
/// following links. Blocks on disk I/O.
///
/// # Errors
/// `Io`, and `Invalid` if there are too many files and folders.
pub fn files_on_disk(plugin: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, PluginCodeError> {
    let metadata = fs::metadata(plugin).map_err(failed)?;
    if !metadata.is_dir() {
        return Ok(vec![(plugin.to_owned(), metadata)]);
    }
    let (mut files, mut folders, mut entries) = (Vec::new(), vec![plugin.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries += 1;
            if entries > MAX_ENTRIES {
                let name = plugin.display();
                return Err(PluginCodeError::Invalid(format!(
                    "'{name}' has more than {MAX_ENTRIES} files and folders"
                )));
            }
            let (path, metadata) = (entry.path(), entry.metadata().map_err(failed)?);
            if metadata.is_dir() && entry.file_name() != PYCACHE {
                folders.push(path);
            } else if metadata.is_file() && path.extension().is_some_and(|it| it == "py") {
                files.push((path, metadata));
            }
        }
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PluginPath {
        PluginPath::parse(text).unwrap()
    }

    fn touch(path: &Path, content: &str, second: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[tokio::test]
    async fn a_plugin_has_another_version_when_a_file_was_modified() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = PluginFolder::new(folder.path().to_owned());
        let single = folder.path().join("one.py");
        touch(&single, "a", 1);
        let first = plugins.plugin(&path("one.py")).await.unwrap();
        assert_eq!(first, plugins.plugin(&path("one.py")).await.unwrap());
        assert_eq!(first.path, single);
        touch(&single, "b", 2);
        assert_ne!(first, plugins.plugin(&path("one.py")).await.unwrap());

        let package = folder.path().join("pack");
        touch(&package.join("deep/x.py"), "", 1);
        let error = plugins.plugin(&path("pack")).await.unwrap_err();
        assert!(matches!(error, PluginCodeError::NoInit(_)));
        touch(&package.join(INIT), "", 1);
        let mut versions = vec![plugins.plugin(&path("pack")).await.unwrap().version];
        for change in [
            ("deep/x.py", "longer", 1),
            ("deep/x.py", "longer", 2),
            ("deep/y.py", "", 1),
        ] {
            touch(&package.join(change.0), change.1, change.2);
            let version = plugins.plugin(&path("pack")).await.unwrap().version;
            assert!(!versions.contains(&version), "{change:?}");
            versions.push(version);
        }
        touch(&package.join("__pycache__/x.py"), "", 9);
        touch(&package.join("notes.txt"), "", 9);
        let version = plugins.plugin(&path("pack")).await.unwrap().version;
        assert_eq!(versions.last(), Some(&version));
        let files = plugins.files(&path("pack")).await.unwrap();
        let names: Vec<_> = files.iter().map(|(path, _)| path).collect();
        assert_eq!(names, [INIT, "deep/x.py", "deep/y.py"]);
    }

    #[tokio::test]
    async fn missing_plugin_error_names_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = PluginFolder::new(folder.path().to_owned());
        let error = plugins.plugin(&path("nope.py")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "reading plugin file: Plugin not found: {}",
                folder.path().join("nope.py").display()
            )
        );
    }
}
