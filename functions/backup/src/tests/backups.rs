//! Backups in the bucket of the cluster, and restores from them.

use std::{sync::Arc, time::Duration};

use neap_bucket::Stamp;

use super::test_cluster::{TestCluster, backup_to, restore_from};
use crate::{BackupError, BackupKeeper, BackupRequest, JobState, RestoreRequest, check_backups};

/// Writes, deletes, flushes, merges and collects until it is dropped.
async fn load(cluster: &TestCluster) {
    for round in 0.. {
        for number in 0..5 {
            let host = format!("h{}", (round + number) % 4);
            let database = ["one", "two"][number % 2];
            let time = i64::try_from(round * 5 + number).unwrap();
            cluster.write(database, &host, time % 50, time).await;
            tokio::task::yield_now().await;
        }
        if round % 3 == 0 {
            cluster.delete("one", &format!("h{}", round % 4)).await;
        }
        if round % 5 == 0 {
            cluster.maintain().await;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_backup_under_load_has_exactly_the_changes_up_to_its_stamp_in_all_databases() {
    let cluster = TestCluster::new().await;
    for database in ["one", "two"] {
        for host in ["h0", "h1", "h2", "h3"] {
            cluster.write(database, host, 1, 1).await;
        }
    }
    let before = cluster.points_now("one");
    let request = backup_to("nightly", None);
    let backup = tokio::select! {
        backup = cluster.back_up(&request) => backup,
        () = load(&cluster) => unreachable!(),
    };
    let stamp = backup.stamp.unwrap();
    assert_eq!(backup.databases.len(), 2);
    cluster.write("one", "late", 1, 1).await;
    assert_ne!(cluster.points_at("one", stamp), before);
    // The backup keeps its objects, whatever the source becomes.
    cluster.delete("two", "h0").await;
    cluster.collect_all_garbage().await;
    assert_eq!(check_backups(&cluster.bucket).await.unwrap(), []);
    for database in ["one", "two"] {
        cluster
            .restore_completely(&RestoreRequest {
                database: Some(database.to_owned()),
                to: Some(format!("{database}_before")),
                ..restore_from("nightly", None)
            })
            .await;
        let points = cluster.points(&format!("{database}_before")).await;
        assert_eq!(points, cluster.points_at(database, stamp));
        assert_eq!(cluster.points(database).await, cluster.points_now(database));
    }
}

#[tokio::test]
async fn everything_acknowledged_before_the_request_is_in_the_backup() {
    let cluster = TestCluster::with_row().await;
    cluster.maintain().await;
    cluster.write("one", "b", 1, 1).await;
    cluster.delete("one", "a").await;
    let all = cluster.points_now("one");
    let backup = cluster.back_up(&backup_to("b", None)).await;
    assert_eq!(cluster.points_at("one", backup.stamp.unwrap()), all);
    cluster.restore_completely(&restore_from("b", None)).await;
    assert_eq!(cluster.points("one").await, all);
}

#[tokio::test]
async fn a_restore_in_place_replaces_all_databases_and_can_be_undone() {
    let cluster = TestCluster::with_row().await;
    cluster.write("two", "a", 1, 1).await;
    let stamp = cluster.back_up(&backup_to("b", None)).await.stamp.unwrap();
    cluster.write("one", "a", 1, 2).await;
    cluster.write("new", "a", 1, 1).await;
    let after = cluster.points_now("one");
    cluster.restore_completely(&restore_from("b", None)).await;
    assert_eq!(cluster.databases().await, ["one", "two"]);
    for database in ["one", "two"] {
        let points = cluster.points(database).await;
        assert_eq!(points, cluster.points_at(database, stamp));
        cluster.rewind(database, stamp);
        // It is written to as before.
        cluster.write(database, "b", 9, 9).await;
        cluster.maintain().await;
        assert_eq!(cluster.points(database).await, cluster.points_now(database));
    }
    let undeleted = cluster.catalog.undelete_database("one", Some("undone"));
    undeleted.await.unwrap();
    assert_eq!(cluster.points("undone").await, after);
}

#[tokio::test]
async fn the_objects_of_a_deleted_backup_are_collected() {
    let cluster = TestCluster::with_row().await;
    cluster.maintain().await;
    let backup = cluster.back_up(&backup_to("b", None)).await;
    let copy = backup.databases[0].copy;
    let engine = cluster.engine();
    let keeper = BackupKeeper::new(Arc::clone(&engine), None);
    assert!(keeper.tidy().await.unwrap());
    cluster.collect_all_garbage().await;
    assert!(cluster.count(&format!("db/{copy}/")).await > 0);
    engine.delete_backup("b", false).await.unwrap();
    assert!(!keeper.tidy().await.unwrap());
    cluster.collect_all_garbage().await;
    assert_eq!(cluster.count(&format!("db/{copy}/")).await, 0);
    assert_eq!(cluster.count(&format!("data/{copy}/")).await, 0);
    assert_eq!(cluster.points("one").await, cluster.points_now("one"));
}

#[tokio::test]
async fn a_dropped_database_is_restored_from_a_backup_after_its_data_is_deleted() {
    let cluster = TestCluster::with_row().await;
    cluster.maintain().await;
    cluster.back_up(&backup_to("b", None)).await;
    let now = neap_catalog::HardDelete::NOW;
    cluster.catalog.delete_database("one", now).await.unwrap();
    cluster.collect_all_garbage().await;
    cluster.restore_completely(&restore_from("b", None)).await;
    // The restored database keeps the objects after the backup is gone.
    let engine = cluster.engine();
    engine.delete_backup("b", false).await.unwrap();
    BackupKeeper::new(engine, None).tidy().await.unwrap();
    cluster.collect_all_garbage().await;
    assert_eq!(cluster.points("one").await, cluster.points_now("one"));
}

#[tokio::test]
async fn a_database_is_restored_to_a_moment() {
    let cluster = TestCluster::with_row().await;
    cluster.pass(Duration::from_secs(5));
    let now = cluster.bucket.clock().now().unwrap();
    let moment = Stamp::end_of(now);
    cluster.pass(Duration::from_secs(5));
    cluster.write("one", "a", 1, 2).await;
    let request = RestoreRequest {
        moment: Some(moment),
        database: Some("one".to_owned()),
        ..RestoreRequest::default()
    };
    cluster.restore_completely(&request).await;
    let points = cluster.points("one").await;
    assert_eq!(points, cluster.points_at("one", moment));
}

#[tokio::test]
async fn names_are_unique_unless_the_backup_is_replaced() {
    let cluster = TestCluster::with_row().await;
    let first = cluster.back_up(&backup_to("b", None)).await;
    let engine = cluster.engine();
    let taken = engine.begin_backup(&backup_to("b", None)).await;
    assert!(matches!(taken, Err(BackupError::Conflict(_))));
    let again = BackupRequest { force: true, ..backup_to("b", None) };
    let second = engine.begin_backup(&again).await.unwrap();
    // The first one stays until the second one is completed.
    assert!(cluster.register().await.backup(first.id).is_some());
    cluster.drive(engine.run_backup(second.clone())).await;
    let register = cluster.register().await;
    assert!(register.backup(first.id).is_none());
    assert_eq!(register.find_restorable("b").unwrap().id, second.id);
}

#[tokio::test]
async fn a_cancelled_backup_ends_and_a_failed_restore_leaves_the_databases() {
    let cluster = TestCluster::with_row().await;
    let engine = cluster.engine();
    let backup = engine.begin_backup(&backup_to("b", None)).await.unwrap();
    engine.cancel_backup("b").await.unwrap();
    cluster.drive(engine.run_backup(backup.clone())).await;
    let register = cluster.register().await;
    assert_eq!(register.backup(backup.id).unwrap().job.state, JobState::Cancelled);
    let none = engine.begin_restore(&restore_from("b", None)).await;
    assert!(matches!(none, Err(BackupError::NotFound(_))));
    assert!(engine.cancel_backup("b").await.is_err());

    cluster.back_up(&backup_to("c", None)).await;
    let request = RestoreRequest {
        database: Some("one".to_owned()),
        to: Some("two".to_owned()),
        ..restore_from("c", None)
    };
    cluster.write("two", "x", 1, 1).await;
    let restored = cluster.restore(&request).await;
    assert_eq!(restored.job.state, JobState::Failed);
    assert_eq!(cluster.points("two").await, cluster.points_now("two"));
}

#[tokio::test]
async fn a_database_is_backed_up_and_restored_with_its_retention_policies() {
    for place in [None, Some("elsewhere")] {
        let cluster = TestCluster::new().await;
        for database in ["one", "one/week", "one2", "two/week"] {
            cluster.write(database, "a", 1, 1).await;
        }
        let backup = BackupRequest {
            name: Some("b".to_owned()),
            database: Some("one".to_owned()),
            place: place.map(str::to_owned),
            ..BackupRequest::default()
        };
        let backup = cluster.back_up(&backup).await;
        let names: Vec<_> = backup.databases.iter().map(|one| &one.name).collect();
        assert_eq!(names, ["one", "one/week"]);
        let expected = cluster.points_now("one/week");
        cluster.write("one/week", "a", 2, 2).await;
        let in_place =
            RestoreRequest { database: Some("one".to_owned()), ..restore_from("b", None) };
        let renamed = RestoreRequest { to: Some("three".to_owned()), ..in_place.clone() };
        for request in [in_place, renamed] {
            cluster.restore_completely(&request).await;
        }
        assert_eq!(cluster.points("one/week").await, expected);
        assert_eq!(cluster.points("three/week").await, expected);
    }
}

#[tokio::test]
async fn a_database_returns_to_a_moment_with_the_policies_that_it_had() {
    let cluster = TestCluster::new().await;
    for database in ["one", "one/week"] {
        cluster.write(database, "a", 1, 1).await;
    }
    cluster.pass(Duration::from_secs(60));
    cluster.maintain().await;
    cluster.pass(Duration::from_secs(60));
    let moment = Stamp::end_of(cluster.bucket.clock().now().unwrap());
    let expected = cluster.points_now("one/week");
    cluster.pass(Duration::from_secs(60));
    for database in ["one/week", "one/month"] {
        cluster.write(database, "a", 2, 2).await;
    }
    cluster.maintain().await;
    cluster
        .restore_completely(&RestoreRequest {
            moment: Some(moment),
            database: Some("one".to_owned()),
            to: Some("two".to_owned()),
            ..RestoreRequest::default()
        })
        .await;
    let databases = cluster.databases().await;
    let copies: Vec<_> = databases.iter().filter(|name| name.starts_with("two")).collect();
    assert_eq!(copies, ["two", "two/week"]);
    assert_eq!(cluster.points("two/week").await, expected);
}
