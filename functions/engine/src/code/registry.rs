//! A registry of plugins: an index, and an archive for each version of a plugin (index schema 2, up to 2.1).
//!
//! ```text
//!   index.json                          artifacts_url, and the name, version, dependencies and hash of each version
//!   {artifacts_url}/NAME-VERSION.tar.gz a folder NAME-VERSION with the files of the plugin
//! ```
//!
//! The hash ties an archive to the index, so the archive may come from another place.

use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;
use neap_catalog::MAX_PLUGIN_BYTES;
use reqwest::Url;
use semver::VersionReq;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tar::Archive;

use super::{
    PluginCodeError, PluginSource, PluginSourceFile,
    manifest::{PluginDependencies, PluginDescription, PluginManifest, PluginName},
};

/// Maximum bytes of an index.
pub(super) const MAX_INDEX_BYTES: u64 = 8 << 20;

/// Maximum bytes of an archive, compressed or not: the files of a plugin with their headers.
pub(super) const MAX_ARCHIVE_BYTES: u64 = 2 * MAX_PLUGIN_BYTES;

#[derive(Debug, Deserialize)]
pub(super) struct RegistryIndex {
    index_schema_version: String,
    artifacts_url: String,
    plugins: Vec<RegistryEntry>,
}

/// One version of a plugin.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RegistryEntry {
    #[serde(flatten)]
    pub(super) plugin: PluginDescription,
    #[serde(default)]
    pub(super) dependencies: PluginDependencies,
    hash: String,
    /// Whether the version is withdrawn.
    #[serde(default)]
    yanked: bool,
}

impl RegistryIndex {
    /// Parses an index.
    /// Errors: the reason why the text is no index.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let schema = &index.index_schema_version;
        if schema.split('.').next() == Some("2") {
            Ok(index)
        } else {
            Err(format!("index_schema_version is {schema:?}, but this release of Neap reads 2"))
        }
    }

    /// Returns the newest version of a plugin that meets the requirement.
    pub(super) fn newest(&self, name: &PluginName, version: &VersionReq) -> Option<&RegistryEntry> {
        let versions = self.plugins.iter().filter(|entry| {
            let plugin = &entry.plugin;
            !entry.yanked && plugin.name.is_same_as(name) && version.matches(&plugin.version)
        });
        versions.max_by_key(|entry| &entry.plugin.version)
    }

    /// Returns the newest version of each plugin, in order of their names.
    pub(super) fn newest_of_all(&self) -> impl Iterator<Item = &RegistryEntry> {
        let mut newest: BTreeMap<String, &RegistryEntry> = BTreeMap::new();
        let is_offered = |entry: &&RegistryEntry| {
            !entry.yanked && VersionReq::STAR.matches(&entry.plugin.version)
        };
        for entry in self.plugins.iter().filter(is_offered) {
            let known = newest.entry(entry.plugin.name.folded()).or_insert(entry);
            if known.plugin.version < entry.plugin.version {
                *known = entry;
            }
        }
        newest.into_values()
    }

    /// Returns the address of an archive; `None` if the index names no valid address.
    pub(super) fn artifact(&self, entry: &RegistryEntry) -> Option<Url> {
        let mut url: Url = self.artifacts_url.parse().ok()?;
        let (name, version) = (&entry.plugin.name, &entry.plugin.version);
        let file = format!("{name}-{version}.tar.gz");
        url.path_segments_mut().ok()?.pop_if_empty().push(&file);
        Some(url)
    }
}

impl RegistryEntry {
    /// Verifies the hash of an archive, and returns its files.
    /// Fails with `Invalid`: the archive has another hash, or is not that of this version of the plugin.
    pub(super) fn unpack(&self, archive: &[u8]) -> Result<PluginSource, PluginCodeError> {
        let (name, version) = (&self.plugin.name, &self.plugin.version);
        let hash = format!("sha256:{}", hex::encode(Sha256::digest(archive)));
        if hash != self.hash {
            return Err(PluginCodeError::Invalid(format!(
                "the archive of {name} {version} has the hash {hash}, but the index names {}",
                self.hash
            )));
        }
        let files = unpack(archive).map_err(PluginCodeError::Invalid)?;
        PluginSource::folder(files)
    }
}

/// Returns the files of an archive, without the folder that contains them.
fn unpack(bytes: &[u8]) -> Result<Vec<PluginSourceFile>, String> {
    let damaged = |error: std::io::Error| format!("the archive can't be read: {error}");
    let mut files = Vec::new();
    let mut archive = Archive::new(GzDecoder::new(bytes).take(MAX_ARCHIVE_BYTES));
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !kind.is_file() {
            return Err(format!("{name:?} in the archive is neither a file nor a folder"));
        }
        let Some((_, path)) = name.split_once('/') else {
            return Err(format!("{name:?} in the archive is in no folder"));
        };
        let (mut content, size) = (String::new(), entry.size());
        entry
            .read_to_string(&mut content)
            .map_err(|error| format!("{name:?} in the archive can't be read: {error}"))?;
        if content.len() as u64 != size {
            return Err(format!(
                "the archive ends in {name:?}, or has more than {MAX_ARCHIVE_BYTES} bytes"
            ));
        }
        files.push(PluginSourceFile { path: path.to_owned(), content });
    }
    Ok(files)
}

