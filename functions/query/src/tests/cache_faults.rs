//! Caches whose objects are unreadable or damaged, that exceed their memory, or that are queried during writes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{
    Get, GetOptions, KeyClass, ListPage, ListRequest, MemoryStore, Operation, Put, PutMode,
    SteppedClock, Store, StoreError, StoreResponse,
};
use tokio::sync::Semaphore;

use super::{
    DATABASE, QueryTestInstance,
    caches::{create_distinct, create_last},
    instance::TestDeleter,
};
use crate::{CacheStats, QuerySettings};

const HOUR: Duration = Duration::from_secs(3600);

const LATEST: &str = "SELECT room, temp FROM last_cache('home', 'latest') WHERE room = 'Kitchen'";

/// The behaviour of reads of one class of objects.
#[derive(Clone, Debug)]
enum ReadMode {
    /// They succeed.
    Normal,
    Fail,
    /// The first reads, up to this number, return wrong bytes.
    Damaged(usize),
    /// They signal their start and wait for permits.
    Wait {
        started: Arc<Semaphore>,
        may_go_on: Arc<Semaphore>,
    },
}

/// A store whose reads of one class of objects, cache objects by default, misbehave.
#[derive(Debug)]
struct CacheFaultStore {
    inner: Arc<MemoryStore>,
    reads: Mutex<(KeyClass, ReadMode)>,
}

#[async_trait]
impl Store for CacheFaultStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let (class, reads) = self.reads.lock().unwrap().clone();
        if KeyClass::from_key(key) != class {
            return self.inner.get(key, options).await;
        }
        let mut is_damaged = false;
        match reads {
            ReadMode::Normal | ReadMode::Damaged(0) => {}
            ReadMode::Fail => {
                return Err(StoreError::Unavailable {
                    operation: Operation::Get,
                    key: key.to_owned(),
                    reason: "it is a test".to_owned(),
                });
            }
            ReadMode::Damaged(times) => {
                self.reads.lock().unwrap().1 = ReadMode::Damaged(times - 1);
                is_damaged = true;
            }
            ReadMode::Wait { started, may_go_on } => {
                started.add_permits(1);
                may_go_on.acquire().await.unwrap().forget();
            }
        }
        let mut answer = self.inner.get(key, options).await?;
        if let (Get::Found(object), true) = (&mut answer.value, is_damaged) {
            object.bytes = Bytes::from_static(b"something else");
        }
        Ok(answer)
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }
}

struct CacheFaultFixture {
    faults: Arc<CacheFaultStore>,
    one: QueryTestInstance,
}

impl CacheFaultFixture {
    /// Creates a flushed table with a last cache, `latest`, which has an object, and a distinct cache, `rooms`.
    async fn new() -> Self {
        let clock = Arc::new(SteppedClock::self_advancing());
        let faults = Arc::new(CacheFaultStore {
            inner: Arc::new(MemoryStore::new(Arc::clone(&clock) as _)),
            reads: Mutex::new((KeyClass::Cache, ReadMode::Normal)),
        });
        let (store, settings) = (Arc::clone(&faults) as _, QuerySettings::default());
        let one = QueryTestInstance::over(store, clock, settings, TestDeleter::Writer).await;
        one.write(
            "home,room=Kitchen temp=20 1699999990000000000\n\
             home,room=Kitchen temp=19 1699999980000000000\n\
             home,room=Cellar temp=10 1699999980000000000",
        )
        .await;
        create_last(&one, "latest", &["room"], None, 1, HOUR).await;
        create_distinct(&one, "rooms", &["room"], 100, HOUR).await;
        one.flush().await;
        one.fill_caches().await;
        Self { faults, one }
    }

    fn set(&self, reads: ReadMode) {
        *self.faults.reads.lock().unwrap() = (KeyClass::Cache, reads);
    }

