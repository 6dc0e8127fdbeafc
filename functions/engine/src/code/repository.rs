//! The repository of `gh:` plugins: a local checkout, or its files over HTTPS.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use neap_bucket::World;
use neap_catalog::MAX_PLUGIN_BYTES;
use reqwest::{Client, Response, Url};

use super::{PluginCodeError, PluginSource, blocking_io::blocking, folder, path::PluginPath};

/// The public plugin repository, which is the default of InfluxDB 3 Core.
const PUBLIC: &str = "https://raw.githubusercontent.com/influxdata/influxdb3_plugins/main/";

/// The location of `gh:` plugins.
#[derive(Clone, PartialEq, Eq)]
pub enum PluginRepository {
    /// A checkout of the repository. Its plugins may be packages.
    Folder(PathBuf),
    /// The base URL; the path of a plugin is appended to it. Each plugin is a single file, because the files of a
    /// package can't be listed over HTTP.
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

    /// Fetches the current files of a plugin.
    ///
    /// # Errors
    /// There is no such plugin, the repository answers with an error or not in time, or the plugin is too large.
    pub(super) async fn fetch(&self, path: &PluginPath) -> Result<PluginSource, PluginCodeError> {
        match &self.place {
            PluginRepository::Folder(checkout) => {
                let (checkout, path) = (checkout.clone(), path.clone());
                blocking(move || folder::read(&checkout, &path)).await
            }
            PluginRepository::Url(base) => {
                let fetched = self.world.timeout(self.time, fetch(base, path)).await;
                let late =
                    || PluginCodeError::Repository(format!("no answer within {:?}", self.time));
                let content = fetched.ok_or_else(late)??;
                let name = path.as_str().rsplit('/').next().unwrap_or_default();
                PluginSource::single(name, content)
            }
        }
    }
}

async fn fetch(base: &str, path: &PluginPath) -> Result<String, PluginCodeError> {
    let url = address(base, path)?;
    let failed = |error: reqwest::Error| {
        // The text of the error holds the URL with its secrets, so the URL is removed.
        PluginCodeError::Repository(format!("{}: {}", shown(&url), error.without_url()))
    };
    let client = Client::builder().build().map_err(failed)?;
    let mut response = client.get(url.clone()).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(PluginCodeError::Refused {
            status: response.status().to_string(),
            url: shown(&url),
        });
    }
    let body = read(&mut response, &url, failed).await?;
    let no_text = |_| PluginCodeError::Repository(format!("{}: not valid UTF-8", shown(&url)));
    String::from_utf8(body).map_err(no_text)
}

async fn read(
    response: &mut Response,
    url: &Url,
    failed: impl Fn(reqwest::Error) -> PluginCodeError,
) -> Result<Vec<u8>, PluginCodeError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(&failed)? {
        if body.len() as u64 + chunk.len() as u64 > MAX_PLUGIN_BYTES {
            let url = shown(url);
            return Err(PluginCodeError::Repository(format!(
                "{url}: more than {MAX_PLUGIN_BYTES} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn address(base: &str, path: &PluginPath) -> Result<Url, PluginCodeError> {
    let no_address =
        || PluginCodeError::Repository("the repository has no valid address".to_owned());
    let mut url: Url = base.parse().map_err(|_| no_address())?;
    let mut segments = url.path_segments_mut().map_err(|()| no_address())?;
    segments.pop_if_empty().extend(path.as_str().split('/'));
    drop(segments);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::{Router, http::StatusCode, routing::get};

    use super::*;

    fn path(text: &str) -> PluginPath {
        PluginPath::parse(text).unwrap()
    }

    fn repository(place: &str) -> RepositoryClient {
        let time = Duration::from_secs(30);
        RepositoryClient::new(place.parse().unwrap(), time, World::system())
    }

    #[test]
    fn an_address_is_made_of_parts_and_shown_without_secrets() {
        for base in [
            "https://u:secret@plugins.example/a",
            "https://u:secret@plugins.example/a/",
        ] {
            let url = address(base, &path("x y/b?.py")).unwrap();
            assert_eq!(shown(&url), "https://plugins.example/a/x%20y/b%3F.py");
            let place: PluginRepository = base.parse().unwrap();
            assert!(!format!("{place:?}").contains("secret"));
        }
        let place: PluginRepository = "file:///srv/plugins".parse().unwrap();
        assert_eq!(place, PluginRepository::Folder("/srv/plugins".into()));
        let place: PluginRepository = "plugins".parse().unwrap();
        assert_eq!(place, PluginRepository::Folder("plugins".into()));
    }

    #[tokio::test]
    async fn a_checkout_has_files_and_packages() {
        let checkout = tempfile::tempdir().unwrap();
        fs::create_dir_all(checkout.path().join("examples/pack/sub")).unwrap();
        for (name, content) in [
            ("one.py", "1"),
            ("pack/__init__.py", "from .sub import x"),
            ("pack/sub/x.py", "2"),
            ("pack/README.md", "text"),
        ] {
            fs::write(checkout.path().join("examples").join(name), content).unwrap();
        }
        let repository = repository(&format!("file://{}", checkout.path().display()));
        let one = repository.fetch(&path("examples/one.py")).await.unwrap();
        assert_eq!(one.iter().collect::<Vec<_>>(), [("one.py", "1")]);
        let pack = repository.fetch(&path("examples/pack")).await.unwrap();
        let names: Vec<_> = pack.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["__init__.py", "sub/x.py"]);
        let none = repository.fetch(&path("examples/two.py")).await;
        assert!(matches!(none, Err(PluginCodeError::NotFound(_))));
    }

    #[tokio::test]
    async fn files_are_fetched_over_http_up_to_a_size() {
        let large = "x".repeat(usize::try_from(MAX_PLUGIN_BYTES).unwrap() + 1);
        let routes = Router::new()
            .route("/main/a/one.py", get(async || "x = 1"))
            .route("/main/large.py", get(async move || large))
            .route("/main/closed.py", get(async || StatusCode::FORBIDDEN));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/main", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let repository = repository(&base);
        let one = repository.fetch(&path("a/one.py")).await.unwrap();
        assert_eq!(one.iter().collect::<Vec<_>>(), [("one.py", "x = 1")]);
        let error = async |name| repository.fetch(&path(name)).await.unwrap_err().to_string();
        assert_eq!(
            error("none.py").await,
            format!("error fetching plugin from repository: 404 Not Found {base}/none.py")
        );
        assert!(error("closed.py").await.contains("403 Forbidden"));
        assert!(error("large.py").await.contains("more than 2097152 bytes"));
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
    }
}
