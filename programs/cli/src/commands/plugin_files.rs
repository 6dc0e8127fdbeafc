//! Reads local plugins for an upload: a Python file, or a folder with a package.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use serde::Serialize;

use super::{CommandError, CommandResult};

/// The file that marks a folder as a package.
const PACKAGE_FILE: &str = "__init__.py";
/// The folder in which Python caches bytecode.
const CACHE_FOLDER: &str = "__pycache__";
/// Maximum total size of a plugin's files in bytes, because a server accepts them in one request.
const MAX_PLUGIN_BYTES: u64 = 8 << 20;

/// A plugin read from disk.
#[derive(Debug)]
pub(super) struct LocalPlugin {
    /// Name of the file or the folder.
    pub(super) name: String,
    /// Whether the plugin is a folder.
    pub(super) is_package: bool,
    /// The single file, or all Python files in the folder and its subfolders, sorted by path.
    pub(super) files: Vec<PluginFile>,
}

/// A plugin file as sent to the server.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct PluginFile {
    /// Path below the folder, with `/` as separator.
    pub(super) relative_path: String,
    pub(super) content: String,
}

impl LocalPlugin {
    /// Reads a file or a folder. Links in a folder are not followed.
    ///
    /// # Errors
    ///
    /// The plugin can't be read, is too large, or is a folder that is not a package.
    pub(super) fn read(path: &Path) -> CommandResult<Self> {
        let failed = |error| CommandError::of_file(path, error);
        let is_package = path.metadata().map_err(failed)?.is_dir();
        let canonical = path.canonicalize().map_err(failed)?;
        let name = canonical
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let mut reader = PluginReader { left: MAX_PLUGIN_BYTES, files: Vec::new() };
        if !is_package {
            reader.file(path, name.to_owned())?;
        } else if path.join(PACKAGE_FILE).is_file() {
            reader.folder(path, "")?;
        } else {
            let path = path.display().to_string();
            return Err(CommandError::NotAPlugin { path });
        }
        Ok(Self { name: name.to_owned(), is_package, files: reader.files })
    }
}

/// Reads files up to a limit.
struct PluginReader {
    left: u64,
    files: Vec<PluginFile>,
}

impl PluginReader {
    fn folder(&mut self, path: &Path, prefix: &str) -> CommandResult {
        let failed = |error| CommandError::of_file(path, error);
        let mut entries = fs::read_dir(path)
            .map_err(failed)?
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let relative = format!("{prefix}{name}");
            if kind.is_dir() && name != CACHE_FOLDER {
                self.folder(&entry.path(), &format!("{relative}/"))?;
            } else if kind.is_file() && has_python(&entry.path()) {
                self.file(&entry.path(), relative)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, relative_path: String) -> CommandResult {
        let failed = |error| CommandError::of_file(path, error);
        let file = fs::File::open(path).map_err(failed)?;
        let mut content = String::new();
        let mut file = file.take(self.left + 1);
        let read = file.read_to_string(&mut content).map_err(failed)? as u64;
        self.left = self
            .left
            .checked_sub(read)
            .ok_or(CommandError::PluginTooLarge { limit: MAX_PLUGIN_BYTES })?;
        self.files.push(PluginFile { relative_path, content });
        Ok(())
    }
}

fn has_python(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_all_its_python_files_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("pack");
        fs::create_dir_all(package.join("b/c")).unwrap();
        fs::create_dir_all(package.join("__pycache__")).unwrap();
        let error = LocalPlugin::read(&package).unwrap_err().to_string();
        assert!(error.ends_with("is not a plugin: it has no __init__.py"), "{error}");
        for path in ["__init__.py", "b/c/deep.py", "z.py", "notes.txt", "__pycache__/z.py"] {
            fs::write(package.join(path), path).unwrap();
        }
        let plugin = LocalPlugin::read(&package).unwrap();
        let paths: Vec<_> = plugin.files.iter().map(|file| &file.relative_path).collect();
        assert_eq!(paths, ["__init__.py", "b/c/deep.py", "z.py"]);
        assert_eq!(plugin.files[1].content, "b/c/deep.py");
        assert_eq!((plugin.name.as_str(), plugin.is_package), ("pack", true));
    }

    #[test]
    fn a_file_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.py");
        fs::write(&path, "x").unwrap();
        let plugin = LocalPlugin::read(&path).unwrap();
        assert_eq!((plugin.name.as_str(), plugin.is_package), ("one.py", false));
        fs::write(&path, vec![b'x'; (8 << 20) + 1]).unwrap();
        let error = LocalPlugin::read(&path).unwrap_err();
        assert!(matches!(error, CommandError::PluginTooLarge { .. }));
        let missing = LocalPlugin::read(&folder.path().join("two.py")).unwrap_err();
        assert!(matches!(missing, CommandError::File { .. }));
    }
}
