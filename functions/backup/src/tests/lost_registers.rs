//! Tests that a lost or damaged register of backups is no empty one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key, MemoryStore, PutMode, Store};

use super::test_cluster::{PLACE, TestCluster, backup_to, restore_from};
use crate::{BackupError, BackupFinding, BackupKeeper, check_backups, check_place};

async fn lose(store: &MemoryStore, key: &Key) {
    store.delete(&[key.to_string()]).await.unwrap();
}

/// Sets the version in the header of an object to a later one.
async fn make_newer(store: &MemoryStore, key: &Key) {
    let key = key.to_string();
    let got = store.get(&key, GetOptions::default()).await.unwrap();
    let Get::Found(object) = got.value else {
        panic!("{key} is missing");
    };
    let mut bytes = object.bytes.to_vec();
    bytes[4] = 99;
    store.put(&key, Bytes::from(bytes), PutMode::Overwrite).await.unwrap();
}

fn assert_missing(error: &BackupError) {
    assert!(matches!(error, BackupError::Missing(_)), "{error}");
    let text = format!("'{}' is missing", Key::Backups);
    assert!(error.to_string().starts_with(&text), "{error}");
}

fn keys(findings: &[BackupFinding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.key.as_str()).collect()
}

#[tokio::test]
async fn a_lost_register_releases_no_copy_and_is_not_created_again() {
    let cluster = TestCluster::with_row().await;
    let backup = cluster.back_up(&backup_to("b", None)).await;
    let copy = backup.databases[0].copy;
    lose(&cluster.store, &Key::Backups).await;
    let engine = cluster.engine();
    let keeper = BackupKeeper::new(Arc::clone(&engine), None);
    assert_missing(&keeper.tidy().await.unwrap_err());
    assert_missing(&engine.begin_backup(&backup_to("c", None)).await.unwrap_err());
    let restore = restore_from("b", None);
    assert_missing(&engine.begin_restore(&restore).await.unwrap_err());
    let root = cluster.catalog.root(Duration::ZERO).await.unwrap().value;
    let deletion = root.databases()[&copy].deletion.unwrap();
    assert_eq!(deletion.hard_delete_at, None);
    let findings = check_backups(&cluster.bucket).await.unwrap();
    assert_eq!(keys(&findings), ["backups/register"]);
    assert_eq!(findings[0].backup, backup.id.to_string());
}

#[tokio::test]
async fn a_completed_backup_without_a_catalog_is_a_finding() {
    let cluster = TestCluster::with_row().await;
    let backup = cluster.back_up(&backup_to("b", None)).await;
    assert_eq!(check_backups(&cluster.bucket).await.unwrap(), []);
    let catalog = Key::DatabaseCatalog(backup.databases[0].copy);
    lose(&cluster.store, &catalog).await;
    let findings = check_backups(&cluster.bucket).await.unwrap();
    assert_eq!(keys(&findings), [catalog.to_string()]);
    assert_eq!(findings[0].backup, "b");
}

#[tokio::test]
async fn a_register_of_a_newer_release_is_a_finding() {
    let cluster = TestCluster::with_row().await;
    cluster.back_up(&backup_to("b", None)).await;
    make_newer(&cluster.store, &Key::Backups).await;
    let findings = check_backups(&cluster.bucket).await.unwrap();
    assert_eq!(keys(&findings), ["backups/register"]);
    assert!(findings[0].message.contains("format version 99"), "{}", findings[0].message);
}

#[tokio::test]
async fn a_cluster_without_backups_lacks_no_register() {
    let cluster = TestCluster::with_row().await;
    assert_eq!(check_backups(&cluster.bucket).await.unwrap(), []);
    let keeper = BackupKeeper::new(cluster.engine(), None);
    assert!(!keeper.tidy().await.unwrap());
}

#[tokio::test]
async fn the_backups_at_a_place_are_checked_without_its_register() {
    let cluster = TestCluster::with_row().await;
    let backup = cluster.back_up(&backup_to("b", Some(PLACE))).await;
    let store = cluster.places.store(PLACE);
    let check = async || {
        let report = check_place(Arc::clone(&store) as _, &cluster.world, true).await;
        report.unwrap()
    };
    let intact = check().await;
    assert_eq!((intact.backups, intact.findings.len()), (1, 0));
    make_newer(&store, &Key::Backups).await;
    let newer = check().await;
    assert_eq!((newer.backups, newer.objects), (1, intact.objects));
    assert_eq!(keys(&newer.findings), ["backups/register"]);
    lose(&store, &Key::Backups).await;
    let lost = check().await;
    assert_eq!((lost.backups, lost.objects), (1, intact.objects));
    assert_eq!(keys(&lost.findings), ["backups/register"]);
    assert_eq!(lost.findings[0].backup, backup.id.to_string());
    // The list of another backup would hide this one.
    let engine = cluster.engine();
    let other = engine.begin_backup(&backup_to("c", Some(PLACE))).await.unwrap();
    let error = cluster.drive(engine.run_backup(other)).await.unwrap();
    assert!(error.contains("'backups/register' is missing"), "{error}");
}

#[tokio::test]
async fn the_list_of_a_backup_that_is_newer_is_a_finding() {
    let cluster = TestCluster::with_row().await;
    let [first, second] = [
        cluster.back_up(&backup_to("b", Some(PLACE))).await,
        cluster.back_up(&backup_to("c", Some(PLACE))).await,
    ];
    let store = cluster.places.store(PLACE);
    let key = Key::BackupManifest(first.id);
    make_newer(&store, &key).await;
    let report = check_place(store, &cluster.world, false).await.unwrap();
    assert_eq!(keys(&report.findings), [key.to_string()]);
    assert_eq!((report.backups, report.findings[0].backup.as_str()), (2, "b"));
    assert_ne!(first.id, second.id);
}
