//! Tests of stored rows, and of the answers to failures.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow_array::{Array, cast::AsArray, types::TimestampNanosecondType};
use axum::body::Body;
use futures::FutureExt;
use http::Request;
use neap_bucket::{CallHook, CallPhase, Entropy, FaultyStore, Operation, StoreCall, StoreFaults};
use neap_wal::TailWriterSettings;

use super::test_bed::{FaultSwitch, WriteTestBed};
use crate::{Precision, WriteOptions, WriteSettings};

#[tokio::test(start_paused = true)]
async fn good_lines_of_a_partial_write_are_stored() {
    let (stage, instance) = WriteTestBed::with_instance();
    let reply = instance.write("d", "m v=1i 1\nm v=x 2\nm v=3i 3\nm v=4.5 4").await;
    assert_eq!(reply.status, 400);
    assert!(reply.stamp().is_some(), "{}", reply.body);
    assert_eq!(stage.rows().await, 2);
    let metrics = instance.metrics.render();
    assert!(metrics.contains("influxdb3_write_lines_total{db=\"d\"} 2\n"));
    assert!(metrics.contains("influxdb3_write_lines_rejected_total{db=\"d\"} 2\n"));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_accept_partial_is_all_or_nothing() {
    let (stage, instance) = WriteTestBed::with_instance();
    let mut stored = 0;
    for path in [
        "/api/v3/write_lp?db=d&accept_partial=false",
        "/api/v2/write?bucket=d&accept_partial=false",
        "/write?db=d&accept_partial=false",
    ] {
        let reply = instance.post(path, "m v=1i 1\nm v=x 2\nm v=3i 3").await;
        assert_eq!((reply.status, reply.stamp()), (400, None));
        assert_eq!(stage.rows().await, stored);
        let reply = instance.post(path, "m v=1i 1\nm v=3i 3").await;
        assert_eq!(reply.status, 204, "{}", reply.body);
        stored += 2;
    }
    assert_eq!(stage.rows().await, stored);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_ask_how_many_rows_replace_each_other() {
    let instance = WriteTestBed::new().instance();
    let write = async |path: &str, count: &str| {
        let lines = "m,t=a v=1i 1\nm,t=b v=1i 1\nm,t=a v=2i 1\n";
        let request = Request::post(path).header("x-neap-count-replaced", count);
        let reply = instance.send(request.body(Body::from(lines)).unwrap()).await;
        let header = reply.headers.get("x-neap-replaced-rows");
        let replaced = header.map(|rows| rows.to_str().unwrap().to_owned());
        (reply.status, replaced)
    };
    for path in ["/api/v3/write_lp?db=d", "/api/v2/write?bucket=d", "/write?db=d"] {
        assert_eq!(write(path, "true").await, (204, Some("1".to_owned())), "{path}");
        assert_eq!(write(path, "false").await, (204, None), "{path}");
        assert_eq!(write(path, "yes").await, (400, None), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_line_changes_no_schema() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m,t=a v=1i 1").await;
    for lines in [
        "m,u=x new=1,v=2.0 1",
        "other a=1,a=2 1",
        "m,t=a w=1,x=2 99999999999999999999",
        "m,t=a w=1,x=2 9223372036854775807",
        "other,t=a t=1 1",
        "m time=1,y=2 1",
    ] {
        assert_eq!(instance.write("d", lines).await.status, 400, "{lines}");
    }
    assert_eq!(instance.tables("d").await, ["m t,v"]);
}

#[tokio::test(start_paused = true)]
async fn answers_carry_increasing_stamps() {
    let (stage, instance) = WriteTestBed::with_instance();
    let mut last = 0;
    for path in ["/api/v3/write_lp?db=d", "/api/v2/write?bucket=d", "/write?db=d"] {
        let stamp = instance.post(path, "m v=1 1").await.stamp().unwrap();
        assert!(stamp > last);
        last = stamp;
    }
    let names: Vec<_> = stage.segments().await.iter().map(|s| s.name().stamp.as_u64()).collect();
    assert_eq!(names.last(), Some(&last));
}

#[tokio::test(start_paused = true)]
async fn times_are_scaled_by_the_precision() {
    let (stage, instance) = WriteTestBed::with_instance();
    let body = "m,n=0 v=1 1\nm,n=1 v=1 1700000000\nm,n=2 v=1 1700000000123\nm,n=3 v=1";
    let reply = instance.post("/api/v3/write_lp?db=d", body).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    let segment = stage.segments().await.remove(0);
    let table = segment.tables().next().unwrap().table;
    let rows = segment.rows(table).unwrap().remove(0);
    let times = rows.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
    assert_eq!(times.null_count(), 0);
    assert_eq!(
        times.values()[..3],
        [1_000_000_000, 1_700_000_000_000_000_000, 1_700_000_000_123_000_000]
    );
    assert_eq!(times.value(3), 1_700_000_000_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn writes_to_a_dropped_database_are_refused() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    one.write("d", "m v=1 1").await;
    other.write("d", "m v=1 1").await;
    let request = Request::delete("/api/v3/configure/database?db=d");
    assert_eq!(one.send(request.body(Body::empty()).unwrap()).await.status, 200);
    let root = one.catalog.root(Duration::ZERO).await.unwrap();
    let dropped = root.value.databases().values().next().unwrap().name.clone();
    let message =
        format!("cannot write to soft-deleted database '{dropped}' - it is marked for deletion");
    for lines in ["m v=1 1", "m v=x 1"] {
        let reply = one.post(&format!("/api/v3/write_lp?db={dropped}"), lines).await;
        let answer = serde_json::json!({ "error": message }).to_string();
        assert_eq!((reply.status, reply.body), (400, answer));
    }
    let reply = one.post(&format!("/api/v2/write?bucket={dropped}"), "m v=1 1").await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains(r#""code":"invalid""#));

    // The name is free again. Within seconds, a write to this name goes to a new database on every instance.
    stage.sleep(Duration::from_secs(5)).await;
    assert_eq!(other.write("d", "m v=1 1").await.status, 204);
    let last = stage.segments().await.pop().unwrap();
    let root = other.catalog.root(Duration::ZERO).await.unwrap();
    assert_eq!(root.value.database("d"), Some(last.database()));
    assert_eq!(root.value.databases().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_503_and_stores_nothing() {
    let stage = WriteTestBed::new();
    stage.instance().write("d", "m v=1 1").await;
    let faults = StoreFaults { unavailable: 1.0, ..StoreFaults::default() };
    let instance = stage.instance_with_faults(faults);
    for path in ["/api/v3/write_lp?db=d", "/api/v2/write?bucket=d", "/write?db=new"] {
        let reply = instance.post(path, "m v=2 2").await;
        assert_eq!(reply.status, 503, "{}", reply.body);
        assert!(reply.headers.contains_key("retry-after"));
    }
    assert_eq!(stage.rows().await, 1);
}

/// Returns a store whose puts of segments take effect but never return while the switch is on.
pub(super) fn store_with_lost_responses(
    stage: &WriteTestBed,
    switch: &FaultSwitch,
) -> Arc<FaultyStore> {
    let switch = switch.clone();
    let hook: CallHook = Arc::new(move |call: &StoreCall| {
        let is_put = call.operation == Operation::Put && call.key.starts_with("tail/");
        let hangs = is_put && call.phase == CallPhase::After && switch.is_on();
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    });
    let world = stage.instance().service.world.clone();
    let store = FaultyStore::new(stage.store(), world, StoreFaults::default());
    Arc::new(store.with_hook(hook))
}

#[tokio::test(start_paused = true)]
async fn a_503_after_a_stamp_was_taken_carries_the_stamp() {
    let (stage, switch) = (WriteTestBed::new(), FaultSwitch::default());
    let instance =
        stage.instance_on(store_with_lost_responses(&stage, &switch), WriteSettings::default());
    instance.write("d", "m v=1 1").await;
    switch.set(true);
    for path in ["/api/v3/write_lp?db=d", "/api/v2/write?bucket=d", "/write?db=d"] {
        let reply = instance.post(path, "m v=2 2").await;
        assert_eq!(reply.status, 503, "{}", reply.body);
        let segment = stage.segments().await.pop().unwrap();
        assert_eq!(reply.stamp(), Some(segment.name().stamp.as_u64()));
        assert!(reply.headers.contains_key("retry-after"));
    }
}

#[tokio::test(start_paused = true)]
async fn catalogs_are_revalidated_when_a_write_waited_too_long() {
    let (stage, seen) = (WriteTestBed::new(), Arc::new(Mutex::new(Vec::new())));
    let clock = Arc::clone(&stage.instance().service.world.clock);
    let calls = Arc::clone(&seen);
    // One put of a segment is slow, so the next request waits until its catalogs are too old.
    let hook: CallHook = Arc::new(move |call: &StoreCall| {
        let is_put = call.operation == Operation::Put && call.key.starts_with("tail/");
        let is_slow = is_put && call.phase == CallPhase::Before && {
            let mut calls = calls.lock().unwrap();
            calls.push(call.number);
            calls.len() == 2
        };
        let wait = if is_slow {
            Duration::from_millis(1_900)
        } else {
            Duration::ZERO
        };
        clock.sleep(wait)
    });
    let world = stage.instance().service.world.clone();
    let store = FaultyStore::new(stage.store(), world, StoreFaults::default()).with_hook(hook);
    let instance = stage.instance_on(Arc::new(store), WriteSettings::default());
    instance.write("d", "m v=1 1").await;
    stage.sleep(Duration::from_millis(3_400)).await;
    let second = async {
        stage.sleep(Duration::from_millis(10)).await;
        instance.write("d", "m v=3 3").await
    };
    let work = async { tokio::join!(instance.write("d", "m v=2 2"), second) };
    let ((one, other), counts) = instance.counted(work).await;
    assert_eq!((one.status, other.status), (204, 204), "{}", other.body);
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 get database_catalog, 1 get manifest, 2 put tail"
    );
    assert_eq!(stage.rows().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_with_no_sync_is_answered_before_it_is_stored() {
    let (stage, switch) = (WriteTestBed::new(), FaultSwitch::default());
    let instance =
        stage.instance_on(store_with_lost_responses(&stage, &switch), WriteSettings::default());
    instance.write("d", "m v=1i 1").await;
    switch.set(true);
    let path = "/api/v3/write_lp?db=d&no_sync=true";
    let reply = instance.post(path, "m v=2i 2").await;
    assert_eq!((reply.status, reply.stamp()), (204, None));
    switch.set(false);
    stage.sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.rows().await, 2);
    let reply = instance.post(path, "m v=2.5 2\nm w=1 3").await;
    assert_eq!(reply.status, 400);
    assert_eq!(instance.tables("d").await, ["m v,w"]);
    stage.sleep(Duration::from_secs(20)).await;
    assert_eq!(stage.rows().await, 3);
}

#[tokio::test(start_paused = true)]
async fn no_sync_is_a_normal_write_where_it_is_not_allowed() {
    let stage = WriteTestBed::new();
    let instance =
        stage.instance_with(WriteSettings { no_sync_allowed: false, ..WriteSettings::default() });
    let reply = instance.post("/api/v3/write_lp?db=d&no_sync=true", "m v=2i 2").await;
    assert_eq!(reply.status, 204);
    assert!(reply.stamp().is_some());
    assert_eq!(stage.rows().await, 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_bytes_in_flight_are_503() {
    let (stage, switch) = (WriteTestBed::new(), FaultSwitch::default());
    let settings = WriteSettings { max_bytes_in_flight: 4096, ..WriteSettings::default() };
    let instance = stage.instance_on(store_with_lost_responses(&stage, &switch), settings);
    instance.write("d", "m v=1 1").await;
    switch.set(true);
    let body = "m v=1 1\n".repeat(300);
    let write = || {
        let (body, options) = (body.clone().into(), WriteOptions::default());
        instance.service.write("d", body, options)
    };
    let (first, second) = tokio::join!(write(), write());
    assert!(first.unwrap_err().stamp().is_some());
    assert!(second.unwrap_err().retry_after().is_some());
    let ((), counts) = instance.counted(async {}).await;
    assert_eq!(counts.to_string(), "nothing");
}

#[tokio::test(start_paused = true)]
async fn the_service_works_without_http() {
    let (stage, instance) = WriteTestBed::with_instance();
    let options = WriteOptions::with_precision(Precision::Second);
    let body = "m v=1 1\nm v=2 2".into();
    let accepted = instance.service.write("d", body, options).await.unwrap();
    assert_eq!(accepted.rows, 2);
    let segment = stage.segments().await.remove(0);
    assert_eq!(accepted.stamp, Some(segment.name().stamp));
    let database = segment.database();
    let catalog = instance.catalog.database(database, Duration::ZERO).await.unwrap();
    assert_eq!(segment.needs_catalog(), catalog.version);
}

/// Returns lines of two tables with random texts of `bytes` bytes in all.
fn random_lines(bytes: usize) -> String {
    let mut noise = vec![0; bytes];
    Entropy::from_seed(7).fill(&mut noise);
    let mut lines = String::new();
    for (time, chunk) in noise.chunks(4_096).enumerate() {
        let text = chunk
            .iter()
            .map(|byte| char::from(b'0' + byte % 64))
            .collect::<String>()
            .replace('\\', "z");
        lines.push_str(&format!("m{} v=\"{text}\" {time}\n", time % 2));
    }
    lines
}

#[tokio::test(start_paused = true)]
async fn a_large_request_of_several_tables_is_one_segment() {
    let stage = WriteTestBed::new();
    let instance = stage
        .instance_with(WriteSettings { max_request_bytes: 64 << 20, ..WriteSettings::default() });
    let lines = random_lines(24 << 20);
    let reply = instance.post("/api/v3/write_lp?db=d", lines).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    let segments = stage.segments().await;
    assert_eq!(segments.len(), 1);
    assert!(segments[0].size_bytes() > 16 << 20);
    assert_eq!(stage.rows().await, 6 << 10);
}

#[tokio::test(start_paused = true)]
async fn rows_that_no_segment_can_hold_are_413_and_nothing_is_stored() {
    let stage = WriteTestBed::new();
    let instance = stage.instance_of_writer(TailWriterSettings {
        max_in_flight_bytes: 1 << 20,
        ..TailWriterSettings::LOCAL
    });
    let reply = instance.post("/api/v3/write_lp?db=d", random_lines(2 << 20)).await;
    assert_eq!(reply.status, 413, "{}", reply.body);
    assert!(reply.body.contains("send them in several requests"), "{}", reply.body);
    assert!(!reply.headers.contains_key("retry-after"));
    assert_eq!(stage.segments().await.len(), 0);
}
