//! Tests of `neap debug catalog`.

use serde_json::Value;

use super::{FAILED, filled, run_on};
use crate::commands::runtime;

#[test]
fn catalogs_are_listed_and_printed_without_secrets() {
    let (folder, cluster) = filled();
    let token = runtime()
        .unwrap()
        .block_on(cluster.catalog.create_admin_token())
        .unwrap()
        .secret
        .reveal()
        .to_owned();
    let (status, out, err) = run_on(folder.path(), &["debug", "catalog", "sequence"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let sequence: u64 = out.trim().parse().unwrap();
    assert!(sequence > 1);
    let (_, out, _) = run_on(folder.path(), &["debug", "catalog", "list"]);
    let keys: Vec<_> = out.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(keys.first(), Some(&"catalog"));
    assert!(keys.iter().any(|key| key.starts_with("db/")), "{out}");
    let (_, out, _) = run_on(folder.path(), &["debug", "catalog", "snapshot"]);
    assert!(!out.contains(&token) && !out.contains("hash"), "{out}");
    let snapshot: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(snapshot["sequence"], sequence);
    let databases = snapshot["databases"].as_array().unwrap();
    let database = databases.iter().find(|database| database["name"] == "db");
    let table = &database.unwrap()["tables"][0];
    assert_eq!(table["name"], "cpu");
    let columns: Vec<_> = table["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| format!("{} {}", column["name"], column["type"]))
        .collect();
    insta::assert_snapshot!(columns.join(", "), @r#""time" "time", "host" "tag", "usage" "float""#);
}

#[test]
fn an_unused_store_has_no_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, _) = run_on(folder.path(), &["debug", "catalog", "list"]);
    assert_eq!((status, out.as_str()), (FAILED, ""));
}
