//! Tests of the directory store: files, times, processes.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use neap_test_inputs::cases;
use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    listing_cache::{DirectoryState, Known},
    *,
};
use crate::{Clock, MemoryStore, SystemClock};

fn open(directory: &TempDir) -> DirectoryStore {
    DirectoryStore::open(directory.path(), &World::system()).unwrap()
}

async fn put(
    store: &dyn Store,
    key: &str,
    body: &'static str,
    mode: PutMode,
) -> StoreResponse<Put> {
    store.put(key, Bytes::from_static(body.as_bytes()), mode).await.unwrap()
}

async fn read(store: &dyn Store, key: &str) -> Option<Object> {
    match store.get(key, GetOptions::default()).await.unwrap().value {
        Get::Found(object) => Some(object),
        _ => None,
    }
}

async fn keys(store: &dyn Store) -> Vec<String> {
    let page = store.list(ListRequest::new("")).await.unwrap().value;
    page.entries.into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn an_object_is_a_plain_file_that_another_process_finds() {
    let directory = tempfile::tempdir().unwrap();
    put(&open(&directory), "data/7/x.parquet", "PAR1", PutMode::Overwrite).await;
    let file = directory.path().join("data/7/x.parquet");
    assert_eq!(fs::read(file).unwrap(), b"PAR1");
    let object = read(&open(&directory), "data/7/x.parquet").await.unwrap();
    assert_eq!(object.bytes, "PAR1");
}

/// A clock whose wall time a test sets and whose waits all take 20 ms.
#[derive(Debug)]
struct ManualClock {
    wall: AtomicI64,
    stands: AtomicBool,
    inner: SystemClock,
}

impl Clock for ManualClock {
    fn wall_micros(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        if self.stands.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.inner.monotonic()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(Duration::from_millis(20)).boxed()
    }
}

fn set_clock(wall_micros: i64) -> (Arc<ManualClock>, World) {
    let clock = Arc::new(ManualClock {
        wall: wall_micros.into(),
        stands: false.into(),
        inner: SystemClock::new(),
    });
    let world = World { clock: Arc::<ManualClock>::clone(&clock), ..World::system() };
    (clock, world)
}

#[tokio::test]
async fn time_goes_on_when_the_wall_clock_is_set_back_also_for_other_processes() {
    let directory = tempfile::tempdir().unwrap();
    let begin = 1_700_000_000_000_000;
    let (clock, world) = set_clock(begin);
    let one = DirectoryStore::open(directory.path(), &world).unwrap();
    put(&one, "a", "", PutMode::Overwrite).await;
    clock.wall.store(begin + 3_600_000_000, Ordering::Relaxed);
    let late = one.get("a", GetOptions::default()).await.unwrap().date.unwrap();
    assert_eq!(late.micros(), begin + 3_600_000_000);

    clock.wall.store(begin, Ordering::Relaxed);
    let (_, world) = set_clock(begin);
    let two = DirectoryStore::open(directory.path(), &world).unwrap();
    let mut newest = late;
    for store in [&one, &two, &one, &two] {
        let date = put(store, "a", "", PutMode::Overwrite).await.date.unwrap();
        assert!(date > newest);
        let object = read(store, "a").await.unwrap();
        assert!(object.last_modified > newest && object.last_modified < date);
        newest = date;
    }
    let moment = one.world.clock_reading();
    world.clock.sleep(Duration::ZERO).await;
    let date = one.get("a", GetOptions::default()).await.unwrap().date.unwrap();
    let passed = one.world.elapsed(&moment);
    assert!(date.since(newest) >= passed / 2, "the store's time stands still");
}

#[tokio::test]
async fn equal_bytes_put_at_the_same_time_are_different_versions() {
    let directory = tempfile::tempdir().unwrap();
    let (clock, world) = set_clock(1_700_000_000_000_000);
    clock.stands.store(true, Ordering::Relaxed);
    let store = DirectoryStore::open(directory.path(), &world).unwrap();
    let mut etags = std::collections::HashSet::new();
    for _ in 0..20 {
        let Put::Done(etag) = put(&store, "a", "same", PutMode::Overwrite).await.value else {
            panic!("an overwrite was refused");
        };
        assert_eq!(read(&store, "a").await.unwrap().etag, etag);
        assert!(etags.insert(etag));
    }
}

#[tokio::test]
async fn abandoned_temporary_files_are_removed_when_they_are_old_and_never_listed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let new_path = || store.temporary_path(&PutMode::Create);
    let (old, young) = (new_path(), new_path());
    for path in [&old, &young] {
        fs::write(path, "half").unwrap();
    }
    let hours_ago = World::system().clock.wall_micros() - 2 * 3_600_000_000;
    let time = std::time::UNIX_EPOCH + Duration::from_micros(hours_ago.try_into().unwrap());
    File::options().write(true).open(&old).unwrap().set_modified(time).unwrap();
    let store = open(&directory);
    assert!(!old.exists() && young.exists());
    assert_eq!(keys(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn puts_leave_no_temporary_file_on_any_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "a", "", PutMode::Create).await;
    let refused = put(&store, "a", "", PutMode::Create).await;
    assert_eq!(refused.value, Put::Refused);
    let impossible = store.put("a/b", Bytes::new(), PutMode::Overwrite).await;
    assert!(matches!(impossible, Err(StoreError::Rejected { .. })), "{impossible:?}");
    let own = directory.path().join(OWN_DIRECTORY).join("tmp");
    assert_eq!(fs::read_dir(own).unwrap().count(), 0);
}

#[test]
fn the_error_for_an_unwritable_directory_names_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let root = file.join("data");
    let error = DirectoryStore::open(&root, &World::system()).unwrap_err();
    let expected = format!("the data directory '{}' can't be used: ", root.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn keys_that_leave_the_directory_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    for key in ["", "../x", "a/../../x", "/x", "a//b", "a/", ".neap/clocks", "a\0b"] {
        let outcome = store.put(key, Bytes::new(), PutMode::Overwrite).await;
        assert!(matches!(outcome, Err(StoreError::Rejected { .. })), "{key}: {outcome:?}");
        assert!(read(&store, key).await.is_none());
        store.delete(&[key.to_owned()]).await.unwrap();
    }
    assert!(directory.path().join(".neap/clocks").exists());
}

#[tokio::test]
async fn deleting_the_last_object_of_a_directory_removes_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    put(&store, "tail/7/a", "", PutMode::Overwrite).await;
    put(&store, "tail/8/a", "", PutMode::Overwrite).await;
    store.delete(&["tail/7/a".to_owned()]).await.unwrap();
    assert!(!directory.path().join("tail/7").exists());
    store.delete(&["tail/8/a".to_owned()]).await.unwrap();
    assert!(!directory.path().join("tail").exists());
    assert!(directory.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_into_a_directory_that_is_being_removed_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (open(&directory), open(&directory));
    let turns = |store: DirectoryStore, name: &'static str| async move {
        for _ in 0..100 {
            let key = format!("tail/7/{name}");
            put(&store, &key, "", PutMode::Overwrite).await;
            assert!(read(&store, &key).await.is_some());
            store.delete(&[key]).await.unwrap();
        }
    };
    let one = tokio::spawn(turns(one, "one"));
    tokio::spawn(turns(two, "two")).await.unwrap();
    one.await.unwrap();
}

