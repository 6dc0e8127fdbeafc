//! Installs plugins of a repository, with the plugins that they need.
//!
//! ```text
//!   repository ── the plugin, and in turn those that it needs ──> the plugin folder, or the tree of uploaded plugins
//! ```

use std::time::Duration;

use semver::Version;
use serde::Serialize;

use super::{
    PluginCodeError, PluginCodeStore, PluginRepository, PluginSource, REPOSITORY_PREFIX,
    blocking_io::blocking,
    installed_folder,
    manifest::{MANIFEST, PluginDependency, PluginManifest, PluginName},
    object,
    path::PluginPath,
    repository::{AvailablePlugin, RepositoryClient},
};
use crate::packages::PackageRequirement;

/// Maximum number of plugins that one installation fetches.
const MAX_INSTALLED: usize = 32;

/// A plugin that was installed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InstalledPlugin {
    /// The name that triggers use.
    name: PluginName,
    version: Version,
    place: InstallationPlace,
    triggers: Vec<String>,
    /// The Python packages that it needs.
    python: Vec<PackageRequirement>,
}

/// The place of an installed plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum InstallationPlace {
    /// The plugin folder of this server.
    #[serde(rename = "plugin folder")]
    Folder,
    /// The bucket, as an uploaded plugin.
    #[serde(rename = "bucket")]
    Bucket,
}

/// A plugin that is not installed yet.
type FetchedPlugin = (PluginManifest, PluginSource);

impl PluginCodeStore {
    /// Lists the plugins of a repository; `None` is that of the settings.
    /// Fails with `FolderOnly`, and the errors of the repository.
    pub(crate) async fn available(
        &self,
        place: Option<PluginRepository>,
    ) -> Result<Vec<AvailablePlugin>, PluginCodeError> {
        self.require_other_sources()?;
        self.repository.at(place).available().await
    }

    /// Installs a plugin of a repository, and the plugins that it needs, all of them after all were fetched. Triggers whose
    /// code was pinned keep it.
    /// Fails with `FolderOnly`, `PathTraversal`, the errors of the repository; `Invalid` if the plugins don't fit
    /// together, or a folder of a user has the name of one; the errors of writing files, of putting code and of a
    /// catalog commit.
    pub(crate) async fn install(
        &self,
        plugin: &str,
        place: Option<PluginRepository>,
    ) -> Result<Vec<InstalledPlugin>, PluginCodeError> {
        self.require_other_sources()?;
        let path = PluginPath::parse(plugin.strip_prefix(REPOSITORY_PREFIX).unwrap_or(plugin))?;
        let fetched = fetch_with_dependencies(&self.repository.at(place), &path).await?;
        let mut installed = Vec::new();
        for (manifest, files) in fetched {
            let place = self.store(manifest.plugin.name.as_str(), files).await?;
            installed.push(InstalledPlugin {
                name: manifest.plugin.name,
                version: manifest.plugin.version,
                place,
                triggers: manifest.plugin.triggers,
                python: manifest.dependencies.python,
            });
        }
        Ok(installed)
    }

    /// Stores an installed plugin where its name refers to it: an upload has precedence over the plugin folder.
    async fn store(
        &self,
        name: &str,
        files: PluginSource,
    ) -> Result<InstallationPlace, PluginCodeError> {
        let root = self.catalog.root(Duration::ZERO).await?;
        let replaces = root.value.plugins().get(name).map(|entry| entry.code);
        if let (Some(folder), None) = (&self.folder, replaces) {
            let (root, name) = (folder.path().to_owned(), name.to_owned());
            blocking(move || installed_folder::write(&root, &name, &files)).await?;
            return Ok(InstallationPlace::Folder);
        }
        object::put(self.catalog.bucket(), &files).await?;
        self.catalog.put_plugin(name, files.entry(), replaces).await?;
        Ok(InstallationPlace::Bucket)
    }
}

/// Fetches a plugin and the plugins that it needs. Plugins may need each other.
async fn fetch_with_dependencies(
    repository: &RepositoryClient,
    path: &PluginPath,
) -> Result<Vec<FetchedPlugin>, PluginCodeError> {
    let mut fetched = vec![validate(repository.fetch_whole(path).await?)?];
    let mut next = 0;
    while let Some((manifest, _)) = fetched.get(next) {
        let dependencies = manifest.dependencies.plugins.clone();
        next += 1;
        for needed in dependencies {
            let is_same = |(other, _): &&FetchedPlugin| other.plugin.name.is_same_as(&needed.name);
            if let Some((known, _)) = fetched.iter().find(is_same) {
                check_version(known, &needed)?;
                continue;
            }
            if fetched.len() == MAX_INSTALLED {
                let text = format!("more than {MAX_INSTALLED} plugins are needed");
                return Err(PluginCodeError::Invalid(text));
            }
            let (plugin, files) = validate(repository.fetch_dependency(path, &needed).await?)?;
            check_version(&plugin, &needed)?;
            fetched.push((plugin, files));
        }
    }
    Ok(fetched)
}

/// Checks that files are those of a plugin.
fn validate(files: PluginSource) -> Result<FetchedPlugin, PluginCodeError> {
    let missing = || PluginCodeError::Invalid(format!("the plugin has no {MANIFEST}"));
    let manifest = files.manifest_of(None)?.ok_or_else(missing)?;
    files.clone().entry_point(manifest.plugin.name.as_str())?;
    Ok((manifest, files))
}

/// Checks that a plugin is the needed one.
fn check_version(
    plugin: &PluginManifest,
    needed: &PluginDependency,
) -> Result<(), PluginCodeError> {
    let (available, version) = (&plugin.plugin, &needed.version);
    if available.name.is_same_as(&needed.name) && version.matches(&available.version) {
        return Ok(());
    }
    Err(PluginCodeError::Invalid(format!(
        "plugin {} {version} is needed, not {} {}",
        needed.name, available.name, available.version
    )))
}
