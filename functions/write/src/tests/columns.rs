//! Renamed and dropped columns: requests with both names, stored names of segments, and several instances.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};

const COLUMN: &str = "/api/v3/configure/table/column";

async fn send(instance: &WriteInstance, method: &str, path: &str) -> HttpReply {
    let request = Request::builder().method(method).uri(path).body(Body::empty());
    instance.send(request.unwrap()).await
}

async fn sent(instance: &WriteInstance, method: &str, path: &str) {
    let reply = send(instance, method, path).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{path}");
}

async fn rename(instance: &WriteInstance, column: &str, name: &str) {
    let query = format!("db=home&table=cpu&column={column}&name={name}");
    sent(instance, "POST", &format!("{COLUMN}/rename?{query}")).await;
}

async fn drop_column(instance: &WriteInstance, column: &str) {
    sent(instance, "DELETE", &format!("{COLUMN}?db=home&table=cpu&column={column}")).await;
}

async fn written(instance: &WriteInstance, lines: &'static str) {
    let reply = instance.write("home", lines).await;
    assert_eq!(reply.status, 204, "{lines}: {}", reply.body);
}

/// Returns the names of the columns in the last segment.
async fn stored(fixture: &WriteTestBed) -> BTreeSet<String> {
    let segments = fixture.segments().await;
    let last = segments.last().unwrap();
    let tables: Vec<_> = last.tables().map(|rows| rows.table).collect();
    let batches = tables.into_iter().flat_map(|table| last.rows(table).unwrap());
    let fields = batches.flat_map(|batch| batch.schema_ref().fields().to_vec());
    fields.map(|field| field.name().clone()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn rows_have_the_stored_names_of_columns_under_each_name() {
    let fixture = WriteTestBed::new();
    let instance = fixture.sole_instance();
    written(&instance, "cpu,host=a load=1 1").await;
    rename(&instance, "load", "usage").await;
    rename(&instance, "host", "server").await;
    for lines in [
        "cpu,host=a load=2 2",
        "cpu,server=a usage=3 3",
        "cpu,host=a usage=4 4\ncpu,server=b load=5 5",
    ] {
        written(&instance, lines).await;
        assert_eq!(stored(&fixture).await, names(&["host", "load", "time"]), "{lines}");
    }
    assert_eq!(instance.tables("home").await, ["cpu server,usage"]);
    let twice = instance.write("home", "cpu,host=a load=1,usage=2 6").await;
    assert_eq!(twice.status, 400, "{}", twice.body);
    let path = format!("{COLUMN}/alias?db=home&table=cpu&alias=load");
    sent(&instance, "DELETE", &path).await;
    assert_eq!(send(&instance, "DELETE", &path).await.status, 404);
    written(&instance, "cpu,server=a load=7i 7").await;
    assert_eq!(stored(&fixture).await, names(&["host", "load~3", "time"]));
    assert_eq!(instance.tables("home").await, ["cpu server,usage,load"]);
}

#[tokio::test(start_paused = true)]
async fn a_column_that_is_created_again_is_stored_under_another_name() {
    let fixture = WriteTestBed::new();
    let instance = fixture.sole_instance();
    written(&instance, "cpu,host=a load=1,note=\"n\" 1").await;
    drop_column(&instance, "load").await;
    drop_column(&instance, "note").await;
    // Of several new columns, all but the first get other names than expected, so the rows are encoded again.
    written(&instance, "cpu,host=a load=1i,note=2i 2").await;
    let expected = names(&["host", "load~4", "note~5", "time"]);
    assert_eq!(stored(&fixture).await, expected);
    assert_eq!(instance.tables("home").await, ["cpu host,load,note"]);
    let reply = send(&instance, "DELETE", &format!("{COLUMN}?db=home&table=cpu&column=host")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("part of the key"), "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn another_instance_never_stores_a_new_column_under_the_name_of_a_former_one() {
    let fixture = WriteTestBed::new();
    let (one, other) = (fixture.instance(), fixture.instance());
    written(&other, "cpu,host=a load=1 1").await;
    drop_column(&one, "load").await;
    written(&other, "cpu,host=a load=2i 2").await;
    assert_eq!(stored(&fixture).await, names(&["host", "load~3", "time"]));
    written(&one, "cpu,host=a load=3i 3").await;
    rename(&one, "load", "usage").await;
    written(&other, "cpu,host=a usage=4i 4").await;
    written(&other, "cpu,host=a load=5i 5").await;
    assert_eq!(stored(&fixture).await, names(&["host", "load~3", "time"]));
    assert_eq!(one.tables("home").await, ["cpu host,usage"]);
}
