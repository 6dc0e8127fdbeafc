//! Tests that damage does not get into a copy of a cluster without a report, and that a later copy mends it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_backup::ClusterCopier;
use neap_bucket::{
    Bucket, CallHook, CallPhase, Clock, FaultyStore, KeyClass, Operation, PutMode, StoreFaults,
};
use neap_fsck::{Fsck, FsckOptions};

use super::{ClusterFixture, INLINE_SECTIONS, bytes_of, copied_with_stats, keys_of};

/// Damages an intact object, or mends it again.
async fn flip_bit(cluster: &ClusterFixture, key: &str) {
    let mut bytes = bytes_of(cluster, key).await;
    bytes[30] ^= 1;
    let put = cluster.store.put(key, bytes.into(), PutMode::Overwrite);
    put.await.unwrap();
}

/// Flushes rows, and damages the newest object.
async fn flush_damaged(cluster: &ClusterFixture) {
    let before = keys_of(cluster, "data/").await;
    cluster.flush().await;
    for key in keys_of(cluster, "data/").await {
        if !before.contains(&key) {
            flip_bit(cluster, &key).await;
        }
    }
}

/// Copies a cluster. Between its manifest and its data, an object is flushed and damaged.
async fn copy_while_rows_are_flushed(from: &Arc<ClusterFixture>, to: &ClusterFixture) {
    let is_done = Arc::new(AtomicBool::new(false));
    let source = Arc::clone(from);
    let hook: CallHook = Arc::new(move |call| {
        let is_listing = call.operation == Operation::List
            && call.phase == CallPhase::Before
            && call.key.starts_with("data/");
        let is_first = is_listing && !is_done.swap(true, Ordering::Relaxed);
        let source = Arc::clone(&source);
        Box::pin(async move {
            if is_first {
                flush_damaged(&source).await;
            }
        })
    });
    let world = from.bucket.world().clone();
    let store = Arc::clone(&from.store);
    let store = FaultyStore::new(store, world.clone(), StoreFaults::default()).with_hook(hook);
    let copier = ClusterCopier {
        from: &Bucket::new(Arc::new(store), world),
        to: &to.bucket,
        progress: &|_| {},
    };
    let stats = copier.run().await.unwrap();
    assert_eq!(stats.damaged.len(), 0);
}

async fn assert_intact(cluster: &ClusterFixture) {
    let options = FsckOptions { full: true, ..FsckOptions::default() };
    let fsck = Fsck::new(cluster.bucket.clone());
    let report = fsck.check(&options, &|_| {}).await.unwrap();
    assert!(report.clean, "{report}");
}

#[tokio::test]
async fn an_object_is_copied_with_the_manifest_that_tells_its_checksums() {
    let (from, to) = (Arc::new(ClusterFixture::in_memory()), ClusterFixture::in_memory());
    from.fill().await;
    copy_while_rows_are_flushed(&from, &to).await;
    assert_intact(&to).await;
    let data = keys_of(&from, "data/").await;
    let copied = keys_of(&to, "data/").await;
    let new: Vec<_> = data.iter().filter(|key| !copied.contains(key)).collect();
    assert_eq!(new.len(), 1);
    flip_bit(&from, new[0]).await;
    let (_, stats) = copied_with_stats(&from, &to).await.unwrap();
    assert_eq!(stats.damaged.len(), 0);
    assert_intact(&to).await;
}

/// Damages an object before it is copied, and mends it after two copies.
async fn check_reported_until_mended(from: &ClusterFixture, key: &str) {
    let to = ClusterFixture::in_memory();
    // A copy accepts no write before its clock reaches the last flush of the source.
    let behind = from.clock.wall_micros() - to.clock.wall_micros();
    to.clock.advance(Duration::from_micros(behind.unsigned_abs()));
    flip_bit(from, key).await;
    for _ in 0..2 {
        let (_, stats) = copied_with_stats(from, &to).await.unwrap();
        let damaged: Vec<_> = stats.damaged.keys().map(ToString::to_string).collect();
        assert_eq!(damaged, [key]);
    }
    flip_bit(from, key).await;
    let (_, stats) = copied_with_stats(from, &to).await.unwrap();
    assert_eq!(stats.damaged.len(), 0);
    assert_eq!(bytes_of(&to, key).await, bytes_of(from, key).await);
    assert_intact(&to).await;
}

#[tokio::test]
async fn a_damaged_object_is_reported_by_each_copy_until_the_source_is_mended() {
    let from = ClusterFixture::in_memory();
    from.fill().await;
    check_reported_until_mended(&from, &keys_of(&from, "data/").await[0]).await;
}

#[tokio::test]
async fn a_damaged_page_is_reported_by_each_copy_until_the_source_is_mended() {
    let from = ClusterFixture::in_memory();
    for value in 0..=INLINE_SECTIONS {
        from.write(&format!("cpu,host=a usage={value} {value}")).await;
        from.flush().await;
    }
    let [page] = from.keys(KeyClass::Page).await.try_into().unwrap();
    check_reported_until_mended(&from, &page).await;
}