fn directory_key() -> impl Strategy<Value = String> {
    // Directories end with d and files with f, so that no name is both.
    ("([ab.-]?d/){0,2}", "[ab.-]{0,2}f").prop_map(|(directory, file)| directory + &file)
}

#[tokio::test]
async fn what_is_put_on_a_condition_is_durable_for_each_reader() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = (open(&directory), open(&directory));
    let path = directory.path().join("a/b");
    let nanos = || fs::metadata(&path).unwrap().mtime_nsec() % 1000;
    for mode in [PutMode::Create, PutMode::Overwrite] {
        put(&writer, "a/b", "", mode).await;
        assert_eq!(nanos(), 0);
    }
    let base = read(&reader, "a/b").await.unwrap().etag;
    put(&writer, "a/b", "", PutMode::Update(base)).await;
    assert_eq!(nanos(), 0);
    // As if the writer had been suspended before it could sync the directory.
    let file = File::open(&path).unwrap();
    let before = file.metadata().unwrap();
    files::set_modified(&file, modified(&before), UNSETTLED_NANOS.unsigned_abs()).unwrap();
    assert_eq!(nanos(), UNSETTLED_NANOS);
    let object = read(&reader, "a/b").await.unwrap();
    assert_eq!((object.etag, nanos()), (etag(&before), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]

    #[test]
    fn listings_are_those_of_the_memory_store(
        keys in proptest::collection::btree_set(directory_key(), 0..20),
        prefix in "([ab.-]?d/)?[ab.-]?",
        start_after in proptest::option::of(directory_key()),
        page_keys in 1_usize..5,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let world = World::system();
        let files = open(&directory).with_page_keys(page_keys);
        let memory = MemoryStore::with_page_keys(Arc::clone(&world.clock), page_keys);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for key in &keys {
                put(&memory, key, "x", PutMode::Overwrite).await;
                let path = directory.path().join(key);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "x").unwrap();
            }
            let mut page_token = None;
            loop {
                let request = || ListRequest {
                    prefix: &prefix,
                    start_after: start_after.as_deref(),
                    page_token: page_token.clone(),
                };
                let found = files.list(request()).await.unwrap().value;
                let expected = memory.list(request()).await.unwrap().value;
                let names = |page: &ListPage| -> Vec<_> {
                    page.entries.iter().map(|entry| entry.key.clone()).collect()
                };
                assert_eq!(names(&found), names(&expected));
                assert_eq!(found.next_page_token, expected.next_page_token);
                // The first of these keeps the contents of directories, and the second one uses them.
                for _ in 0..2 {
                    let known = page_when_settled(&files, request());
                    assert_eq!(known.entries, found.entries);
                    assert_eq!(known.next_page_token, found.next_page_token);
                }
                page_token = found.next_page_token;
                if page_token.is_none() {
                    break;
                }
            }
        });
    }
}

