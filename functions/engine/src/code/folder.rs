//! The plugin folder: its files and packages run in place.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use neap_bucket::read_limited_text;
use neap_catalog::MAX_PLUGIN_BYTES;

use super::{
    PluginCodeError, PluginSource, PluginSourceFile,
    blocking_io::blocking,
    files::{INIT, only_python_file},
    manifest::{MANIFEST, PluginManifest},
    path::{PluginPath, existing_below},
};
use crate::PluginOnDisk;

/// The folder in which Python stores compiled modules.
const PYCACHE: &str = "__pycache__";

/// Maximum number of files and folders read in a package.
const MAX_ENTRIES: usize = 2_000;

#[derive(Clone, Debug)]
pub(super) struct PluginFolder(Arc<PathBuf>);

impl PluginFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns a plugin of this folder. Its version changes when one of its files is modified, added or removed.
    /// Fails with `PathTraversal`, `NotFound`, `NoInit`, `Io`.
    pub(super) async fn plugin(&self, path: &PluginPath) -> Result<PluginOnDisk, PluginCodeError> {
        let (folder, path) = (Arc::clone(&self.0), path.clone());
        blocking(move || {
            let path = entry_point(existing_below(&folder, &path)?)?;
            let files = files_on_disk(&path)?.into_iter();
            let seen: Vec<FileFingerprint> =
                files.map(|(path, metadata)| FileFingerprint::new(path, &metadata)).collect();
            let mut hasher = DefaultHasher::new();
            seen.hash(&mut hasher);
            Ok(PluginOnDisk { path, version: format!("{:016x}", hasher.finish()).into() })
        })
        .await
    }

    /// Reads the manifest of a plugin of this folder. A file at the top of this folder has none.
    /// Fails with `PathTraversal`, `NotFound`, `Io`, and `Invalid` if the manifest can't be parsed.
    pub(super) async fn manifest(
        &self,
        path: &PluginPath,
    ) -> Result<Option<PluginManifest>, PluginCodeError> {
        let (folder, path) = (Arc::clone(&self.0), path.clone());
        blocking(move || {
            let plugin = existing_below(&folder, &path)?;
            match plugin.parent() {
                _ if plugin.is_dir() => manifest_in(&plugin),
                Some(parent) if parent != folder.as_path() => manifest_in(parent),
                _ => Ok(None),
            }
        })
        .await
    }

    /// Reads the files of a plugin of this folder.
    /// Errors: those of [`read`].
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
/// Fails with `PathTraversal`, `NotFound`, `NoInit`, `Io`, and `Invalid` if the plugin is too large.
pub(super) fn read(folder: &Path, path: &PluginPath) -> Result<PluginSource, PluginCodeError> {
    let entry = entry_point(existing_below(folder, path)?)?;
    if !fs::metadata(&entry).map_err(failed)?.is_dir() {
        let content = read_text(&entry)?;
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        return PluginSource::single(&name, content);
    }
    read_files(&entry, files_on_disk(&entry)?, |_| true)
}

/// Reads the folder of a plugin at a path below a folder, with all files that belong to the plugin.
/// Errors: as [`read`]; `Invalid` if the folder has no manifest, or a file is no text.
pub(super) fn read_whole(
    folder: &Path,
    path: &PluginPath,
) -> Result<PluginSource, PluginCodeError> {
    let plugin = existing_below(folder, path)?;
    let Some(manifest) = manifest_in(&plugin)? else {
        let name = path.as_str();
        return Err(PluginCodeError::Invalid(format!("'{name}' has no {MANIFEST}")));
    };
    let belongs = |path: &str| !manifest.excludes(path);
    read_files(&plugin, list_files(&plugin, |_| true)?, belongs)
}

/// Lists the plugins of a checkout by path: its folders with a manifest, and those of its folders.
/// Fails with `Io`.
pub(super) fn list_plugins(
    checkout: &Path,
) -> Result<Vec<(String, PluginManifest)>, PluginCodeError> {
    let mut folders = folders_in(checkout).map_err(failed)?;
    for author in folders.clone() {
        folders.extend(folders_in(&author).map_err(failed)?);
    }
    folders.truncate(MAX_ENTRIES);
    folders.sort();
    let mut plugins = Vec::new();
    for folder in folders {
        let path = folder.strip_prefix(checkout).unwrap_or(&folder).to_string_lossy();
        match manifest_in(&folder) {
            Ok(Some(manifest)) => plugins.push((path.into_owned(), manifest)),
            Ok(None) => {}
            // The other plugins are listed.
            Err(error) => tracing::warn!(%path, %error, "the manifest of a plugin can't be read"),
        }
    }
    Ok(plugins)
}

fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.take(MAX_ENTRIES).flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders.map(|folder| folder.path()).collect())
}

fn read_files(
    folder: &Path,
    files: Vec<(PathBuf, fs::Metadata)>,
    belongs: impl Fn(&str) -> bool,
) -> Result<PluginSource, PluginCodeError> {
    let mut read = Vec::new();
    for (file, _) in files {
        let path = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
        if belongs(&path) {
            let content = read_text(&file)?;
            read.push(PluginSourceFile { path, content });
        }
    }
    PluginSource::folder(read)
}

/// Returns what runs at a path: a file, a package, or the only Python file of another folder with a manifest.
fn entry_point(path: PathBuf) -> Result<PathBuf, PluginCodeError> {
    if !path.is_dir() || path.join(INIT).is_file() {
        return Ok(path);
    }
    let manifest = manifest_in(&path)?;
    let entries = fs::read_dir(&path).map_err(failed)?.take(MAX_ENTRIES).flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names: Vec<_> = files.filter_map(|file| file.file_name().into_string().ok()).collect();
    manifest
        .and_then(|manifest| only_python_file(names.iter().map(String::as_str), &manifest))
        .map(|name| path.join(name))
        .ok_or_else(|| PluginCodeError::NoInit(path.display().to_string()))
}

fn manifest_in(folder: &Path) -> Result<Option<PluginManifest>, PluginCodeError> {
    let path = folder.join(MANIFEST);
    if !path.is_file() {
        return Ok(None);
    }
    PluginManifest::parse(&read_text(&path)?).map(Some)
}

fn read_text(path: &Path) -> Result<String, PluginCodeError> {
    read_limited_text(path, MAX_PLUGIN_BYTES).map_err(|error| {
        let reason = format!("{}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::FileTooLarge => PluginCodeError::Invalid(reason),
            _ => PluginCodeError::Io(reason),
        }
    })
}

pub(super) fn failed(error: io::Error) -> PluginCodeError {
    PluginCodeError::Io(error.to_string())
}

/// Lists the files of a plugin on disk, in order of path: a single file, or the Python files of its folder, without
/// following links. Blocks on disk I/O.
///
/// # Errors
/// `Io`, and `Invalid` if there are too many files and folders.
pub fn files_on_disk(plugin: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, PluginCodeError> {
    list_files(plugin, |path| path.extension().is_some_and(|it| it == "py"))
}

fn list_files(
    plugin: &Path,
    is_wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<(PathBuf, fs::Metadata)>, PluginCodeError> {
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
            } else if metadata.is_file() && is_wanted(&path) {
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
        for change in [("deep/x.py", "longer", 1), ("deep/x.py", "longer", 2), ("deep/y.py", "", 1)]
        {
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

    const ONE: &str = "manifest_schema_version = \"1.2\"\n[plugin]\nname = \"one\"\nversion = \"1.0.0\"\nexclude = [\"test_*\"]\n";

    #[tokio::test]
    async fn a_folder_with_a_manifest_runs_its_only_python_file() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = PluginFolder::new(folder.path().to_owned());
        for (name, content) in [
            ("a/one/manifest.toml", ONE),
            ("a/one/one.py", "1"),
            ("a/one/test_one.py", "2"),
            ("manifest.toml", ONE),
            ("top.py", "3"),
        ] {
            touch(&folder.path().join(name), content, 1);
        }
        let run = plugins.plugin(&path("a/one")).await.unwrap();
        assert_eq!(run, plugins.plugin(&path("a/one/one.py")).await.unwrap());
        let files = plugins.files(&path("a/one")).await.unwrap();
        assert_eq!(files.iter().collect::<Vec<_>>(), [("one.py", "1")]);
        for (plugin, has_manifest) in [("a/one", true), ("a/one/one.py", true), ("top.py", false)] {
            let manifest = plugins.manifest(&path(plugin)).await.unwrap();
            assert_eq!(manifest.is_some(), has_manifest, "{plugin}");
        }
        let whole = read_whole(folder.path(), &path("a/one")).unwrap();
        let names: Vec<_> = whole.iter().map(|(name, _)| name).collect();
        assert_eq!(names, [MANIFEST, "one.py"]);
        touch(&folder.path().join("a/one/two.py"), "", 1);
        let two = plugins.plugin(&path("a/one")).await;
        assert!(matches!(two, Err(PluginCodeError::NoInit(_))));
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
