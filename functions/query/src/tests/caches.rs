//! Answers of `last_cache` and `distinct_cache`.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_bucket::{KeyClass, Operation, OperationCounts};
use neap_catalog::{NewDistinctCache, NewLastCache};
use neap_scan::{StaleTail, TailSnapshot, is_stale_snapshot};
use neap_tables::QueryContext;

use super::{DATABASE, QueryTestInstance};

/// The clock starts at 1700000000 s.
const HOME: &str = "\
home,room=Kitchen,floor=0 temp=20,hum=40i 1699999990000000000
home,room=Kitchen,floor=0 temp=21 1699999991000000000
home,room=Cellar temp=10,hum=80i 1699999980000000000
home,room=Attic,floor=2 hum=33i 1699999970000000000
home,floor=9 temp=1 1699999999000000000";

pub(super) async fn create_last(
    one: &QueryTestInstance,
    name: &str,
    keys: &[&str],
    values: Option<&[&str]>,
    count: u64,
    ttl: Duration,
) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let new = NewLastCache {
        table: "home".to_owned(),
        name: Some(name.to_owned()),
        key_columns: Some(names(keys)),
        value_columns: values.map(names),
        count,
        ttl_s: ttl.as_secs(),
    };
    one.catalog.create_last_cache(DATABASE, &new).await.unwrap();
}

pub(super) async fn create_distinct(
    one: &QueryTestInstance,
    name: &str,
    columns: &[&str],
    max_cardinality: u64,
    max_age: Duration,
) {
    let new = NewDistinctCache {
        table: "home".to_owned(),
        name: Some(name.to_owned()),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        max_cardinality,
        max_age_s: max_age.as_secs(),
    };
    let created = one.catalog.create_distinct_cache(DATABASE, &new);
    created.await.unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_newest_rows_of_each_key_are_shown_newest_first() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_last(&one, "latest", &["room"], None, 1, HOUR).await;
    create_last(&one, "two", &["room"], Some(&["temp"]), 2, HOUR).await;
    create_last(&one, "all", &[], Some(&["room"]), 2, HOUR).await;
    for _ in 0..2 {
        assert_eq!(
            one.sql("SELECT * FROM last_cache('home', 'latest')").await,
            "room,floor,hum,temp,time\n\
             Attic,2,33,,2023-11-14T22:12:50\n\
             Cellar,,80,10.0,2023-11-14T22:13:00\n\
             Kitchen,0,,21.0,2023-11-14T22:13:11\n"
        );
        assert_eq!(
            one.sql("SELECT * FROM last_cache('home', 'two')").await,
            "room,temp,time\n\
             Attic,,2023-11-14T22:12:50\n\
             Cellar,10.0,2023-11-14T22:13:00\n\
             Kitchen,21.0,2023-11-14T22:13:11\n\
             Kitchen,20.0,2023-11-14T22:13:10\n"
        );
        assert_eq!(
            one.sql("SELECT * FROM last_cache('home', 'all')").await,
            "room,time\n,2023-11-14T22:13:19\nKitchen,2023-11-14T22:13:11\n"
        );
        assert_eq!(
            one.sql(
                "SELECT temp FROM last_cache('home', 'two') WHERE room = 'Kitchen' AND temp < 21"
            )
            .await,
            "temp\n20.0\n"
        );
        assert_eq!(
            one.sql("SELECT time, room FROM last_cache('home', 'two') LIMIT 1").await,
            "time,room\n2023-11-14T22:12:50,Attic\n"
        );
        assert_eq!(one.sql("SELECT count(*) AS n FROM last_cache('home', 'two')").await, "n\n4\n");
        one.flush().await;
    }
}

