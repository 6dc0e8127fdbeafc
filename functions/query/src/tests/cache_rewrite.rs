//! Statements over tables that the cache rewrite answers from a cache, and those that it must not.

use std::time::Duration;

use super::{
    QueryTestInstance,
    caches::{create_distinct, create_last},
};

const DAY: Duration = Duration::from_secs(86_400);

/// The clock starts at 1700000000 s.
async fn home() -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    one.write(
        "home,room=Kitchen temp=20,hum=40i 1699999990000000000\n\
         home,room=Kitchen temp=21 1699999991000000000\n\
         home,room=Cellar temp=10,hum=80i 1699999980000000000\n\
         home,room=Attic hum=33i 1699999970000000000",
    )
    .await;
    create_last(&one, "latest", &["room"], None, 2, DAY).await;
    create_distinct(&one, "rooms", &["room"], 100, DAY).await;
    one
}

/// Flushes and writes the objects of caches.
async fn flush(one: &QueryTestInstance) {
    one.flush().await;
    one.fill_caches().await;
}

/// Whether a cache answers the statement. Asserts that the answer is the same without it.
async fn uses_cache(one: &QueryTestInstance, sql: &str) -> bool {
    assert_eq!(one.sql(sql).await, one.sql_without_caches(sql).await, "{sql}");
    let plan = one.sql(&format!("EXPLAIN {sql}")).await;
    plan.contains("in_place_of=home")
}

#[tokio::test]
async fn statements_for_newest_rows_or_distinct_values_use_a_cache() {
    let one = home().await;
    for _ in 0..2 {
        for sql in [
            "SELECT DISTINCT room FROM home ORDER BY room",
            "SELECT room FROM home WHERE room > 'B' GROUP BY room ORDER BY room",
            "SELECT room, max(time) FROM home GROUP BY room ORDER BY room",
            "SELECT DISTINCT ON (room) room, time, hum FROM home ORDER BY room, time DESC",
            "SELECT room, selector_last(temp, time)['value'] AS t FROM home \
             WHERE room IN ('Kitchen', 'Cellar') GROUP BY room ORDER BY room",
            "SELECT room, last_value(temp ORDER BY time) AS t FROM home GROUP BY room ORDER BY room",
            "SELECT * FROM home WHERE room = 'Kitchen' ORDER BY time DESC LIMIT 2",
            "SELECT temp FROM home h WHERE h.room = 'Kitchen' AND time > now() - INTERVAL '1 hour' \
             ORDER BY time DESC LIMIT 1",
        ] {
            assert!(uses_cache(&one, sql).await, "{sql}");
        }
        flush(&one).await;
    }
}

