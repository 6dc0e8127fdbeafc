//! Registers that are lost from the bucket: no process takes them for new ones, and all is well with them back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::harness::{NeapProcess, Reply, StoreFixture, assert_contains, neap, neap_binary};

/// Removes an object from a directory, and returns its bytes.
fn lose(place: &StoreFixture, key: &str) -> Vec<u8> {
    let path = place.folder().join(key);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

fn put_back(place: &StoreFixture, key: &str, bytes: &[u8]) {
    fs::write(place.folder().join(key), bytes).unwrap();
}

/// Returns the paths of all files in a folder and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Checks that fsck reports that a register is gone, with and without repairs.
fn assert_reported(place: &StoreFixture, key: &str) {
    for arguments in [&["fsck"][..], &["fsck", "--repair"], &["fsck", "--full"]] {
        let report = neap(&place.after(arguments));
        assert_eq!(report.status, Some(1), "{}", report.err);
        let mut lines = report.out.lines();
        let found = lines.find(|line| line.contains(key) && line.contains("it is missing"));
        assert!(found.is_some(), "{}", report.out);
    }
}

/// Checks that a write and a query are answered with an error that names the register.
fn assert_refused(server: &NeapProcess, key: &str) {
    let written = server.try_write("garden", "soil v=9 9\nother v=9 9", None).unwrap();
    let body = json!({ "db": "garden", "q": "SELECT v FROM soil" }).to_string();
    let query = server.request("POST", "/api/v3/query_sql").body(body);
    for reply in [written, Reply::receive(query).unwrap()] {
        assert_eq!(reply.status, 500, "{}", reply.text());
        let expected = format!("'{key}' is missing");
        assert_contains!(reply.text(), &expected);
        assert_contains!(reply.text(), "neap fsck");
    }
}

fn count(server: &NeapProcess) -> u64 {
    let rows = server.query("garden", "SELECT count(*) AS n FROM soil");
    rows[0]["n"].as_u64().unwrap()
}

#[test]
fn a_server_does_not_start_without_the_root_catalog_of_a_used_bucket() {
    let place = StoreFixture::directory();
    let server = NeapProcess::serve(&place);
    server.write("garden", "soil v=1 1");
    server.kill();
    let root = lose(&place, "catalog");
    let started = NeapProcess::try_spawn(&neap_binary(), |command, address| {
        command.args(["serve", "--http-bind", "127.0.0.1:0"]);
        command.arg("--tcp-listener-file-path").arg(address);
        command.args(&place.flags);
    });
    let reason = started.unwrap_err();
    assert_contains!(reason, "'catalog' is missing");
    assert_contains!(reason, "neap fsck");
    let shown = neap(&place.after(&["show", "versions", "-d", "garden"]));
    assert_contains!(shown.err, "'catalog' is missing");
    assert_reported(&place, "catalog");
    assert!(!place.folder().join("catalog").exists());

    put_back(&place, "catalog", &root);
    neap(&place.after(&["fsck"])).succeeded();
    assert_eq!(count(&NeapProcess::serve(&place)), 1);
}

#[test]
fn a_lost_catalog_of_a_database_refuses_writes_and_queries() {
    let place = StoreFixture::directory();
    let server = NeapProcess::serve(&place);
    server.write("garden", "soil v=1 1");
    server.kill();
    let key = "db/1/catalog";
    let catalog = lose(&place, key);
    let segments = files(&place.folder().join("tail/1"));
    let server = NeapProcess::serve(&place);
    assert_refused(&server, key);
    server.write("meadow", "soil v=1 1");
    server.kill();
    assert_reported(&place, key);
    assert_eq!(files(&place.folder().join("tail/1")), segments);
    assert!(!place.folder().join(key).exists());

    put_back(&place, key, &catalog);
    let healed = NeapProcess::serve(&place);
    assert_eq!(count(&healed), 1);
    healed.write("garden", "soil v=2 2");
    assert_eq!(count(&healed), 2);
}

#[test]
fn a_lost_manifest_refuses_writes_and_queries_and_its_data_is_kept() {
    let place = StoreFixture::directory();
    let server = NeapProcess::serve(&place);
    server.write("garden", "soil v=1 1");
    neap(&place.after(&["compact"])).succeeded();
    server.write("garden", "soil v=2 2");
    server.kill();
    let key = "db/1/manifest";
    let manifest = lose(&place, key);
    let data = files(&place.folder().join("data/1"));
    let server = NeapProcess::serve(&place);
    assert_refused(&server, key);
    server.kill();
    assert_reported(&place, key);
    neap(&place.after(&["compact", "--time-travel", "0s", "--query-timeout", "0s"]));
    assert_eq!(files(&place.folder().join("data/1")), data);
    assert!(!place.folder().join(key).exists());

    put_back(&place, key, &manifest);
    neap(&place.after(&["fsck"])).succeeded();
    assert_eq!(count(&NeapProcess::serve(&place)), 2);
}
