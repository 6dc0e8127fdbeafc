//! Tests that a copy of a cluster in use does not record registers that it lacks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use neap_backup::ClusterCopier;
use neap_bucket::{
    Bucket, CallHook, CallPhase, FaultyStore, Key, KeyClass, Operation, StoreFaults,
};
use neap_catalog::{DocumentKind, DocumentStore, NewDocument, RecordedRegister};
use neap_fsck::{FindingKind, Fsck, FsckOptions, FsckReport};
use neap_manifest::{LoggedRowDelete, RowDeleteLog};
use neap_schema::{DatabaseId, TableId};

use super::{ClusterFixture, copied};

const DATABASE: DatabaseId = DatabaseId::new(1);

/// Creates all registers that a catalog records.
async fn create_registers(cluster: &ClusterFixture) {
    cluster.flush().await;
    let document = NewDocument {
        name: "d".to_owned(),
        content: "{}".to_owned(),
        updated_by: None,
    };
    let documents = DocumentStore::new(&cluster.catalog, DATABASE);
    documents.create(DocumentKind::Query, document).await.unwrap();
    let delete = LoggedRowDelete {
        database: DATABASE,
        table: TableId::new(1),
        database_name: "db".to_owned(),
        table_name: "cpu".to_owned(),
        min_time: None,
        max_time: None,
        predicate: String::new(),
        stamp: None,
    };
    RowDeleteLog::new(&cluster.catalog).add(delete).await.unwrap();
}

/// Copies a cluster, and creates its registers before the copy reads the first catalog of a database.
async fn copy_while_registers_are_created(from: &Arc<ClusterFixture>, to: &ClusterFixture) {
    let is_done = Arc::new(AtomicBool::new(false));
    let source = Arc::clone(from);
    let hook: CallHook = Arc::new(move |call| {
        let is_catalog = call.operation == Operation::Get
            && call.phase == CallPhase::Before
            && KeyClass::from_key(&call.key) == KeyClass::DatabaseCatalog;
        let is_first = is_catalog && !is_done.swap(true, Ordering::Relaxed);
        let source = Arc::clone(&source);
        Box::pin(async move {
            if is_first {
                create_registers(&source).await;
            }
        })
    });
    let world = from.bucket.world().clone();
    let store = FaultyStore::new(Arc::clone(&from.store), world.clone(), StoreFaults::default())
        .with_hook(hook);
    let copier = ClusterCopier {
        from: &Bucket::new(Arc::new(store), world),
        to: &to.bucket,
        progress: &|_| {},
    };
    copier.run().await.unwrap();
}

async fn checked(cluster: &ClusterFixture) -> FsckReport {
    let fsck = Fsck::new(cluster.bucket.clone());
    fsck.check(&FsckOptions::default(), &|_| {}).await.unwrap()
}

/// Returns whether the catalogs record the manifest, the documents and the log of row deletes.
async fn recorded(cluster: &ClusterFixture) -> [bool; 3] {
    let root = cluster.catalog.root(Duration::ZERO).await.unwrap().value;
    let database = cluster.catalog.database(DATABASE, Duration::ZERO).await.unwrap().value;
    [
        database.registers.contains(RecordedRegister::Manifest),
        database.registers.contains(RecordedRegister::Documents),
        root.registers.contains(RecordedRegister::RowDeletes),
    ]
}

#[tokio::test]
async fn a_copy_does_not_record_registers_that_were_created_meanwhile() {
    let (from, to) = (Arc::new(ClusterFixture::in_memory()), ClusterFixture::in_memory());
    from.write("cpu,host=a usage=1 1").await;
    copy_while_registers_are_created(&from, &to).await;
    assert_eq!(recorded(&from).await, [true; 3]);
    assert_eq!(recorded(&to).await, [false; 3]);
    let report = checked(&to).await;
    assert!(report.clean, "{report}");

    copied(&from, &to).await.unwrap();
    assert_eq!(recorded(&to).await, [true; 3]);
    let report = checked(&to).await;
    assert!(report.clean, "{report}");
}

#[tokio::test]
async fn what_the_source_has_lost_is_lost_in_the_copy() {
    let (from, to) = (ClusterFixture::in_memory(), ClusterFixture::in_memory());
    from.write("cpu,host=a usage=1 1").await;
    create_registers(&from).await;
    let keys = [Key::Documents(DATABASE), Key::Manifest(DATABASE), Key::RowDeletes];
    let lost = keys.map(|key| key.to_string());
    from.store.delete(&lost).await.unwrap();
    copied(&from, &to).await.unwrap();
    assert_eq!(recorded(&to).await, [true; 3]);
    let report = checked(&to).await;
    let missing = report.findings.iter().filter(|one| one.kind == FindingKind::Missing);
    let mut reported: Vec<_> = missing.filter_map(|one| one.key.clone()).collect();
    reported.sort();
    assert_eq!(reported, lost, "{report}");
}
