//! The objects of sections, and their names.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{
    CommitOutcome, Get, GetOptions, Key, ListRequest, PutMode, RegisterChange, Store,
    VersionedValue,
};
use neap_compact::CompactorEvent;
use neap_manifest::Manifest;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::instance::{DATABASE, QueryTestInstance};

const HOUR: Duration = Duration::from_secs(3_600);

const ALL: &str = "SELECT * FROM m UNION ALL SELECT * FROM n ORDER BY k, time";

impl QueryTestInstance {
    /// Returns the keys of data objects.
    async fn objects(&self) -> Vec<String> {
        let page = self
            .counting
            .list(ListRequest::new(&Key::data_prefix(DATABASE)))
            .await
            .unwrap()
            .value;
        page.entries.into_iter().map(|entry| entry.key).collect()
    }

    async fn object(&self, key: &str) -> Bytes {
        let got = self.counting.get(key, GetOptions::default()).await.unwrap();
        match got.value {
            Get::Found(object) => object.bytes,
            other => panic!("{key}: {other:?}"),
        }
    }

    /// Renames bundles as releases did that knew only one kind of name.
    async fn rename_bundles(&self) {
        for key in self.objects().await {
            let Some(name) = key.strip_suffix(".bundle") else {
                continue;
            };
            let (name, bytes) = (format!("{name}.parquet"), self.object(&key).await);
            let put = self.counting.put(&name, bytes, PutMode::Overwrite);
            put.await.unwrap();
            self.counting.delete(&[key]).await.unwrap();
        }
        let base = self.manifests.read(DATABASE, None).await.unwrap();
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            for section in &mut next.sections {
                Arc::make_mut(section).in_bundle = false;
            }
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        let register = self.manifests.register(DATABASE);
        let commit = register.commit(Some(base), change).await.unwrap();
        assert!(matches!(commit, CommitOutcome::Committed { .. }));
    }
}

fn count(objects: &[String], end: &str) -> usize {
    objects.iter().filter(|key| key.ends_with(end)).count()
}

#[tokio::test]
async fn only_an_object_of_one_section_is_a_parquet_file_by_name() {
    let one = QueryTestInstance::with_rows("m,k=a v=1i 1700000000000000000").await;
    one.flush().await;
    one.write("m,k=b v=1i 1700000000000000000\nn,k=c v=1i 1700000000000000000")
        .await;
    one.flush().await;
    let objects = one.objects().await;
    assert_eq!((count(&objects, ".parquet"), count(&objects, ".bundle")), (1, 1));
    for key in objects.iter().filter(|key| key.ends_with(".parquet")) {
        let bytes = one.object(key).await;
        let file = SerializedFileReader::new(bytes).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 1);
    }
    let sql = "SELECT table_name, path FROM system.parquet_files";
    let files = one.sql(sql).await;
    assert_eq!(files.matches(".bundle").count(), 2, "{files}");
    assert_eq!(files.matches(".parquet").count(), 1, "{files}");
    assert_eq!(one.merge().await, 1);
    let files = one.sql(&format!("{sql} WHERE table_name = 'm'")).await;
    assert_eq!(files.matches(".parquet").count(), 1, "{files}");
}

#[tokio::test]
async fn bundles_that_an_earlier_release_named_as_parquet_are_read_merged_and_collected() {
    let (store, clock) = QueryTestInstance::memory_store();
    let one = QueryTestInstance::new(Arc::clone(&store), Arc::clone(&clock)).await;
    one.write("m,k=a v=1i 1700000000000000000\nn,k=b v=1i 1700000000000000000")
        .await;
    one.flush().await;
    let all = one.sql(ALL).await;
    one.rename_bundles().await;
    let [bundle] = one.objects().await.try_into().unwrap();
    assert!(bundle.ends_with(".parquet"));
    drop(one);
    // A new instance with empty caches.
    let again = QueryTestInstance::new(store, clock).await;
    assert_eq!(again.sql(ALL).await, all);

    again
        .write("m,k=c v=1i 1700000000000000000\nn,k=d v=1i 1700000000000000000")
        .await;
    again.flush().await;
    assert_eq!(again.merge().await, 2);
    for _ in 0..3 {
        again.pass(2 * HOUR);
        let report = again.compactor.handle(&CompactorEvent::Collect, None).await;
        assert_eq!(report.unwrap().failures, []);
    }
    let objects = again.objects().await;
    assert!(!objects.contains(&bundle), "{objects:?}");
    assert_eq!(count(&objects, ".parquet"), 2);
    assert_eq!(again.sql(ALL).await.lines().count(), 5);
}