#[tokio::test]
async fn statements_for_other_rows_use_no_cache() {
    let one = home().await;
    for sql in [
        "SELECT DISTINCT room, temp FROM home ORDER BY room, temp",
        "SELECT DISTINCT room FROM home WHERE temp > 15 ORDER BY room",
        "SELECT DISTINCT room FROM home WHERE time < '2023-11-14T22:13:05Z' ORDER BY room",
        "SELECT room, count(*) FROM home GROUP BY room ORDER BY room",
        "SELECT room, max(temp) FROM home GROUP BY room ORDER BY room",
        "SELECT room, min(time) FROM home GROUP BY room ORDER BY room",
        // The newest row of the attic has no temperature.
        "SELECT room, selector_last(temp, time)['value'] AS t FROM home GROUP BY room ORDER BY room",
        "SELECT room, last_value(temp ORDER BY hum, time) AS t FROM home GROUP BY room ORDER BY room",
        "SELECT * FROM home WHERE room = 'Kitchen' ORDER BY time DESC LIMIT 3",
        "SELECT * FROM home WHERE room = 'Kitchen' ORDER BY time LIMIT 1",
        "SELECT * FROM home WHERE room <> 'Kitchen' ORDER BY time DESC LIMIT 1",
        "SELECT * FROM home WHERE room = 'Kitchen' AND temp < 21 ORDER BY time DESC LIMIT 1",
        "SELECT * FROM home ORDER BY time DESC LIMIT 1",
    ] {
        assert!(!uses_cache(&one, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn rows_that_are_too_old_for_the_cache_count_nevertheless() {
    let one = home().await;
    one.write("home,room=Garage temp=5 1600000000000000000").await;
    for _ in 0..2 {
        let all = "SELECT DISTINCT room FROM home ORDER BY room";
        assert!(!uses_cache(&one, all).await);
        assert!(one.sql(all).await.contains("Garage"));
        let recent =
            "SELECT DISTINCT room FROM home WHERE time > now() - INTERVAL '1 hour' ORDER BY room";
        assert!(uses_cache(&one, recent).await);
        let found = "SELECT * FROM home WHERE room = 'Cellar' ORDER BY time DESC LIMIT 1";
        assert!(uses_cache(&one, found).await);
        let old = "SELECT * FROM home WHERE room = 'Garage' ORDER BY time DESC LIMIT 1";
        assert!(!uses_cache(&one, old).await);
        flush(&one).await;
    }
}

#[tokio::test]
async fn rows_without_the_key_count_nevertheless() {
    let one = home().await;
    one.write("home temp=5 1699999999000000000").await;
    for _ in 0..2 {
        let all =
            "SELECT room, last_value(hum ORDER BY time) AS h FROM home GROUP BY room ORDER BY room";
        assert!(!uses_cache(&one, all).await);
        let values = "SELECT DISTINCT room FROM home ORDER BY room";
        assert!(uses_cache(&one, values).await);
        let one_of_them = "SELECT room, last_value(hum ORDER BY time) AS h FROM home \
                           WHERE room <> 'Attic' GROUP BY room ORDER BY room";
        assert!(uses_cache(&one, one_of_them).await);
        flush(&one).await;
    }
}

#[tokio::test]
async fn values_that_were_cut_off_count_nevertheless() {
    let one = home().await;
    create_distinct(&one, "few", &["room"], 2, DAY).await;
    let catalog = &one.catalog;
    let deleted = catalog.delete_distinct_cache(super::DATABASE, "home", "rooms");
    deleted.await.unwrap();
    assert!(!uses_cache(&one, "SELECT DISTINCT room FROM home ORDER BY room").await);
}

#[tokio::test]
async fn the_answer_for_rows_of_one_time_does_not_depend_on_a_cache() {
    let one = QueryTestInstance::alone().await;
    one.write(
        "home,room=Kitchen,floor=1 temp=20 1699999990000000000\n\
         home,room=Kitchen,floor=0 temp=21 1699999990000000000\n\
         home,room=Cellar,floor=0 temp=10 1699999980000000000",
    )
    .await;
    create_last(&one, "latest", &["room"], None, 2, DAY).await;
    create_last(&one, "series", &["room", "floor"], None, 1, DAY).await;
    for _ in 0..2 {
        for undecided in [
            "SELECT room, last_value(temp ORDER BY time) AS t FROM home GROUP BY room ORDER BY room",
            "SELECT DISTINCT ON (room) * FROM home ORDER BY room, time DESC",
            "SELECT * FROM home WHERE room = 'Kitchen' ORDER BY time DESC LIMIT 1",
            "SELECT floor FROM home WHERE room = 'Kitchen' ORDER BY time DESC LIMIT 1",
        ] {
            assert!(!uses_cache(&one, undecided).await, "{undecided}");
        }
        for decided in [
            "SELECT room, last_value(time ORDER BY time) AS t FROM home GROUP BY room ORDER BY room",
            "SELECT room, time FROM home WHERE room = 'Kitchen' ORDER BY time DESC LIMIT 2",
            "SELECT room, floor, last_value(temp ORDER BY time) AS t FROM home \
             GROUP BY room, floor ORDER BY room, floor",
            "SELECT * FROM home WHERE room = 'Kitchen' AND floor = '0' ORDER BY time DESC LIMIT 1",
        ] {
            assert!(uses_cache(&one, decided).await, "{decided}");
        }
        flush(&one).await;
    }
}

#[tokio::test]
async fn caches_used_by_rewritten_statements_are_refreshed() {
    let one = home().await;
    one.sql("SELECT count(*) AS n FROM home").await;
    assert_eq!(one.engine.feed(super::DATABASE).await.unwrap(), 0);
    assert!(uses_cache(&one, "SELECT DISTINCT room FROM home ORDER BY room").await);
    assert_eq!(one.engine.feed(super::DATABASE).await.unwrap(), 1);
}
