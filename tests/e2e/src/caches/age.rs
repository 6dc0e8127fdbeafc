//! Rows that become too old for a cache, or for their table.

use super::{
    definition::CacheDefinition,
    fixture::{CacheFixture, DB, check, now},
};
use crate::harness::{CATALOG_AGE, pause};

/// The maximum age of rows in the caches, in seconds. Longer than the test takes beside others.
const AGE: u64 = 150;

/// Writes rows that expire from the caches one by one, one each second until all are gone.
fn rows_near_the_edge(stage: &CacheFixture, now: u64) {
    let begin = i64::try_from(now - stage.started_at).unwrap();
    let age = i64::try_from(AGE).unwrap();
    let lines = (-3..age).map(|second| {
        let time = begin - age + second;
        let host = second.rem_euclid(4);
        format!("m,host=h{host},room=r{} v={second} {time}\n", second.rem_euclid(9))
    });
    stage.write(&lines.collect::<String>());
}

#[test]
fn rows_leave_when_they_exceed_the_age_of_the_cache() {
    let stage = CacheFixture::on_a_directory();
    rows_near_the_edge(&stage, stage.started_at);
    let caches = [
        CacheDefinition::last("m", "latest", &["host"]).with_max_age(AGE),
        CacheDefinition::last("m", "three", &["host"]).limited_to(3).with_max_age(AGE),
        CacheDefinition::last("m", "all", &[]).limited_to(50).with_max_age(AGE),
        CacheDefinition::distinct("m", "rooms", &["room"]).with_max_age(AGE),
        CacheDefinition::distinct("m", "few", &["room", "host"])
            .limited_to(3)
            .with_max_age(AGE),
    ];
    stage.create(&caches);
    let watch = |seconds: u64, step: &str| {
        let (until, latest) = {
            let started_at = now(&stage.writer);
            (started_at + seconds, started_at + 30)
        };
        let mut seen = Vec::new();
        // A busy machine makes few checks in this time.
        let goes_on = |checks: usize| match now(&stage.writer) {
            time if time < until => true,
            time => checks <= 10 && time < latest,
        };
        while goes_on(seen.len()) {
            for server in [&stage.writer, &stage.queriers[0]] {
                for cache in &caches {
                    seen.push(check(server, cache, step));
                }
            }
        }
        seen.dedup();
        assert!(seen.len() > 10, "{step}: rows have left");
    };
    watch(4, "in the tail");
    stage.flush();
    watch(4, "in objects");
    stage.write("m,host=h1,room=r1 v=1 -1");
    watch(4, "in both");
    stage.check(&caches, "in the end");
}

#[test]
fn rows_leave_when_they_exceed_the_retention_of_their_table() {
    let stage = CacheFixture::on_a_directory();
    stage.write(
        "m,host=a,room=x v=1 -9000
         m,host=a,room=y v=2 -60
         m,host=b,room=z v=3 -9000
         m,host=c,room=x v=4 -9000
         m,host=c,room=x v=5 -8600",
    );
    let day = 86_400;
    let caches = [
        CacheDefinition::last("m", "latest", &["host"]).limited_to(2).with_max_age(day),
        CacheDefinition::distinct("m", "rooms", &["room"]).with_max_age(day),
    ];
    stage.create(&caches);
    stage.flush();
    stage.write("m,host=c,room=x w=6 -8500\nm,host=d,room=w v=7 -9000");
    let shown = |step: &str| {
        stage.check(&caches, step);
        let rows = caches.each_ref().map(|cache| check(&stage.writer, cache, step));
        rows.map(|rows| rows.lines().count().saturating_sub(1))
    };
    assert_eq!(shown("all are kept"), [6, 4]);
    let keep = |period: &str| {
        let update = ["update", "table", "m", "-d", DB, "--retention-period", period];
        stage.run(&update).succeeded();
        // An instance may use its copy of the catalog for a while.
        pause(CATALOG_AGE);
    };
    keep("2h");
    assert_eq!(shown("rows are hidden"), [1, 1]);
    keep("10d");
    assert_eq!(shown("rows are not hidden any more"), [6, 4]);
    keep("2h");
    stage.flush();
    stage.on_store(&["compact", "--settle-after", "0s"]).succeeded();
    assert_eq!(shown("rows are removed"), [1, 1]);
    keep("10d");
    assert_eq!(shown("what has left stays away"), [1, 1]);
}
