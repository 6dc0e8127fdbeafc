//! Restored rows that are older than the retention.

use std::time::Duration;

use neap_bucket::Stamp;
use serde_json::json;

use super::test_cluster::{TestCluster, backup_to, restore_from};
use crate::RestoreRequest;

const HOUR: Duration = Duration::from_secs(3_600);

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl TestCluster {
    fn nanos(&self) -> i64 {
        self.bucket.clock().now().unwrap().micros() * 1_000
    }

    async fn set_retention(&self, database: &str, retention: Duration) {
        let id = self.id(database).await;
        let set = self.catalog.set_retention(id, Some(retention));
        set.await.unwrap();
    }

    /// Lets expired sections go.
    async fn expire(&self) {
        for _ in 0..3 {
            self.pass(Duration::from_secs(200));
            self.maintain().await;
        }
    }
}

#[tokio::test]
async fn a_restore_keeps_its_rows_unless_the_retention_is_kept() {
    for place in [None, Some("elsewhere")] {
        let cluster = TestCluster::new().await;
        cluster.write("one", "a", cluster.nanos(), 1).await;
        cluster.set_retention("one", 3 * DAY).await;
        let id = cluster.id("one").await;
        let catalog = cluster.catalog.database(id, Duration::ZERO).await.unwrap();
        let table = catalog.value.table("m").unwrap().id();
        let set = cluster.catalog.set_table_retention(id, table, Some(DAY));
        set.await.unwrap();
        cluster.back_up(&backup_to("b", place)).await;
        cluster.pass(10 * DAY);
        cluster.expire().await;
        assert_eq!(cluster.points("one").await.len(), 0);

        cluster.restore_completely(&restore_from("b", None)).await;
        cluster.expire().await;
        assert_eq!(cluster.points("one").await, cluster.points_now("one"));
        let id = cluster.id("one").await;
        let catalog = cluster.catalog.database(id, Duration::ZERO).await.unwrap();
        assert_eq!(catalog.value.retention(), None);
        assert_eq!(catalog.value.retention_of(table), None);

        let kept = RestoreRequest { keep_retention: true, ..restore_from("b", None) };
        cluster.restore_completely(&kept).await;
        let id = cluster.id("one").await;
        let catalog = cluster.catalog.database(id, Duration::ZERO).await.unwrap();
        assert_eq!(catalog.value.retention(), Some(3 * DAY));
        assert_eq!(catalog.value.retention_of(table), Some(DAY));
        assert_eq!(cluster.points("one").await.len(), 0);
    }
}

#[tokio::test]
async fn rows_that_had_expired_before_the_backup_do_not_come_back() {
    let cluster = TestCluster::new().await;
    let old = cluster.nanos();
    cluster.write("one", "old", old, 1).await;
    cluster.pass(2 * HOUR);
    cluster.write("one", "new", cluster.nanos(), 2).await;
    // Both rows are in one section, which stays.
    cluster.flush("one").await;
    cluster.set_retention("one", HOUR).await;
    assert_eq!(cluster.points("one").await.len(), 1);
    cluster.back_up(&backup_to("b", None)).await;
    cluster.restore_completely(&restore_from("b", None)).await;
    let rows = cluster.sql("one", "SELECT host FROM m").await;
    assert_eq!(rows, [json!({ "host": "new" })]);
    // Rows that are written after the restore are not affected.
    cluster.write("one", "again", old, 3).await;
    assert_eq!(cluster.points("one").await.len(), 2);
}

#[tokio::test]
async fn a_restore_to_a_moment_has_rows_that_a_later_retention_has_expired() {
    let cluster = TestCluster::new().await;
    cluster.write("one", "a", cluster.nanos(), 1).await;
    cluster.flush("one").await;
    cluster.pass(2 * HOUR);
    cluster.write("one", "b", cluster.nanos(), 2).await;
    cluster.flush("one").await;
    let moment = Stamp::end_of(cluster.bucket.clock().now().unwrap());
    cluster.pass(Duration::from_secs(10));
    cluster.set_retention("one", HOUR).await;
    assert_eq!(cluster.points("one").await.len(), 1);
    let request = RestoreRequest {
        moment: Some(moment),
        database: Some("one".to_owned()),
        ..RestoreRequest::default()
    };
    cluster.restore_completely(&request).await;
    cluster.expire().await;
    assert_eq!(cluster.points("one").await, cluster.points_now("one"));
}
