//! Tests of registering, replacing and deleting plugins.

use std::time::Duration;

use futures::future::join_all;
use neap_bucket::{ProtocolMargins, StoreTime};

use super::*;
use crate::tests::CatalogFixture;

const NOW: Duration = Duration::ZERO;

fn plugin(code: u8, files: &[(&str, u64)]) -> NewPlugin {
    NewPlugin {
        code: CodeHash([code; 32]),
        is_package: files.len() > 1,
        files: files
            .iter()
            .map(|(path, bytes)| PluginFileEntry { path: (*path).to_owned(), bytes: *bytes })
            .collect(),
    }
}

async fn entry(catalog: &Catalog, name: &str) -> Option<PluginEntry> {
    let root = catalog.root(NOW).await.unwrap().value;
    root.plugins().get(name).cloned()
}

#[tokio::test(start_paused = true)]
async fn replacing_a_plugin_requires_its_present_code() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let first = plugin(1, &[("z.py", 2), ("__init__.py", 1)]);
    catalog.put_plugin("p", first.clone(), None).await.unwrap();
    let there = entry(&catalog, "p").await.unwrap();
    assert_eq!((there.files[0].path.as_str(), there.bytes()), ("__init__.py", 3));
    let blind = catalog.put_plugin("p", plugin(2, &[]), None).await;
    assert!(matches!(blind, Err(CatalogError::PluginChanged { .. })));
    stage.taken();
    let same = catalog.put_plugin("p", first, Some(there.code));
    same.await.unwrap();
    assert_eq!(stage.taken().puts, 0);
    let second = plugin(2, &[("p.py", 9)]);
    catalog.put_plugin("p", second, Some(there.code)).await.unwrap();
    assert_eq!(entry(&catalog, "p").await.unwrap().code, CodeHash([2; 32]));

    catalog.delete_plugin("p").await.unwrap();
    assert_eq!(entry(&catalog, "p").await, None);
    let gone = catalog.delete_plugin("p").await;
    assert!(matches!(gone, Err(CatalogError::NotFound { .. })));
    let root = catalog.root(NOW).await.unwrap().value;
    let audit: Vec<_> = root.audit().map(|entry| entry.action.as_str()).collect();
    assert_eq!(audit, ["put plugin", "put plugin", "delete plugin"]);
}

#[tokio::test(start_paused = true)]
async fn one_of_two_concurrent_changes_of_a_plugin_fails() {
    let stage = CatalogFixture::new();
    let instances = [stage.instance(), stage.instance()];
    let puts = instances
        .iter()
        .zip([1, 2])
        .map(|(catalog, code)| catalog.put_plugin("p", plugin(code, &[("p.py", 1)]), None));
    let puts = join_all(puts).await;
    assert_eq!(puts.iter().filter(|put| put.is_ok()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn oversized_plugins_are_refused() {
    let catalog = CatalogFixture::new().instance();
    let long = "x".repeat(MAX_PLUGIN_PATH_BYTES + 1);
    let paths: Vec<_> = (0..=200).map(|number| format!("{number:03}.py")).collect();
    let many: Vec<_> = paths.iter().map(|path| (path.as_str(), 0)).collect();
    for (name, new) in [
        ("", plugin(1, &[])),
        (&long, plugin(1, &[])),
        ("p", plugin(1, &[(&long, 0)])),
        ("p", plugin(1, &many)),
        ("p", plugin(1, &[("a.py", u64::MAX), ("b.py", 1)])),
    ] {
        let error = catalog.put_plugin(name, new, None).await.unwrap_err();
        let is_expected = matches!(
            error,
            CatalogError::InvalidPlugin { .. } | CatalogError::EmptyName { what: "plugin" }
        );
        assert!(is_expected, "{error}");
    }
    let mut root = RootCatalog::new("c".to_owned(), ProtocolMargins::LOCAL);
    let entry = |number: usize| PluginEntry {
        code: CodeHash([0; 32]),
        is_package: true,
        files: plugin(1, &many[..number]).files,
        modified: StoreTime::from_micros(0),
    };
    for number in 0..25 {
        root.plugins.insert(number.to_string(), entry(200));
    }
    let error = check_number(&root, "more", 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Adding these files would exceed limit of 5000 files of all plugins"
    );
    assert!(check_number(&root, "0", 200).is_ok());
    root.plugins = (0..MAX_PLUGINS).map(|number| (number.to_string(), entry(1))).collect();
    let error = check_number(&root, "more", 0).unwrap_err();
    assert_eq!(error.to_string(), "Adding a new plugin would exceed limit of 1000 plugins");
    assert!(check_number(&root, "0", 1).is_ok());
}

#[test]
fn format() {
    let mut root = RootCatalog::new("c0ffee".to_owned(), ProtocolMargins::LOCAL);
    let modified = StoreTime::from_micros(1_757_510_705_000_000);
    for (name, new) in [
        ("one.py", plugin(1, &[("one.py", 5)])),
        ("pack", plugin(2, &[("__init__.py", 5), ("sub/x.py", 0)])),
    ] {
        let entry = PluginEntry {
            code: new.code,
            is_package: new.is_package,
            files: new.files,
            modified,
        };
        root.plugins.insert(name.to_owned(), entry);
    }
    let created = Some(modified);
    let id = root.add("db", created, &crate::CatalogLimits::default()).unwrap();
    assert!(root.set_has_triggers(id).unwrap());
    assert!(!root.set_has_triggers(id).unwrap());
    let expected = serde_json::json!({
        "cluster": "c0ffee", "margins": {"acknowledgement_limit_ms": 2000, "flush_lag_ms": 8000},
        "next_database": 2,
        "databases": {"1": {
            "name": "db", "created": 1_757_510_705_000_000_i64, "has_triggers": true,
        }},
        "plugins": {
            "one.py": {
                "code": "0101010101010101010101010101010101010101010101010101010101010101",
                "is_package": false, "files": [{"path": "one.py", "bytes": 5}],
                "modified": 1_757_510_705_000_000_i64,
            },
            "pack": {
                "code": "0202020202020202020202020202020202020202020202020202020202020202",
                "is_package": true,
                "files": [{"path": "__init__.py", "bytes": 5}, {"path": "sub/x.py", "bytes": 0}],
                "modified": 1_757_510_705_000_000_i64,
            },
        },
    });
    assert_eq!(serde_json::to_value(&root).unwrap(), expected);
    let json = serde_json::to_string(&root).unwrap();
    let read: RootCatalog = serde_json::from_str(&json).unwrap();
    assert_eq!(read.plugins(), root.plugins());
    assert_eq!(read.databases(), root.databases());
}