    /// Makes reads of a class start and then wait.
    fn hold(&self, class: KeyClass) -> (Arc<Semaphore>, Arc<Semaphore>) {
        let (started, may_go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let reads = ReadMode::Wait {
            started: Arc::clone(&started),
            may_go_on: Arc::clone(&may_go_on),
        };
        *self.faults.reads.lock().unwrap() = (class, reads);
        (started, may_go_on)
    }

    fn stats(&self) -> CacheStats {
        self.one.engine.cache_stats()
    }
}

#[tokio::test]
async fn a_query_that_waits_for_an_object_is_not_overtaken_by_writes() {
    let faulty = CacheFaultFixture::new().await;
    let one = &faulty.one;
    one.write("home,room=Kitchen temp=21 1699999991000000000").await;
    let count = "SELECT count(*) AS n FROM home";
    assert_eq!(one.sql(count).await, "n\n4\n");
    let (started, may_go_on) = faulty.hold(KeyClass::Cache);
    let rival = async {
        started.acquire().await.unwrap().forget();
        one.write("home,room=Kitchen temp=22 1699999992000000000").await;
        assert_eq!(one.sql(count).await, "n\n5\n");
        may_go_on.add_permits(1);
    };
    let (answer, ()) = tokio::join!(one.sql(LATEST), rival);
    assert_eq!(answer, "room,temp\nKitchen,21.0\n");
    assert_eq!((faulty.stats().hits, faulty.stats().misses), (0, 1));
}

#[tokio::test]
async fn an_unavailable_store_is_not_asked_for_table_data_instead() {
    let faulty = CacheFaultFixture::new().await;
    faulty.set(ReadMode::Fail);
    let query = serde_json::json!({"db": "db", "q": LATEST, "format": "csv"});
    let (status, body) = faulty.one.post(query).await;
    assert_eq!(status, 503, "{body}");
    // The table is then read without its caches.
    let rooms = "SELECT DISTINCT room FROM home ORDER BY room";
    assert_eq!(faulty.one.sql(rooms).await, "room\nCellar\nKitchen\n");
    assert_eq!(faulty.stats().scans, 0);
    faulty.set(ReadMode::Normal);
    assert_eq!(faulty.one.sql(LATEST).await, "room,temp\nKitchen,20.0\n");
    assert_eq!((faulty.stats().scans, faulty.stats().loads), (0, 1));
}

#[tokio::test]
async fn an_object_that_arrives_damaged_is_read_again() {
    let faulty = CacheFaultFixture::new().await;
    faulty.set(ReadMode::Damaged(1));
    assert_eq!(faulty.one.sql(LATEST).await, "room,temp\nKitchen,20.0\n");
    assert_eq!((faulty.stats().scans, faulty.stats().loads), (0, 2));
}

#[tokio::test]
async fn a_damaged_object_is_replaced_by_a_table_scan_and_read_again_later() {
    let faulty = CacheFaultFixture::new().await;
    faulty.set(ReadMode::Damaged(2));
    assert_eq!(faulty.one.sql(LATEST).await, "room,temp\nKitchen,20.0\n");
    assert_eq!((faulty.stats().scans, faulty.stats().loads), (1, 2));
    // With a delete in the tail, the scan result is no longer valid, but the object is.
    let delete = "DELETE FROM home WHERE room = 'Cellar'";
    faulty.one.sql(delete).await;
    assert_eq!(faulty.one.sql(LATEST).await, "room,temp\nKitchen,20.0\n");
    assert_eq!((faulty.stats().scans, faulty.stats().loads), (1, 3));
}

#[tokio::test]
async fn an_error_of_one_cache_does_not_affect_others() {
    let faulty = CacheFaultFixture::new().await;
    let one = &faulty.one;
    create_last(one, "without_object", &["room"], None, 2, HOUR).await;
    let other = "SELECT temp FROM last_cache('home', 'without_object') WHERE room = 'Cellar'";
    one.sql(LATEST).await;
    one.sql(other).await;
    one.write("home,room=Kitchen temp=22 1699999992000000000").await;
    one.flush().await;
    let before = faulty.stats().scans;
    faulty.set(ReadMode::Fail);
    one.engine.feed(DATABASE).await.unwrap_err();
    assert_eq!(faulty.stats().scans, before + 1);
    assert_eq!(one.sql(other).await, "temp\n10.0\n");
    assert_eq!(faulty.stats().scans, before + 1);
}

#[tokio::test]
async fn a_delete_causes_no_scan_until_a_query_reads_the_cache() {
    let faulty = CacheFaultFixture::new().await;
    let one = &faulty.one;
    one.sql(LATEST).await;
    one.sql("DELETE FROM home WHERE time = '2023-11-14T22:13:10Z'").await;
    one.engine.feed(DATABASE).await.unwrap();
    assert_eq!(faulty.stats().scans, 0);
    assert_eq!(one.sql(LATEST).await, "room,temp\nKitchen,19.0\n");
    assert_eq!(faulty.stats().scans, 1);
}

#[tokio::test]
async fn a_cache_build_outlives_its_query_and_excludes_other_builds() {
    let faulty = CacheFaultFixture::new().await;
    let one = &faulty.one;
    create_last(one, "two", &["room"], None, 2, HOUR).await;
    create_last(one, "three", &["room"], None, 3, HOUR).await;
    let of =
        |cache: &str| format!("SELECT temp FROM last_cache('home', '{cache}') WHERE room > 'K'");
    let (started, may_go_on) = faulty.hold(KeyClass::Data);
    let (two, three) = (of("two"), of("three"));
    // The first query is dropped while it waits.
    tokio::select! {
        _ = one.sql(&two) => panic!("it waits for the bucket"),
        permit = started.acquire() => permit.unwrap().forget(),
    }
    // The next query, of another cache, reads the table.
    let release = async {
        while faulty.stats().misses < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        may_go_on.add_permits(100);
    };
    let (answer, ()) = tokio::join!(one.sql(&three), release);
    assert_eq!(answer, "temp\n20.0\n19.0\n");
    assert_eq!(one.sql(&two).await, "temp\n20.0\n19.0\n");
    assert_eq!(faulty.stats().scans, 1);
}

/// So many series that their index takes a few hundred KiB.
fn many() -> String {
    let line = |room: usize| format!("home,room=r{room} temp={room} 1699999990000000000\n");
    (0..3_000).map(line).collect()
}

async fn limited(
    store: &Arc<MemoryStore>,
    clock: &Arc<SteppedClock>,
    settings: QuerySettings,
) -> QueryTestInstance {
    QueryTestInstance::with(Arc::clone(store), Arc::clone(clock), settings).await
}

#[tokio::test]
async fn a_cache_that_exceeds_its_memory_is_not_rebuilt_for_ten_minutes() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { cache_bytes: 4 << 10, ..QuerySettings::default() };
    let one = limited(&store, &clock, settings).await;
    one.write(&many()).await;
    create_last(&one, "latest", &["room"], None, 1, HOUR).await;
    let sql = "SELECT temp FROM last_cache('home') WHERE room = 'r7'";
    for (pause, scans) in [(0, 1), (0, 1), (601, 2)] {
        one.write("home,room=r7 temp=7 1699999991000000000").await;
        one.flush().await;
        one.pass(Duration::from_secs(pause));
        assert_eq!(one.sql(sql).await, "temp\n7.0\n");
        one.engine.feed(DATABASE).await.unwrap();
        assert_eq!(one.engine.cache_stats().scans, scans);
    }
}

