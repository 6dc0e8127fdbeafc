//! Installed plugins in the plugin folder.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{
    PluginCodeError, PluginSource,
    folder::{failed, files_on_disk},
    manifest::MANIFEST,
};

/// Writes the files of a plugin into a folder of its name below `root`. Code that the plugin no longer has is removed. Other
/// files of the folder stay as they are, because they may be configurations of users.
/// Fails with `Io`; `Invalid` if the folder exists and was not installed; `PathTraversal` if a link leads out of
/// `root`.
pub(super) fn write(root: &Path, name: &str, files: &PluginSource) -> Result<(), PluginCodeError> {
    let folder = root.join(name);
    let is_replaceable = match fs::symlink_metadata(&folder) {
        Ok(metadata) => metadata.is_dir() && folder.join(MANIFEST).is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    if !is_replaceable {
        return Err(PluginCodeError::Invalid(format!(
            "'{name}' in the plugin folder has no {MANIFEST}, so it was not installed and is not replaced"
        )));
    }
    let mut ordered: Vec<_> = files.iter().collect();
    // The manifest is first, so that an interrupted installation can be repeated.
    ordered.sort_by_key(|(path, _)| *path != MANIFEST);
    fs::create_dir_all(root).map_err(failed)?;
    let real_root = root.canonicalize().map_err(failed)?;
    for (path, content) in ordered {
        let file = folder.join(path);
        if path.ends_with(".py") || path == MANIFEST || !file.exists() {
            replace_file(&real_root, &file, content)?;
        }
    }
    let current: BTreeSet<_> = files.iter().map(|(path, _)| folder.join(path)).collect();
    for (file, _) in files_on_disk(&folder)? {
        if !current.contains(&file) {
            fs::remove_file(&file).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes a file atomically, below a folder that links must not leave. `real_root` is the path of the folder without links.
fn replace_file(real_root: &Path, file: &Path, content: &str) -> Result<(), PluginCodeError> {
    let parent = file.parent().unwrap_or(real_root);
    // A link may lead out of the folder, and nothing is created behind it.
    let existing = parent.ancestors().find(|folder| folder.exists()).unwrap_or(real_root);
    if !existing.canonicalize().map_err(failed)?.starts_with(real_root) {
        return Err(PluginCodeError::PathTraversal(file.display().to_string()));
    }
    fs::create_dir_all(parent).map_err(failed)?;
    let mut new = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(failed)?;
    new.write_all(content.as_bytes()).map_err(failed)?;
    new.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::PluginSourceFile;

    const ONE: &str =
        "manifest_schema_version = \"1.2\"\n[plugin]\nname = \"one\"\nversion = \"1.0.0\"\n";

    fn put(root: &Path, path: &str, content: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn source(files: &[(&str, &str)]) -> PluginSource {
        let file = |(path, content): &(&str, &str)| PluginSourceFile {
            path: (*path).to_owned(),
            content: (*content).to_owned(),
        };
        PluginSource::folder(files.iter().map(file)).unwrap()
    }

    #[test]
    fn an_installed_plugin_is_replaced_and_keeps_the_files_of_users() {
        let folder = tempfile::tempdir().unwrap();
        let text = |path: &str| fs::read_to_string(folder.path().join("one").join(path)).ok();
        let first = [(MANIFEST, ONE), ("old.py", "1"), ("deep/x.py", "x"), ("a.toml", "shipped")];
        write(folder.path(), "one", &source(&first)).unwrap();
        assert_eq!(text("a.toml").as_deref(), Some("shipped"));
        put(folder.path(), "one/a.toml", "changed");
        put(folder.path(), "one/own.toml", "own");
        let second = [(MANIFEST, ONE), ("new.py", "2"), ("a.toml", "shipped"), ("b.toml", "new")];
        write(folder.path(), "one", &source(&second)).unwrap();
        let contents = ["old.py", "deep/x.py", "new.py", "a.toml", "own.toml", "b.toml"].map(text);
        let expected = [None, None, Some("2"), Some("changed"), Some("own"), Some("new")];
        assert_eq!(contents.each_ref().map(Option::as_deref), expected);
        let mode = fs::metadata(folder.path().join("one/new.py")).unwrap().permissions().mode();
        assert_eq!(mode & 0o400, 0o400);
    }

    #[test]
    fn an_installation_replaces_no_plugin_of_users_and_follows_no_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(folder.path(), "own/own.py", "mine");
        let link =
            |name: &str| std::os::unix::fs::symlink(outside.path(), folder.path().join(name));
        link("linked").unwrap();
        put(folder.path(), "part/manifest.toml", ONE);
        link("part/sub").unwrap();
        for name in ["own", "linked"] {
            let error = write(folder.path(), name, &source(&[(MANIFEST, ONE), ("a.py", "")]));
            assert!(matches!(error, Err(PluginCodeError::Invalid(_))), "{name}");
        }
        let files = source(&[(MANIFEST, ONE), ("sub/a.py", "")]);
        let error = write(folder.path(), "part", &files);
        assert!(matches!(error, Err(PluginCodeError::PathTraversal(_))));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(folder.path().join("own/own.py")).unwrap(), "mine");
    }
}
