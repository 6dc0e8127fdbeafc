//! Queries of earlier states, restores, copies, and integrity checks of a bucket.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    CommandOutput, NeapProcess, Reply, StoreFixture, assert_contains, neap, pause,
};

/// A compaction that keeps no objects for running queries, because there are none.
const COMPACT_AT_ONCE: [&str; 5] = ["compact", "--time-travel", "0s", "--query-timeout", "0s"];

const COUNT: &str = "SELECT count(*) AS n FROM m";

/// A server on a directory.
struct EarlierStatesFixture {
    place: StoreFixture,
    server: NeapProcess,
}

impl EarlierStatesFixture {
    fn new() -> Self {
        let place = StoreFixture::directory();
        let server = NeapProcess::serve(&place);
        Self { place, server }
    }

    /// Writes points with these times, and flushes them with earlier writes. Low-water marks closer than 15 s are
    /// thinned out.
    fn flush(&self, times: std::ops::Range<u64>) -> u64 {
        let lines: String = times.map(|time| format!("m,host=a v={time} {time}\n")).collect();
        let stamp = self.server.write("db", &lines);
        pause(Duration::from_secs(16));
        self.on_store(&["compact", "--settle-after", "0s"]).succeeded();
        stamp
    }

    fn on_store(&self, arguments: &[&str]) -> CommandOutput {
        neap(&self.place.after(arguments))
    }

    fn as_of(&self, stamp: u64) -> Reply {
        let body = json!({ "db": "db", "q": COUNT, "format": "json" });
        let request = self
            .server
            .request("POST", "/api/v3/query_sql")
            .header("x-neap-as-of", stamp.to_string());
        Reply::receive(request.body(body.to_string())).unwrap()
    }

    fn count(&self, database: &str) -> Vec<Value> {
        self.server.query(database, COUNT)
    }

    /// Returns the paths of objects whose names have this ending.
    fn objects(&self, end: &str) -> Vec<PathBuf> {
        let data = self.place.folder().join("data/1");
        let files = fs::read_dir(data).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.to_string_lossy().ends_with(end)).collect()
    }
}

fn rows(n: u64) -> Vec<Value> {
    vec![json!({ "n": n })]
}

#[test]
fn an_earlier_state_is_shown_and_restored_without_a_copy() {
    let stage = EarlierStatesFixture::new();
    stage.flush(1..4);
    let second = stage.flush(4..6);
    let deleted = stage.server.request("POST", "/api/v3/query_sql");
    let body =
        json!({ "db": "db", "q": "DELETE FROM m WHERE time >= '1970-01-01'", "format": "json" });
    assert_eq!(Reply::receive(deleted.body(body.to_string())).unwrap().status, 200);
    assert_eq!(stage.count("db"), rows(0));
    stage.flush(9..10);
    assert_eq!(stage.count("db"), rows(1));

    let versions = stage.on_store(&["show", "versions", "-d", "db", "--format", "json"]);
    let versions: Vec<Value> = serde_json::from_str(&versions.succeeded()).unwrap();
    assert!(versions.len() >= 3, "{versions:?}");
    // The delete came after the second flush, so the low-water mark of that flush is below the delete.
    let before = versions[1]["stamp"].as_u64().unwrap();
    assert!(before > second);
    let reply = stage.as_of(before);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(serde_json::from_str::<Value>(&reply.text()).unwrap(), json!(rows(5)));
    assert_eq!(reply.header("x-neap-as-of"), Some(before.to_string().as_str()));

    let bytes = |stage: &EarlierStatesFixture| -> u64 {
        let objects = stage.objects(".parquet");
        objects.iter().map(|path| path.metadata().unwrap().len()).sum()
    };
    let held = bytes(&stage);
    let as_of = before.to_string();
    let restore = ["restore", "-d", "db", "--as-of", &as_of, "--to", "before"];
    stage.on_store(&restore).succeeded();
    assert_eq!(stage.count("before"), rows(5));
    assert_eq!(bytes(&stage), held);
    stage.server.write("before", "m,host=b v=1 100\n");
    assert_eq!((stage.count("before"), stage.count("db")), (rows(6), rows(1)));
    stage.on_store(&COMPACT_AT_ONCE).succeeded();
    stage.on_store(&COMPACT_AT_ONCE).succeeded();
    assert_eq!(stage.count("before"), rows(6), "its objects are kept");
    stage.on_store(&["fsck", "--full"]).succeeded();
}

