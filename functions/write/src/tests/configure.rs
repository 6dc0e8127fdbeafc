//! Tests of creating, changing and dropping databases and tables against the exact answers of InfluxDB 3 Core 3.10. More refused
//! requests are in `tests/e2e/src/malformed`.

use std::time::Duration;

use neap_bucket::StoreTime;

use super::test_bed::{WriteInstance, WriteTestBed, assert_answers, send};

const DATABASE: &str = "/api/v3/configure/database";
const RETENTION: &str = "/api/v3/configure/database/retention_period";
const TABLE: &str = "/api/v3/configure/table";

async fn prepared() -> (WriteTestBed, WriteInstance) {
    let stage = WriteTestBed::new();
    let instance = stage.sole_instance();
    instance.write("home", "home,room=a temp=1 1").await;
    (stage, instance)
}

#[tokio::test(start_paused = true)]
async fn answers_match_influxdb() {
    let (_stage, instance) = prepared().await;
    let requests = r#"
        POST /api/v3/configure/database {"db":"fresh"} ==> 200
        POST /api/v3/configure/database {"db":"fresh"} ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/database {"db":"_x"} ==> 400 {"error":"db name did not start with a number or letter"}
        POST /api/v3/configure/database {"db":"kept","retention_period":"30d"} ==> 200
        PUT /api/v3/configure/database {"db":"fresh","retention_period":"7d"} ==> 200
        PUT /api/v3/configure/database {"db":"nope","retention_period":"7d"} ==> 404 the requested resource was not found: nope
        POST /api/v3/configure/database/retention_period?db=home&duration=3650d ==> 204
        POST /api/v3/configure/database/retention_period?db=home&duration=0s ==> 400 the retention period must be longer than zero
        DELETE /api/v3/configure/database/retention_period?db=home ==> 204
        DELETE /api/v3/configure/database?db=fresh ==> 200
        DELETE /api/v3/configure/database?db=fresh ==> 404 the requested resource was not found: fresh
        POST /api/v3/configure/database {"db":"fresh"} ==> 200
        DELETE /api/v3/configure/database?db=kept&hard_delete_at=now ==> 200
        POST /api/v3/configure/table {"db":"home","table":"made","tags":["b","a"],"fields":[{"name":"f","type":"float64"},{"name":"i","type":"int64"},{"name":"u","type":"uint64"},{"name":"s","type":"utf8"},{"name":"o","type":"bool"}]} ==> 200
        POST /api/v3/configure/table {"db":"home","table":"made","tags":["a"],"fields":[]} ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/table {"db":"home","table":"nofields","tags":["a"],"fields":[]} ==> 200
        POST /api/v3/configure/table {"db":"viatable","table":"t","tags":["a"],"fields":[]} ==> 200
        POST /api/v3/configure/table {"db":"home","table":"a\u0000b","tags":["a"],"fields":[]} ==> 400 the name of the table 'a\0b' contains a NUL character
        POST /api/v3/configure/table {"db":"home","table":"nul","tags":["a\u0000b"],"fields":[]} ==> 400 the name of the column 'a\0b' contains a NUL character
        DELETE /api/v3/configure/table?db=home&table=made ==> 200
        DELETE /api/v3/configure/table?db=home&table=made ==> 404 Table made not in DB schema for home
    "#;
    for reply in assert_answers(&instance, requests).await {
        assert_eq!(reply.headers.get("content-type"), None);
        let origin = reply.headers.contains_key("access-control-allow-origin");
        assert_eq!(origin, reply.status < 300);
    }
    let tables = instance.tables("home").await;
    assert_eq!(tables, ["home room,temp", "nofields a"]);
}

#[tokio::test(start_paused = true)]
async fn created_tables_keep_the_order_of_their_tags() {
    let (_stage, instance) = prepared().await;
    let body =
        r#"{"db":"home","table":"made","tags":["z","a"],"fields":[{"name":"f","type":"bool"}]}"#;
    assert_eq!(send(&instance, "POST", TABLE, body).await.status, 200);
    assert_eq!(instance.write("home", "made,a=1,z=2 f=true 1").await.status, 204);
    assert_eq!(instance.write("home", "made,a=1,z=2 f=1 1").await.status, 400);
    let catalog = instance.catalog_of("home").await;
    let tags: Vec<_> = catalog.table("made").unwrap().tags().map(|tag| &tag.name).collect();
    assert_eq!(tags, ["z", "a"]);
}

