//! Tests of requests that create tables and columns: how many they may create, and that a refused request creates none.

use std::time::Duration;

use neap_catalog::CatalogLimits;
use neap_wal::TailWriterSettings;

use super::{
    test_bed::{FaultSwitch, WriteTestBed},
    writes::store_with_lost_responses,
};
use crate::{WriteFailure, WriteOptions, WriteSettings};

const PATHS: [&str; 3] = ["/api/v3/write_lp?db=d", "/api/v2/write?bucket=d", "/write?db=d"];

fn lines(tables: std::ops::Range<usize>) -> String {
    tables.map(|table| format!("m{table} v=1 1\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_write_with_too_many_new_tables_or_columns_creates_nothing() {
    let stage = WriteTestBed::new();
    let instance = stage.instance_with(WriteSettings {
        max_new_tables: 3,
        max_new_columns: 4,
        ..WriteSettings::default()
    });
    for path in PATHS {
        let reply = instance.post(path, lines(0..4)).await;
        assert_eq!(reply.status, 413, "{path}");
        let message = "the write would create 4 tables, more than 3: use smaller writes";
        assert!(reply.body.contains(message), "{}", reply.body);
    }
    let root = instance.catalog.root(Duration::ZERO).await;
    assert_eq!(root.unwrap().value.databases().len(), 0);

    assert_eq!(instance.write("d", "known v=1 1").await.status, 204);
    for path in PATHS {
        let reply = instance.post(path, lines(0..4)).await;
        assert_eq!(reply.status, 413, "{path}");
        let reply = instance.post(path, "known,a=1,b=2 c=3,d=4,e=5 1").await;
        let message = "the write would create 5 columns, more than 4: use smaller writes";
        assert!(reply.body.contains(message), "{}", reply.body);
    }
    assert_eq!(instance.tables("d").await, ["known v"]);
    // What exists already does not count.
    for tables in [0..3, 0..6] {
        assert_eq!(instance.post(PATHS[0], lines(tables)).await.status, 204);
    }
}

#[tokio::test(start_paused = true)]
async fn the_tables_of_a_database_are_limited() {
    let stage = WriteTestBed::new();
    let instance = stage.instance_with_limits(CatalogLimits {
        tables: Some(5),
        tables_per_database: Some(3),
        ..CatalogLimits::default()
    });
    let message = "Update to schema would exceed number of tables limit: attempted to create table but already have 3 table(s) (limit: 3)";
    let reply = instance.post(PATHS[0], lines(0..5)).await;
    assert_eq!(reply.status, 422);
    assert_eq!(reply.body.matches(message).count(), 2, "{}", reply.body);
    assert_eq!(stage.rows().await, 3);
    let reply = instance.post("/write?db=d", lines(2..4)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains(message), "{}", reply.body);
    // The limit for all databases is reached first in another one.
    let reply = instance.write("other", "a v=1 1\nb v=1 1\nc v=1 1").await;
    assert!(reply.body.contains("already have 5 table(s) (limit: 5)"), "{}", reply.body);
    assert_eq!(instance.tables("other").await, ["a v", "b v"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_fits_in_the_bytes_in_flight_creates_nothing() {
    let stage = WriteTestBed::new();
    assert_eq!(stage.instance().write("d", "known v=1 1").await.status, 204);
    let instance = stage.instance_of_writer(TailWriterSettings {
        max_in_flight_bytes: 1,
        ..TailWriterSettings::LOCAL
    });
    for path in PATHS {
        let reply = instance.post(path, "new,t=a v=1 1\nknown w=1 1").await;
        assert_eq!(reply.status, 413, "{}", reply.body);
        assert!(!reply.headers.contains_key("retry-after"));
    }
    assert_eq!(instance.tables("d").await, ["known v"]);
    assert_eq!(instance.service.writer.stats().in_flight_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_memory_for_its_columns_creates_nothing() {
    let (stage, switch) = (WriteTestBed::new(), FaultSwitch::default());
    let settings = WriteSettings { max_bytes_in_flight: 128 << 10, ..WriteSettings::default() };
    let instance = stage.instance_on(store_with_lost_responses(&stage, &switch), settings);
    assert_eq!(instance.write("d", "known v=1 1").await.status, 204);
    switch.set(true);
    // The first write holds more than half of the memory for longer than the second one waits. The lines of the second
    // one are short, but their columns are not.
    let write = |body: String| {
        let options = WriteOptions::default();
        instance.service.write("d", body.into(), options)
    };
    let first = write("known v=1 1\n".repeat(2_048));
    let second = async {
        stage.sleep(Duration::from_millis(10)).await;
        write((0..120).map(|n| format!("new f{n}=1 {n}\n")).collect()).await
    };
    let (_, refused) = tokio::join!(first, second);
    assert!(matches!(refused, Err(WriteFailure::Busy)), "{refused:?}");
    assert_eq!(instance.tables("d").await, ["known v"]);
}
