//! Validated relative paths of plugins and their files.

use std::path::{Path, PathBuf};

use neap_catalog::MAX_PLUGIN_PATH_BYTES;

use super::PluginCodeError;

/// A validated relative path: names separated by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PluginPath(String);

impl PluginPath {
    /// Parses a path from a user. Trailing slashes and `.` components are ignored.
    /// Fails with `PathTraversal` for an absolute path, a path with `..`, or an empty path; `Invalid` for a path that
    /// is too long.
    pub(super) fn parse(text: &str) -> Result<Self, PluginCodeError> {
        let traversal = || PluginCodeError::PathTraversal(text.to_owned());
        if text.len() > MAX_PLUGIN_PATH_BYTES {
            let shown = text.floor_char_boundary(64);
            let (shown, _) = text.split_at(shown);
            return Err(PluginCodeError::Invalid(format!(
                "path '{shown}…' is longer than {MAX_PLUGIN_PATH_BYTES} bytes"
            )));
        }
        if text.starts_with('/') || text.contains(['\\', '\0']) {
            return Err(traversal());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.is_empty() || parts.contains(&"..") {
            return Err(traversal());
        }
        Ok(Self(parts.join("/")))
    }

    /// Returns the path as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last component.
    pub(super) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns whether the path names a Python file.
    pub(super) fn is_python_file(&self) -> bool {
        self.0.ends_with(".py")
    }

    /// Returns the first component, and the rest if there is one.
    pub(super) fn split_first(&self) -> (&str, Option<&str>) {
        match self.0.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (&self.0, None),
        }
    }

    /// Joins the path to a folder.
    pub(super) fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

/// Returns an existing file or folder below another folder, and checks that it stays below after symbolic links are
/// resolved.
/// Fails with `PathTraversal` if a link leaves the folder, `NotFound`, `Io`.
pub(super) fn existing_below(folder: &Path, path: &PluginPath) -> Result<PathBuf, PluginCodeError> {
    let target = path.below(folder);
    let failed = |error: std::io::Error| PluginCodeError::Io(error.to_string());
    let root = folder.canonicalize().map_err(failed)?;
    match target.canonicalize() {
        Ok(real) if real.starts_with(&root) => Ok(target),
        Ok(_) => Err(PluginCodeError::PathTraversal(path.as_str().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(PluginCodeError::NotFound(target.display().to_string()))
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        for (text, path) in [
            ("a.py", "a.py"),
            ("pack/", "pack"),
            ("./influxdata//downsampler/x.py", "influxdata/downsampler/x.py"),
            ("..a/b..", "..a/b.."),
        ] {
            assert_eq!(PluginPath::parse(text).unwrap().as_str(), path);
        }
        for text in
            ["", ".", "/", "/etc/passwd", "../x", "a/../../x", "a/..", "..", "C:\\x", "a\0b"]
        {
            let error = PluginPath::parse(text).unwrap_err();
            assert!(matches!(error, PluginCodeError::PathTraversal(_)), "{text}");
        }
        let long = "é".repeat(200);
        assert!(matches!(PluginPath::parse(&long), Err(PluginCodeError::Invalid(_))));
    }

    #[test]
    fn links_that_leave_the_folder_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out.py")).unwrap();
        std::fs::write(folder.path().join("in.py"), "").unwrap();
        std::os::unix::fs::symlink("in.py", folder.path().join("link.py")).unwrap();
        let below = |name: &str| existing_below(folder.path(), &PluginPath::parse(name).unwrap());
        assert!(matches!(below("out.py"), Err(PluginCodeError::PathTraversal(_))));
        assert!(matches!(below("none.py"), Err(PluginCodeError::NotFound(_))));
        assert_eq!(below("link.py").unwrap(), folder.path().join("link.py"));
    }
}
