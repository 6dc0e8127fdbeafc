//! The source files of a plugin as one hashable value.

use std::{collections::BTreeMap, ops::Bound};

use neap_bucket::CodeHash;
use neap_catalog::{MAX_PLUGIN_BYTES, MAX_PLUGIN_FILES, NewPlugin, PluginFileEntry};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    PluginCodeError,
    manifest::{MANIFEST, PluginManifest},
    path::PluginPath,
};

/// The file that makes a folder a package and holds the functions of the plugin.
pub(super) const INIT: &str = "__init__.py";

/// A file of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSourceFile {
    /// The path below the plugin's folder; the file name if the plugin is a single file.
    #[serde(alias = "relative_path")]
    pub path: String,
    /// The text.
    pub content: String,
}

/// The files of a plugin: a single file, or the files of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSource {
    is_package: bool,
    /// Contents by path.
    files: BTreeMap<String, String>,
}

impl PluginSource {
    /// Creates a plugin of one file.
    ///
    /// # Errors
    /// `PathTraversal` if the name is not a valid path, `Invalid` if the file is too large.
    pub fn single(name: &str, content: String) -> Result<Self, PluginCodeError> {
        let path = PluginPath::parse(name)?;
        let files = BTreeMap::from([(path.as_str().to_owned(), content)]);
        Self { is_package: false, files }.validate()
    }

    /// Creates a plugin from the files of a folder, which need not contain `__init__.py` yet.
    ///
    /// # Errors
    /// `PathTraversal` if a path leaves the folder; `Invalid` if there are too many files, or one path is both a file
    /// and a folder.
    pub fn folder(
        files: impl IntoIterator<Item = PluginSourceFile>,
    ) -> Result<Self, PluginCodeError> {
        let mut folder = Self { is_package: true, files: BTreeMap::new() };
        for file in files {
            let path = PluginPath::parse(&file.path)?;
            folder.files.insert(path.as_str().to_owned(), file.content);
        }
        folder.validate()
    }

    /// Adds a file, or replaces the file at its path.
    ///
    /// # Errors
    /// As [`folder`](Self::folder).
    pub fn with(mut self, path: &str, content: String) -> Result<Self, PluginCodeError> {
        let path = PluginPath::parse(path)?;
        self.files.insert(path.as_str().to_owned(), content);
        self.validate()
    }

    fn validate(self) -> Result<Self, PluginCodeError> {
        let invalid = |reason: String| Err(PluginCodeError::Invalid(reason));
        if self.files.len() > MAX_PLUGIN_FILES {
            return invalid(format!("more than {MAX_PLUGIN_FILES} files"));
        }
        if self.bytes() > MAX_PLUGIN_BYTES {
            return invalid(format!("more than {MAX_PLUGIN_BYTES} bytes"));
        }
        let mut paths = self.files.keys().map(String::as_str);
        let is_folder = |path: &str| {
            let folder = format!("{path}/");
            let from = (Bound::Included(folder.as_str()), Bound::Unbounded);
            let mut after = self.files.range::<str, _>(from);
            after.next().is_some_and(|(other, _)| other.starts_with(&folder))
        };
        match paths.find(|path| is_folder(path)) {
            Some(path) => invalid(format!("'{path}' is a file and a folder")),
            None => Ok(self),
        }
    }

    /// Returns whether the plugin is a folder.
    pub fn is_package(&self) -> bool {
        self.is_package
    }