#[tokio::test(start_paused = true)]
async fn retention_is_set_replaced_and_cleared() {
    let (_stage, instance) = prepared().await;
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let retention = async || instance.catalog_of("home").await.retention();
    send(&instance, "POST", &format!("{RETENTION}?db=home&duration=36h"), "").await;
    assert_eq!(retention().await, Some(DAY * 3 / 2));
    let body = r#"{"db":"home","retention_period":"7d"}"#;
    send(&instance, "PUT", DATABASE, body).await;
    assert_eq!(retention().await, Some(DAY * 7));
    send(&instance, "PUT", DATABASE, r#"{"db":"home","retention_period":null}"#).await;
    assert_eq!(retention().await, None);
    let body = r#"{"db":"new","retention_period":"1w"}"#;
    send(&instance, "POST", DATABASE, body).await;
    assert_eq!(instance.catalog_of("new").await.retention(), Some(DAY * 7));
}

#[tokio::test(start_paused = true)]
async fn updating_the_write_order_keeps_the_retention() {
    let (_stage, instance) = prepared().await;
    let set = async |body: &str| send(&instance, "PUT", DATABASE, body).await.status;
    let kept = async || {
        let catalog = instance.catalog_of("home").await;
        let retention = catalog.retention().map(|retention| retention.as_secs());
        (catalog.write_order().to_string(), retention)
    };
    assert_eq!(set(r#"{"db":"home","retention_period":"60s"}"#).await, 200);
    assert_eq!(set(r#"{"db":"home","order":"strict"}"#).await, 200);
    assert_eq!(kept().await, ("strict".to_owned(), Some(60)));
    let both = r#"{"db":"home","order":"clock","retention_period":null}"#;
    assert_eq!(set(both).await, 200);
    assert_eq!(kept().await, ("clock".to_owned(), None));
    assert_eq!(set(r#"{"db":"home","order":"loose"}"#).await, 400);
    assert_eq!(set(r#"{"db":"nope","order":"strict"}"#).await, 404);
    let body = r#"{"db":"new","order":"strict"}"#;
    assert_eq!(send(&instance, "POST", DATABASE, body).await.status, 200);
    let catalog = instance.catalog_of("new").await;
    assert_eq!(catalog.write_order().to_string(), "strict");
}

#[tokio::test(start_paused = true)]
async fn hard_delete_at_sets_the_deletion_time_of_dropped_data() {
    let (_stage, instance) = prepared().await;
    const HOUR_MICROS: i64 = 3_600_000_000;
    let now = 1_700_000_000_000_000;
    for (name, hard_delete_at, expected) in [
        ("a", "", Some(now + 72 * HOUR_MICROS)),
        ("b", "&hard_delete_at=default", Some(now + 72 * HOUR_MICROS)),
        ("c", "&hard_delete_at=never", None),
        ("d", "&hard_delete_at=now", Some(now)),
        ("e", "&hard_delete_at=2023-11-15T00:13:20%2B01:00", Some(now + HOUR_MICROS)),
        ("f", "&hard_delete_at=2001-01-01T00:00:00Z", Some(now)),
    ] {
        send(&instance, "POST", DATABASE, &format!(r#"{{"db":"{name}"}}"#)).await;
        let path = format!("{DATABASE}?db={name}{hard_delete_at}");
        let reply = send(&instance, "DELETE", &path, "").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let root = instance.catalog.root(Duration::ZERO).await.unwrap();
        let mut databases = root.value.databases().values();
        let dropped = databases.find(|entry| entry.name.starts_with(&format!("{name}-"))).unwrap();
        let at = dropped
            .deletion
            .unwrap()
            .hard_delete_at
            .map(StoreTime::micros)
            .map(|at| at / 1_000_000);
        assert_eq!(at, expected.map(|at| at / 1_000_000), "{hard_delete_at}");

        // Repeating the same drop is a conflict; a different time is not.
        let path = format!("{DATABASE}?db={}&hard_delete_at=never", dropped.name);
        let status = send(&instance, "DELETE", &path, "").await.status;
        assert_eq!(status, if expected.is_none() { 409 } else { 200 });
    }
}

const TABLE_RETENTION: &str = "/api/v3/configure/table/retention_period";

#[tokio::test(start_paused = true)]
async fn retention_of_a_table_is_set_on_both_paths_cleared_and_listed() {
    let (_stage, instance) = prepared().await;
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let kept = async || {
        let catalog = instance.catalog_of("home").await;
        catalog.retention_of(catalog.table("home").unwrap().id())
    };
    let enterprise = "/api/v3/enterprise/configure/table/retention_period";
    let by_database = format!("{RETENTION}?db=home&duration=7d");
    #[rustfmt::skip]
    let cases = [
        ("POST", by_database.as_str(), "", 204, "", Some(DAY * 7)),
        ("POST", enterprise, "?db=home&table=home&duration=1d", 204, "", Some(DAY)),
        ("POST", TABLE_RETENTION, "?db=home&table=home&duration=30d", 204, "", Some(DAY * 30)),
        (
            "POST",
            TABLE_RETENTION,
            "?db=home&table=home&duration=x",
            400,
            "Cannot parse the given human time: expected number at 0",
            Some(DAY * 30),
        ),
        (
            "POST",
            TABLE_RETENTION,
            "?db=home&table=home&duration=0s",
            400,
            "the retention period must be longer than zero",
            Some(DAY * 30),
        ),
        (
            "POST",
            TABLE_RETENTION,
            "?db=nope&table=home&duration=1d",
            404,
            "Database not found nope",
            Some(DAY * 30),
        ),
        (
            "DELETE",
            TABLE_RETENTION,
            "?db=home&table=nope",
            404,
            "Table nope not in DB schema for home",
            Some(DAY * 30),
        ),
    ];
    for (method, path, query, status, answer, expected) in cases {
        let reply = send(&instance, method, &format!("{path}{query}"), "").await;
        assert_eq!((reply.status, reply.body.as_str()), (status, answer), "{method} {path}{query}");
        assert_eq!(kept().await, expected, "{method} {path}{query}");
    }
    let made = r#"{"db":"home","table":"made","tags":[],"fields":[],"retention_period":"2d"}"#;
    assert_eq!(send(&instance, "POST", TABLE, made).await.status, 200);
    let list = "/api/v3/configure/retention?db=home";
    let path = format!("{TABLE_RETENTION}?db=home&table=home");
    assert_eq!(send(&instance, "DELETE", &path, "").await.status, 204);
    let listed = async |path: &str| send(&instance, "GET", path, "").await.body;
    assert_eq!(
        listed(list).await,
        concat!(
            r#"[{"database":"home","table":"home","retention_period_ns":604800000000000,"source":"database"},"#,
            r#"{"database":"home","table":"made","retention_period_ns":172800000000000,"source":"table"}]"#
        )
    );
    assert_eq!(kept().await, Some(DAY * 7));
    send(&instance, "DELETE", &format!("{RETENTION}?db=home"), "").await;
    let all = "/api/v3/configure/retention";
    assert_eq!(
        listed(all).await,
        concat!(
            r#"[{"database":"home","table":"home","retention_period_ns":null,"source":null},"#,
            r#"{"database":"home","table":"made","retention_period_ns":172800000000000,"source":"table"}]"#
        )
    );
    assert_eq!(send(&instance, "GET", &format!("{all}?db=nope"), "").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn dropped_items_can_be_undeleted_by_either_name_until_hard_delete() {
    let (stage, instance) = prepared().await;
    let of_table = r#"
        DELETE /api/v3/configure/table?db=home&table=home ==> 200
        POST /api/v3/configure/table/undelete?db=home&table=home ==> 200 {"name":"home"}
    "#;
    assert_answers(&instance, of_table).await;
    assert_eq!(instance.tables("home").await, ["home room,temp"]);
    let of_existing = "
        POST /api/v3/configure/table/undelete?db=home&table=home ==> 404 Table home not in DB schema for home
        POST /api/v3/configure/table/undelete?db=nope&table=home ==> 404 Database not found nope
        DELETE /api/v3/configure/database?db=home&hard_delete_at=2023-11-14T22:14:20Z ==> 200
    ";
    assert_answers(&instance, of_existing).await;
    instance.write("home", "home,room=a temp=1 1").await;
    let of_database = r#"
        POST /api/v3/configure/database/undelete?db=home-20231114T221320 ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/database/undelete?db=home-20231114T221320&name=_x ==> 400 {"error":"db name did not start with a number or letter"}
        POST /api/v3/configure/database/undelete?db=home&name=back ==> 200 {"name":"back"}
    "#;
    assert_answers(&instance, of_database).await;
    assert_eq!(instance.tables("back").await, ["home room,temp"]);
    let of_restored = "
        POST /api/v3/configure/database/undelete?db=back ==> 404 the requested resource was not found: back
        DELETE /api/v3/configure/database?db=back&hard_delete_at=2023-11-14T22:14:20Z ==> 200
    ";
    assert_answers(&instance, of_restored).await;
    stage.sleep(Duration::from_secs(61)).await;
    let path = "/api/v3/configure/database/undelete?db=back";
    let late = send(&instance, "POST", path, "").await;
    assert_eq!(late.status, 409);
    assert!(late.body.ends_with("it can't be undeleted"), "{}", late.body);
}

#[tokio::test(start_paused = true)]
async fn a_database_listing_route_can_be_merged_with_the_router() {
    let (_stage, instance) = prepared().await;
    let listing = axum::Router::new().route(DATABASE, axum::routing::get(async || "listing"));
    let _merged = crate::router(instance.service).merge(listing);
}

#[tokio::test(start_paused = true)]
async fn a_table_with_a_retention_is_one_commit() {
    let (_stage, instance) = prepared().await;
    let id = instance
        .catalog
        .database_by_name("home", Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let version = async || {
        let catalog = instance.catalog.database(id, Duration::ZERO).await;
        catalog.unwrap().version
    };
    let before = version().await;
    let made = r#"{"db":"home","table":"made","tags":[],"fields":[],"retention_period":"2d"}"#;
    assert_eq!(send(&instance, "POST", TABLE, made).await.status, 200);
    assert_eq!(version().await, before + 1);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_configure_requests_are_limited() {
    let (_stage, instance) = prepared().await;
    let long = "x".repeat(1 << 20);
    let body = format!(r#"{{"db":"home","table":"{long}","columns":[]}}"#);
    for path in [
        DATABASE,
        TABLE,
        "/api/v3/configure/last_cache",
        "/api/v3/configure/distinct_cache",
        "/api/v3/configure/file_index",
    ] {
        assert_eq!(send(&instance, "POST", path, &body).await.status, 413, "{path}");
    }
}
