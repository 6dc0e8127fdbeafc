//! Backups at a place, and chains of incremental ones.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{GetOptions, ListRequest, MemoryStore, PutMode, Store};

use super::test_cluster::{PLACE, TestCluster, backup_to, count, restore_from};
use crate::{BackupError, BackupKeeper, BackupKind, BackupRequest, JobState, check_place};

fn after(parent: &str, name: &str) -> BackupRequest {
    BackupRequest {
        name: Some(name.to_owned()),
        parent: Some(parent.to_owned()),
        ..BackupRequest::default()
    }
}

fn as_store(store: &Arc<MemoryStore>) -> Arc<dyn Store> {
    Arc::clone(store) as _
}

#[tokio::test]
async fn every_backup_of_a_chain_of_ten_restores_in_another_cluster() {
    let cluster = TestCluster::new().await;
    let mut backups = Vec::new();
    for number in 0..10 {
        let host = format!("h{}", number % 3);
        for database in ["one", "two"] {
            cluster.write(database, &host, number, number).await;
        }
        if number % 4 == 3 {
            cluster.delete("one", "h0").await;
            cluster.maintain().await;
        }
        let name = format!("b{number}");
        let request = match number {
            0 => backup_to(&name, Some(PLACE)),
            _ => after(&format!("b{}", number - 1), &name),
        };
        let backup = cluster.back_up(&request).await;
        assert_eq!(backup.place.as_deref(), Some(PLACE));
        backups.push(backup);
    }
    assert_eq!(backups[0].kind, BackupKind::Full);
    assert_eq!(backups[9].kind, BackupKind::Incremental);
    // The copies in the bucket are released.
    BackupKeeper::new(cluster.engine(), None).tidy().await.unwrap();
    cluster.collect_all_garbage().await;
    assert_eq!(cluster.count("db/").await, 4);
    let report = check_place(cluster.places.store(PLACE), &cluster.world, true).await.unwrap();
    assert_eq!((report.backups, report.findings.len()), (10, 0));
    let other = cluster.another().await;
    for backup in &backups {
        other.restore_completely(&restore_from(&backup.name, Some(PLACE))).await;
        for database in ["one", "two"] {
            let points = other.points(database).await;
            let expected = cluster.points_at(database, backup.stamp.unwrap());
            assert_eq!(points, expected, "{} of {}", database, backup.name);
        }
    }
    // The cluster itself restores from them, too.
    cluster.restore_completely(&restore_from("b4", None)).await;
    let expected = cluster.points_at("one", backups[4].stamp.unwrap());
    assert_eq!(cluster.points("one").await, expected);
}

#[tokio::test]
async fn an_incremental_backup_puts_only_the_objects_that_its_parent_lacks() {
    let cluster = TestCluster::new().await;
    for time in 0..20 {
        cluster.write("one", "a", time, time).await;
    }
    cluster.pass(Duration::from_secs(10));
    cluster.maintain().await;
    let full = cluster.back_up(&backup_to("full", Some(PLACE))).await;
    let next = cluster.back_up(&after("full", "next")).await;
    let store = cluster.places.store(PLACE);
    let data = |id| format!("backups/{id}/objects/data/");
    assert!(count(store.as_ref(), &data(full.id)).await > 0);
    assert_eq!(count(store.as_ref(), &data(next.id)).await, 0);
}

#[tokio::test]
async fn a_parent_is_deleted_only_with_its_children_and_then_with_all_objects() {
    let cluster = TestCluster::with_row().await;
    cluster.back_up(&backup_to("full", Some(PLACE))).await;
    cluster.back_up(&after("full", "next")).await;
    cluster.back_up(&after("next", "last")).await;
    let other = cluster.back_up(&backup_to("other", Some(PLACE))).await;
    let engine = cluster.engine();
    let refused = engine.delete_backup("full", false).await;
    assert!(matches!(refused, Err(BackupError::Conflict(_))));
    engine.delete_backup("last", false).await.unwrap();
    engine.delete_backup("full", true).await.unwrap();
    let keeper = BackupKeeper::new(engine, None);
    cluster.pass(Duration::from_secs(60));
    keeper.tidy().await.unwrap();
    let store = cluster.places.store(PLACE);
    let kept = count(store.as_ref(), &format!("backups/{}/", other.id)).await;
    assert!(kept > 0);
    // The register is the only other object.
    assert_eq!(count(store.as_ref(), "backups/").await, kept + 1);
    let report = check_place(store, &cluster.world, true).await.unwrap();
    assert_eq!((report.backups, report.findings.len()), (1, 0));
}

#[tokio::test]
async fn damaged_and_missing_objects_are_found_and_not_restored() {
    let cluster = TestCluster::new().await;
    for time in 0..20 {
        cluster.write("one", "a", time, time).await;
    }
    cluster.back_up(&backup_to("full", Some(PLACE))).await;
    let store = cluster.places.store(PLACE);
    let listed = store.list(ListRequest::new("backups/")).await.unwrap().value.entries;
    let mut data = listed.iter().filter(|entry| entry.key.contains("/objects/data/"));
    let key = &data.next().unwrap().key;
    let neap_bucket::Get::Found(object) =
        store.get(key, GetOptions::default()).await.unwrap().value
    else {
        panic!("it was listed");
    };
    let mut bytes = object.bytes.to_vec();
    bytes[10] ^= 1;
    let put = store.put(key, Bytes::from(bytes), PutMode::Overwrite);
    put.await.unwrap();
    let quick = check_place(as_store(&store), &cluster.world, false).await.unwrap();
    assert_eq!(quick.findings, []);
    let full = check_place(as_store(&store), &cluster.world, true).await.unwrap();
    let [found] = &full.findings[..] else {
        panic!("{:?}", full.findings);
    };
    assert_eq!((&found.key, found.backup.as_str()), (key, "full"));

    let restored = cluster.restore(&restore_from("full", Some(PLACE))).await;
    assert_eq!(restored.job.state, JobState::Failed);
    assert!(restored.job.error.unwrap().contains(key.as_str()));
    assert_eq!(cluster.points("one").await, cluster.points_now("one"));

    store.delete(std::slice::from_ref(key)).await.unwrap();
    let quick = check_place(store, &cluster.world, false).await.unwrap();
    assert_eq!(quick.findings.len(), 1);
}

#[tokio::test]
async fn a_place_has_the_backups_of_one_cluster() {
    let cluster = TestCluster::with_row().await;
    cluster.back_up(&backup_to("full", Some(PLACE))).await;
    let other = cluster.another().await;
    other.write("one", "a", 1, 1).await;
    let engine = other.engine();
    let backup = engine.begin_backup(&backup_to("mine", Some(PLACE))).await.unwrap();
    other.drive(engine.run_backup(backup.clone())).await;
    let backup = other.register().await.backup(backup.id).cloned().unwrap();
    assert_eq!(backup.job.state, JobState::Failed);
    assert!(backup.job.error.unwrap().contains("another cluster"));
    let forbidden = BackupRequest {
        place: Some("forbidden".to_owned()),
        ..backup_to("x", Some(PLACE))
    };
    let refused = engine.begin_backup(&forbidden).await;
    assert!(matches!(refused, Err(BackupError::Place { .. })));
}
