//! Writes in any order, deletes, flushes, merges and restarts: caches always return what their definitions say, in
//! processes that share only the store.

use serde_json::json;

use super::{
    definition::CacheDefinition,
    fixture::{CacheFixture, DB, csv},
};
use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture};

/// Caches of all kinds: few rows and many, by some tags, all and none, and two whose rows are not stored.
fn caches() -> Vec<CacheDefinition> {
    vec![
        CacheDefinition::last("m", "latest", &["host"]),
        CacheDefinition::last("m", "three", &["host", "room"])
            .of(&["w", "v"])
            .limited_to(3),
        CacheDefinition::last("m", "all", &[]).of(&["room", "v"]).limited_to(7),
        CacheDefinition::last("m", "of_state", &["state"]).limited_to(2),
        CacheDefinition::distinct("m", "rooms", &["room"]),
        CacheDefinition::distinct("m", "pairs", &["room", "host"]).limited_to(4),
        CacheDefinition::distinct("m", "states", &["state", "host"]),
    ]
}

fn delete(stage: &CacheFixture, body: &serde_json::Value) {
    let path = format!("/api/v2/delete?bucket={DB}&org=o");
    let request = stage.writer.request("POST", &path);
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
}

fn run(stage: &CacheFixture) {
    stage.write(
        "m,host=a,room=x v=1,w=1i,state=\"on\" -600
         m,host=a,room=x v=2,w=2i -590
         m,host=a,room=y v=3,w=3i -580
         m,host=b,room=x v=4,state=\"off\" -570
         m,host=b,room=x w=5i -560
         m,host=c v=6,w=6i -550
         m,room=z v=7 -540
         m,host=d,room=x v=8 -9000",
    );
    let caches = caches();
    let (by_command, by_request) = caches.split_at(2);
    for cache in by_command {
        let out = stage.run(&cache.command(DB)).succeeded();
        assert!(out.ends_with("created successfully\n"), "{out}");
    }
    stage.create(by_request);
    stage.check(&caches, "rows that were there before");

    stage.write(
        "m,host=a,room=x v=9 -595
         m,host=a,room=y w=10i -580
         m,host=b,room=x state=\"on\" -570
         m,host=e,room=new v=11 -530
         m,host=c,room=x,zone=n v=12,extra=12 -550
         m,host=a,room=x v=13 -540",
    );
    stage.check(&caches, "late rows, parts of points, new columns");
    stage.flush();
    stage.check(&caches, "flushed");

    stage.write(
        "m,host=a,room=x w=14i -540
         m,host=a,room=x v=15 -585
         m,host=b,room=x v=16,w=16i -560
         m,host=e,room=new state=\"off\" -530
         m,host=f,room=y,zone=s extra=17 -520
         m,host=d,room=y v=18,other=18 -510",
    );
    stage.check(&caches, "writes above what is in objects");

    // Deletes the newest rows of a key, so that older ones become the newest.
    let newest = stage.started_at - 545;
    let sql = format!("DELETE FROM m WHERE host = 'a' AND time >= to_timestamp({newest})");
    match stage.queriers.len() {
        // A query-only process does not delete.
        1 => assert_eq!(stage.writer.query(DB, &sql).len(), 1),
        _ => delete(
            stage,
            &json!({
                "start": rfc3339(stage, newest),
                "stop": "2100-01-01T00:00:00Z",
                "predicate": "_measurement=\"m\" AND host=\"a\"",
            }),
        ),
    }
    stage.check(&caches, "the newest rows of a key are deleted");
    delete(
        stage,
        &json!({
            "start": "1970-01-01T00:00:00Z",
            "stop": "2100-01-01T00:00:00Z",
            "predicate": "_measurement=\"m\" AND room=\"new\"",
        }),
    );
    stage.check(&caches, "all rows of a key are deleted");
    stage.write("m,host=e,room=new v=19 -530\nm,host=a,room=x v=20 -540");
    stage.check(&caches, "rows that were deleted are written again");

    stage.flush();
    stage.check(&caches, "deletes are flushed");
    stage.on_store(&["compact", "--settle-after", "0s"]).succeeded();
    stage.write("m,host=a,room=x w=21i -540\nm,host=g,room=y v=22 -1");
    stage.check(&caches, "merged, and written to");
    stage.on_store(&["fsck", "--full"]).succeeded();
}

/// Returns the answers of all caches.
fn all(server: &ServerClient, caches: &[CacheDefinition]) -> Vec<String> {
    let shown = caches.iter().map(|cache| csv(server, &cache.query()));
    shown.collect()
}

fn rfc3339(stage: &CacheFixture, seconds: u64) -> String {
    let sql = format!("SELECT to_timestamp({seconds}) AS t");
    let rows = stage.queriers[0].query(DB, &sql);
    format!("{}Z", rows[0]["t"].as_str().unwrap())
}

#[test]
fn caches_match_their_definitions_on_a_directory() {
    let stage = CacheFixture::on_a_directory();
    run(&stage);
    let caches = caches();
    let shown = all(&stage.writer, &caches);
    // The compaction flushes the rest of the tail.
    let CacheFixture { writer, queriers, place, .. } = stage;
    assert!(writer.stop().success());
    drop(queriers);
    let restarted = NeapProcess::serve(&place);
    assert_eq!(all(&restarted, &caches), shown, "restarted");
}

#[test]
fn caches_match_their_definitions_on_an_s3_server() {
    run(&CacheFixture::on_a_network(StoreFixture::neap_s3_server()));
}