/// Lists a page as if all directories had been seen long ago.
fn page_when_settled(store: &DirectoryStore, request: ListRequest<'_>) -> ListPage {
    let after = request.start_after.max(request.page_token.as_deref());
    let page = PageRequest {
        root: &store.open.root,
        prefix: request.prefix,
        after: after.unwrap_or_default(),
        page_keys: store.page_keys,
    };
    let listings = &store.listings;
    listing::page(page, listings, listings.now() + Duration::from_secs(1)).unwrap()
}

/// Lists all keys until the contents of `directory` are kept, and returns the keys with their sizes.
async fn list_and_keep(store: &DirectoryStore, directory: &str) -> Vec<(String, u64)> {
    let request = || ListRequest::new("");
    store.list(request()).await.unwrap();
    page_when_settled(store, request());
    let state = DirectoryState::new(&fs::metadata(store.open.root.join(directory)).unwrap());
    let found = store.listings.find(directory, state, Duration::ZERO);
    assert!(matches!(found, Known::Children(_)));
    let page = page_when_settled(store, request());
    let entries = page.entries.into_iter();
    entries.map(|entry| (entry.key, entry.size_bytes)).collect()
}

#[tokio::test]
async fn listings_show_each_change_of_directories_whose_contents_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let state = || DirectoryState::new(&fs::metadata(directory.path().join("a/b")).unwrap());
    let entry = |key: &str, size_bytes| (key.to_owned(), size_bytes);
    put(&store, "a/b/1", "x", PutMode::Create).await;
    assert_eq!(list_and_keep(&store, "a/b/").await, [entry("a/b/1", 1)]);

    // The store does not keep contents within a tick of the kernel, in which the times of a directory stay the same.
    let (known, mut size) = (state(), 1);
    while state() == known {
        size += 1;
        let body = Bytes::from("x".repeat(size));
        store.put("a/b/1", body, PutMode::Overwrite).await.unwrap();
    }
    let size = size as u64;
    assert_eq!(list_and_keep(&store, "a/b/").await, [entry("a/b/1", size)]);

    let known = state();
    while state() == known {
        put(&store, "a/b/2", "x", PutMode::Overwrite).await;
    }
    let both = [entry("a/b/1", size), entry("a/b/2", 1)];
    assert_eq!(list_and_keep(&store, "a/b/").await, both);

    let known = state();
    while state() == known {
        put(&store, "a/b/1", "x", PutMode::Overwrite).await;
        store.delete(&["a/b/1".to_owned()]).await.unwrap();
    }
    assert_eq!(list_and_keep(&store, "a/b/").await, [entry("a/b/2", 1)]);
}