    /// Iterates over paths and contents, in order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.map(|(path, content)| (path.as_str(), content.as_str()))
    }

    /// Returns the name of the only file of a plugin that is not a package.
    pub(super) fn file_name(&self) -> Option<&str> {
        let mut names = self.files.keys().filter(|_| !self.is_package);
        names.next().map(String::as_str)
    }

    /// Returns the total size of the contents in bytes.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(_, content)| content.len() as u64).sum()
    }

    /// Rejects a folder that can't be imported.
    /// Fails with `NoInit`.
    pub(super) fn require_plugin(&self, name: &str) -> Result<(), PluginCodeError> {
        if self.is_package && !self.files.contains_key(INIT) {
            return Err(PluginCodeError::NoInit(name.to_owned()));
        }
        Ok(())
    }

    /// Returns the file or folder at `path` below these files, as a plugin of its own.
    pub(super) fn below(&self, path: &str) -> Option<Self> {
        if let Some(content) = self.files.get(path) {
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            return Some(Self {
                is_package: false,
                files: BTreeMap::from([(name, content.clone())]),
            });
        }
        let folder = format!("{path}/");
        let inside = self.files.iter().filter_map(|(other, content)| {
            let rest = other.strip_prefix(&folder)?;
            Some((rest.to_owned(), content.clone()))
        });
        let files: BTreeMap<_, _> = inside.collect();
        (!files.is_empty()).then_some(Self { is_package: true, files })
    }

    /// Returns the manifest of the plugin at `path` below these files, or of these files themselves.
    /// Fails with `Invalid`: the manifest can't be parsed.
    pub(super) fn manifest_of(
        &self,
        path: Option<&str>,
    ) -> Result<Option<PluginManifest>, PluginCodeError> {
        let manifest = match path {
            Some(path) if self.files.contains_key(path) => beside(path),
            Some(folder) => format!("{folder}/{MANIFEST}"),
            None => MANIFEST.to_owned(),
        };
        let text = self.files.get(&manifest);
        text.map(|text| PluginManifest::parse(text)).transpose()
    }

    /// Returns the code that runs: a file, a package, or the only Python file of another folder with a manifest.
    /// Fails with `NoInit`; `Invalid` if the manifest can't be parsed.
    pub(super) fn entry_point(self, name: &str) -> Result<Self, PluginCodeError> {
        if self.require_plugin(name).is_err()
            && let Some(manifest) = self.manifest_of(None)?
            && let Some(file) = only_python_file(self.files.keys().map(String::as_str), &manifest)
            && let Some(single) = self.below(file)
        {
            return Ok(single);
        }
        self.require_plugin(name)?;
        Ok(self)
    }

    /// Returns the hash that identifies the code: SHA-256 over the package flag, then each path and content with its
    /// length before it.
    pub fn hash(&self) -> CodeHash {
        let mut hasher = Sha256::new();
        hasher.update([u8::from(self.is_package)]);
        for (path, content) in self.iter() {
            for text in [path, content] {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        CodeHash(hasher.finalize().into())
    }

    /// Returns the entry for the root catalog.
    pub(super) fn entry(&self) -> NewPlugin {
        let files = self.iter().map(|(path, content)| PluginFileEntry {
            path: path.to_owned(),
            bytes: content.len() as u64,
        });
        NewPlugin {
            code: self.hash(),
            is_package: self.is_package,
            files: files.collect(),
        }
    }
}

/// Returns the path of the manifest in the folder of a file.
pub(super) fn beside(path: &str) -> String {
    path.rsplit_once('/')
        .map_or_else(|| MANIFEST.to_owned(), |(folder, _)| format!("{folder}/{MANIFEST}"))
}

/// Returns the Python file at the top of a folder, if there is exactly one that the manifest does not exclude.
pub(super) fn only_python_file<'a>(
    paths: impl Iterator<Item = &'a str>,
    manifest: &PluginManifest,
) -> Option<&'a str> {
    let is_top = |path: &&str| path.ends_with(".py") && !path.contains('/');
    let mut files = paths.filter(is_top).filter(|path| !manifest.excludes(path));
    let first = files.next()?;
    files.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> Result<PluginSource, PluginCodeError> {
        PluginSource::folder(files.iter().map(|(path, content)| PluginSourceFile {
            path: (*path).to_owned(),
            content: (*content).to_owned(),
        }))
    }

    #[test]
    fn the_hash_covers_all_paths_and_contents() {
        let one = folder(&[("__init__.py", "a"), ("b.py", "")]).unwrap();
        let same = folder(&[("b.py", ""), ("./__init__.py", "a")]).unwrap();
        assert_eq!(one.hash(), same.hash());
        insta::assert_snapshot!(one.hash(), @"eca6999b2e08abee60121509274eb831043a26822df8276e75652838f014d657");
        let others = [
            folder(&[("__init__.py", ""), ("b.py", "a")]),
            folder(&[("__init__.py", "ab.py")]),
            folder(&[("__init__.py", "a")]),
            PluginSource::single("__init__.py", "a".to_owned()),
        ];
        let hashes = others.map(|files| files.unwrap().hash());
        for (place, hash) in hashes.iter().enumerate() {
            assert_ne!(*hash, one.hash());
            assert!(!hashes[..place].contains(hash), "{place}");
        }
    }

    #[test]
    fn invalid_plugins_are_rejected() {
        assert!(matches!(folder(&[("../x.py", "")]), Err(PluginCodeError::PathTraversal(_))));
        for files in [
            folder(&[("a", ""), ("a/b.py", "")]),
            folder(&[("a", ""), ("a.py", ""), ("a/b.py", "")]),
            folder(&[("a.py", &"x".repeat((2 << 20) + 1))]),
        ] {
            assert!(matches!(files, Err(PluginCodeError::Invalid(_))));
        }
        let names: Vec<_> = (0..=200).map(|number| format!("{number}.py")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert!(folder(&many).is_err());
        assert!(folder(&many[..200]).is_ok());
        let error = folder(&[("a.py", "")]).unwrap().require_plugin("p");
        assert!(matches!(error, Err(PluginCodeError::NoInit(name)) if name == "p"));
    }

    #[test]
    fn a_part_of_a_folder_is_a_plugin_by_itself() {
        let all = folder(&[("a.py", "A"), ("sub/__init__.py", "S"), ("sub/x/y.py", "Y")]).unwrap();
        let single = PluginSource::single("a.py", "A".to_owned()).unwrap();
        assert_eq!(all.below("a.py"), Some(single));
        let sub = folder(&[("__init__.py", "S"), ("x/y.py", "Y")]).unwrap();
        assert_eq!(all.below("sub"), Some(sub));
        assert_eq!(all.below("su"), None);
        let deep = PluginSource::single("y.py", "Y".to_owned()).unwrap();
        assert_eq!(all.below("sub/x/y.py"), Some(deep));
    }

    #[test]
    fn a_folder_with_a_manifest_runs_its_only_python_file() {
        let manifest = "manifest_schema_version = \"1.2\"\n[plugin]\nname = \"p\"\nversion = \"1.0.0\"\nexclude = [\"test_*\"]\n";
        let single = PluginSource::single("a.py", "A".to_owned()).unwrap();
        let with =
            |files: &[(&str, &str)]| folder(&[&[(MANIFEST, manifest)], files].concat()).unwrap();
        let one = with(&[("a.py", "A"), ("test_a.py", ""), ("data/b.py", ""), ("c.toml", "")]);
        assert_eq!(one.clone().entry_point("p").unwrap(), single);
        assert!(one.manifest_of(None).unwrap().is_some());
        assert!(one.manifest_of(Some("a.py")).unwrap().is_some());
        assert!(one.manifest_of(Some("data/b.py")).unwrap().is_none());
        let package = with(&[("__init__.py", ""), ("a.py", "A")]);
        assert_eq!(package.clone().entry_point("p").unwrap(), package);
        for none in [
            with(&[("a.py", "A"), ("b.py", "")]),
            with(&[("data/b.py", "")]),
            folder(&[("a.py", "A")]).unwrap(),
        ] {
            let error = none.entry_point("p");
            assert!(matches!(error, Err(PluginCodeError::NoInit(name)) if name == "p"));
        }
        let broken = folder(&[(MANIFEST, "x"), ("a.py", "")]).unwrap().entry_point("p");
        assert!(matches!(broken, Err(PluginCodeError::Invalid(_))));
        let tree = folder(&[("pack/manifest.toml", manifest), ("pack/a.py", "A")]).unwrap();
        assert!(tree.manifest_of(Some("pack")).unwrap().is_some());
        assert!(tree.manifest_of(Some("pack/a.py")).unwrap().is_some());
        assert!(tree.manifest_of(None).unwrap().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn files_have_one_hash_in_any_order(
            files in proptest::collection::vec(("[ab]{1,3}\\.py", "[xy]{0,3}"), 0..6)
        ) {
            let unique: BTreeMap<_, _> = files.into_iter().collect();
            let files = |order: &mut dyn Iterator<Item = (&String, &String)>| {
                PluginSource::folder(order.map(|(path, content)| PluginSourceFile {
                    path: path.clone(),
                    content: content.clone(),
                })).unwrap()
            };
            let there = files(&mut unique.iter());
            let back = files(&mut unique.iter().rev());
            prop_assert_eq!(there.hash(), back.hash());
        }
    }
}
