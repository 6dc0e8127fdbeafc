//! The log of row deletes, and its progress to the state in which no object has the rows.

use std::time::Duration;

use neap_bucket::{Key, ListRequest, Stamp};
use neap_catalog::HardDelete;
use neap_compact::CompactorEvent;
use neap_manifest::{LoggedRowDelete, RowDeleteLog};
use neap_schema::DatabaseId;

use super::{QueryTestInstance, instance::DATABASE};

impl QueryTestInstance {
    /// Deletes the rows of a host, and logs the delete.
    async fn delete_and_log(&self, host: &str) {
        self.pass(Duration::from_millis(1));
        let answer = self.sql(&format!("DELETE FROM t WHERE k = '{host}'")).await;
        let stamp = answer.lines().nth(1).unwrap().parse().unwrap();
        let catalog = self.catalog.database(DATABASE, Duration::ZERO).await;
        let delete = LoggedRowDelete {
            database: DATABASE,
            table: catalog.unwrap().value.table("t").unwrap().id(),
            database_name: "db".to_owned(),
            table_name: "t".to_owned(),
            min_time: None,
            max_time: None,
            predicate: format!("k = '{host}'"),
            stamp: Some(Stamp::from_u64(stamp)),
        };
        self.row_deletes().add(delete).await.unwrap();
    }

    fn row_deletes(&self) -> RowDeleteLog<'_> {
        RowDeleteLog::new(&self.catalog)
    }

    async fn dispositions(&self) -> String {
        let sql = "SELECT disposition FROM system.row_deletes ORDER BY sequence";
        let shown = self.sql(sql).await;
        let refreshed = self.row_deletes().refresh(|_| true).await.unwrap();
        let stored: Vec<_> = refreshed
            .iter()
            .map(|request| match request.completed {
                None => "pending",
                Some(_) => "completed",
            })
            .collect();
        let shown: Vec<_> = shown.lines().skip(1).collect();
        assert_eq!(shown, stored);
        shown.join(" ")
    }

    /// Returns the keys of the bundles of the database.
    async fn bundles(&self) -> Vec<String> {
        let listed = self
            .bucket
            .list(ListRequest::new(&Key::data_prefix(DATABASE)))
            .await
            .unwrap()
            .value;
        let keys = listed.entries.into_iter().map(|entry| entry.key);
        keys.filter(|key| key.ends_with(".bundle")).collect()
    }

    async fn collect(&self) {
        self.pass(Duration::from_secs(2 * 60 * 60));
        let event = CompactorEvent::Collect;
        self.compactor.handle(&event, None).await.unwrap();
    }
}

#[tokio::test]
async fn a_delete_is_completed_when_no_object_has_the_rows() {
    let one = QueryTestInstance::with_rows("t,k=a v=1i 0\nt,k=b v=2i 0").await;
    one.flush().await;
    one.delete_and_log("a").await;
    assert_eq!(one.sql("SELECT k FROM t").await, "k\nb\n");
    assert_eq!(one.dispositions().await, "pending", "in the tail");
    one.flush().await;
    assert_eq!(one.dispositions().await, "pending", "a section has the row");
    assert_eq!(one.merge().await, 1);
    assert_eq!(one.dispositions().await, "pending", "the old section can be read");
    one.collect().await;
    one.collect().await;
    one.collect().await;
    assert_eq!(one.dispositions().await, "completed");
    let objects = one.sql("SELECT count(*) AS n FROM system.parquet_files").await;
    assert_eq!(objects, "n\n1\n");
}

