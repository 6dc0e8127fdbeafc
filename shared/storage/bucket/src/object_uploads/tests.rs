//! Tests of uploads to each kind of store.

use neap_s3_server::{Options, S3Server};
use tempfile::TempDir;

use super::*;
use crate::{
    ListRequest, MemoryStore, RemoteOptions, World,
    presigned_objects::PART_BYTES,
    s3_fixture::{s3_builder, s3_store},
};

/// A store with its uploads, and what must outlive them.
struct Target {
    uploads: ObjectUploads,
    store: Arc<dyn Store>,
    _server: Option<S3Server>,
    _directory: Option<TempDir>,
}

impl Target {
    async fn network() -> Self {
        let server = S3Server::start(Options::default()).await.unwrap();
        let store = s3_store(s3_builder(&server), RemoteOptions::default());
        Self {
            uploads: ObjectUploads::network(store.links("one/"), "one/"),
            store: Arc::new(store),
            _server: Some(server),
            _directory: None,
        }
    }

    fn directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(DirectoryStore::open(directory.path(), &World::system()).unwrap());
        Self {
            uploads: ObjectUploads::directory(Arc::clone(&store), "one/"),
            store,
            _server: None,
            _directory: Some(directory),
        }
    }

    fn memory() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(World::system().clock));
        Self {
            uploads: ObjectUploads::collected(Arc::clone(&store), "one/"),
            store,
            _server: None,
            _directory: None,
        }
    }

    async fn all() -> [Self; 3] {
        [Self::network().await, Self::directory(), Self::memory()]
    }

    async fn upload(&self, bytes: &Bytes, mode: UploadMode) -> UploadOutcome {
        let key = key();
        let mut upload = self.uploads.begin(&key, csv(), mode).await.unwrap();
        for start in (0..bytes.len()).step_by(1_000_000) {
            let end = bytes.len().min(start + 1_000_000);
            upload.put(bytes.slice(start..end)).await.unwrap();
        }
        upload.finish().await.unwrap()
    }

    async fn stored(&self) -> Option<Bytes> {
        let location = self.uploads.location(&key());
        let got = self.store.get(&location, GetOptions::default()).await;
        match got.unwrap().value {
            Get::Found(object) => Some(object.bytes),
            _ => None,
        }
    }

    async fn keys(&self) -> Vec<String> {
        let page = self.store.list(ListRequest::new("")).await.unwrap().value;
        page.entries.into_iter().map(|entry| entry.key).collect()
    }
}

fn key() -> Key {
    "exports/1/day=2026-11-01/cpu.csv".parse().unwrap()
}

fn csv() -> ObjectHeaders {
    ObjectHeaders { kind: "text/csv".to_owned(), ..ObjectHeaders::default() }
}

fn bytes(length: usize, first: u8) -> Bytes {
    let cycle = (first..=250).cycle();
    cycle.take(length).collect::<Vec<u8>>().into()
}

/// Sizes of an empty object, of one put, of exactly two parts, and of parts with a shorter last one.
const SIZES: [usize; 4] = [0, 10, 2 * PART_BYTES, 2 * PART_BYTES + 12_345];

#[tokio::test]
async fn an_upload_stores_its_pieces_in_order() {
    for target in Target::all().await {
        for size in SIZES {
            let bytes = bytes(size, 0);
            let outcome = target.upload(&bytes, UploadMode::Replace).await;
            assert_eq!(outcome, UploadOutcome::Stored);
            assert_eq!(target.stored().await, Some(bytes), "{:?}", target.uploads);
            assert!(target.uploads.exists(&key()).await.unwrap());
            assert_eq!(target.keys().await, [target.uploads.location(&key())]);
        }
    }
}

#[tokio::test]
async fn an_upload_that_creates_leaves_an_existing_object_alone() {
    for target in Target::all().await {
        for size in SIZES.into_iter().rev() {
            let first = bytes(10, 1);
            target.upload(&first, UploadMode::Replace).await;
            let outcome = target.upload(&bytes(size, 2), UploadMode::Create).await;
            assert_eq!(outcome, UploadOutcome::Exists, "{:?}", target.uploads);
            assert_eq!(target.stored().await, Some(first));
        }
    }
}

#[tokio::test]
async fn an_aborted_or_dropped_upload_leaves_nothing() {
    for target in Target::all().await {
        for is_aborted in [true, false] {
            let mut upload = target.uploads.begin(&key(), csv(), UploadMode::Create).await.unwrap();
            upload.put(bytes(PART_BYTES + 1, 0)).await.unwrap();
            if is_aborted {
                upload.abort().await
            } else {
                drop(upload)
            }
            assert!(!target.uploads.exists(&key()).await.unwrap());
            assert_eq!(target.keys().await, [] as [String; 0]);
        }
    }
}

#[tokio::test]
async fn only_a_network_store_gives_urls() {
    for target in Target::all().await {
        let bytes = bytes(10, 0);
        target.upload(&bytes, UploadMode::Create).await;
        let url = target.uploads.url(&key(), Duration::from_secs(60)).await;
        let is_network = matches!(target.uploads.target, UploadTarget::Network(_));
        assert_eq!(url.unwrap().is_some(), is_network);
    }
}

#[tokio::test]
async fn only_one_of_many_simultaneous_small_uploads_creates_an_object() {
    for target in Target::all().await {
        let uploads = (0..8).map(|writer| {
            let target = &target;
            async move { target.upload(&bytes(10, writer), UploadMode::Create).await }
        });
        let outcomes = futures::future::join_all(uploads).await;
        let stored = outcomes.iter().filter(|one| **one == UploadOutcome::Stored);
        assert_eq!(stored.count(), 1, "{:?}", target.uploads);
    }
}

#[tokio::test]
async fn a_directory_refuses_names_in_whose_way_something_is_before_any_bytes() {
    let target = Target::directory();
    target.upload(&bytes(10, 0), UploadMode::Create).await;
    let pairs = "
        exports/1/day=2026-11-01 ==> 'one/exports/1/day=2026-11-01' is a directory
        exports/1/day=2026-11-01/cpu.csv/a/b ==> 'one/exports/1/day=2026-11-01/cpu.csv' is a file, not a directory
    ";
    for (name, expected) in neap_test_inputs::text_pairs(pairs) {
        let key = name.parse().unwrap();
        match target.uploads.begin(&key, csv(), UploadMode::Replace).await {
            Err(StoreError::Rejected { reason, .. }) => assert_eq!(reason, expected),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_upload_tells_the_memory_of_its_bytes() {
    for target in Target::all().await {
        let key = key();
        let mut upload = target.uploads.begin(&key, csv(), UploadMode::Create).await.unwrap();
        upload.put(bytes(PART_BYTES + 1000, 0)).await.unwrap();
        let held = upload.memory_bytes();
        match target.uploads.target {
            UploadTarget::Directory(_) => assert_eq!(held, 0),
            _ => assert!(held >= PART_BYTES + 1000, "{held}"),
        }
        upload.abort().await;
    }
}
