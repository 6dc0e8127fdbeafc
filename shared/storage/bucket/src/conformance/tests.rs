//! Runs the suite on every store, and on stores that lack a property.

use async_trait::async_trait;
use bytes::Bytes;
use neap_s3_server::{Deviation, Options, S3Server};
use neap_test_inputs::{InputOrigin, skip};
use object_store::aws::AmazonS3Builder;

use super::*;
use crate::{
    CountingStore, DirectoryStore, FaultyStore, Get, GetOptions, ListPage, ListRequest,
    MemoryStore, Operation, PrefixedStore, Put, PutMode, RemoteOptions, StoreError, StoreFaults,
    StoreResponse,
    s3_fixture::{s3_builder, s3_store},
};

fn memory(world: &World) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Arc::clone(&world.clock)))
}

async fn assert_conforms(store: Arc<dyn Store>) {
    let world = World::system();
    let run = world.entropy.next_u64();
    let report = check(&store, &world, run).await;
    assert!(report.passed(), "{store:?}:\n{report}");
    let report = probe(&store, &world, run + 1).await;
    assert!(report.passed(), "{store:?}:\n{report}");
    let left = store.list(ListRequest::new("probe/")).await.unwrap().value.entries;
    assert_eq!(left, [], "the suite cleans up");
}

#[tokio::test]
async fn the_memory_store_conforms() {
    assert_conforms(memory(&World::system())).await;
    let clock = World::system().clock;
    assert_conforms(Arc::new(MemoryStore::with_page_keys(clock, 7))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_store_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(directory.path(), &World::system()).unwrap();
    assert_conforms(Arc::new(store)).await;
}

/// A store that sends each call to the next of several stores in rotation, as if each call came from another process.
#[derive(Debug)]
struct RoundRobinStore(Vec<Arc<dyn Store>>, std::sync::atomic::AtomicUsize);

impl RoundRobinStore {
    fn next(&self) -> &Arc<dyn Store> {
        let number = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        &self.0[number % self.0.len()]
    }
}

#[async_trait]
impl Store for RoundRobinStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.next().get(key, options).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.next().put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.next().list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.next().delete(keys).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_directory_stores_on_one_directory_conform_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let open = |page_keys| -> Arc<dyn Store> {
        let store = DirectoryStore::open(directory.path(), &World::system()).unwrap();
        Arc::new(store.with_page_keys(page_keys))
    };
    let both = RoundRobinStore(vec![open(1000), open(100)], 0.into());
    assert_conforms(Arc::new(both)).await;
}

