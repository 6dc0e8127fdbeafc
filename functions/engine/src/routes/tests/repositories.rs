//! Tests of manifests, and of plugins of a repository.

use std::fs;

use http::Method;

use super::{RoutesFixture, answer};

#[tokio::test]
async fn a_trigger_and_a_test_need_the_packages_of_the_manifest() {
    let stage = RoutesFixture::new(&[]).await;
    fs::create_dir(stage.folder.path().join("p")).unwrap();
    let manifest = |rest: &str| {
        let text = format!(
            "manifest_schema_version = \"1.3\"\n[plugin]\nname = \"p\"\nversion = \"1.0.0\"\n[dependencies]\n{rest}\n"
        );
        stage.plugin("p/manifest.toml", &text);
    };
    stage.plugin("p/p.py", "");
    let all = async |plugin: &str| {
        let test =
            serde_json::json!({"filename": plugin, "database": "home", "input_lp": "x v=1i 1"});
        [
            stage.create(|body| body["plugin_filename"] = plugin.into()).await,
            stage.json(Method::POST, "/api/v3/plugin_test/wal", test.clone()).await,
            stage.json(Method::POST, "/api/v3/plugin_test/schedule", test).await,
        ]
    };
    manifest("python = [\"no-such-package-of-neap>=1\"]");
    for plugin in ["p", "p/p.py"] {
        let text = format!(
            "'{plugin}' needs Python packages that are not installed: no-such-package-of-neap>=1. \
             Install them with: neap install package 'no-such-package-of-neap>=1'"
        );
        for refused in all(plugin).await {
            assert_eq!(refused, answer(400, &text));
        }
    }
    manifest("python = [");
    for (status, text) in all("p").await {
        assert_eq!(status, 400);
        assert!(text.starts_with("invalid plugin: manifest.toml, line "), "{text}");
    }
    let needed = "[[dependencies.plugins]]\nindex_url = \"https://r.example/index.json\"\nname = \"q\"\nversion = \"*\"";
    manifest(needed);
    for (status, text) in all("p").await {
        assert_eq!(status, 200, "{text}");
    }
}

#[tokio::test]
async fn plugins_of_a_repository_are_listed_and_installed() {
    let stage = RoutesFixture::new(&[]).await;
    let checkout = tempfile::tempdir().unwrap();
    fs::create_dir(checkout.path().join("p")).unwrap();
    let manifest = "manifest_schema_version = \"1.3\"\n[plugin]\nname = \"p\"\nversion = \"1.0.0\"\n\
                    [dependencies]\npython = [\"requests\"]\n";
    fs::write(checkout.path().join("p/manifest.toml"), manifest).unwrap();
    fs::write(checkout.path().join("p/p.py"), "").unwrap();
    let place = checkout.path().display();
    let path = format!("/api/v3/plugins/available?repository={place}");
    let (status, _, text) = stage.send(Method::GET, &path, &[], "").await;
    assert_eq!(status, 200);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let listed = serde_json::json!([{
        "plugin": "gh:p", "version": "1.0.0", "triggers": [], "python": ["requests"], "plugins": [], "description": "",
    }]);
    assert_eq!(json(&text), listed);
    let body = serde_json::json!({"plugin": "gh:p", "repository": place.to_string()});
    let (status, text) = stage.json(Method::POST, "/api/v3/plugins/install", body).await;
    assert_eq!(status, 200, "{text}");
    let installed = serde_json::json!([{
        "name": "p", "version": "1.0.0", "place": "plugin folder", "triggers": [], "python": ["requests"],
    }]);
    assert_eq!(json(&text), installed);
    assert!(stage.folder.path().join("p/p.py").exists());
}
