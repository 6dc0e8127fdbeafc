//! Tests of checkouts, files and registries.

use std::fs;

use axum::{Router, http::StatusCode, routing::get};
use sha2::{Digest, Sha256};

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
    for base in ["https://u:secret@plugins.example/a", "https://u:secret@plugins.example/a/"] {
        for (path, expected) in [("x y/b?.py", "x%20y/b%3F.py"), ("x/b\n%31.py", "x/b%0A%2531.py")]
        {
            let url = address(base, path).unwrap();
            assert_eq!(shown(&url), format!("https://plugins.example/a/{expected}"));
        }
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

const MANIFEST: &str =
    "manifest_schema_version = \"1.3\"\n[plugin]\nname = \"pack\"\nversion = \"1.0.0\"\n";

fn archive() -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, content) in [
        ("manifest.toml", MANIFEST),
        ("__init__.py", "from .helper import x"),
        ("helper.py", "x = 1"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("pack-1.0.0/{path}");
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn an_address_has_a_registry_of_plugins_with_several_files() {
    let archive = archive();
    let entry = |name: &str, version: &str, hash: &str| {
        serde_json::json!({
            "name": name, "version": version, "description": "d", "triggers": ["process_request"], "hash": hash,
            "dependencies": { "database_version": "*", "python": [] },
        })
    };
    let hash = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/main", listener.local_addr().unwrap());
    let index = serde_json::json!({
        "index_schema_version": "2.1",
        "artifacts_url": format!("{base}/files"),
        "plugins": [entry("pack", "1.0.0", &hash), entry("pack", "0.9.0", ""), entry("damaged", "1.0.0", "sha256:0")],
    });
    let same = archive.clone();
    let routes = Router::new()
        .route("/main/index.json", get(async move || index.to_string()))
        .route("/main/files/pack-1.0.0.tar.gz", get(async move || archive))
        .route("/main/files/damaged-1.0.0.tar.gz", get(async move || same))
        .route("/main/x/one.py", get(async || "x = 1"))
        .route("/main/x/manifest.toml", get(async || MANIFEST))
        .route("/main/y/one.py", get(async || "x = 1"));
    let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let repository = repository(&base);
    for plugin in ["influxdata/pack", "pack"] {
        let pack = repository.fetch(&path(plugin)).await.unwrap();
        let names: Vec<_> = pack.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["__init__.py", "helper.py", "manifest.toml"]);
    }
    for (plugin, has_manifest) in
        [("pack", true), ("x/one.py", true), ("y/one.py", false), ("one.py", false)]
    {
        let manifest = repository.manifest(&path(plugin)).await.unwrap();
        assert_eq!(manifest.is_some(), has_manifest, "{plugin}");
    }
    // The index of the public registry stands for that of the repository.
    let own_index = format!("{base}/index.json");
    for (index_url, is_found) in
        [(PUBLIC_INDEX, true), (own_index.as_str(), true), ("file:///index.json", false)]
    {
        let needed = PluginDependency {
            index_url: index_url.to_owned(),
            name: PluginName::try_from("pack".to_owned()).unwrap(),
            version: "<2".parse().unwrap(),
        };
        let fetched = repository.fetch_dependency(&path("x"), &needed).await;
        assert_eq!(fetched.is_ok(), is_found, "{index_url}");
    }
    let available = serde_json::to_value(repository.available().await.unwrap()).unwrap();
    let names: Vec<_> =
        available.as_array().unwrap().iter().map(|plugin| &plugin["plugin"]).collect();
    assert_eq!(names, ["gh:damaged", "gh:pack"]);
    let error = async |name: &str| repository.fetch(&path(name)).await.unwrap_err().to_string();
    assert!(error("damaged").await.contains("but the index names sha256:0"));
    assert_eq!(
        error("none").await,
        format!("reading plugin file: Plugin not found: none * in {base}/index.json")
    );
    assert!(error("no.name").await.contains("is not the name of a plugin"));
    let elsewhere = RepositoryClient::at(&repository, Some(format!("{base}/x").parse().unwrap()));
    let missing = elsewhere.available().await.unwrap_err().to_string();
    assert_eq!(
        missing,
        format!("error fetching plugin from repository: 404 Not Found {base}/x/index.json")
    );
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn a_repository_with_tls_refers_to_no_address_without() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain: Url =
        format!("http://{}/index.json", listener.local_addr().unwrap()).parse().unwrap();
    let error = repository("https://plugins.example").get(&plain, 10).await.unwrap_err();
    assert!(matches!(error, PluginCodeError::Repository(_)), "{error}");
    let no_request = futures::FutureExt::now_or_never(listener.accept());
    assert!(no_request.is_none());
}

#[test]
fn the_public_repository_has_an_index_of_its_own() {
    assert_eq!(index_of(PUBLIC).unwrap().as_str(), PUBLIC_INDEX);
    assert_eq!(index_of(PUBLIC.trim_end_matches('/')).unwrap().as_str(), PUBLIC_INDEX);
    let other = index_of("https://plugins.example/main/").unwrap();
    assert_eq!(other.as_str(), "https://plugins.example/main/index.json");
}
