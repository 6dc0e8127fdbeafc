//! The code of plugins in backups.

use std::time::Duration;

use neap_bucket::{BackupPolicy, Bucket, CodeHash, Get, GetOptions, Key, PutMode, formats};
use neap_catalog::{NewTrigger, TriggerSpecification};

use super::test_cluster::{PLACE, TestCluster, backup_to, restore_from};
use crate::{
    BackupKeeper, JobState, check_place, place::BackupPlace, place_objects::PlaceManifest,
};

const CODE: CodeHash = CodeHash([1; 32]);

async fn has_code(bucket: &Bucket) -> bool {
    let got = bucket.get(&Key::PluginCode(CODE), GetOptions::default());
    matches!(got.await.unwrap().value, Get::Found(_))
}

impl TestCluster {
    /// Creates a trigger of database "one" whose code is in the bucket.
    async fn create_trigger(&self) {
        let object = formats::PLUGIN_CODE.encode(1, b"code");
        let put = self.bucket.put(&Key::PluginCode(CODE), object, PutMode::Overwrite);
        put.await.unwrap();
        let trigger = NewTrigger {
            code: Some(CODE),
            ..NewTrigger::new(
                "t",
                "p.py",
                TriggerSpecification::RequestPath { path: "hook".to_owned() },
            )
        };
        let id = self.id("one").await;
        self.catalog.create_trigger(id, &trigger).await.unwrap();
    }
}

#[tokio::test]
async fn a_restore_in_an_empty_bucket_has_the_code_of_triggers() {
    let cluster = TestCluster::with_row().await;
    cluster.create_trigger().await;
    cluster.back_up(&backup_to("b", Some(PLACE))).await;
    let report = check_place(cluster.places.store(PLACE), &cluster.world, true).await;
    assert_eq!(report.unwrap().findings, []);
    let other = cluster.another().await;
    other.restore_completely(&restore_from("b", Some(PLACE))).await;
    assert!(has_code(&other.bucket).await);
    // The collector knows that it is needed.
    other.collect_all_garbage().await;
    assert!(has_code(&other.bucket).await);
}

#[tokio::test]
async fn code_is_kept_while_a_backup_in_the_bucket_needs_it() {
    let cluster = TestCluster::with_row().await;
    cluster.create_trigger().await;
    cluster.back_up(&backup_to("b", None)).await;
    let id = cluster.id("one").await;
    let delete = cluster.catalog.delete_trigger(id, "t", true);
    delete.await.unwrap();
    cluster.collect_all_garbage().await;
    assert!(has_code(&cluster.bucket).await);
    let engine = cluster.engine();
    engine.delete_backup("b", false).await.unwrap();
    BackupKeeper::new(engine, None).tidy().await.unwrap();
    cluster.collect_all_garbage().await;
    assert!(!has_code(&cluster.bucket).await);
}

#[tokio::test]
async fn missing_code_makes_a_backup_incomplete_and_does_not_prevent_a_restore() {
    let cluster = TestCluster::with_row().await;
    cluster.create_trigger().await;
    let key = Key::PluginCode(CODE).to_string();
    cluster.bucket.delete(std::slice::from_ref(&key)).await.unwrap();
    let engine = cluster.engine();
    let backup = engine.begin_backup(&backup_to("b", Some(PLACE))).await.unwrap();
    let error = cluster.drive(engine.run_backup(backup.clone())).await;
    assert!(error.unwrap().contains(&key));
    let ended = cluster.register().await.backup(backup.id).unwrap().clone();
    assert_eq!(ended.job.state, JobState::Incomplete);
    let other = cluster.another().await;
    other.restore_completely(&restore_from("b", Some(PLACE))).await;
    assert_eq!(other.points("one").await, cluster.points_now("one"));
}

#[tokio::test]
async fn a_backup_contains_the_kinds_of_objects_that_belong_to_a_database() {
    let cluster = TestCluster::with_row().await;
    cluster.flush("one").await;
    cluster.create_trigger().await;
    let id = cluster.id("one").await;
    // Every kind of register of the database exists.
    for key in Key::registers_of(id) {
        let got = cluster.bucket.get(&key, GetOptions::default());
        if matches!(got.await.unwrap().value, Get::Missing) {
            cluster.put_empty_register(&key).await;
        }
    }
    cluster.pass(Duration::from_secs(1));
    let backup = cluster.back_up(&backup_to("b", Some(PLACE))).await;
    let place = BackupPlace::new(cluster.places.store(PLACE), &cluster.world);
    let manifest = PlaceManifest::read(&place, backup.id).await.unwrap();
    let stored: Vec<Key> = manifest.objects.keys().map(|key| key.parse().unwrap()).collect();
    let is_stored = |kind: &Key| {
        let mut stored = stored.iter();
        stored.any(|key| std::mem::discriminant(key) == std::mem::discriminant(kind))
    };
    for kind in Key::one_of_each_kind(id) {
        match kind.policy().backup {
            BackupPolicy::Excluded => assert!(!is_stored(&kind), "{kind}"),
            BackupPolicy::Register => assert!(is_stored(&kind), "{kind}"),
            // There are sections and code, and no pages.
            BackupPolicy::Referenced => {}
        }
    }
    assert!(stored.contains(&Key::PluginCode(CODE)));
    assert!(stored.iter().any(|key| matches!(key, Key::Parquet(..) | Key::Bundle(..))));
}
