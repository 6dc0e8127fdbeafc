//! The manifest of a plugin, and what it shares with the index of a registry (manifest schema 1, up to 1.3).
//!
//! ```toml
//! manifest_schema_version = "1.3"
//!
//! [plugin]
//! name = "state_change"
//! version = "1.3.0"
//! description = "Finds changes of state."
//! triggers = ["process_writes"]
//! exclude = ["*.py", "!state_change.py"]
//!
//! [dependencies]
//! python = ["requests>=2"]
//!
//! [[dependencies.plugins]]
//! index_url = "https://plugins.example/index.json"
//! name = "notifier"
//! version = ">=1.0.0,<2.0.0"
//! ```
//!
//! Unknown fields are ignored. `database_version` is, too: it counts the releases of InfluxDB.

use glob::{MatchOptions, Pattern};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::PluginCodeError;
use crate::packages::{MAX_PACKAGES, PackageRequirement};

/// The name of the file.
pub(super) const MANIFEST: &str = "manifest.toml";

/// Maximum length of the name of a plugin in bytes.
const MAX_NAME_BYTES: usize = 64;

/// How patterns match, as in `.gitignore`.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The name of a plugin in its manifest: a letter, and then letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, derive_more::Display)]
#[serde(try_from = "String")]
pub(crate) struct PluginName(String);

/// A text that is not the name of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a plugin")]
pub(crate) struct PluginNameError(String);

impl PluginName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form that all names of one plugin have in common: case, `-` and `_` make no difference.
    pub(super) fn folded(&self) -> String {
        self.0.to_ascii_lowercase().replace('-', "_")
    }

    /// Returns whether two names are those of one plugin.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl TryFrom<String> for PluginName {
    type Error = PluginNameError;

    fn try_from(text: String) -> Result<Self, PluginNameError> {
        let is_of_name =
            |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        if text.len() <= MAX_NAME_BYTES
            && text.starts_with(|character: char| character.is_ascii_alphabetic())
            && text.chars().all(is_of_name)
        {
            Ok(Self(text))
        } else {
            Err(PluginNameError(text.chars().take(MAX_NAME_BYTES).collect()))
        }
    }
}

/// The description of one version of a plugin.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PluginDescription {
    pub(crate) name: PluginName,
    pub(crate) version: Version,
    #[serde(default)]
    pub(crate) description: String,
    /// The functions of the plugin.
    #[serde(default)]
    pub(crate) triggers: Vec<String>,
    /// Patterns of files in the folder that do not belong to the plugin. Only in manifests.
    #[serde(default)]
    exclude: Vec<String>,
}

/// Another plugin that a plugin needs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PluginDependency {
    /// The address of the index of its registry.
    pub(crate) index_url: String,
    pub(crate) name: PluginName,
    pub(crate) version: VersionReq,
}

/// The Python packages and the plugins that a plugin needs.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PluginDependencies {
    #[serde(default)]
    pub(crate) python: Vec<PackageRequirement>,
    #[serde(default)]
    pub(crate) plugins: Vec<PluginDependency>,
}

#[derive(Clone, Debug)]
pub(crate) struct PluginManifest {
    pub(crate) plugin: PluginDescription,
    pub(crate) dependencies: PluginDependencies,
    exclude: Vec<ExcludePattern>,
}

/// The file as it is written.
#[derive(Deserialize)]
struct ManifestFile {
    manifest_schema_version: String,
    plugin: PluginDescription,
    #[serde(default)]
    dependencies: PluginDependencies,
}

impl PluginManifest {
    /// Parses a manifest.
    /// Fails with `Invalid` with the number of the line, if a line is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, PluginCodeError> {
        let invalid = |reason: String| PluginCodeError::Invalid(format!("{MANIFEST}{reason}"));
        let file: ManifestFile = toml::from_str(text).map_err(|error| {
            let reason = error.message();
            match error.span().and_then(|span| text.get(..span.start)) {
                Some(before) => {
                    let line = before.matches('\n').count() + 1;
                    invalid(format!(", line {line}: {reason}"))
                }
                None => invalid(format!(": {reason}")),
            }
        })?;
        let schema = &file.manifest_schema_version;
        if schema.split('.').next() != Some("1") {
            return Err(invalid(format!(
                ": manifest_schema_version is {schema:?}, but this release of Neap reads 1"
            )));
        }
        if file.dependencies.python.len() > MAX_PACKAGES {
            return Err(invalid(format!(": more than {MAX_PACKAGES} packages")));
        }
        let patterns = file.plugin.exclude.iter();
        Ok(Self {
            exclude: patterns.filter_map(|text| ExcludePattern::parse(text)).collect(),
            plugin: file.plugin,
            dependencies: file.dependencies,
        })
    }

    /// Returns whether a file of the folder does not belong to the plugin. The last pattern that matches decides.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let last = self.exclude.iter().rfind(|pattern| pattern.matches(path));
        last.is_some_and(|pattern| !pattern.is_exception)
    }
}

/// A pattern in the syntax of `.gitignore`.
#[derive(Clone, Debug)]
struct ExcludePattern {
    /// Files that match belong to the plugin (`!`).
    is_exception: bool,
    /// Only folders match, with all files in them.
    is_for_folders: bool,
    pattern: Pattern,
}

