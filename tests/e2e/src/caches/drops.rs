//! Tables and caches that are dropped and created again, and queries of earlier states.

use std::time::Duration;

use serde_json::json;

use super::{
    definition::CacheDefinition,
    fixture::{BYPASS_CACHES, CacheFixture, DB, ask, create, csv, csv_with, listed, shift_times},
};
use crate::harness::{CATALOG_AGE, ServerClient, assert_contains, pause};

/// More than the distance of low-water marks below which they are thinned out.
const MARK_SPACING: Duration = Duration::from_secs(16);

fn caches() -> [CacheDefinition; 2] {
    [
        CacheDefinition::last("m", "latest", &["host"]),
        CacheDefinition::distinct("m", "rooms", &["room"]),
    ]
}

/// Returns the error message of a refused statement.
fn refused(server: &ServerClient, sql: &str) -> String {
    let reply = ask(server, sql, &[]);
    assert_eq!(reply.status, 400, "{sql}: {}", reply.text());
    reply.text()
}

#[test]
fn caches_are_dropped_and_undeleted_with_their_table() {
    let stage = CacheFixture::on_a_directory();
    stage.write("m,host=a,room=x v=1 -60\nm,host=b,room=y v=2 -50");
    let caches = caches();
    stage.create(&caches);
    stage.flush();
    stage.write("m,host=a,room=z v=3 -40");
    stage.check(&caches, "before");
    let before = caches.each_ref().map(|cache| csv(&stage.writer, &cache.query()));

    for what in [&["table", "m", "-d", DB][..], &["database", DB]] {
        let drop = [&["delete"], what, &["--yes"]].concat();
        stage.run(&drop).succeeded();
        for cache in &caches {
            let reply = ask(&stage.writer, &cache.query(), &[]);
            assert!((400..500).contains(&reply.status), "{what:?}: {}", reply.text());
        }
        if what[0] == "table" {
            assert!(listed(&stage.writer).is_empty());
        }
        stage.run(&[&["undelete"], what].concat()).succeeded();
        // A query-only process may use its copy of the catalog for a while.
        pause(CATALOG_AGE);
        stage.check(&caches, "undeleted");
        let shown = caches.each_ref().map(|cache| csv(&stage.writer, &cache.query()));
        assert_eq!(shown, before);
    }

    // A new table of the same name is a different table.
    stage.run(&["delete", "table", "m", "-d", DB, "--yes"]).succeeded();
    stage.write("m,host=z,room=z v=4 -30");
    let said = refused(&stage.writer, &caches[0].query());
    assert_contains!(said, "could not find cache");
    stage.create(&caches);
    stage.check(&caches, "of a new table");
    let rows = stage.writer.query(DB, "SELECT host FROM last_cache('m')");
    assert_eq!(rows, [json!({ "host": "z" })]);
}

#[test]
fn a_new_cache_does_not_show_rows_of_a_dropped_one_of_the_same_name() {
    let stage = CacheFixture::on_a_directory();
    stage.write("m,host=a,room=x v=1 -60\nm,host=a,room=y v=2 -50\nm,host=b,room=x v=3 -40");
    let [last, distinct] = caches();
    let old = [last, distinct];
    stage.create(&old);
    stage.flush();
    stage.check(&old, "the old ones");
    for cache in &old {
        let out = stage.run(&["delete", cache.kind(), cache.name, "-d", DB, "-t", "m"]);
        assert!(out.succeeded().contains("deleted"));
        let said = refused(&stage.writer, &cache.query());
        assert_contains!(said, "could not find");
    }
    assert!(listed(&stage.writer).is_empty());
    let new = [
        CacheDefinition::last("m", "latest", &["room"]).of(&["v"]).limited_to(2),
        CacheDefinition::distinct("m", "rooms", &["host", "room"]),
    ];
    stage.create(&new);
    stage.check(&new, "before anything is kept of them");
    stage.write("m,host=a,room=x v=4 -30");
    stage.flush();
    stage.check(&new, "flushed");
    let rows = [
        json!({ "table": "m", "name": "latest" }),
        json!({ "table": "m", "name": "rooms" }),
    ];
    assert_eq!(listed(&stage.writer), rows);
}

#[test]
fn queries_of_earlier_states_read_earlier_caches() {
    let stage = CacheFixture::on_a_directory();
    let caches = caches();
    let mut shown: Vec<(u64, [String; 2])> = Vec::new();
    stage.write("m,host=a,room=x v=1 -60");
    stage.create(&caches);
    let mut remember = |stamp: u64| {
        let rows = caches.each_ref().map(|cache| csv(&stage.writer, &cache.query()));
        shown.push((stamp, rows));
    };
    remember(stage.write("m,host=a,room=y v=2 -50\nm,host=b,room=y v=2 -50"));
    pause(MARK_SPACING);
    stage.flush();
    let stamp = stage.write("m,host=a,room=x v=3 -40\nm,host=c,room=z v=2 -50");
    remember(stamp);
    remember(stage.write("m,host=a,room=x v=3 -30"));
    stage.writer.query(DB, "DELETE FROM m WHERE host = 'a'");
    for (stamp, rows) in &shown[1..] {
        let as_of = stamp.to_string();
        for headers in [
            &[("x-neap-as-of", as_of.as_str())][..],
            &[("x-neap-as-of", &as_of), BYPASS_CACHES],
        ] {
            let then =
                caches.each_ref().map(|cache| csv_with(&stage.writer, &cache.query(), headers));
            assert_eq!(&then, rows, "as of {stamp}");
        }
    }
    pause(MARK_SPACING);
    stage.flush();
    let versions = stage.on_store(&["show", "versions", "-d", DB, "--format", "json"]);
    let versions: Vec<serde_json::Value> = serde_json::from_str(&versions.succeeded()).unwrap();
    let first = versions
        .iter()
        .filter_map(|version| version["stamp"].as_u64())
        .filter(|stamp| *stamp >= shown[0].0)
        .min()
        .unwrap()
        .to_string();
    let then = caches
        .each_ref()
        .map(|cache| csv_with(&stage.writer, &cache.query(), &[("x-neap-as-of", &first)]));
    assert_eq!(then, shown[0].1, "as of the first flush");
    stage.check(&caches, "now");

    let restore = ["restore", "-d", DB, "--as-of", &first, "--to", "before"];
    stage.on_store(&restore).succeeded();
    let fresh = stage.fresh();
    let rows = |database| fresh.query(database, "SELECT host, room, v FROM last_cache('m')");
    let before = [
        json!({ "host": "a", "room": "y", "v": 2.0 }),
        json!({ "host": "b", "room": "y", "v": 2.0 }),
    ];
    assert_eq!(rows("before"), before);
    stage
        .writer
        .write("before", &shift_times(stage.started_at, "m,host=b,room=w v=5 -10"));
    assert_eq!(rows("before")[1], json!({ "host": "b", "room": "w", "v": 5.0 }));
    stage.on_store(&["compact"]).succeeded();
    assert_eq!(rows("before")[1], json!({ "host": "b", "room": "w", "v": 5.0 }));
    assert_eq!(rows(DB).len(), 2);
    stage.on_store(&["fsck", "--full"]).succeeded();
}

#[test]
fn an_existing_cache_is_not_created_again() {
    let stage = CacheFixture::on_a_directory();
    stage.write("m,host=a,room=x v=1 -60");
    let [cache, _] = caches();
    create(&stage.writer, &cache);
    let out = stage.run(&cache.command(DB));
    assert!(!out.out.contains("created successfully"), "{}", out.out);
    stage.check(&[cache], "the first one");
}
