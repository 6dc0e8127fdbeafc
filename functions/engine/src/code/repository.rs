//! The repository of `gh:` plugins: a local checkout, or files and a registry over HTTPS.
//!
//! ```text
//!             checkout             address
//!   x/a.py    DIR/x/a.py           ADDRESS/x/a.py, manifest ADDRESS/x/manifest.toml
//!   x/a       DIR/x/a, a folder    a in the registry of ADDRESS/index.json: the files of a folder can't be listed over HTTPS
//! ```

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use neap_bucket::World;
use neap_catalog::MAX_PLUGIN_BYTES;
use neap_http_client::{ResponseBodyError, path_segment, read_response};
use reqwest::{Client, Url};
use semver::{Version, VersionReq};
use serde::Serialize;

use super::{
    PluginCodeError, PluginSource,
    blocking_io::blocking,
    files::beside,
    folder::{self, PluginFolder},
    manifest::{
        PluginDependencies, PluginDependency, PluginDescription, PluginManifest, PluginName,
    },
    path::PluginPath,
    registry::{MAX_ARCHIVE_BYTES, MAX_INDEX_BYTES, RegistryIndex},
};
use crate::packages::PackageRequirement;

/// The public plugin repository, which is the default of InfluxDB 3 Core.
const PUBLIC: &str = "https://raw.githubusercontent.com/influxdata/influxdb3_plugins/main/";

/// The index of the registry of these plugins.
const PUBLIC_INDEX: &str =
    "https://github.com/influxdata/influxdb3_plugins/releases/download/registry/index.json";

/// The name of the index of a registry.
const INDEX: &str = "index.json";

/// The location of `gh:` plugins.
#[derive(Clone, PartialEq, Eq)]
pub enum PluginRepository {
    /// A checkout of the repository. Its plugins may be packages.
    Folder(PathBuf),
    /// The base URL; the path of a file is appended to it. Other plugins are in the registry there.
    Url(String),
}

/// Parsing a repository never fails: a text that is not a URL is a folder.
pub type PluginRepositoryError = Infallible;

impl Default for PluginRepository {
    fn default() -> Self {
        Self::Url(PUBLIC.to_owned())
    }
}

impl FromStr for PluginRepository {
    type Err = PluginRepositoryError;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("file://") {
            Some(path) => Self::Folder(PathBuf::from(path)),
            None if text.starts_with("https://") || text.starts_with("http://") => {
                Self::Url(text.to_owned())
            }
            None => Self::Folder(PathBuf::from(text)),
        })
    }
}

impl fmt::Debug for PluginRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Url(text) => {
                let shown =
                    text.parse().map(|url| shown(&url)).unwrap_or_else(|_| "no address".to_owned());
                f.debug_tuple("Url").field(&shown).finish()
            }
        }
    }
}

/// Formats a URL without its credentials and its query string.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail for URLs that can't have a user name or password.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

/// Fetches plugins from the repository.
#[derive(Debug)]
pub(super) struct RepositoryClient {
    place: PluginRepository,
    time: Duration,
    world: World,
}

impl RepositoryClient {
    pub(super) fn new(place: PluginRepository, time: Duration, world: World) -> Self {
        Self { place, time, world }
    }

    /// Returns a client of another place, or of the same one.
    pub(super) fn at(&self, place: Option<PluginRepository>) -> Self {
        let place = place.unwrap_or_else(|| self.place.clone());
        Self::new(place, self.time, self.world.clone())
    }

    /// Fetches the current code of a plugin.
    /// Fails if there is no such plugin, the repository answers with an error or not in time, or the plugin is too
    /// large.
    pub(super) async fn fetch(&self, path: &PluginPath) -> Result<PluginSource, PluginCodeError> {
        match &self.place {
            PluginRepository::Folder(checkout) => {
                let (checkout, path) = (checkout.clone(), path.clone());
                blocking(move || folder::read(&checkout, &path)).await
            }
            PluginRepository::Url(base) if path.is_python_file() => {
                let url = address(base, path.as_str())?;
                let content = text(self.get(&url, MAX_PLUGIN_BYTES).await?, &url)?;
                PluginSource::single(path.name(), content)
            }
            PluginRepository::Url(_) => self.fetch_whole(path).await?.entry_point(path.as_str()),
        }
    }