#[tokio::test]
async fn values_that_were_seen_lately_are_shown_sorted() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_distinct(&one, "rooms", &["room"], 100, HOUR).await;
    create_distinct(&one, "two", &["floor", "room"], 2, HOUR).await;
    for _ in 0..2 {
        assert_eq!(
            one.sql("SELECT * FROM distinct_cache('home', 'rooms')").await,
            "room\n\"\"\nAttic\nCellar\nKitchen\n"
        );
        assert_eq!(
            one.sql("SELECT * FROM distinct_cache('home', 'two')").await,
            "floor,room\n0,Kitchen\n9,\n"
        );
        assert_eq!(
            one.sql("SELECT room FROM distinct_cache('home', 'two') WHERE floor = '2'")
                .await,
            "",
            "what was cut off is not in the cache"
        );
        assert_eq!(
            one.sql(
                "SELECT room FROM distinct_cache('home', 'rooms') WHERE room <> 'Cellar' LIMIT 1"
            )
            .await,
            "room\nAttic\n"
        );
        one.flush().await;
    }
}

#[tokio::test]
async fn rows_expire_by_their_own_time() {
    let one = QueryTestInstance::with_rows(HOME).await;
    let age = Duration::from_secs(15);
    create_last(&one, "latest", &["room"], Some(&[]), 1, age).await;
    create_distinct(&one, "rooms", &["room"], 100, age).await;
    let last = "SELECT room FROM last_cache('home')";
    let distinct = "SELECT room FROM distinct_cache('home')";
    assert_eq!(one.sql(last).await, "room\nKitchen\n");
    assert_eq!(one.sql(distinct).await, "room\n\"\"\nKitchen\n");
    one.pass(Duration::from_secs(8));
    assert_eq!(one.sql(last).await, "");
    assert_eq!(one.sql(distinct).await, "room\n\"\"\n");
}

#[tokio::test]
async fn caches_may_be_keyed_by_fields() {
    let one =
        QueryTestInstance::with_rows("home,k=a state=\"on\",on=true 1699999990000000000").await;
    one.write("home,k=b state=\"off\",on=false 1699999991000000000").await;
    create_last(&one, "by_state", &["state", "on"], None, 1, HOUR).await;
    create_distinct(&one, "states", &["state"], 9, HOUR).await;
    assert_eq!(
        one.sql("SELECT * FROM last_cache('home')").await,
        "state,on,k,time\noff,false,b,2023-11-14T22:13:11\non,true,a,2023-11-14T22:13:10\n"
    );
    one.write("home,k=a state=\"off\" 1699999990000000000").await;
    assert_eq!(
        one.sql("SELECT k, time FROM last_cache('home') WHERE NOT \"on\" OR state = 'on'")
            .await,
        "k,time\nb,2023-11-14T22:13:11\n"
    );
    assert_eq!(one.sql("SELECT * FROM distinct_cache('home')").await, "state\noff\n");
}

#[tokio::test]
async fn wrong_arguments_are_refused_in_the_words_of_influxdb() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_last(&one, "a", &["room"], None, 1, HOUR).await;
    create_last(&one, "b", &["floor"], None, 1, HOUR).await;
    let table = "first argument must be the table name as a string";
    let cache = "second argument, if passed, must be the cache name as a string";
    let cases = [
        ("last_cache()", table),
        ("last_cache(home)", table),
        ("last_cache(1)", table),
        ("last_cache('home', 1)", cache),
        ("last_cache('nope')", "provided table name is invalid"),
        ("last_cache('home')", "could not find cache for the given arguments"),
        ("last_cache('home', 'c')", "could not find cache for the given arguments"),
        ("distinct_cache()", table),
        ("distinct_cache('home', NULL)", cache),
        ("distinct_cache('nope')", "provided table name (nope) is invalid"),
        (
            "distinct_cache('home')",
            "could not find distinct value cache for the given arguments",
        ),
    ];
    for (call, expected) in cases {
        let sql = format!("SELECT * FROM {call}");
        let (status, body) = one.post(serde_json::json!({"db": "db", "q": sql})).await;
        assert_eq!(status, 400, "{sql}: {body}");
        // An argument that is no string is resolved as a column first, and there are no columns.
        if call != "last_cache(home)" {
            assert_eq!(body, format!("Error during planning: {expected}"), "{sql}");
        }
    }
}