/// Deletes rows of a merged section of the table `t`, whose bundle has a live section of the table `u`.
async fn delete_from_a_shared_bundle(is_other_dropped: bool) -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    // The first section of the table leaves the bundle before the delete.
    one.write("t,k=a v=1i 0\nu,k=a v=1i 0").await;
    one.flush().await;
    one.write("t,k=b v=2i 0").await;
    one.flush().await;
    let [bundle] = one.bundles().await.try_into().unwrap();
    assert_eq!(one.merge().await, 1);
    for _ in 0..3 {
        one.collect().await;
    }
    one.delete_and_log("a").await;
    if is_other_dropped {
        let dropped = one.catalog.delete_table(DATABASE, "u", HardDelete::Never);
        dropped.await.unwrap();
    }
    one.flush().await;
    assert_eq!(one.merge().await, 1);
    assert_eq!(one.dispositions().await, "pending");
    for _ in 0..6 {
        one.collect().await;
        let is_there = one.bundles().await.contains(&bundle);
        assert_eq!(one.dispositions().await == "pending", is_there);
    }
    assert_eq!(one.dispositions().await, "completed");
    let manifest = one.manifests.read(DATABASE, None).await.unwrap();
    assert_eq!(manifest.value.condemned, []);
    one
}

#[tokio::test]
async fn a_delete_is_completed_when_bundles_with_live_sections_of_other_tables_have_lost_the_rows()
{
    let one = delete_from_a_shared_bundle(false).await;
    assert_eq!(one.sql("SELECT k, v FROM u").await, "k,v\na,1\n");
}

#[tokio::test]
async fn a_delete_is_completed_although_another_table_of_the_bundle_is_dropped_and_never_removed() {
    let one = delete_from_a_shared_bundle(true).await;
    let catalog = one.catalog.database(DATABASE, Duration::ZERO).await.unwrap();
    let mut dropped = catalog.value.all_tables().filter(|table| table.deletion().is_some());
    let name = dropped.next().unwrap().name().to_owned();
    one.catalog.undelete_table(DATABASE, &name, Some("u")).await.unwrap();
    assert_eq!(one.sql("SELECT k, v FROM u").await, "k,v\na,1\n");
}

#[tokio::test]
async fn a_delete_is_pending_while_a_copy_in_the_bucket_needs_the_rows() {
    let one = QueryTestInstance::with_rows("t,k=a v=1i 0\nt,k=b v=2i 0").await;
    one.flush().await;
    let manifest = one.manifests.read(DATABASE, None).await.unwrap();
    let version = manifest.version;
    // The copy never appears, so a collector removes the pin after a day.
    let copy = DatabaseId::new(77);
    one.manifests.pin(DATABASE, manifest, version, copy).await.unwrap();
    one.delete_and_log("a").await;
    one.flush().await;
    assert_eq!(one.merge().await, 1);
    for _ in 0..6 {
        one.collect().await;
        assert_eq!(one.dispositions().await, "pending");
    }
    for _ in 0..12 {
        one.collect().await;
    }
    assert_eq!(one.dispositions().await, "completed");
}

#[tokio::test]
async fn a_delete_of_rows_that_were_never_flushed_is_completed_with_their_segments() {
    let one = QueryTestInstance::with_rows("t,k=a v=1i 0\nt,k=b v=2i 0").await;
    one.delete_and_log("a").await;
    one.flush().await;
    assert_eq!(one.dispositions().await, "pending", "the segments are there");
    one.collect().await;
    one.collect().await;
    assert_eq!(one.dispositions().await, "completed");
    one.delete_and_log("b").await;
    assert_eq!(one.dispositions().await, "completed pending");
}

#[tokio::test]
async fn a_database_shows_its_own_requests_and_the_cluster_shows_all() {
    let one = QueryTestInstance::with_rows("t,k=a v=1i 0").await;
    one.delete_and_log("a").await;
    one.catalog.create_database("other", None).await.unwrap();
    let sql =
        "SELECT sequence, db_name, table_name, delete_predicate, min_time FROM system.row_deletes";
    let row = "sequence,db_name,table_name,delete_predicate,min_time\n1,db,t,k = 'a',\n";
    assert_eq!(one.sql(sql).await, row);
    assert_eq!(one.sql_in("_internal", sql).await, row);
    assert_eq!(one.sql_in("other", sql).await.lines().count(), 0);
}
