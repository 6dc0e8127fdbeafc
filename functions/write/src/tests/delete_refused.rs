//! Tests of refused row deletes with their exact answers.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use http::Request;
use neap_bucket::{CommitOutcome, Key, Register, RegisterChange, Stamp, StoreFaults};
use neap_catalog::HardDelete;
use neap_manifest::{Manifest, RecordedDelete};
use neap_row_delete::{Condition, DeleteRowsErrorKind, RowDelete, RowDeleter};
use neap_schema::{DatabaseId, TableId};
use neap_wal::DeleteLimits;
use serde_json::{Value, json};

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};
use crate::WriteSettings;

async fn prepared() -> (WriteTestBed, WriteInstance) {
    let stage = WriteTestBed::new();
    let instance =
        stage.instance_with(WriteSettings { max_request_bytes: 1000, ..WriteSettings::default() });
    let lines = "cpu,host=a usage=1 1\nmem,host=a,zone=b v=1 1\nodd zone=1 1";
    let reply = instance.write("d", lines).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    (stage, instance)
}

async fn v2(instance: &WriteInstance, query: &str, body: &str) -> HttpReply {
    let path = format!("/api/v2/delete?{query}");
    instance.post(&path, body.to_owned()).await
}

async fn v3(instance: &WriteInstance, body: &Value) -> HttpReply {
    let request = Request::post("/api/v3/delete_rows").header("content-type", "application/json");
    let body = Body::from(body.to_string());
    instance.send(request.body(body).unwrap()).await
}