#[tokio::test]
async fn caches_are_read_in_statements_of_any_kind() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_last(&one, "latest", &["room"], None, 2, HOUR).await;
    create_distinct(&one, "rooms", &["room"], 100, HOUR).await;
    let cases = [
        (
            "SELECT room AS r, temp FROM last_cache('home') ORDER BY temp DESC, r LIMIT 2 OFFSET 1",
            "r,temp\nKitchen,21.0\nKitchen,20.0\n",
        ),
        (
            "SELECT r FROM (SELECT room AS r, hum FROM last_cache('home') WHERE temp > 5) x \
             WHERE hum * 2 > 100",
            "r\nCellar\n",
        ),
        (
            "SELECT upper(room) AS u FROM last_cache('home') WHERE room LIKE 'A%'",
            "u\nATTIC\n",
        ),
        (
            "SELECT d.room, max(l.temp) AS m FROM distinct_cache('home') d \
             JOIN last_cache('home') l ON l.room = d.room GROUP BY d.room ORDER BY d.room",
            "room,m\nAttic,\nCellar,10.0\nKitchen,21.0\n",
        ),
        (
            "SELECT count(*) AS n FROM home WHERE room IN (SELECT room FROM distinct_cache('home'))",
            "n\n4\n",
        ),
        (
            "SELECT room FROM last_cache('home') WHERE time > now() - INTERVAL '15 seconds' \
             UNION ALL SELECT room FROM distinct_cache('home') WHERE room = 'Attic' \
             ORDER BY room",
            "room\nAttic\nKitchen\nKitchen\n",
        ),
        (
            "SELECT room FROM distinct_cache('home') GROUP BY room ORDER BY room DESC LIMIT 2",
            "room\n\"\"\nKitchen\n",
        ),
        (
            "SELECT row_number() OVER (ORDER BY room) AS n, room FROM distinct_cache('home') \
             WHERE room IS NOT NULL ORDER BY n DESC LIMIT 1",
            "n,room\n3,Kitchen\n",
        ),
        (
            "SELECT temp FROM last_cache('home') WHERE room = 'Kitchen' OR floor = '9' \
             ORDER BY time LIMIT 1",
            "temp\n20.0\n",
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(one.sql(sql).await, expected, "{sql}");
        assert_eq!(one.sql_without_caches(sql).await, expected, "{sql}");
    }
    let query = serde_json::json!({
        "db": "db", "format": "csv", "params": {"room": "Cellar"},
        "q": "SELECT temp FROM last_cache('home') WHERE room = $room",
    });
    assert_eq!(one.post(query).await, (200, "temp\n10.0\n".to_owned()));
    let unknown = serde_json::json!({"db": "db", "q": "SELECT nope FROM last_cache('home')"});
    assert_eq!(one.post(unknown).await.0, 500);
}

async fn explained(one: &QueryTestInstance, sql: &str) -> String {
    one.sql(&format!("EXPLAIN {sql}")).await
}

#[tokio::test]
async fn explain_shows_the_cache_and_what_is_asked_of_it() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_last(&one, "latest", &["room"], None, 1, HOUR).await;
    create_distinct(&one, "rooms", &["room"], 100, HOUR).await;
    let plan = explained(
        &one,
        "SELECT temp FROM last_cache('home') WHERE room IN ('Attic', 'Cellar') AND hum > 3",
    )
    .await;
    assert!(
        plan.contains(
            "LastCacheExec: cache=latest, predicates=[room = Utf8(\"\"Attic\"\") OR \
             room = Utf8(\"\"Cellar\"\")], projection=[hum, temp]"
        ),
        "{plan}"
    );
    assert!(plan.contains("FilterExec: hum"), "{plan}");
    let plan = explained(&one, "SELECT * FROM distinct_cache('home') LIMIT 2").await;
    let expected = "DistinctCacheExec: cache=rooms, limit=2, projection=[room]";
    assert!(plan.contains(expected), "{plan}");
}

