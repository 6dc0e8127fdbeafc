//! Backups by name on a directory and on an S3 server: one stamp under load, restores in place and elsewhere, damage.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{NeapProcess, Reply, StoreFixture, neap, wait_for};

/// Maximum duration of a backup or a restore: the waits of network stores, on a busy machine.
const JOB: Duration = Duration::from_secs(180);

const SERIES: &str = "SELECT host, count(*) AS n, max(v) AS v FROM m GROUP BY host ORDER BY host";

/// Waits for the end of a job, and returns its status.
fn ended(server: &NeapProcess, path: &str) -> Value {
    wait_for("end of a job", JOB, || {
        let reply = server.get(path);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let job: Value = serde_json::from_str(&reply.text()).unwrap();
        (job["status"] != "in_progress").then_some(job)
    })
}

fn back_up(server: &NeapProcess, name: &str, more: &[&str]) {
    let create = ["create", "backup", "--name", name];
    server.run_command(&[&create[..], more].concat()).succeeded();
    let job = ended(server, &format!("/api/v3/enterprise/backup/{name}"));
    assert_eq!(job["status"], "completed", "{job}");
}

fn restore(server: &NeapProcess, more: &[&str]) -> Value {
    let create = ["create", "restore", "--yes"];
    let started = server.run_command(&[&create[..], more].concat());
    assert_eq!(started.status, Some(0), "{}", started.err);
    assert!(started.err.starts_with("Retention is off"), "{}", started.err);
    let id = started.out.split(' ').nth(1).unwrap().to_owned();
    ended(server, &format!("/api/v3/enterprise/restore/{id}"))
}

fn stores() -> [StoreFixture; 2] {
    [StoreFixture::directory(), StoreFixture::neap_s3_server()]
}

#[test]
fn a_backup_under_load_is_restored_in_place_and_beside() {
    for place in stores() {
        let server = NeapProcess::serve(&place);
        server.write("db", "m,host=a v=1i 1\nm,host=b v=1i 1\n");
        server.write("other", "m,host=a v=7i 1\n");
        let body = json!({ "db": "db", "q": "DELETE FROM m WHERE host = 'b'", "format": "json" });
        let deleted = server.request("POST", "/api/v3/query_sql");
        let deleted = Reply::receive(deleted.body(body.to_string())).unwrap();
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        let (is_over, written) = (AtomicBool::new(false), AtomicU64::new(1));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let value = written.load(Ordering::Relaxed) + 1;
                    server.write("db", &format!("m,host=a v={value}i {value}\n"));
                    written.store(value, Ordering::Relaxed);
                }
            });
            let before = written.load(Ordering::Relaxed);
            back_up(&server, "monday", &[]);
            let beside = ["--backup", "monday", "-d", "db", "--to", "beside"];
            let job = restore(&server, &beside);
            assert_eq!(job["status"], "completed", "{job}");
            let rows = server.query("beside", SERIES);
            let [row] = &rows[..] else {
                panic!("{}: {rows:?}", place.name);
            };
            let value = row["v"].as_u64().unwrap();
            assert!(value >= before, "{value}, {before}");
            // One writer: the rows up to the stamp have no gaps.
            assert_eq!(*row, json!({ "host": "a", "n": value, "v": value }));
            is_over.store(true, Ordering::Relaxed);
        });
        let metrics = server.get("/metrics").text();
        for metric in [
            "neap_backups{state=\"completed\"} 1",
            "neap_backup_jobs_total{kind=\"backup\",outcome=\"success\"} 1",
            "neap_backup_jobs_total{kind=\"restore\",outcome=\"success\"} 1",
            "neap_backup_last_success_timestamp_seconds ",
        ] {
            assert!(metrics.contains(metric), "{metric}: {metrics}");
        }
        let beside = server.query("beside", SERIES);
        server.write("later", "m,host=a v=1i 1\n");
        let job = restore(&server, &["--backup", "monday"]);
        assert_eq!(job["status"], "completed", "{job}");
        assert_eq!(server.query("db", SERIES), beside, "{}", place.name);
        let other = json!({ "host": "a", "n": 1, "v": 7 });
        assert_eq!(server.query("other", SERIES), [other]);
        let listed = server.run_command(&["show", "databases", "--format", "json"]).succeeded();
        assert!(!listed.contains("later"), "{listed}");
        assert!(!listed.contains("monday"), "{listed}");
        // The restored database is written to and checked like every other.
        server.write("db", "m,host=c v=1i 1\n");
        assert_eq!(server.query("db", SERIES).len(), 2);
        neap(&place.after(&["fsck", "--full"])).succeeded();
        let deleted = server.run_command(&["delete", "backup", "--name", "monday", "--yes"]);
        deleted.succeeded();
        assert_eq!(server.query("db", SERIES).len(), 2);
    }
}

