//! Damaged objects: queries and flushes continue without the damaged rows, and each damaged object is reported until an
//! operator quarantines it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::harness::{CommandOutput, NeapProcess, Reply, StoreFixture, assert_contains, neap};

/// The bytes of a segment before its header: the envelope, and the length of the header.
const ENVELOPE: usize = 28;

/// A server on a directory. Its first segment has rows of the tables `a`, with id 1, and `b`.
struct DamageFixture {
    place: StoreFixture,
    server: Option<NeapProcess>,
}

impl DamageFixture {
    fn new() -> Self {
        let place = StoreFixture::directory();
        let server = NeapProcess::serve(&place);
        server.write("db", "a,k=x v=1 1\na,k=x v=2 2\nb,k=x v=1 1\n");
        server.write("db", "a,k=y v=3 3\nb,k=y v=2 2\n");
        Self { place, server: Some(server) }
    }

    /// Flips a bit while no server runs, and starts a server without cached data.
    fn flip(&mut self, path: &Path, byte: usize) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        let mut bytes = fs::read(path).unwrap();
        bytes[byte] ^= 8;
        fs::write(path, bytes).unwrap();
        self.server = Some(NeapProcess::serve(&self.place));
    }

    fn server(&self) -> &NeapProcess {
        self.server.as_ref().unwrap()
    }

    fn on_store(&self, arguments: &[&str]) -> CommandOutput {
        neap(&self.place.after(arguments))
    }

    /// Runs a check that finds damage, and returns its output.
    fn damage(&self, arguments: &[&str]) -> String {
        let output = self.on_store(&[&["fsck"], arguments].concat());
        assert_eq!(output.status, Some(1), "{}", output.err);
        output.out
    }

    fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.place.folder().join(folder)).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn key(&self, path: &Path) -> String {
        let key = path.strip_prefix(self.place.folder()).unwrap();
        key.to_str().unwrap().to_owned()
    }

    fn count(&self, table: &str) -> u64 {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        self.server().query("db", &sql)[0]["n"].as_u64().unwrap()
    }

    /// Returns the error of a query of a table.
    fn failure(&self, table: &str) -> String {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        let body = json!({ "db": "db", "q": sql, "format": "json" });
        let request = self.server().request("POST", "/api/v3/query_sql");
        let reply = Reply::receive(request.body(body.to_string())).unwrap();
        assert_eq!(reply.status, 500, "{}", reply.text());
        reply.text()
    }

    fn damaged_objects(&self) -> String {
        let metrics = self.server().get("/metrics").text();
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("neap_damaged_objects "));
        line.unwrap().to_owned()
    }
}

/// Returns the offset of a table's rows in a segment.
fn rows_of(path: &Path, table: u64) -> usize {
    let bytes = fs::read(path).unwrap();
    let length = bytes[ENVELOPE..ENVELOPE + 4].try_into().unwrap();
    let first = ENVELOPE + 4 + u32::from_le_bytes(length) as usize;
    let header: Value = serde_json::from_slice(&bytes[ENVELOPE + 4..first]).unwrap();
    let directory = header["directory"].as_array().unwrap();
    let of_table = directory.iter().find(|entry| entry["table"] == table);
    let offset = of_table.unwrap()["offset"].as_u64().unwrap();
    first + usize::try_from(offset).unwrap()
}

#[test]
fn a_flipped_bit_in_the_rows_of_a_table_loses_only_these_rows() {
    let mut stage = DamageFixture::new();
    let path = stage.objects("tail/1").remove(0);
    let key = stage.key(&path);
    stage.flip(&path, rows_of(&path, 1) + 50);
    assert_eq!(stage.count("b"), 2);
    let error = stage.failure("a");
    assert!(error.contains(&key) && error.contains("'a'"), "{error}");
    let found = stage.damage(&[]);
    assert_contains!(found, &key);

    stage.on_store(&["compact"]).succeeded();
    stage.server().write("db", "a,k=z v=9 9\nb,k=z v=9 9\n");
    assert_eq!(stage.count("b"), 3);
    let error = stage.failure("a");
    let expected = format!("'{key}' is damaged: 2 rows of table 'a'");
    assert_contains!(error, &expected);
    let ready = stage.server().get("/ready");
    assert_eq!(ready.status, 200);
    assert_contains!(ready.text(), &key);
    assert_eq!(stage.damaged_objects(), "neap_damaged_objects 1");
    let found = stage.damage(&[]);
    assert_contains!(found, &key);

    let shown = stage.damage(&["--quarantine", &key]);
    let lost = "2 rows of table \"a\" from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z";
    assert_contains!(shown, lost);
    stage.failure("a");
    let done = stage.on_store(&["fsck", "--repair", "--quarantine", &key]).succeeded();
    assert_contains!(done, &format!("quarantined {key}"));
    assert_eq!((stage.count("a"), stage.count("b")), (2, 3));
    let versions = "SELECT quarantined FROM system.versions WHERE quarantined IS NOT NULL";
    assert_eq!(stage.server().query("db", versions), [json!({ "quarantined": key })]);
    let audit = "SELECT target, detail FROM system.audit WHERE action = 'quarantine'";
    assert_eq!(stage.server().query("db", audit), [json!({ "target": key, "detail": lost })]);
    assert_eq!(stage.server().get("/ready").text(), "OK");
    assert_eq!(stage.damaged_objects(), "neap_damaged_objects 0");
    for _ in 0..2 {
        stage
            .on_store(&["compact", "--time-travel", "0s", "--query-timeout", "0s"])
            .succeeded();
    }
    stage.on_store(&["fsck", "--full"]).succeeded();
    assert!(path.exists());
}

#[test]
fn an_unreadable_segment_stops_its_database_until_it_is_quarantined() {
    let mut stage = DamageFixture::new();
    let path = stage.objects("tail/1").remove(1);
    let key = stage.key(&path);
    stage.flip(&path, ENVELOPE + 10);
    for table in ["a", "b"] {
        let error = stage.failure(table);
        assert_contains!(error, &key);
    }
    let stopped = stage.on_store(&["compact"]);
    assert_contains!(stopped.err, &key);
    let found = stage.damage(&[]);
    assert_contains!(found, &key);

    stage.on_store(&["fsck", "--repair", "--quarantine", &key]).succeeded();
    assert_eq!((stage.count("a"), stage.count("b")), (2, 1));
    stage.on_store(&["compact"]).succeeded();
    assert_eq!((stage.count("a"), stage.count("b")), (2, 1));
    stage.on_store(&["fsck", "--full"]).succeeded();
    assert!(path.exists());
}

#[test]
fn a_damaged_section_is_quarantined_alone() {
    let mut stage = DamageFixture::new();
    stage.on_store(&["compact"]).succeeded();
    let path = stage.objects("data/1").remove(0);
    let key = stage.key(&path);
    // Sections are stored in the order of their tables.
    stage.flip(&path, 10);
    assert_eq!(stage.count("b"), 2);
    let found = stage.damage(&["--full"]);
    assert_contains!(found, &key);
    let done = stage
        .on_store(&["fsck", "--full", "--repair", "--quarantine", &key])
        .succeeded();
    let lost = format!("quarantined {key}@0 (\"db\"): lost are 3 rows of table \"a\"");
    assert_contains!(done, &lost);
    assert_eq!((stage.count("a"), stage.count("b")), (0, 2));
    let other = stage.key(&stage.objects("tail/1").remove(0));
    let refused = stage.on_store(&["fsck", "--repair", "--quarantine", &other]);
    assert_contains!(refused.err, "does not name");
    assert!(path.exists());
}