#[tokio::test]
async fn caches_take_no_room_from_the_tail() {
    let (store, clock) = QueryTestInstance::memory_store();
    let with = async |tail_bytes: usize| {
        let settings = QuerySettings { tail_bytes, ..QuerySettings::default() };
        limited(&store, &clock, settings).await
    };
    let writer = with(64 << 20).await;
    writer.write(&many()).await;
    writer.write("home,room=r8 temp=8 1699999980000000000").await;
    let names: Vec<String> = (1..7).map(|count| format!("last_{count}")).collect();
    for (count, name) in (1..).zip(&names) {
        create_last(&writer, name, &["room"], None, count, HOUR).await;
    }
    let count = "SELECT count(temp) AS n FROM home";
    assert_eq!(writer.sql(count).await, "n\n3001\n");
    let enough = usize::try_from(writer.engine.memory_stats().tails).unwrap();
    // The tail sorts its tags for the first cache that reads it. One tail may use half of the memory.
    let one = with(2 * (enough + (96 << 10))).await;
    let latest =
        |name: &String| format!("SELECT temp FROM last_cache('home', '{name}') WHERE room = 'r7'");
    for at in 0..3 {
        for name in &names {
            assert_eq!(one.sql(&latest(name)).await, "temp\n7.0\n");
        }
        assert_eq!(one.sql(count).await, format!("n\n{}\n", 3_001 + at));
        let line = format!("home,room=r8 temp=8 169999999{at}500000000");
        writer.write(&line).await;
    }
    let has_room = async |one: &QueryTestInstance, name: &String| {
        let plan = one.sql(&format!("EXPLAIN {}", latest(name))).await;
        !plan.contains("from=table")
    };
    for name in &names {
        assert!(has_room(&writer, name).await);
    }
    assert!(!has_room(&one, names.last().unwrap()).await);
}