#[tokio::test]
async fn contents_come_from_one_object_and_stay_in_memory() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_last(&one, "latest", &["room"], None, 1, HOUR).await;
    one.flush().await;
    one.fill_caches().await;
    let sql = "SELECT room, temp FROM last_cache('home') WHERE room = 'Kitchen'";
    let of = |counts: OperationCounts, class| counts.of(Operation::Get, class).requests;
    let first = one.requests(sql).await;
    assert_eq!((of(first, KeyClass::Cache), of(first, KeyClass::Data)), (1, 0));
    let second = one.requests(sql).await;
    assert_eq!((of(second, KeyClass::Cache), of(second, KeyClass::Data)), (0, 0));
    let stats = one.engine.cache_stats();
    assert_eq!((stats.hits, stats.misses, stats.loads, stats.scans), (1, 1, 1, 0));
    one.write("home,room=Kitchen,floor=0 temp=5 1699999999500000000").await;
    assert_eq!(one.sql(sql).await, "room,temp\nKitchen,5.0\n");
    one.flush().await;
    // The flush wrote a new object.
    assert_eq!(one.engine.feed(DATABASE).await.unwrap(), 1);
    let fed = one.requests(sql).await;
    assert_eq!((of(fed, KeyClass::Cache), of(fed, KeyClass::Data)), (0, 0));
    assert_eq!(one.sql(sql).await, "room,temp\nKitchen,5.0\n");
}

#[tokio::test]
async fn only_caches_that_were_queried_recently_are_refreshed() {
    let one = QueryTestInstance::with_rows(HOME).await;
    create_last(&one, "latest", &["room"], None, 1, HOUR).await;
    assert_eq!(one.engine.feed(DATABASE).await.unwrap(), 0);
    one.sql("SELECT * FROM last_cache('home')").await;
    assert_eq!(one.engine.feed(DATABASE).await.unwrap(), 1);
    one.pass(Duration::from_secs(600));
    assert_eq!(one.engine.feed(DATABASE).await.unwrap(), 0);
}

#[tokio::test]
async fn caches_do_not_affect_answers_as_of_earlier_times() {
    let one = QueryTestInstance::alone().await;
    let stamp = one.write(HOME).await;
    create_last(&one, "latest", &["room"], Some(&["temp"]), 1, HOUR).await;
    let sql = "SELECT room, temp FROM last_cache('home') WHERE room = 'Kitchen'";
    one.write("home,room=Kitchen,floor=0 temp=5 1699999999500000000").await;
    assert_eq!(one.sql(sql).await, "room,temp\nKitchen,5.0\n");
    let (status, _, then) = one.sql_at(sql, &stamp.to_string()).await;
    assert_eq!((status, then.as_str()), (200, "room,temp\nKitchen,21.0\n"));
    assert_eq!(one.sql(sql).await, "room,temp\nKitchen,5.0\n");
}

#[tokio::test]
async fn the_header_that_switches_caches_off_is_on_or_off() {
    let one = QueryTestInstance::with_rows(HOME).await;
    let request = Request::get("/api/v3/query_sql?db=db&q=SELECT%201")
        .header("x-neap-cache", "maybe")
        .body(Body::empty())
        .unwrap();
    let expected = "header x-neap-cache is neither on nor off".to_owned();
    assert_eq!(one.send(request).await, (400, expected));
}

#[tokio::test]
async fn a_tail_image_newer_than_a_query_is_kept() {
    let one = QueryTestInstance::with_rows(HOME).await;
    let before = one.context().await;
    one.write("home,room=Garage temp=1 1699999999500000000").await;
    let after = one.context().await;
    let rows = |context: &QueryContext, stale_tail| {
        let table = context.snapshot.catalog.value.table("home").unwrap();
        let tails = &one.engine.tables().scan.tails;
        let image =
            tails.image(&TailSnapshot::from(context.snapshot.as_ref()), table, &[], stale_tail);
        image.map(|tail| tail.image.num_rows())
    };
    assert_eq!(rows(&after, StaleTail::Fail).unwrap(), 6);
    let error = rows(&before, StaleTail::Fail).unwrap_err();
    assert!(is_stale_snapshot(&error), "{error}");
    assert_eq!(rows(&before, StaleTail::Rebuild).unwrap(), 5);
    assert_eq!(rows(&after, StaleTail::Fail).unwrap(), 6);
}