impl ExcludePattern {
    /// Parses a pattern. An invalid one matches nothing.
    fn parse(text: &str) -> Option<Self> {
        let (is_exception, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let path = rest.trim_end_matches('/');
        let pattern = if path.contains('/') {
            Pattern::new(path.trim_start_matches('/'))
        } else {
            // A name matches in each folder.
            Pattern::new(&format!("**/{path}"))
        };
        Some(Self {
            is_exception,
            is_for_folders: rest.ends_with('/'),
            pattern: pattern.ok()?,
        })
    }

    fn matches(&self, path: &str) -> bool {
        let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        let mut candidates = folders.chain((!self.is_for_folders).then_some(path));
        candidates.any(|candidate| self.pattern.matches_with(candidate, OPTIONS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "manifest_schema_version = \"1.3\"\n\n[plugin]\nname = \"p\"\nversion = \"1.0.0\"\n";

    fn refusal(text: &str) -> String {
        PluginManifest::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_has_packages_and_plugins() {
        let text = format!(
            "{HEAD}description = \"d\"\ntriggers = [\"process_writes\"]\nhomepage = \"https://p.example\"\n\n\
             [dependencies]\ndatabase_version = \">=3.8.2\"\npython = [\"requests>=2\", \"pandas\"]\n\n\
             [[dependencies.plugins]]\nindex_url = \"https://r.example/index.json\"\nname = \"geo-lookup\"\nversion = \">=1.0.0,<2.0.0\"\n"
        );
        let manifest = PluginManifest::parse(&text).unwrap();
        assert_eq!(manifest.plugin.name.as_str(), "p");
        assert_eq!(manifest.plugin.version, Version::new(1, 0, 0));
        assert_eq!(manifest.plugin.triggers, ["process_writes"]);
        let needed: Vec<_> =
            manifest.dependencies.python.iter().map(PackageRequirement::as_str).collect();
        assert_eq!(needed, ["requests>=2", "pandas"]);
        let [plugin] = manifest.dependencies.plugins.as_slice() else {
            panic!("{manifest:?}");
        };
        assert_eq!(plugin.index_url, "https://r.example/index.json");
        let same = PluginName::try_from("GEO_lookup".to_owned()).unwrap();
        assert!(plugin.name.is_same_as(&same) && !plugin.name.is_same_as(&manifest.plugin.name));
        assert!(plugin.version.matches(&Version::new(1, 9, 0)));
        assert!(!plugin.version.matches(&Version::new(2, 0, 0)));
        let least = PluginManifest::parse(HEAD).unwrap();
        assert!(least.dependencies.python.is_empty() && least.dependencies.plugins.is_empty());
    }

    #[test]
    fn the_line_of_a_mistake_is_named() {
        for (text, start) in [
            (format!("{HEAD}triggers = [\"a\" \"b\"]\n"), "manifest.toml, line 6: "),
            (
                format!("{HEAD}\n[dependencies]\npython = \"requests\"\n"),
                "manifest.toml, line 8: ",
            ),
            (
                format!(
                    "{HEAD}\n[dependencies]\npython = [\"--index-url=https://evil.example\"]\n"
                ),
                "manifest.toml, line 8: \"--index-url=https://evil.example\" is not the name of a Python package",
            ),
            (
                HEAD.replace("\"p\"", "\"../p\""),
                "manifest.toml, line 4: \"../p\" is not the name of a plugin",
            ),
            (HEAD.replace("1.0.0", "latest"), "manifest.toml, line 5: "),
        ] {
            let error = refusal(&text);
            assert!(error.starts_with(&format!("invalid plugin: {start}")), "{error}");
        }
        for (text, part) in [
            (HEAD.replace("1.3", "2.0"), "manifest_schema_version is \"2.0\""),
            (HEAD.replace("version = \"1.0.0\"\n", ""), "missing field `version`"),
            (String::new(), "missing field `manifest_schema_version`"),
            (
                format!(
                    "{HEAD}\n[dependencies]\npython = [{}]\n",
                    "\"a\",".repeat(MAX_PACKAGES + 1)
                ),
                "more than 100 packages",
            ),
        ] {
            let error = refusal(&text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn patterns_exclude_files_as_in_gitignore() {
        let patterns = r#"".git/", "*.pyc", "tests/**", "*.py", "!kept.py", "/root.txt", "docs/*.md", "[", "a**b""#;
        let text = format!("{HEAD}exclude = [{patterns}]\n");
        let manifest = PluginManifest::parse(&text).unwrap();
        for (path, is_excluded) in [
            (".git/config", true),
            ("sub/.git/deep/config", true),
            (".git", false),
            ("a.pyc", true),
            ("sub/a.pyc", true),
            ("tests/deep/data.json", true),
            ("other/tests/data.json", false),
            ("test_kept.py", true),
            ("kept.py", false),
            ("sub/kept.py", false),
            ("root.txt", true),
            ("sub/root.txt", false),
            ("docs/a.md", true),
            ("docs/deep/a.md", false),
            ("config.toml", false),
        ] {
            assert_eq!(manifest.excludes(path), is_excluded, "{path}");
        }
    }

    #[test]
    fn names_are_no_paths() {
        for good in ["p", "threshold_deadman_checks", "My-plugin2", &"a".repeat(64)] {
            assert!(PluginName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "1p", "_p", "-p", "a.b", "a/b", "..", "a b", "ä", &"a".repeat(65)] {
            assert!(PluginName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
