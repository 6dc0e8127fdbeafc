//! Tests of instances that change the same catalog concurrently.

use std::time::Duration;

use futures::future::join_all;
use neap_bucket::StoreFaults;

use super::test_bed::WriteTestBed;

#[tokio::test(start_paused = true)]
async fn concurrent_creations_of_a_table_agree_on_its_id() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    let lines = ["m,t=a v=1i 1", "m,t=a v=2i,w=1.5 1"];
    let (first, second) = tokio::join!(one.write("d", lines[0]), other.write("d", lines[1]));
    assert_eq!((first.status, second.status), (204, 204), "{} {}", first.body, second.body);
    let mut tables = one.tables("d").await;
    assert_eq!(tables, other.tables("d").await);
    assert_eq!(tables.remove(0).len(), "m t,v,w".len());
    let segments = stage.segments().await;
    let ids: Vec<_> = segments.iter().flat_map(|s| s.tables()).map(|t| t.table).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(segments[0].database(), segments[1].database());
}

#[tokio::test(start_paused = true)]
async fn concurrent_creations_of_a_column_with_two_types_refuse_one_line() {
    let faults = StoreFaults {
        delay: 1.0,
        longest_delay: Duration::from_millis(100),
        ..StoreFaults::default()
    };
    let stage = WriteTestBed::new();
    let (one, other) =
        (stage.instance_with_faults(faults.clone()), stage.instance_with_faults(faults));
    one.write("d", "m u=1 1").await;
    other.write("d", "m u=1 1").await;
    let (int, float) =
        tokio::join!(one.write("d", "m v=1i 1\nm u=2 2"), other.write("d", "m v=1.5 1\nm u=2 2"));
    let mut statuses = [int.status, float.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 400], "{} {}", int.body, float.body);
    let refused = if int.status == 400 { int } else { float };
    assert!(refused.body.contains("invalid column type for column 'v'"), "{}", refused.body);
    assert!(refused.stamp().is_some());
    // The other line of the refused request is stored.
    assert_eq!(stage.rows().await, 2 + 3);
}

#[tokio::test(start_paused = true)]
async fn many_concurrent_writers_of_new_tables_lose_no_rows() {
    let faults = StoreFaults {
        delay: 0.5,
        longest_delay: Duration::from_millis(20),
        ..StoreFaults::default()
    };
    let stage = WriteTestBed::new();
    let instances: Vec<_> = (0..4).map(|_| stage.instance_with_faults(faults.clone())).collect();
    let writes = (0..24).map(|number| {
        let instance = &instances[number % 4];
        let table = number % 6;
        async move {
            let body = format!("t{table},n={number} f{number}=1 {number}");
            let path = "/api/v3/write_lp?db=d&precision=second";
            instance.post(path, body).await
        }
    });
    for reply in join_all(writes).await {
        assert_eq!(reply.status, 204, "{}", reply.body);
    }
    assert_eq!(stage.rows().await, 24);
    let catalog = instances[0].catalog_of("d").await;
    assert_eq!(catalog.tables().count(), 6);
    for segment in stage.segments().await {
        for rows in segment.tables() {
            let table = catalog.table_by_id(rows.table).unwrap();
            for batch in segment.rows(rows.table).unwrap() {
                for field in batch.schema().fields() {
                    assert!(table.column(field.name()).is_some());
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_dropped_by_another_instance_is_recreated_within_seconds() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    one.write("d", "m,t=a v=1i 1").await;
    other.write("d", "m,t=a v=1i 1").await;
    let request = http::Request::delete("/api/v3/configure/table?db=d&table=m")
        .body(axum::body::Body::empty())
        .unwrap();
    let meanwhile = async {
        stage.sleep(Duration::from_secs(1)).await;
        // A commit of a new column reads the change at once, regardless of the cached catalog.
        assert_eq!(other.write("d", "m,t=a v=1.5,w=1 1").await.status, 400);
        let reply = other.write("d", "m,t=a v=1i,w=1 1").await;
        assert_eq!(reply.status, 204, "{}", reply.body);
    };
    let (dropped, ()) = tokio::join!(one.send(request), meanwhile);
    assert_eq!(dropped.status, 200);
    assert_eq!(other.tables("d").await, ["m w,t,v"]);
    let last = stage.segments().await.pop().unwrap();
    let table = last.tables().next().unwrap().table;
    let catalog = other.catalog_of("d").await;
    assert_eq!(catalog.table("m").unwrap().id(), table);
}

#[tokio::test(start_paused = true)]
async fn rows_written_by_another_instance_after_an_acknowledged_drop_are_kept() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    one.write("d", "m,t=a v=1i 1").await;
    let delete = |path: &str| {
        let request = http::Request::delete(path);
        request.body(axum::body::Body::empty()).unwrap()
    };
    // Just before each drop, the other instance writes and so revalidates its catalogs.
    stage.sleep(Duration::from_secs(4)).await;
    other.write("d", "m,t=a v=1i 1").await;
    let dropped = one.send(delete("/api/v3/configure/table?db=d&table=m"));
    assert_eq!(dropped.await.status, 200);
    assert_eq!(other.write("d", "m,t=a v=2i 1").await.status, 204);
    let last = stage.segments().await.pop().unwrap();
    let catalog = one.catalog_of("d").await;
    let table = last.tables().next().unwrap().table;
    assert_eq!(catalog.table("m").map(|live| live.id()), Some(table));

    let dropped = one.send(delete("/api/v3/configure/database?db=d"));
    assert_eq!(dropped.await.status, 200);
    assert_eq!(other.write("d", "m,t=a v=3i 1").await.status, 204);
    let live = one.catalog.database_by_name("d", Duration::ZERO).await.unwrap().unwrap();
    let segments = stage.segments().await;
    let of_live = segments.iter().filter(|segment| segment.database() == live);
    assert_eq!(of_live.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_table_recreated_by_another_instance_gets_its_missing_columns() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    one.write("d", "m,t=a v=1i 1").await;
    other.write("d", "m,t=a v=1i 1").await;
    let request = http::Request::delete("/api/v3/configure/table?db=d&table=m")
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(one.send(request).await.status, 200);
    assert_eq!(one.write("d", "m x=1 1").await.status, 204);
    stage.sleep(Duration::from_secs(5)).await;
    let (reply, counts) = other.counted(other.write("d", "m,t=a v=1i 1")).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 get database_catalog, 1 get manifest, \
         1 put database_catalog, 1 put tail"
    );
    assert_eq!(other.tables("d").await, ["m x,t,v"]);
}
