//! New data that move to another bucket: no process misses the segments of the others.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::harness::{NeapProcess, StoreFixture, assert_contains, neap, wait_for};

const COUNT: &str = "SELECT count(*) AS n FROM soil";

/// Time within which a process reads the root catalog again.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns the flags of a store with others added.
fn with_flags(store: &StoreFixture, flags: &[&str]) -> StoreFixture {
    let mut changed = store.clone();
    changed.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
    changed
}

/// Returns the segments in a bucket.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| {
        if path.is_dir() {
            segments(&path)
        } else {
            vec![path]
        }
    });
    found.filter(|path| path.extension().is_some_and(|it| it == "wal")).collect()
}

#[test]
fn new_data_move_to_another_bucket_and_no_process_misses_any() {
    let store = StoreFixture::neap_s3_server();
    let main = store.folder().join("neap");
    let fast = store.folder().join("fast");
    fs::create_dir(&fast).unwrap();
    let roles = ["--mode", "ingest,query", "--wal-flush-interval", "20ms"];

    let before = NeapProcess::serve_with(&store, &roles);
    before.write("garden", "soil v=1 1");
    assert!(!segments(&main.join("tail")).is_empty());

    let only_new = with_flags(&store, &["--tail-bucket", "fast"]);
    let refused = neap(&only_new.after(&["compact"])).failed(1);
    assert_contains!(refused, "--former-tail-bucket");
    assert_contains!(refused, "in the main bucket");

    let moving = with_flags(&store, &["--tail-bucket", "fast", "--former-tail-bucket", "neap"]);
    let after = NeapProcess::serve_with(&moving, &roles);
    assert_eq!(after.query("garden", COUNT), [json!({ "n": 1 })]);
    after.write("garden", "soil v=2 2");
    assert!(!segments(&fast.join("tail")).is_empty());
    assert_eq!(after.query("garden", COUNT), [json!({ "n": 2 })]);

    let mut acknowledged = 2;
    wait_for("a refusal by the process with the former bucket", LIMIT, || {
        let reply = before.try_write("garden", "soil v=3 3", None).unwrap();
        if reply.status == 204 {
            acknowledged = 3;
        }
        (reply.status == 503).then_some(())
    });
    before.kill();

    let rows = after.query("garden", COUNT)[0]["n"].as_u64().unwrap();
    assert!(rows >= acknowledged, "{rows} of {acknowledged}");
    let compacted = neap(&moving.after(&["compact"]));
    assert_eq!(compacted.status, Some(0), "{}", compacted.err);
    assert_eq!(after.query("garden", COUNT), [json!({ "n": rows })]);
    let checked = neap(&moving.after(&["fsck"]));
    assert_eq!(checked.status, Some(0), "{}{}", checked.out, checked.err);
    let refused = neap(&store.after(&["fsck"])).failed(1);
    assert_contains!(refused, "bucket 'fast'");
}
