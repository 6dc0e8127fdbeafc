//! Damaged objects in the bucket of the cluster: they do not get into backups, and intact older copies are found.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key, PutMode, Store, World};
use neap_manifest::{ManifestSettings, ManifestStore};

use super::test_cluster::{PLACE, TestCluster, backup_to, restore_from};
use crate::{
    Backup, BackupRequest, JobState, check_place,
    place::BackupPlace,
    place_objects::{PlaceManifest, StoredObject},
};

async fn read(store: &dyn Store, key: &str) -> Vec<u8> {
    match store.get(key, GetOptions::default()).await.unwrap().value {
        Get::Found(object) => object.bytes.to_vec(),
        other => panic!("{key}: {other:?}"),
    }
}

async fn flip_bit(store: &dyn Store, key: &str) {
    let mut bytes = read(store, key).await;
    bytes[10] ^= 1;
    let put = store.put(key, Bytes::from(bytes), PutMode::Overwrite);
    put.await.unwrap();
}

impl TestCluster {
    /// Flushes two sections of a database, which a merge has not taken yet. Returns the key of the older one.
    async fn two_sections(&self, database: &str) -> Key {
        self.write(database, "old", 1, 1).await;
        self.flush(database).await;
        self.write(database, "new", 2, 2).await;
        self.flush(database).await;
        let manifests =
            ManifestStore::new(self.bucket.clone(), &self.rules, ManifestSettings::default());
        let id = self.id(database).await;
        let manifest = manifests.read(id, None).await.unwrap();
        let sections = &manifest.value.sections;
        assert_eq!(sections.len(), 2);
        sections[0].key(id)
    }

    /// Makes a backup, and returns how it has ended.
    async fn ended_backup(&self, request: &BackupRequest) -> Backup {
        let engine = self.engine();
        let backup = engine.begin_backup(request).await.unwrap();
        let id = backup.id;
        self.drive(engine.run_backup(backup)).await;
        self.register().await.backup(id).unwrap().clone()
    }

    fn place(&self) -> BackupPlace {
        BackupPlace::new(self.places.store(PLACE), &World::clone(&self.world))
    }
}

#[tokio::test]
async fn a_backup_contains_everything_but_damaged_objects_and_names_them() {
    let cluster = TestCluster::new().await;
    let key = cluster.two_sections("one").await.to_string();
    cluster.write("two", "a", 1, 1).await;
    cluster.back_up(&backup_to("intact", Some(PLACE))).await;
    flip_bit(cluster.store.as_ref(), &key).await;

    let backup = cluster.ended_backup(&backup_to("later", Some(PLACE))).await;
    assert_eq!(backup.job.state, JobState::Incomplete);
    let error = backup.job.error.unwrap();
    assert!(error.starts_with("1 objects are damaged"), "{error}");
    assert!(error.contains(&key), "{error}");
    assert_eq!(backup.job.completed, None);
    let report = check_place(cluster.places.store(PLACE), &cluster.world, true).await;
    let [found] = &report.unwrap().findings[..] else {
        panic!("one finding is expected");
    };
    assert_eq!((found.backup.as_str(), found.message.as_str()), ("later", error.as_str()));

    // Both backups can be restored.
    let other = cluster.another().await;
    for (name, rows) in [("intact", 2), ("later", 1)] {
        other.restore_completely(&restore_from(name, Some(PLACE))).await;
        assert_eq!(other.points("one").await.len(), rows, "{name}");
        assert_eq!(other.points("two").await, cluster.points_now("two"));
    }
}

#[tokio::test]
async fn an_incremental_backup_lacks_what_has_been_damaged_only_if_its_parent_does() {
    let cluster = TestCluster::new().await;
    let key = cluster.two_sections("one").await.to_string();
    cluster.back_up(&backup_to("full", Some(PLACE))).await;
    flip_bit(cluster.store.as_ref(), &key).await;
    let next = BackupRequest {
        parent: Some("full".to_owned()),
        place: None,
        ..backup_to("next", Some(PLACE))
    };
    // The place has the intact object.
    cluster.back_up(&next).await;
    let other = cluster.another().await;
    other.restore(&restore_from("next", Some(PLACE))).await;
    assert_eq!(other.points("one").await, cluster.points_now("one"));
}

