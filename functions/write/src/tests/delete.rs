//! Tests of acknowledged row deletes: their answers, their order among writes, and their costs.

use std::{sync::Arc, time::Duration};

use arrow_array::{cast::AsArray, types::TimestampNanosecondType};
use axum::body::Body;
use futures::FutureExt;
use http::Request;
use neap_bucket::{CallHook, CallPhase, FaultyStore, Operation, StoreCall, StoreFaults};
use neap_points::{TableChange, apply_deletes, deduplicate};
use serde_json::json;

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};
use crate::WriteSettings;

const WHOLE: (&str, &str) = ("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z");

impl WriteInstance {
    /// Deletes through `/api/v2/delete`.
    async fn delete(&self, db: &str, (start, stop): (&str, &str), predicate: &str) -> HttpReply {
        let body = json!({ "start": start, "stop": stop, "predicate": predicate });
        let path = format!("/api/v2/delete?org=o&bucket={db}");
        self.post(&path, body.to_string()).await
    }

    async fn delete_rows(&self, body: serde_json::Value) -> HttpReply {
        let request =
            Request::post("/api/v3/delete_rows").header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

impl WriteTestBed {
    /// Returns the segments in order, described by their tables and row counts or by their deletes.
    async fn history(&self, instance: &WriteInstance, db: &str) -> Vec<String> {
        let catalog = instance.catalog_of(db).await;
        let name = |table| catalog.table_by_id(table).unwrap().name().to_owned();
        let segments = self.segments().await;
        let describe = |segment: &neap_wal::Segment| {
            let rows = segment.tables().map(|rows| format!("{} {}", name(rows.table), rows.rows));
            let deletes = segment
                .deletes()
                .iter()
                .map(|delete| format!("-{} {}", name(delete.table), delete.condition));
            rows.chain(deletes).collect::<Vec<_>>().join("; ")
        };
        segments.iter().map(describe).collect()
    }

    /// Returns the times of a table's points in the tail, in seconds.
    async fn points(&self, instance: &WriteInstance, db: &str, table: &str) -> Vec<i64> {
        let catalog = instance.catalog_of(db).await;
        let table = catalog.table(table).unwrap();
        let segments = self.segments().await;
        let mut history = Vec::new();
        for segment in &segments {
            let rows = segment.rows(table.id()).unwrap();
            history.extend(rows.into_iter().map(TableChange::Rows));
            let deletes = segment.deletes().iter().filter(|delete| delete.table == table.id());
            history.extend(deletes.map(|delete| TableChange::Delete(&delete.condition)));
        }
        let left = apply_deletes(history).unwrap();
        let folded = deduplicate(&table.tag_names(), &table.arrow_schema(), left).unwrap();
        let times = folded
            .column_by_name("time")
            .unwrap()
            .as_primitive::<TimestampNanosecondType>()
            .values();
        times.iter().map(|time| time / 1_000_000_000).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_removes_earlier_writes_and_keeps_later_ones() {
    let (stage, instance) = WriteTestBed::with_instance();
    let first = instance
        .write("d", "cpu,host=a v=1 1\ncpu,host=b v=1 2\nmem,host=a v=1 3")
        .await;
    let predicate = r#"_measurement="cpu" AND host="a""#;
    let deleted = instance.delete("d", WHOLE, predicate).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    let last = instance.write("d", "cpu,host=a v=1 4").await;
    assert!(first.stamp() < deleted.stamp() && deleted.stamp() < last.stamp());
    assert_eq!(
        stage.history(&instance, "d").await,
        [
            "cpu 2; mem 1",
            "-cpu \"host\" = 'a' AND time >= '1970-01-01T00:00:00Z' AND time <= '2100-01-01T00:00:00Z'",
            "cpu 1",
        ]
    );
    assert_eq!(stage.points(&instance, "d", "cpu").await, [4, 2]);
    assert_eq!(stage.points(&instance, "d", "mem").await, [3]);
    let metrics = instance.metrics.render();
    assert!(metrics.contains("neap_row_deletes_total{db=\"d\"} 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_time_range_includes_both_ends_and_clamps_out_of_range_times() {
    let (stage, instance) = WriteTestBed::with_instance();
    instance.write("d", "m v=1 1\nm v=1 2\nm v=1 3\nm v=1 4").await;
    let range = ("1970-01-01T00:00:02Z", "1970-01-01T01:00:03+01:00");
    assert_eq!(instance.delete("d", range, "").await.status, 204);
    assert_eq!(stage.points(&instance, "d", "m").await, [1, 4]);
    let range = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z");
    assert_eq!(instance.delete("d", range, "").await.status, 204);
    assert!(stage.points(&instance, "d", "m").await.is_empty());
    let history = stage.history(&instance, "d").await;
    assert_eq!(history.last().unwrap(), "-m true");
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_table_are_deleted_without_a_time_range() {
    let (stage, instance) = WriteTestBed::with_instance();
    instance.write("d", "m,t=a v=1 1\nm,t=b v=1 2\nm v=1 3").await;
    let reply = instance
        .delete_rows(json!({ "db": "d", "table": "m", "condition": "t=a OR t=''" }))
        .await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    assert!(reply.stamp().is_some());
    assert_eq!(stage.points(&instance, "d", "m").await, [2]);
    let stop = "1970-01-01T00:00:02Z";
    let reply = instance.delete_rows(json!({ "db": "d", "table": "m", "stop": stop })).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    let history = stage.history(&instance, "d").await;
    assert_eq!(
        history[1..],
        ["-m \"t\" = 'a' OR \"t\" IS NULL", "-m time <= '1970-01-01T00:00:02Z'",]
    );
}

#[tokio::test(start_paused = true)]
async fn a_predicate_without_a_table_is_resolved_for_each_table() {
    let (stage, instance) = WriteTestBed::with_instance();
    let lines = "a,host=x v=1 1\nb,zone=x v=1 1\nc,host=x,zone=x v=1 1\ne host=1 1";
    instance.write("d", lines).await;
    let range = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z");
    for predicate in [
        "host=x AND zone=x",
        "host=x OR zone=x",
        "host=''",
        "_measurement=a OR _measurement=b AND zone=x OR _measurement=missing",
    ] {
        let reply = instance.delete("d", range, predicate).await;
        assert_eq!(reply.status, 204, "{}", reply.body);
    }
    assert_eq!(
        stage.history(&instance, "d").await[1..],
        [
            r#"-c "host" = 'x' AND "zone" = 'x'"#,
            r#"-a "host" = 'x'; -b "zone" = 'x'; -c "host" = 'x' OR "zone" = 'x'"#,
            r#"-a "host" IS NULL; -b true; -c "host" IS NULL; -e true"#,
            r#"-a true; -b "zone" = 'x'"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_delete_without_possible_matches_writes_no_segment() {
    let (stage, instance) = WriteTestBed::with_instance();
    instance.write("d", "m,t=a v=1 1").await;
    for predicate in [
        "_measurement=missing",
        "_measurement=missing AND t=a",
        "_measurement=m AND _measurement=n",
    ] {
        let reply = instance.delete("d", WHOLE, predicate).await;
        assert_eq!((reply.status, reply.stamp()), (204, None), "{predicate}");
    }
    assert_eq!(stage.segments().await.len(), 1);
    assert!(!instance.metrics.render().contains("neap_row_deletes_total{"));
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_ordered_between_the_writes_of_its_batch() {
    let stage = WriteTestBed::new();
    let clock = Arc::clone(&stage.instance().service.world.clock);
    let hook: CallHook = Arc::new(move |call: &StoreCall| {
        let is_put = call.operation == Operation::Put && call.key.starts_with("tail/");
        let is_slow = is_put && call.phase == CallPhase::Before;
        clock.sleep(Duration::from_millis(if is_slow { 100 } else { 0 }))
    });
    let world = stage.instance().service.world.clone();
    let store = FaultyStore::new(stage.store(), world, StoreFaults::default()).with_hook(hook);
    let instance = stage.instance_on(Arc::new(store), WriteSettings::default());
    instance.write("d", "m v=1 1").await;
    let later = async |millis, work: futures::future::BoxFuture<'_, HttpReply>| {
        stage.sleep(Duration::from_millis(millis)).await;
        work.await
    };
    // The first put is in flight while the other requests join the next batch.
    let replies = tokio::join!(
        later(0, instance.write("d", "m v=1 2").boxed()),
        later(10, instance.write("d", "m v=1 3").boxed()),
        later(20, instance.delete("d", WHOLE, "_measurement=m").boxed()),
        later(30, instance.write("d", "m v=1 4").boxed()),
        later(40, instance.write("d", "m v=1 5").boxed()),
    );
    let stamps = [
        replies.0.stamp(),
        replies.1.stamp(),
        replies.2.stamp(),
        replies.3.stamp(),
        replies.4.stamp(),
    ];
    assert!(stamps.is_sorted() && stamps[2] < stamps[3] && stamps[3] == stamps[4]);
    assert_eq!(stage.points(&instance, "d", "m").await, [4, 5]);
    assert_eq!(stage.segments().await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_delete_sees_tables_and_tags_of_all_earlier_writes() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    one.write("d", "m,t=a v=1 1").await;
    other.write("d", "m,t=a v=1 1").await;
    one.write("d", "new,u=a v=1 1\nm,u=b v=1 1").await;
    stage.sleep(Duration::from_secs(1)).await;
    let reply = other.delete("d", WHOLE, "u=a OR u=b").await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    let segment = stage.segments().await.pop().unwrap();
    assert_eq!(segment.deletes().len(), 2);
    let catalog = other.catalog.database(segment.database(), Duration::ZERO);
    assert_eq!(segment.needs_catalog(), catalog.await.unwrap().version);
    // A database unknown to this instance is looked up.
    one.write("e", "m v=1 1").await;
    let reply = other.delete("e", WHOLE, "").await;
    assert_eq!(reply.status, 204, "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn a_delete_costs_three_gets_a_list_and_a_put() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let delete = instance.delete("d", WHOLE, "");
    let (reply, counts) = instance.counted(delete).await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 get database_catalog, 1 get manifest, 1 put tail, 1 list tail"
    );
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_ordered_after_the_requested_stamp() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let after = (1_700_000_001 * 1_000_000) << 12;
    let body = json!({ "start": WHOLE.0, "stop": WHOLE.1 }).to_string();
    let request = Request::post("/api/v2/delete?db=d").header("x-neap-stamp", after);
    let reply = instance.send(request.body(Body::from(body)).unwrap()).await;
    assert!(reply.stamp().unwrap() > after, "{}", reply.body);
}