fn of(predicate: &str) -> String {
    let (start, stop) = ("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    json!({ "start": start, "stop": stop, "predicate": predicate }).to_string()
}

#[tokio::test(start_paused = true)]
async fn invalid_v2_delete_requests_are_refused() {
    let (stage, instance) = prepared().await;
    let text = |value: &Value| value.to_string();
    let long = of(&format!("host=\"{}\"", "x".repeat(1000)));
    #[rustfmt::skip]
    let cases = [
        ("", of(""), 400, "missing bucket value"),
        ("bucket=", of(""), 400, "missing bucket value"),
        ("bucket=_d", of(""), 400, "db name did not start with a number or letter"),
        ("bucket=nope", of(""), 404, "database not found: nope"),
        ("bucket=d", String::new(), 400, "invalid request body: EOF while parsing a value at line 1 column 0"),
        ("bucket=d", text(&json!({ "predicate": "" })), 400, "start is missing"),
        ("bucket=d", text(&json!({ "start": "1970-01-01T00:00:00Z" })), 400, "stop is missing"),
        (
            "bucket=d",
            text(&json!({ "start": "yesterday", "stop": "1970-01-01T00:00:00Z" })),
            400,
            "start is not a time such as 2009-01-02T23:00:00Z: premature end of input",
        ),
        (
            "bucket=d",
            text(&json!({ "start": "1970-01-01T00:00:01Z", "stop": "1970-01-01T00:00:00Z" })),
            400,
            "stop is before start",
        ),
        ("bucket=d", of("_measurement=\"cpu"), 400, "delete predicate, character 14: the quote \" is not closed"),
        (
            "bucket=d",
            of("host!=a"),
            400,
            "delete predicate, character 5: the operator != is not supported, only = is",
        ),
        (
            "bucket=d",
            of("_measurement=cpu AND _field=usage"),
            400,
            "delete predicate, character 22: _field can't be in a delete predicate: a delete removes whole points",
        ),
        (
            "bucket=d",
            of("_measurement=cpu AND usage=1"),
            400,
            "column 'usage' of table 'cpu' is a field: rows are deleted by time and tags only",
        ),
        ("bucket=d", of("_measurement=cpu AND zone=b"), 400, "table 'cpu' has no tag 'zone'"),
        (
            "bucket=d",
            of("usage=1"),
            400,
            "column 'usage' of table 'cpu' is a field: rows are deleted by time and tags only",
        ),
        ("bucket=d", of("hsot=''"), 400, "no table has a tag 'hsot'"),
        ("bucket=d", long, 413, "max request size (1000 bytes) exceeded"),
    ];
    for (query, body, status, message) in cases {
        let reply = v2(&instance, query, &body).await;
        let code = match status {
            404 => "not found",
            413 => "request too large",
            _ => "invalid",
        };
        let answer = json!({ "code": code, "message": message }).to_string();
        assert_eq!((reply.status, reply.body), (status, answer), "{body}");
        assert_eq!(reply.headers.get("x-neap-stamp"), None);
    }
    assert_eq!(stage.segments().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn invalid_v3_delete_requests_are_refused() {
    let (stage, instance) = prepared().await;
    #[rustfmt::skip]
    let cases = [
        (json!({ "db": "nope", "table": "cpu" }), 404, "database not found: nope"),
        (json!({ "db": "d", "table": "nope" }), 404, "table not found: nope"),
        (
            json!({ "db": "d", "table": "cpu", "condition": "_measurement=mem" }),
            400,
            "the predicate excludes table 'cpu'",
        ),
        (json!({ "db": "d", "table": "cpu", "condition": "zone=b" }), 400, "table 'cpu' has no tag 'zone'"),
        (
            json!({ "db": "d", "table": "odd", "condition": "zone=b" }),
            400,
            "column 'zone' of table 'odd' is a field: rows are deleted by time and tags only",
        ),
        (
            json!({ "db": "d", "table": "cpu", "condition": "(host=a" }),
            400,
            "delete predicate, character 8: expected )",
        ),
        (
            json!({ "db": "d", "table": "cpu", "stop": "" }),
            400,
            "stop is not a time such as 2009-01-02T23:00:00Z: premature end of input",
        ),
        (json!({ "db": "d" }), 400, "serde json error: missing field `table` at line 1 column 10"),
    ];
    for (body, status, message) in cases {
        let reply = v3(&instance, &body).await;
        let answer = json!({ "error": message }).to_string();
        assert_eq!((reply.status, reply.body), (status, answer), "{body}");
    }
    let reply = instance.post("/api/v3/delete_rows", "{}").await;
    assert_eq!(reply.status, 415);
    assert_eq!(stage.segments().await.len(), 1);
}

fn everything(table: u32) -> RowDelete {
    RowDelete { table: TableId::new(table), condition: Condition::EVERYTHING }
}

/// Returns the ids of the database and of its table `cpu`.
async fn ids(instance: &WriteInstance) -> (DatabaseId, u32) {
    let root = instance.catalog.root(Duration::ZERO).await.unwrap();
    let catalog = instance.catalog_of("d").await;
    let table = catalog.table("cpu").unwrap().id().get();
    (root.value.database("d").unwrap(), table)
}

#[tokio::test(start_paused = true)]
async fn a_database_with_too_many_pending_deletes_refuses_more() {
    let (stage, instance) = prepared().await;
    let (database, table) = ids(&instance).await;
    let bucket = instance.catalog.bucket().clone();
    let register = Register::<Manifest>::new(bucket, Key::Manifest(database), 64);
    let long = RowDelete {
        table: TableId::new(table),
        condition: Condition::Tag { name: "host".to_owned(), value: Some("x".repeat(16_000)) },
    };
    let one = long.stored_bytes();
    let set = async |pending: u64, applied: u64| {
        let commit = register.commit(None, |base| {
            let mut manifest = Manifest::successor(base);
            let recorded = |number| RecordedDelete {
                stamp: Stamp::from_u64(number + 1),
                delete: long.clone(),
                added: base.version + 1,
                dropped: (number >= pending).then_some(base.version + 1),
                expiry: false,
            };
            manifest.deletes = (0..pending + applied).map(recorded).collect();
            Ok::<_, Infallible>(RegisterChange::Put(manifest, ()))
        });
        assert!(matches!(commit.await, Ok(CommitOutcome::Committed { .. })));
    };
    let limits = DeleteLimits::DEFAULT;
    let (most, most_applied) = (limits.pending_bytes / one, limits.applied_bytes / one);
    set(most, most_applied).await;
    let reply = v2(&instance, "bucket=d", &of("")).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    for (pending, applied, message) in [
        (most + 1, 0, "are waiting to be applied (limit: 4194304 bytes)"),
        (
            0,
            most_applied + 1,
            "are kept for the time-travel period (limit: 16777216 bytes)",
        ),
    ] {
        set(pending, applied).await;
        let reply = v2(&instance, "bucket=d", &of("")).await;
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert!(reply.body.contains(message), "{}", reply.body);
        assert_eq!(reply.headers["retry-after"], "60");
    }
    assert_eq!(stage.segments().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_503() {
    let (stage, instance) = prepared().await;
    let (database, table) = ids(&instance).await;
    let faults = StoreFaults { unavailable: 1.0, ..StoreFaults::default() };
    let instance = stage.instance_with_faults(faults);
    let one_table = json!({ "db": "d", "table": "cpu" });
    for reply in [v2(&instance, "bucket=d", &of("")).await, v3(&instance, &one_table).await] {
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert!(reply.headers.contains_key("retry-after"));
    }
    let deleter: &dyn RowDeleter = &*instance.service;
    let deleted =
        deleter.delete_rows(database, vec![everything(table)], stage.clock_reading(), None);
    let error = deleted.await.unwrap_err();
    assert_eq!(error.kind, DeleteRowsErrorKind::Unavailable);
    assert!(error.retry_after.is_some());
    assert_eq!(stage.segments().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_sql_delete_that_arrived_too_long_ago_is_not_put() {
    let (stage, instance) = prepared().await;
    let (database, table) = ids(&instance).await;
    let segments = stage.segments().await.len();
    let arrived = stage.clock_reading();
    stage.sleep(Duration::from_secs(60)).await;
    let deleter: &dyn RowDeleter = &*instance.service;
    let deleted = deleter.delete_rows(database, vec![everything(table)], arrived, None);
    let error = deleted.await.unwrap_err();
    assert_eq!(error.kind, DeleteRowsErrorKind::Unavailable);
    assert_eq!(stage.segments().await.len(), segments);
}

#[tokio::test(start_paused = true)]
async fn sql_deletes_are_put_or_refused_by_their_ids() {
    let (stage, instance) = prepared().await;
    let (database, table) = ids(&instance).await;
    let deleter: &dyn RowDeleter = &*instance.service;
    let delete = |database, deletes| {
        deleter.delete_rows(database, deletes, stage.clock_reading(), Some(Stamp::from_u64(7)))
    };
    let stamp = delete(database, vec![everything(table)]).await.unwrap();
    let segment = stage.segments().await.pop().unwrap();
    assert_eq!(segment.name().stamp, stamp);
    assert_eq!(segment.deletes(), [everything(table)]);

    let tag = |name: &str| RowDelete {
        condition: Condition::Tag { name: name.to_owned(), value: Some("a".to_owned()) },
        ..everything(table)
    };
    let many = RowDelete {
        condition: Condition::Any(vec![tag("host").condition; 101]),
        ..everything(table)
    };
    let dropped = instance.catalog_of("d").await.table("odd").unwrap().id();
    let drop = instance.catalog.delete_table(database, "odd", HardDelete::Never);
    drop.await.unwrap();
    use DeleteRowsErrorKind::{Invalid, NotFound};
    for (database, deletes, kind, message) in [
        (
            DatabaseId::new(99),
            vec![everything(table)],
            NotFound,
            "database not found: 99".to_owned(),
        ),
        (
            database,
            vec![everything(dropped.get())],
            NotFound,
            format!("table {dropped} was dropped"),
        ),
        (database, vec![tag("zone")], Invalid, "table 'cpu' has no tag 'zone'".to_owned()),
        (
            database,
            vec![tag("usage")],
            Invalid,
            "column 'usage' of table 'cpu' is a field: rows are deleted by time and tags only"
                .to_owned(),
        ),
        (
            database,
            vec![many],
            Invalid,
            "the condition of a delete has more than 100 terms".to_owned(),
        ),
        (database, Vec::new(), Invalid, "the write has no rows".to_owned()),
    ] {
        let error = delete(database, deletes).await.unwrap_err();
        assert_eq!((error.kind, error.message), (kind, message));
        assert_eq!((error.retry_after, error.stamp), (None, None));
    }
    assert_eq!(stage.segments().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_misspelt_condition_deletes_nothing() {
    let (stage, instance) = prepared().await;
    let body = json!({ "db": "d", "table": "cpu", "predicate": "host=a" });
    let reply = v3(&instance, &body).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("unknown field `predicate`"), "{}", reply.body);
    let body =
        r#"{"start":"1970-01-01T00:00:00Z","stop":"2100-01-01T00:00:00Z","condition":"host=a"}"#;
    let reply = v2(&instance, "bucket=d", body).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("unknown field `condition`"), "{}", reply.body);
    assert_eq!(stage.segments().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_keep_the_schema_drops_nothing() {
    let (_stage, instance) = prepared().await;
    for path in [
        "/api/v3/configure/database?db=d&data_only=true&remove_tables=true",
        "/api/v3/configure/table?db=d&table=cpu&data_only=true",
    ] {
        let request = Request::delete(path).body(Body::empty()).unwrap();
        let reply = instance.send(request).await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.body.contains("delete_rows"), "{}", reply.body);
    }
    let rows = v3(&instance, &json!({ "db": "d", "table": "cpu" })).await;
    assert_eq!(rows.status, 204, "{}", rows.body);
}