#[tokio::test]
async fn damage_that_was_put_into_a_backup_is_found() {
    let cluster = TestCluster::new().await;
    let key = cluster.two_sections("one").await.to_string();
    let backup = cluster.back_up(&backup_to("b", Some(PLACE))).await;
    let (place, store) = (cluster.place(), cluster.places.store(PLACE));
    let path = format!("backups/{}/objects/{key}", backup.id);
    flip_bit(store.as_ref(), &path).await;
    let mut manifest = PlaceManifest::read(&place, backup.id).await.unwrap();
    let bytes = Bytes::from(read(store.as_ref(), &path).await);
    let stored = StoredObject::new(&bytes, backup.id);
    manifest.objects.insert(key, stored);
    manifest.put(&place).await.unwrap();
    let report = check_place(store, &cluster.world, true).await.unwrap();
    let [found] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(found.key, path);
    assert!(found.message.contains("damaged when it was put"), "{found:?}");
}

#[tokio::test]
async fn objects_of_a_later_release_are_not_reported_as_damage() {
    let cluster = TestCluster::new().await;
    cluster.write("one", "a", 1, 1).await;
    let backup = cluster.back_up(&backup_to("b", Some(PLACE))).await;
    let (place, store) = (cluster.place(), cluster.places.store(PLACE));
    let key = Key::DatabaseCatalog(backup.databases[0].copy).to_string();
    let path = format!("backups/{}/objects/{key}", backup.id);
    let mut bytes = read(store.as_ref(), &path).await;
    bytes[4] = 99;
    let later = Bytes::from(bytes);
    let mut manifest = PlaceManifest::read(&place, backup.id).await.unwrap();
    manifest.objects.insert(key, StoredObject::new(&later, backup.id));
    manifest.put(&place).await.unwrap();
    store.put(&path, later, PutMode::Overwrite).await.unwrap();
    let report = check_place(store, &cluster.world, true).await.unwrap();
    assert!(!report.findings.is_empty());
    for found in &report.findings {
        assert_eq!(found.key, path);
        let message = &found.message;
        assert!(message.contains("has format version 99"), "{message}");
        assert!(!message.contains("damaged"), "{message}");
    }
}

#[tokio::test]
async fn a_list_that_lacks_a_needed_object_is_found() {
    let cluster = TestCluster::new().await;
    let key = cluster.two_sections("one").await.to_string();
    let backup = cluster.back_up(&backup_to("b", Some(PLACE))).await;
    let place = cluster.place();
    let mut manifest = PlaceManifest::read(&place, backup.id).await.unwrap();
    manifest.objects.remove(&key);
    manifest.put(&place).await.unwrap();
    let store = cluster.places.store(PLACE);
    let report = check_place(store, &cluster.world, false).await.unwrap();
    let [found] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!(found.key, key);
}

#[tokio::test]
async fn all_copies_of_an_object_are_tried_until_one_is_intact() {
    let cluster = TestCluster::new().await;
    let key = cluster.two_sections("one").await;
    for name in ["oldest", "older", "newest"] {
        cluster.back_up(&backup_to(name, Some(PLACE))).await;
        cluster.pass(Duration::from_secs(1));
    }
    let engine = cluster.engine();
    let reads = AtomicUsize::new(0);
    let is_third = |_: &Bytes| reads.fetch_add(1, Ordering::Relaxed) == 2;
    assert!(engine.copy_of(&key, &is_third).await.unwrap().is_some());
    assert_eq!(reads.load(Ordering::Relaxed), 3);
    assert_eq!(engine.copy_of(&key, &|_| false).await.unwrap(), None);
}
