//! Views of restored databases, which are computed again from the restored rows.

use std::time::Duration;

use serde_json::{Value, json};

use super::test_cluster::{TestCluster, backup_to, restore_from};
use crate::RestoreRequest;

const VIEW: &str = "CREATE MATERIALIZED VIEW totals AS SELECT date_bin(INTERVAL '1 hour', time) AS time, \
                    host, sum(v) AS total FROM m GROUP BY 1, host";

const ROWS: &str = "SELECT host, CAST(time AS BIGINT) AS t, total FROM totals ORDER BY time, host";

const COMPUTED: &str = "SELECT host, CAST(date_bin(INTERVAL '1 hour', time) AS BIGINT) AS t, sum(v) AS total \
                        FROM m GROUP BY 1, 2 ORDER BY 2, 1";

const HOUR: i64 = 3_600_000_000_000;

impl TestCluster {
    /// Flushes all databases and refreshes their views until all are current, and flushes those.
    async fn settle_views(&self) {
        for _ in 0..4 {
            self.pass(Duration::from_secs(200));
            self.maintain().await;
            self.refresh_views().await;
        }
        self.maintain().await;
        let report = self.refresh_views().await;
        assert!(report.failures.is_empty() && !report.unfinished, "{report:?}");
    }

    async fn assert_current(&self, database: &str) -> Vec<Value> {
        let stored = self.sql(database, ROWS).await;
        assert_eq!(stored, self.sql(database, COMPUTED).await, "{database}");
        stored
    }
}

#[tokio::test]
async fn restored_views_have_the_rows_of_the_restored_source() {
    let cluster = TestCluster::with_row().await;
    cluster.write("one", "gone", HOUR, 5).await;
    cluster.maintain().await;
    cluster.sql("one", VIEW).await;
    cluster.settle_views().await;
    // The backup has changes of the source that are not in its copy of the view.
    cluster.write("one", "a", 2, 10).await;
    cluster.delete("one", "gone").await;
    cluster.back_up(&backup_to("b", None)).await;
    // The present view has rows that the restored one must not get.
    cluster.write("one", "later", 3, 100).await;
    cluster.settle_views().await;
    assert_eq!(cluster.assert_current("one").await.len(), 2);

    let beside = RestoreRequest {
        database: Some("one".to_owned()),
        to: Some("copy".to_owned()),
        ..restore_from("b", None)
    };
    // A restore of all databases drops the others.
    cluster.restore_completely(&restore_from("b", None)).await;
    cluster.restore_completely(&beside).await;
    for database in ["one", "copy"] {
        let state = cluster.sql(database, "SELECT state FROM system.materialized_views").await;
        assert_eq!(state, [json!({"state": "new"})], "{database}");
    }
    cluster.settle_views().await;
    for database in ["one", "copy"] {
        let rows = cluster.assert_current(database).await;
        assert_eq!(rows, [json!({"host": "a", "t": 0, "total": 11})]);
    }
    // They follow their own sources.
    cluster.write("copy", "b", 4, 7).await;
    cluster.settle_views().await;
    assert_eq!(cluster.assert_current("copy").await.len(), 2);
    assert_eq!(cluster.assert_current("one").await.len(), 1);
}

#[tokio::test]
async fn views_into_another_database_return_with_the_database_that_they_read() {
    let cluster = TestCluster::with_row().await;
    cluster.write("target", "a", 1, 1).await;
    cluster.maintain().await;
    cluster
        .influxql(
            "one",
            "CREATE CONTINUOUS QUERY totals ON one BEGIN SELECT sum(v) AS total INTO target..totals FROM m \
             GROUP BY time(1h), host END",
        )
        .await;
    cluster.settle_views().await;
    cluster.back_up(&backup_to("b", None)).await;
    cluster.write("one", "later", 3, 100).await;
    cluster.settle_views().await;
    assert_eq!(cluster.sql("target", ROWS).await.len(), 2);

    let views = "SELECT view_name FROM system.materialized_views";
    let beside = RestoreRequest {
        database: Some("one".to_owned()),
        to: Some("copy".to_owned()),
        ..restore_from("b", None)
    };
    cluster.restore_completely(&beside).await;
    assert!(cluster.sql("copy", views).await.is_empty());
    let in_place = RestoreRequest { database: Some("one".to_owned()), ..restore_from("b", None) };
    cluster.restore_completely(&in_place).await;
    assert_eq!(cluster.sql("one", views).await.len(), 1);
    cluster.settle_views().await;
    let expected = [json!({"host": "a", "t": 0, "total": 1})];
    assert_eq!(cluster.sql("target", ROWS).await, expected);

    // If only the target is restored, its rows are older than the progress of the view.
    cluster.write("one", "b", 4, 7).await;
    cluster.settle_views().await;
    let target = RestoreRequest {
        database: Some("target".to_owned()),
        ..restore_from("b", None)
    };
    cluster.restore_completely(&target).await;
    cluster.settle_views().await;
    assert_eq!(cluster.sql("target", ROWS).await.len(), 2);
}

#[tokio::test]
async fn restored_views_keep_the_rows_of_windows_whose_source_has_expired() {
    let cluster = TestCluster::new().await;
    let now = || cluster.bucket.clock().now().unwrap().micros() * 1_000;
    cluster.write("one", "old", now(), 1).await;
    cluster.maintain().await;
    cluster.sql("one", VIEW).await;
    cluster.settle_views().await;
    let id = cluster.id("one").await;
    let catalog = cluster.catalog.database(id, Duration::ZERO).await.unwrap();
    let table = catalog.value.table("m").unwrap().id();
    let six_hours = Duration::from_secs(6 * 3_600);
    let set = cluster.catalog.set_table_retention(id, table, Some(six_hours));
    set.await.unwrap();
    cluster.pass(Duration::from_secs(48 * 3_600));
    cluster.write("one", "new", now(), 2).await;
    cluster.settle_views().await;
    let rows = cluster.sql("one", ROWS).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(cluster.points("one").await.len(), 1);

    cluster.back_up(&backup_to("b", None)).await;
    cluster.restore_completely(&restore_from("b", None)).await;
    cluster.settle_views().await;
    assert_eq!(cluster.sql("one", ROWS).await, rows);
    let id = cluster.id("one").await;
    let catalog = cluster.catalog.database(id, Duration::ZERO).await.unwrap();
    assert_eq!(catalog.value.retention_of(table), None);
}