#[test]
fn a_copy_is_complete_and_answers_like_the_original() {
    let stage = EarlierStatesFixture::new();
    stage.flush(1..4);
    stage.server.write("db", "m,host=b v=1 100\n");
    let folder = TempDir::new().unwrap();
    let copy_path = folder.path().join("copy");
    let to = copy_path.to_str().unwrap();
    stage.on_store(&["copy", "--to", to]).succeeded();
    let flags = ["--object-store", "file", "--data-dir", to];
    neap(&[&["fsck", "--full"], &flags[..]].concat()).succeeded();
    let copy = NeapProcess::serve(&StoreFixture::at(to));
    assert_eq!(copy.query("db", COUNT), rows(4));
}

/// A way to damage a bucket: its name, the damage to a section's object, and the message that reports it.
type DamageCase = (&'static str, fn(&PathBuf), &'static str);

const DAMAGES: [DamageCase; 3] = [
    ("missing", |path| fs::remove_file(path).unwrap(), "missing"),
    ("truncated", |path| truncate(path), "bytes"),
    ("flipped bit", |path| flip(path), "checksum"),
];

fn truncate(path: &PathBuf) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_is_found_and_unaffected_queries_continue() {
    for (name, damage, said) in DAMAGES {
        let stage = EarlierStatesFixture::new();
        stage.server.write("db", "m,host=a v=1 10\n");
        stage.server.write("well", "m,host=a v=1 10\n");
        stage.on_store(&["compact"]).succeeded();
        stage.on_store(&["fsck", "--full"]).succeeded();
        let [object] = stage.objects(".parquet").try_into().unwrap();
        damage(&object);
        let report = stage.on_store(&["fsck", "--full", "--json"]);
        assert_eq!(report.status, Some(1), "{name}: {}", report.out);
        let key = format!("data/1/{}", object.file_name().unwrap().to_str().unwrap());
        assert!(report.out.contains(&key), "{name}: {}", report.out);
        assert!(report.out.contains(said), "{name}: {}", report.out);
        // A server with empty caches.
        let fresh = NeapProcess::serve(&stage.place);
        assert_eq!(fresh.query("well", COUNT), rows(1), "{name}");
        let body = json!({ "db": "db", "q": "SELECT * FROM m", "format": "json" });
        let request = fresh.request("POST", "/api/v3/query_sql").body(body.to_string());
        let answer = Reply::receive(request);
        let text = answer.map_or_else(|error| error.to_string(), |reply| reply.text());
        if name != "flipped bit" {
            assert!(text.contains(&key), "{name}: {text}");
        }
    }
}

#[test]
fn a_time_travel_period_that_queries_may_outlive_is_refused() {
    let stage = EarlierStatesFixture::new();
    let refused = stage.on_store(&["compact", "--time-travel", "9m"]).failed(1);
    assert_contains!(refused, "--time-travel 540 s is too short for queries of up to 300 s");
    let serve = ["serve", "--time-travel", "1m", "--query-timeout", "31s"];
    let refused = neap(&StoreFixture::directory().after(&serve)).failed(1);
    assert_contains!(refused, "--time-travel 60 s is too short");
    stage.on_store(&COMPACT_AT_ONCE).succeeded();
}

#[test]
fn unknown_files_are_reported_and_not_changed() {
    let stage = EarlierStatesFixture::new();
    stage.flush(1..2);
    let alien = stage.place.folder().join("data/1/notes.txt");
    fs::write(&alien, "mine").unwrap();
    let report = stage.on_store(&["fsck"]).succeeded();
    assert_contains!(report, "notes.txt");
    stage.on_store(&COMPACT_AT_ONCE).succeeded();
    stage.on_store(&["fsck", "--repair"]).succeeded();
    assert_eq!(fs::read(&alien).unwrap(), b"mine");
}