/// Returns the files below a folder whose paths contain a text.
fn files(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, text));
        } else if path.to_string_lossy().contains(text) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_chain_at_another_place_restores_in_a_new_cluster_and_damage_is_found() {
    for place in stores() {
        let folder = TempDir::new().unwrap();
        let there = folder.path().join("backups").display().to_string();
        let server = NeapProcess::serve_with(&place, &["--backup-to", &there]);
        server.write("db", "m,host=a v=1i 1\n");
        back_up(&server, "full", &["--to", &there]);
        server.write("db", "m,host=b v=2i 2\n");
        back_up(&server, "next", &["--incremental", "--parent", "full"]);
        let refused = server.run_command(&["delete", "backup", "--name", "full", "--yes"]);
        refused.failed(1);
        let elsewhere = server.run_command(&["create", "backup", "--name", "x", "--to", "/etc"]);
        elsewhere.failed(1);

        let fresh = StoreFixture::directory();
        let other = NeapProcess::serve_with(&fresh, &["--backup-to", &there]);
        let job = restore(&other, &["--backup", "next", "--from", &there]);
        assert_eq!(job["status"], "completed", "{job}");
        assert_eq!(other.query("db", SERIES), server.query("db", SERIES));
        let job = restore(&other, &["--backup", "full", "--from", &there]);
        assert_eq!(job["status"], "completed", "{job}");
        let first = json!({ "host": "a", "n": 1, "v": 1 });
        assert_eq!(other.query("db", SERIES), [first]);

        let check = ["fsck", "--full", "--backups-at", &there];
        neap(&place.after(&check)).succeeded();
        let objects = files(folder.path(), "/objects/data/");
        for object in &objects {
            let mut bytes = std::fs::read(object).unwrap();
            bytes[8] ^= 1;
            std::fs::write(object, bytes).unwrap();
        }
        let names: Vec<&str> = objects
            .iter()
            .map(|object| object.file_name().unwrap().to_str().unwrap())
            .collect();
        let report = neap(&place.after(&check));
        assert_eq!(report.status, Some(1), "{}", report.out);
        for name in &names {
            assert!(report.out.contains(name), "{name}: {}", report.out);
        }
        // A cluster that has none of the objects yet.
        let empty = StoreFixture::directory();
        let third = NeapProcess::serve_with(&empty, &["--backup-to", &there]);
        let job = restore(&third, &["--backup", "next", "--from", &there]);
        assert_eq!(job["status"], "failed", "{job}");
        let error = job["error"].as_str().unwrap();
        assert!(names.iter().any(|name| error.contains(name)), "{job}");
    }
}

/// Returns the number of sections that the scrubber of a server has mended.
fn mended(server: &NeapProcess) -> u64 {
    let metrics = server.get("/metrics").text();
    let mut values =
        metrics.lines().filter_map(|line| line.strip_prefix("neap_scrub_mended_total "));
    values.next().unwrap().parse().unwrap()
}

#[test]
fn a_damaged_object_is_mended_from_a_backup_before_a_query_needs_it() {
    let place = StoreFixture::directory();
    let folder = TempDir::new().unwrap();
    let there = folder.path().join("backups").display().to_string();
    let flags = ["--backup-to", &there, "--scrub-interval", "2s"];
    let server = NeapProcess::serve_with(&place, &flags);
    server.write("db", "m,host=a v=1i 1\nm,host=b v=2i 2\n");
    let before = server.query("db", SERIES);
    let object = wait_for("flush", JOB, || {
        neap(&place.after(&["compact"])).succeeded();
        files(place.folder(), "/data/1/").pop()
    });
    back_up(&server, "full", &["--to", &there]);
    let whole = std::fs::read(&object).unwrap();
    let mut bytes = whole.clone();
    bytes[10] ^= 8;
    std::fs::write(&object, bytes).unwrap();
    wait_for("mended object", JOB, || (mended(&server) > 0).then_some(()));
    assert_eq!(std::fs::read(&object).unwrap(), whole);
    neap(&place.after(&["fsck", "--full"])).succeeded();
    server.kill();
    let restarted = NeapProcess::serve(&place);
    assert_eq!(restarted.query("db", SERIES), before);
}
