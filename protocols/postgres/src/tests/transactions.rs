//! Transactions: one snapshot, rows that are stored at once, cursors.

use std::time::Duration;

use neap_bucket::World;
use neap_write::WriteOptions;

use super::test_bed::{DATABASE, ListenerTestBed, PATIENCE, state, texts};
use crate::PostgresSettings;

const COUNT: &str = "SELECT count(*) FROM cpu";

async fn write(bed: &ListenerTestBed, line: &str) {
    let options = WriteOptions::default();
    bed.writes.write(DATABASE, line.to_owned().into(), options).await.unwrap();
}

#[tokio::test]
async fn queries_of_a_transaction_read_one_snapshot() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(texts(&client, COUNT).await, [["3"]]);
    write(&bed, "cpu,host=c usage=1 3000000000").await;
    assert_eq!(texts(&client, COUNT).await, [["3"]]);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(texts(&client, COUNT).await, [["4"]]);
}

#[tokio::test]
async fn an_old_snapshot_is_refused() {
    let settings = PostgresSettings {
        max_snapshot_age: Duration::ZERO,
        ..PostgresSettings::default()
    };
    let bed = ListenerTestBed::with(false, settings).await;
    let client = bed.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(texts(&client, COUNT).await, [["3"]]);
    let error = client.simple_query(COUNT).await.unwrap_err();
    assert_eq!(state(&error), "25P03");
    let error = client.simple_query(COUNT).await.unwrap_err();
    assert_eq!(state(&error), "25P02");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(texts(&client, COUNT).await, [["3"]]);
}

#[tokio::test]
async fn rows_of_a_transaction_are_stored_at_commit_and_dropped_at_rollback() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let insert = "INSERT INTO cpu (time, host, usage) VALUES ('1970-01-01 00:00:05', 'd', 1.5)";
    for (end, count) in [("ROLLBACK", "3"), ("COMMIT", "4")] {
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(insert).await.unwrap();
        assert_eq!(texts(&client, COUNT).await, [["3"]]);
        client.batch_execute(end).await.unwrap();
        assert_eq!(texts(&client, COUNT).await, [[count]]);
    }
}

#[tokio::test]
async fn a_rollback_to_a_savepoint_drops_later_rows_and_continues_a_failed_transaction() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let insert = |second: u32| {
        format!(
            "INSERT INTO cpu (time, host, usage) VALUES ('1970-01-01 00:00:{second:02}', 'd', 1.5)"
        )
    };
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(&insert(5)).await.unwrap();
    client.batch_execute("SAVEPOINT \"_pg3_1\"").await.unwrap();
    client.batch_execute(&insert(6)).await.unwrap();
    for failing in ["SELECT * FROM missing", "ROLLBACK TO missing"] {
        assert!(client.simple_query(failing).await.is_err(), "{failing}");
        let error = client.simple_query(COUNT).await.unwrap_err();
        assert_eq!(state(&error), "25P02");
        client.batch_execute("ROLLBACK TO \"_pg3_1\"").await.unwrap();
        assert_eq!(texts(&client, COUNT).await, [["3"]]);
    }
    client.batch_execute(&insert(7)).await.unwrap();
    client.batch_execute("RELEASE \"_pg3_1\"").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let seconds = "SELECT date_part('second', time) FROM cpu WHERE host = 'd' ORDER BY 1";
    assert_eq!(texts(&client, seconds).await, [["5"], ["7"]]);
}

#[tokio::test]
async fn savepoints_end_with_their_transaction() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    client.batch_execute("BEGIN; SAVEPOINT a; ROLLBACK").await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let error = client.simple_query("RELEASE SAVEPOINT a").await.unwrap_err();
    assert_eq!(state(&error), "3B001");
    // Without a savepoint, only the end of the transaction mends it.
    let error = client.simple_query("ROLLBACK TO a").await.unwrap_err();
    assert_eq!(state(&error), "3B001");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(texts(&client, COUNT).await, [["3"]]);
}

#[tokio::test]
async fn the_rows_of_a_transaction_are_bounded() {
    let settings = PostgresSettings {
        max_transaction_bytes: 1 << 10,
        ..PostgresSettings::default()
    };
    let bed = ListenerTestBed::with(false, settings).await;
    let client = bed.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    let large =
        "INSERT INTO cpu (time, host, usage) SELECT now(), 'd', 1.5 FROM generate_series(1, 1000)";
    let error = client.simple_query(large).await.unwrap_err();
    assert_eq!(state(&error), "54000");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(texts(&client, COUNT).await, [["3"]]);
}

#[tokio::test]
async fn rows_of_a_client_that_does_not_commit_are_dropped() {
    let settings = PostgresSettings {
        pending_rows_timeout: Duration::from_millis(50),
        ..PostgresSettings::default()
    };
    let bed = ListenerTestBed::with(false, settings).await;
    let client = bed.connect().await;
    let reserved = bed.writes.reserved_bytes();
    client
        .batch_execute("BEGIN; INSERT INTO cpu (time, host, usage) VALUES (now(), 'd', 1.5)")
        .await
        .unwrap();
    let is_closed = async {
        while !bed.metrics.render().contains("reason=\"pending_rows\"} 1") {
            World::system().clock.sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = World::system().timeout(PATIENCE, is_closed).await;
    assert!(waited.is_some(), "the connection is open");
    assert_eq!(bed.writes.reserved_bytes(), reserved);
    assert_eq!(texts(&bed.connect().await, COUNT).await, [["3"]]);
}

#[tokio::test]
async fn statements_that_take_effect_at_once_are_refused_in_a_transaction() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    for sql in [
        "DELETE FROM cpu",
        "CREATE TABLE t (v DOUBLE)",
        "DROP TABLE cpu",
        "CREATE DATABASE other",
    ] {
        client.batch_execute("BEGIN").await.unwrap();
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), "0A000", "{sql}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn a_cursor_is_read_in_parts_and_ends_with_its_transaction() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let declare = "DECLARE c CURSOR FOR SELECT n FROM cpu ORDER BY n";
    let error = client.simple_query(declare).await.unwrap_err();
    assert_eq!(state(&error), "25P01");
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(declare).await.unwrap();
    assert_eq!(texts(&client, "FETCH 2 FROM c").await, [["1"], ["2"]]);
    assert_eq!(texts(&client, "FETCH ALL FROM c").await, [["3"]]);
    assert!(texts(&client, "FETCH c").await.is_empty());
    client.batch_execute("COMMIT").await.unwrap();
    let error = client.simple_query("FETCH c").await.unwrap_err();
    assert_eq!(state(&error), "34000");
}

#[tokio::test]
async fn an_open_portal_is_not_read_in_a_failed_transaction() {
    let bed = ListenerTestBed::new().await;
    let mut client = bed.connect().await;
    let transaction = client.transaction().await.unwrap();
    let statement = transaction.prepare("SELECT n FROM cpu ORDER BY n").await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 1).await.unwrap().len(), 1);
    transaction.batch_execute("SELECT missing FROM cpu").await.unwrap_err();
    let error = transaction.query_portal(&portal, 1).await.unwrap_err();
    assert_eq!(state(&error), "25P02");
}