/// Decodes bytes as each of the files that a registry provides. The entry point of a fuzz target.
pub fn decode_registry_files(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(manifest) = PluginManifest::parse(text)
    {
        manifest.excludes("tests/deep/test_plugin.py");
    }
    if let Ok(index) = RegistryIndex::parse(bytes) {
        for entry in index.newest_of_all() {
            index.artifact(entry);
        }
    }
    if let Ok(files) = unpack(bytes) {
        // Paths that leave the folder are refused.
        let _folder = PluginSource::folder(files);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use semver::Version;
    use tar::{EntryType, Header};

    use super::*;

    fn name(text: &str) -> PluginName {
        text.to_owned().try_into().unwrap()
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = Header::new_ustar();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    }

    fn index(versions: &[(&str, &str, bool)], hash: &str) -> RegistryIndex {
        let plugins = versions.iter().map(|(name, version, yanked)| {
            serde_json::json!({
                "name": name, "version": version, "description": "d", "triggers": ["process_writes"], "hash": hash,
                "published_at": "2026-04-29T18:45:12Z", "yanked": yanked,
                "dependencies": { "database_version": ">=3.0.0", "python": ["requests"] },
            })
        });
        let index = serde_json::json!({
            "index_schema_version": "2.1", "artifacts_url": "https://r.example/files/", "plugins": plugins.collect::<Vec<_>>(),
        });
        RegistryIndex::parse(index.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_newest_version_that_is_not_withdrawn_is_chosen() {
        let versions = [
            ("a", "1.2.0", false),
            ("a", "1.10.0", false),
            ("a", "2.0.0-rc.1", false),
            ("A", "3.0.0", true),
            ("b-c", "0.1.0+build.7", false),
        ];
        let index = index(&versions, "");
        let newest = |plugin: &str, version: &str| {
            let entry = index.newest(&name(plugin), &version.parse().unwrap())?;
            Some(entry.plugin.version.to_string())
        };
        assert_eq!(newest("a", "*").as_deref(), Some("1.10.0"));
        assert_eq!(newest("A", "<1.5.0").as_deref(), Some("1.2.0"));
        assert_eq!(newest("b_C", "*").as_deref(), Some("0.1.0+build.7"));
        assert_eq!(newest("a", ">=2.0.0"), None);
        assert_eq!(newest("c", "*"), None);
        let all: Vec<_> = index.newest_of_all().map(|entry| &entry.plugin.version).collect();
        assert_eq!(all, [&Version::new(1, 10, 0), &"0.1.0+build.7".parse().unwrap()]);
        let of_b = index.newest(&name("b-c"), &VersionReq::STAR).unwrap();
        assert_eq!(
            index.artifact(of_b).unwrap().as_str(),
            "https://r.example/files/b-c-0.1.0+build.7.tar.gz"
        );
        assert_eq!(of_b.dependencies.python.len(), 1);
    }

    #[test]
    fn other_indexes_are_refused() {
        let pairs = r#"
            <html> ==> expected value
            {"index_schema_version":"3.0","artifacts_url":"","plugins":[]} ==> "3.0"
            {"index_schema_version":"2.0","artifacts_url":"","plugins":[{"name":"../a","version":"1.0.0","hash":""}]} ==> is not the name of a plugin
        "#;
        for (text, part) in neap_test_inputs::text_pairs(pairs) {
            let error = RegistryIndex::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_archive_with_the_hash_of_the_index_is_unpacked() {
        let files = [
            ("a-1.0.0/", EntryType::Directory, ""),
            ("a-1.0.0/manifest.toml", EntryType::Regular, "m"),
            ("a-1.0.0/deep/x.py", EntryType::Regular, "x"),
        ];
        let archive = archive(&files);
        let hash = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
        let registry = index(&[("a", "1.0.0", false)], &hash);
        let entry = &registry.plugins[0];
        let unpacked = entry.unpack(&archive).unwrap();
        let expected = [("deep/x.py", "x"), ("manifest.toml", "m")];
        assert_eq!(unpacked.iter().collect::<Vec<_>>(), expected);
        let error = entry.unpack(&archive[1..]).unwrap_err().to_string();
        assert!(error.contains("has the hash sha256:") && error.contains(&hash), "{error}");
    }

    #[test]
    fn archives_with_links_paths_out_of_their_folder_and_too_many_bytes_are_refused() {
        let large = "x".repeat(usize::try_from(MAX_ARCHIVE_BYTES).unwrap());
        for (path, kind, content) in [
            ("a/link.py", EntryType::Symlink, ""),
            ("a/link.py", EntryType::Link, ""),
            ("a/pipe", EntryType::Fifo, ""),
            ("top.py", EntryType::Regular, ""),
            ("a/../../x.py", EntryType::Regular, ""),
            ("a/..", EntryType::Regular, ""),
            ("a//etc/../../x", EntryType::Regular, ""),
            ("a/large.py", EntryType::Regular, large.as_str()),
        ] {
            let archive =
                archive(&[("a/manifest.toml", EntryType::Regular, ""), (path, kind, content)]);
            let files = unpack(&archive).ok().map(PluginSource::folder);
            assert!(!matches!(files, Some(Ok(_))), "{path}");
        }
        assert!(unpack(b"no archive").is_err());
    }
}