    /// Fetches the current manifest of a plugin. A file at the top of the repository has none.
    /// Errors: those of [`fetch`](Self::fetch); the manifest can't be parsed.
    pub(super) async fn manifest(
        &self,
        path: &PluginPath,
    ) -> Result<Option<PluginManifest>, PluginCodeError> {
        match &self.place {
            PluginRepository::Folder(checkout) => {
                PluginFolder::new(checkout.clone()).manifest(path).await
            }
            PluginRepository::Url(base) if path.is_python_file() => {
                if path.split_first().1.is_none() {
                    return Ok(None);
                }
                let url = address(base, &beside(path.as_str()))?;
                match self.get(&url, MAX_PLUGIN_BYTES).await {
                    Ok(bytes) => PluginManifest::parse(&text(bytes, &url)?).map(Some),
                    Err(PluginCodeError::Refused { status, .. }) if status.starts_with('4') => {
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
            PluginRepository::Url(_) => self.fetch_whole(path).await?.manifest_of(None),
        }
    }

    /// Fetches all files of a plugin that is a folder.
    /// Errors: those of [`fetch`](Self::fetch); the plugin has no manifest, or its archive has another hash than the
    /// index names.
    pub(super) async fn fetch_whole(
        &self,
        path: &PluginPath,
    ) -> Result<PluginSource, PluginCodeError> {
        match &self.place {
            PluginRepository::Folder(checkout) => {
                let (checkout, path) = (checkout.clone(), path.clone());
                blocking(move || folder::read_whole(&checkout, &path)).await
            }
            PluginRepository::Url(base) => {
                let name = PluginName::try_from(path.name().to_owned())
                    .map_err(|error| PluginCodeError::Invalid(error.to_string()))?;
                self.fetch_version(&index_of(base)?, &name, &VersionReq::STAR).await
            }
        }
    }

    /// Fetches all files of a plugin that the plugin at `path` needs: in a checkout, from the folder beside it.
    /// Errors: those of [`fetch_whole`](Self::fetch_whole).
    pub(super) async fn fetch_dependency(
        &self,
        path: &PluginPath,
        needed: &PluginDependency,
    ) -> Result<PluginSource, PluginCodeError> {
        match &self.place {
            PluginRepository::Folder(_) => {
                let folder = path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
                let beside = PluginPath::parse(&format!("./{folder}/{}", needed.name))?;
                self.fetch_whole(&beside).await
            }
            PluginRepository::Url(base) => {
                // A copy of the public repository has all of its plugins.
                let index = if needed.index_url == PUBLIC_INDEX {
                    index_of(base)?
                } else {
                    needed.index_url.parse().map_err(|_| no_address())?
                };
                self.fetch_version(&index, &needed.name, &needed.version).await
            }
        }
    }

    /// Lists the plugins of the repository.
    /// Fails if the repository answers with an error or not in time, or has no valid index.
    pub(super) async fn available(&self) -> Result<Vec<AvailablePlugin>, PluginCodeError> {
        match &self.place {
            PluginRepository::Folder(checkout) => {
                let checkout = checkout.clone();
                let listed = blocking(move || folder::list_plugins(&checkout)).await?;
                let plugins = listed.into_iter().map(|(path, manifest)| {
                    AvailablePlugin::new(&path, manifest.plugin, manifest.dependencies)
                });
                Ok(plugins.collect())
            }
            PluginRepository::Url(base) => {
                let index = self.index(&index_of(base)?).await?;
                let plugins = index.newest_of_all().cloned().map(|entry| {
                    let name = entry.plugin.name.to_string();
                    AvailablePlugin::new(&name, entry.plugin, entry.dependencies)
                });
                Ok(plugins.collect())
            }
        }
    }

    async fn index(&self, url: &Url) -> Result<RegistryIndex, PluginCodeError> {
        let bytes = self.get(url, MAX_INDEX_BYTES).await?;
        RegistryIndex::parse(&bytes)
            .map_err(|reason| PluginCodeError::Repository(format!("{}: {reason}", shown(url))))
    }

    async fn fetch_version(
        &self,
        index_url: &Url,
        name: &PluginName,
        version: &VersionReq,
    ) -> Result<PluginSource, PluginCodeError> {
        let index = self.index(index_url).await?;
        let missing =
            || PluginCodeError::NotFound(format!("{name} {version} in {}", shown(index_url)));
        let entry = index.newest(name, version).ok_or_else(missing)?.clone();
        let url = index.artifact(&entry).ok_or_else(no_address)?;
        let archive = self.get(&url, MAX_ARCHIVE_BYTES).await?;
        blocking(move || entry.unpack(&archive)).await
    }

    /// Fetches a file. Only a repository with a plain address refers to plain addresses.
    async fn get(&self, url: &Url, max_bytes: u64) -> Result<Vec<u8>, PluginCodeError> {
        let is_plain =
            matches!(&self.place, PluginRepository::Url(base) if base.starts_with("http://"));
        let fetched = self.world.timeout(self.time, fetch(url, max_bytes, !is_plain)).await;
        let late = || {
            let (url, time) = (shown(url), self.time);
            PluginCodeError::Repository(format!("{url}: no answer within {time:?}"))
        };
        fetched.ok_or_else(late)?
    }
}

/// A plugin of the repository.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AvailablePlugin {
    /// The name with which it is installed.
    plugin: String,
    version: Version,
    triggers: Vec<String>,
    /// The Python packages that it needs.
    python: Vec<PackageRequirement>,
    /// The plugins that it needs.
    plugins: Vec<PluginName>,
    description: String,
}

impl AvailablePlugin {
    fn new(path: &str, plugin: PluginDescription, dependencies: PluginDependencies) -> Self {
        let plugins = dependencies.plugins.into_iter().map(|needed| needed.name);
        Self {
            plugin: format!("gh:{path}"),
            version: plugin.version,
            triggers: plugin.triggers,
            python: dependencies.python,
            plugins: plugins.collect(),
            description: plugin.description,
        }
    }
}

async fn fetch(url: &Url, max_bytes: u64, https_only: bool) -> Result<Vec<u8>, PluginCodeError> {
    let failed = |error: reqwest::Error| {
        // The text of the error holds the URL with its secrets, so the URL is removed.
        PluginCodeError::Repository(format!("{}: {}", shown(url), error.without_url()))
    };
    let client = Client::builder().https_only(https_only).build().map_err(failed)?;
    let mut response = client.get(url.clone()).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(PluginCodeError::Refused {
            status: response.status().to_string(),
            url: shown(url),
        });
    }
    let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    match read_response(&mut response, limit).await {
        Ok(body) => Ok(body.into()),
        Err(ResponseBodyError::Interrupted(error)) => Err(failed(error)),
        Err(ResponseBodyError::TooLong(_)) => Err(PluginCodeError::Repository(format!(
            "{}: more than {max_bytes} bytes",
            shown(url)
        ))),
    }
}

fn text(bytes: Vec<u8>, url: &Url) -> Result<String, PluginCodeError> {
    let no_text = |_| PluginCodeError::Repository(format!("{}: not valid UTF-8", shown(url)));
    String::from_utf8(bytes).map_err(no_text)
}

fn address(base: &str, path: &str) -> Result<Url, PluginCodeError> {
    let mut url: Url = base.parse().map_err(|_| no_address())?;
    if url.cannot_be_a_base() {
        return Err(no_address());
    }
    let mut whole = url.path().trim_end_matches('/').to_owned();
    for part in path.split('/') {
        whole.push('/');
        whole.push_str(&path_segment(part).map_err(|_| no_address())?);
    }
    url.set_path(&whole);
    Ok(url)
}

/// Returns the address of the index of a repository.
fn index_of(base: &str) -> Result<Url, PluginCodeError> {
    if base.trim_end_matches('/') == PUBLIC.trim_end_matches('/') {
        PUBLIC_INDEX.parse().map_err(|_| no_address())
    } else {
        address(base, INDEX)
    }
}

fn no_address() -> PluginCodeError {
    PluginCodeError::Repository("the repository has no valid address".to_owned())
}

#[cfg(test)]
mod tests;
