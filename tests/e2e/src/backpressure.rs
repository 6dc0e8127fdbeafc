//! Backpressure on ingest processes without a flusher: they refuse writes when a flusher reports that their tail is too
//! long, and accept them again after a flush.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::harness::{
    NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap, wait_for,
};

/// Maximum time until writers know the backlog that a flusher has published.
const MAX_BACKLOG_DELAY: Duration = Duration::from_secs(15);

/// One hour in units of stamps.
const HOUR: u64 = (3_600 * 1_000_000) << 12;

fn write(server: &ServerClient, database: &str) -> Reply {
    server.try_write(database, "m v=1i 1", None).unwrap()
}

/// Returns the tail folder of the only database with segments, and their names.
fn segments(place: &StoreFixture) -> (PathBuf, Vec<String>) {
    let tails: Vec<_> = fs::read_dir(place.folder().join("tail"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [tail] = <[PathBuf; 1]>::try_from(tails).unwrap();
    let names = fs::read_dir(&tail)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    (tail, names)
}

/// Puts segments whose stamps are one hour ahead, so that no flush takes them. Returns their files.
fn put_ahead(tail: &Path, name: &str, number: u64) -> Vec<PathBuf> {
    let (stamp, rest) = name.split_once('-').unwrap();
    let stamp: u64 = stamp.parse().unwrap();
    let files = (0..number).map(|number| {
        let file = tail.join(format!("{:020}-{rest}", stamp + HOUR + number));
        fs::write(&file, "not read").unwrap();
        file
    });
    files.collect()
}

#[test]
fn ingest_processes_refuse_writes_until_the_backlog_is_flushed() {
    let place = StoreFixture::directory();
    let ingest = ["--mode", "ingest"];
    let writers = [
        NeapProcess::serve_with(&place, &ingest),
        NeapProcess::serve_with(&place, &ingest),
    ];
    for writer in &writers {
        assert_eq!(write(writer, "busy").status, 204);
    }
    let (tail, names) = segments(&place);
    let ahead = put_ahead(&tail, &names[0], 10_001);
    // It flushes the written segments, and publishes the remaining backlog.
    neap(&place.after(&["compact"])).succeeded();
    for writer in &writers {
        let refused = wait_for("writes that are refused", MAX_BACKLOG_DELAY, || {
            Some(write(writer, "busy")).filter(|reply| reply.status != 204)
        });
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.header("retry-after"), Some("5"));
        assert_contains!(refused.text(), "too many segments");
        let delete = writer
            .request("POST", "/api/v3/delete_rows")
            .header("content-type", "application/json");
        let delete = Reply::receive(delete.body(r#"{"db":"busy","table":"m"}"#)).unwrap();
        assert_eq!(delete.status, 503, "{}", delete.text());
        assert_eq!(write(writer, "calm").status, 204);
    }
    for file in ahead {
        fs::remove_file(file).unwrap();
    }
    neap(&place.after(&["compact"])).succeeded();
    for writer in &writers {
        wait_for("writes that are taken", MAX_BACKLOG_DELAY, || {
            (write(writer, "busy").status == 204).then_some(())
        });
    }
}