/// The environment variable that makes the next test act as a counting child process.
const COUNTS_IN: &str = "NEAP_TEST_COUNTS_IN";

/// Not a test by itself: the child process of other tests. Increments a counter 50 times and prints each count.
#[tokio::test]
async fn a_process_that_counts() {
    let Ok(root) = std::env::var(COUNTS_IN) else {
        return;
    };
    let store = DirectoryStore::open(root, &World::system()).unwrap();
    for _ in 0..50 {
        println!("\ncounted {}", increment(&store).await);
    }
}

/// Increments the counter, and returns its new value.
async fn increment(store: &DirectoryStore) -> u32 {
    loop {
        let (count, mode) = match read(store, "counter").await {
            None => (0, PutMode::Create),
            Some(object) => (
                String::from_utf8_lossy(&object.bytes).parse::<u32>().unwrap(),
                PutMode::Update(object.etag),
            ),
        };
        let next = (count + 1).to_string();
        let answer = store.put("counter", next.into(), mode).await.unwrap();
        if matches!(answer.value, Put::Done(_)) {
            return count + 1;
        }
    }
}

fn counting_process(directory: &TempDir) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "directory::tests::a_process_that_counts", "--nocapture"])
        .env(COUNTS_IN, directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn counter(directory: &TempDir) -> u32 {
    let object = read(&open(directory), "counter").await.unwrap();
    String::from_utf8_lossy(&object.bytes).parse().unwrap()
}

#[tokio::test]
async fn processes_that_count_together_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let processes: Vec<_> = (0..3).map(|_| counting_process(&directory)).collect();
    for process in processes {
        assert!(process.wait_with_output().unwrap().status.success());
    }
    assert_eq!(counter(&directory).await, 150);
}

fn signal(process: &std::process::Child, name: &str) {
    let sent = Command::new("kill").args([name, &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn a_suspended_process_stops_no_other_one_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut process = counting_process(&directory);
    let mut own = 0;
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    for line in lines {
        if !line.unwrap().starts_with("counted ") {
            continue;
        }
        signal(&process, "-STOP");
        for _ in 0..2 {
            increment(&store).await;
            own += 1;
        }
        signal(&process, "-CONT");
    }
    assert!(process.wait().unwrap().success());
    assert_eq!(counter(&directory).await, 50 + own);
}

#[tokio::test]
async fn a_killed_process_loses_no_reported_count_and_leaves_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = counting_process(&directory);
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut told = 0;
    for line in lines {
        if let Some(count) = line.unwrap().strip_prefix("counted ") {
            told = count.parse().unwrap();
            if told == 10 {
                process.kill().unwrap();
            }
        }
    }
    process.wait().unwrap();
    assert!(told >= 10);
    assert!((told..=told + 1).contains(&counter(&directory).await));
}