#[tokio::test]
async fn stores_around_a_store_conform() {
    let world = World::system();
    let faultless = FaultyStore::new(memory(&world), world.clone(), StoreFaults::default());
    assert_conforms(Arc::new(faultless)).await;
    assert_conforms(Arc::new(CountingStore::new(memory(&world)))).await;
    assert_conforms(Arc::new(PrefixedStore::new(memory(&world), "a/b/"))).await;
    let small_pages = StoreFaults { page_keys: Some(3), ..StoreFaults::default() };
    let paged = FaultyStore::new(memory(&world), world.clone(), small_pages);
    assert_conforms(Arc::new(paged)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_s3_conforms() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let store = s3_store(s3_builder(&server), RemoteOptions::default());
    assert_conforms(Arc::new(store)).await;
}

/// Returns a store behind a server that deviates from S3.
async fn deviating(deviation: Deviation) -> (S3Server, Arc<dyn Store>) {
    let options = Options { deviations: vec![deviation], ..Options::default() };
    let server = S3Server::start(options).await.unwrap();
    let store = s3_store(s3_builder(&server), RemoteOptions::default());
    (server, Arc::new(store))
}

/// Returns the report of the checks that take few requests.
async fn short_report(store: &Arc<dyn Store>, world: &World) -> ConformanceReport {
    let suite = ConformanceSuite::new(store, world, world.entropy.next_u64());
    let mut report = ConformanceReport::default();
    report.add("creations", suite.create_race().await);
    report.add("updates", suite.update_race().await);
    report.add("versions", suite.stale_update().await);
    report.add("unchanged objects", suite.unchanged().await);
    report.add("listings", suite.listing().await);
    report.add("starts of listings", suite.start_after().await);
    report.add("deletions", suite.deletion().await);
    report.add("times", suite.modification_times().await);
    suite.finish(&mut report).await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_breaks_a_promise_of_s3_fails_the_check_of_it() {
    let world = World::system();
    for (deviation, fails, probe_fails) in [
        (Deviation::IgnoredConditions, "creations", true),
        (Deviation::IgnoredConditions, "versions", true),
        (Deviation::RefusedConditions, "creations", true),
        (Deviation::RefusedConditions, "updates", true),
        // The probe has one writer.
        (Deviation::RacingConditions, "creations", false),
        (Deviation::MissingDates, "every answer has the store's Date", true),
        (Deviation::CachedResponses, "every answer has the store's Date", true),
        (Deviation::LateListings, "listings", true),
        (Deviation::RefusedBulkDeletes, "deletions", true),
    ] {
        let (_server, store) = deviating(deviation).await;
        let report = short_report(&store, &world).await;
        let failed: Vec<_> = report.failures().map(|check| check.name).collect();
        assert!(failed.contains(&fails), "{deviation:?}:\n{report}");
        let probed = probe(&store, &world, world.entropy.next_u64()).await;
        assert_eq!(!probed.passed(), probe_fails, "{deviation:?}:\n{probed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lists_in_another_order_fails_the_check_of_pages() {
    let world = World::system();
    let (_server, store) = deviating(Deviation::UnsortedListings).await;
    let suite = ConformanceSuite::new(&store, &world, world.entropy.next_u64());
    let error = suite.paging().await.unwrap_err();
    assert_eq!(error, "a listing is not sorted by key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_the_promises_in_another_way_than_s3_passes() {
    let world = World::system();
    for deviation in [
        Deviation::Conflicts,
        Deviation::MissingIsPrecondition,
        Deviation::IgnoredStartAfter,
        Deviation::RefusedChecksums,
        Deviation::RefusedStorageClasses,
    ] {
        let (_server, store) = deviating(deviation).await;
        let report = short_report(&store, &world).await;
        assert!(report.passed(), "{deviation:?}:\n{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_over_external_s3() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(endpoint), Some(bucket)) =
        (variable("NEAP_TEST_S3_ENDPOINT"), variable("NEAP_TEST_S3_BUCKET"))
    else {
        skip(
            InputOrigin::Installed,
            "NEAP_TEST_S3_ENDPOINT and NEAP_TEST_S3_BUCKET name no second S3 server",
        );
        return;
    };
    let key = variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "test".to_owned());
    let secret = variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "test".to_owned());
    let builder = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id(key)
        .with_secret_access_key(secret);
    assert_conforms(Arc::new(s3_store(builder, RemoteOptions::default()))).await;
}

/// A store that lacks a property.
#[derive(Debug)]
struct DeficientStore {
    inner: Arc<dyn Store>,
    lacks: MissingProperty,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum MissingProperty {
    Conditions,
    StartAfter,
    Listing,
    Dates,
    Clock,
}

#[async_trait]
impl Store for DeficientStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let answer = self.inner.get(key, options).await?;
        let date = answer.date.filter(|_| self.lacks != MissingProperty::Dates).map(|date| {
            match self.lacks {
                MissingProperty::Clock => date.plus(std::time::Duration::from_secs(60)),
                _ => date,
            }
        });
        Ok(StoreResponse { date, ..answer })
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let mode = match self.lacks {
            MissingProperty::Conditions => PutMode::Overwrite,
            _ => mode,
        };
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        let start_after = request.start_after.filter(|_| self.lacks != MissingProperty::StartAfter);
        let mut answer = self.inner.list(ListRequest { start_after, ..request }).await?;
        if self.lacks == MissingProperty::Listing {
            answer.value.entries.pop();
        }
        Ok(answer)
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }
}

#[tokio::test]
async fn a_store_without_a_property_fails_the_check_of_it() {
    let world = World::system();
    for (lacks, fails, probe_fails) in [
        (
            MissingProperty::Conditions,
            "of concurrent creates of an object, one succeeds",
            true,
        ),
        (MissingProperty::Conditions, "no concurrent update is lost", true),
        (MissingProperty::Conditions, "an update needs the newest version", true),
        (MissingProperty::StartAfter, "a listing starts after a key", false),
        (MissingProperty::Listing, "a listing sees the write before it", true),
        (MissingProperty::Dates, "every answer has the store's Date", true),
        (
            MissingProperty::Clock,
            "the store's clock advances evenly across operations",
            true,
        ),
    ] {
        let inner = memory(&world);
        let store: Arc<dyn Store> = Arc::new(DeficientStore { inner, lacks });
        let report = check(&store, &world, 1).await;
        let failed: Vec<_> = report.failures().map(|check| check.name).collect();
        assert!(failed.contains(&fails), "{lacks:?}:\n{report}");
        let report = probe(&store, &world, 2).await;
        assert_eq!(!report.passed(), probe_fails, "{lacks:?}:\n{report}");
    }
}

#[tokio::test]
async fn the_probe_takes_few_requests() {
    let world = World::system();
    let counting = Arc::new(CountingStore::new(memory(&world)));
    let store: Arc<dyn Store> = Arc::<CountingStore>::clone(&counting);
    assert!(probe(&store, &world, 1).await.passed());
    let counts = counting.counts();
    let requests: u64 = Operation::ALL.iter().map(|operation| counts.requests(*operation)).sum();
    assert!(requests <= 10, "{counts}");
}
