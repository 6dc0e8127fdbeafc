//! Tests of the commands that work directly on a store; each uses a directory with a cluster created in 2025.

mod catalog;
mod copied_damage;
mod copied_records;
mod format_level;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use futures::{StreamExt, future::BoxFuture, stream};
use neap_backup::{ClusterCopier, CopyError, CopyStats};
use neap_bucket::{
    Bucket, CallHook, CallPhase, Clock, DirectoryStore, FaultyStore, Get, GetOptions, Key,
    KeyClass, ListRequest, MemoryStore, Operation, ProtocolMargins, ProtocolRules, PutMode, Store,
    StoreFaults, SystemClock, World, compression,
};
use neap_catalog::{ANY_AGE, Catalog, NewLastCache};
use neap_compact::{FlushLimits, FlushResult, Flusher};
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_schema::DatabaseId;
use neap_wal::{TailReader, TailReaderSettings};
use neap_write::{WriteService, WriteServiceParts};
use tower::ServiceExt;

use super::{FAILED, environment::Environment, tests::run_with};

/// A clock that starts in 2025 and can be advanced.
#[derive(Debug)]
struct PastClock {
    now: SystemClock,
    step_micros: AtomicI64,
}

impl PastClock {
    fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.step_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for PastClock {
    fn wall_micros(&self) -> i64 {
        let elapsed = i64::try_from(self.monotonic().as_micros()).unwrap();
        1_757_510_705_000_000 + elapsed
    }

    fn monotonic(&self) -> Duration {
        let step = self.step_micros.load(Ordering::Relaxed).unsigned_abs();
        self.now.monotonic() + Duration::from_micros(step)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.now.sleep(duration)
    }
}

/// Number of sections in a manifest from which on a flush moves older ones to pages.
const INLINE_SECTIONS: usize = 16;

/// A test cluster with one database, `db`.
struct ClusterFixture {
    clock: Arc<PastClock>,
    store: Arc<dyn Store>,
    bucket: Bucket,
    catalog: Arc<Catalog>,
    flusher: Flusher,
    service: Arc<WriteService>,
}

fn past_world() -> (Arc<PastClock>, World) {
    let clock = Arc::new(PastClock { now: SystemClock::new(), step_micros: AtomicI64::new(0) });
    let world = World::seeded(Arc::clone(&clock) as _, 1);
    (clock, world)
}

impl ClusterFixture {
    fn in_directory(folder: &Path) -> Self {
        let (clock, world) = past_world();
        let store = Arc::new(DirectoryStore::open(folder, &world).unwrap());
        Self::on(clock, world, store)
    }

    fn in_memory() -> Self {
        let (clock, world) = past_world();
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        Self::on(clock, world, store)
    }

    fn on(clock: Arc<PastClock>, world: World, store: Arc<dyn Store>) -> Self {
        let bucket = Bucket::new(Arc::clone(&store), world);
        Self::on_bucket(clock, store, bucket)
    }

    fn on_bucket(clock: Arc<PastClock>, store: Arc<dyn Store>, bucket: Bucket) -> Self {
        // Commands and settings wait for the settling time in real time.
        let margins = ProtocolMargins::SHORT_LOCAL;
        let rules = ProtocolRules::new(margins);
        let catalog = Arc::new(Catalog::new(bucket.clone(), margins, None));
        let settings = ManifestSettings::with_inline_sections(INLINE_SECTIONS);
        let manifests = ManifestStore::new(bucket.clone(), &rules, settings);
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests,
            TailReader::new(bucket.clone(), TailReaderSettings::default()),
            rules,
            FlushLimits::default(),
        );
        let service = Arc::new(WriteService::new(WriteServiceParts::local(&catalog, rules)));
        Self { clock, store, bucket, catalog, flusher, service }
    }

    async fn write(&self, line: &str) {
        assert_eq!(self.try_write(line).await.status(), 204);
    }

    async fn try_write(&self, line: &str) -> axum::response::Response {
        let request = axum::http::Request::post("/api/v3/write_lp?db=db&precision=second")
            .body(Body::from(line.to_owned()))
            .unwrap();
        let router = neap_write::router(Arc::clone(&self.service))
            .layer(axum::Extension(neap_http::Caller::unrestricted()));
        router.oneshot(request).await.unwrap()
    }

    async fn flush(&self) {
        self.clock.advance(Duration::from_secs(20));
        let database = self.catalog.database_by_name("db", ANY_AGE).await.unwrap();
        let flushed = self.flusher.flush(database.unwrap()).await.unwrap();
        assert!(matches!(flushed, FlushResult::Done { .. }), "{flushed:?}");
    }

    /// Creates two versions and a segment in the tail.
    async fn fill(&self) {
        for value in 1..=2 {
            self.write(&format!("cpu,host=a usage={value} {value}")).await;
            self.flush().await;
        }
        self.write("cpu,host=b usage=3 3").await;
    }

    /// Lists the keys of a class.
    async fn keys(&self, class: KeyClass) -> Vec<String> {
        let page = self.store.list(ListRequest::new("")).await.unwrap().value;
        let keys = page.entries.into_iter().map(|entry| entry.key);
        keys.filter(|key| KeyClass::from_key(key) == class).collect()
    }
}

/// Creates a directory with a filled cluster.
fn filled() -> (tempfile::TempDir, ClusterFixture) {
    let folder = tempfile::tempdir().unwrap();
    let cluster = super::runtime().unwrap().block_on(async {
        let cluster = ClusterFixture::in_directory(folder.path());
        cluster.fill().await;
        cluster
    });
    (folder, cluster)
}

/// Runs a command on a directory.
fn run_on(folder: &Path, args: &[&str]) -> (u8, String, String) {
    let folder = folder.to_str().unwrap();
    let args: Vec<_> = args.iter().copied().chain(["--data-dir", folder]).collect();
    run_with(&args, &Environment::default(), "")
}

/// Replaces the path of a folder in a text.
fn without(text: &str, folder: &Path) -> String {
    text.replace(folder.to_str().unwrap(), "<folder>")
}

#[test]
fn fsck_passes_an_intact_store_and_fails_on_damage() {
    let (folder, cluster) = filled();
    let (status, out, err) = run_on(folder.path(), &["fsck", "--full"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(
        out.contains(
            "checked fully: 1 databases, 1 tables, 2 sections with 2 rows, 0 pages, 1 new segments"
        ),
        "{out}"
    );
    let data = super::runtime().unwrap().block_on(cluster.keys(KeyClass::Data));
    std::fs::remove_file(folder.path().join(&data[0])).unwrap();
    let (status, out, err) = run_on(folder.path(), &["fsck", "--json", "-d", "db"]);
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Fsck command failed: 1 errors were found");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["clean"], false);
    assert_eq!(report["findings"][0]["kind"], "missing");
    assert_eq!(report["findings"][0]["key"], data[0].as_str());
    let (status, _, err) = run_on(folder.path(), &["fsck", "-d", "nope"]);
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Fsck command failed: database not found: nope");
}

#[test]
fn the_time_of_a_directory_is_shown_and_set_back() {
    let (folder, cluster) = filled();
    let behind = World::system().clock.wall_micros() - cluster.clock.wall_micros();
    let ahead = Duration::from_micros(behind.unsigned_abs()) + Duration::from_secs(360_000);
    cluster.clock.advance(ahead);
    let runtime = super::runtime().unwrap();
    runtime.block_on(cluster.write("cpu,host=c usage=4 4"));

    let (status, out, err) = run_on(folder.path(), &["fsck", "--clock"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains(" s ahead: flushes are blocked, nothing expires"), "{out}");
    assert!(out.contains("database \"db\": has writes of up to "), "{out}");
    assert!(out.ends_with("have the directory open: 1 now.\n"), "{out}");
    let (status, _, err) = run_on(folder.path(), &["fsck", "--clock", "--repair"]);
    assert_eq!(status, FAILED);
    assert!(err.contains("another process has the directory open; stop it first"), "{err}");

    drop((cluster, runtime));
    let (status, out, err) = run_on(folder.path(), &["fsck", "--clock", "--repair", "--json"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["repaired"], &report["processes"]), (&true.into(), &0.into()));
    let (status, out, _) = run_on(folder.path(), &["fsck", "--clock"]);
    assert_eq!(status, 0);
    assert!(out.ends_with("The directory's time needs no repair.\n"), "{out}");
}

#[test]
fn a_missing_data_directory_is_refused_and_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let target = folder.path().join("copy").display().to_string();
    let copy = ["copy", "--to", target.as_str()];
    let place = missing.display().to_string();
    let backups = ["fsck", "--backups-at", place.as_str()];
    for args in [
        &["fsck"][..],
        &["fsck", "--clock"],
        &backups,
        &["compact"],
        &["format-level"],
        &copy,
    ] {
        let (status, out, err) = run_on(&missing, args);
        assert_eq!((status, out.as_str()), (1, ""), "{args:?}: {err}");
        let expected = format!("there is no directory {place}\n");
        assert!(err.ends_with(&expected), "{args:?}: {err}");
        assert!(!missing.exists(), "{args:?}");
    }
}

#[test]
fn commands_do_not_create_a_cluster_in_an_unused_store() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        vec!["show", "versions", "-d", "db"],
        vec!["restore", "-d", "db", "--as-of", "1", "--to", "new"],
        vec!["copy", "--to", "elsewhere"],
        vec!["fsck", "-d", "db"],
        vec!["format-level"],
    ] {
        let (status, _, err) = run_on(folder.path(), &args);
        assert_eq!(status, FAILED, "{args:?}");
        let expected = "command failed: there is no database cluster in directory <folder>\n";
        assert!(without(&err, folder.path()).ends_with(expected), "{err}");
    }
    let (status, out, _) = run_on(folder.path(), &["fsck"]);
    assert_eq!(status, 0, "{out}");
}

#[test]
fn versions_are_shown_and_restored_without_copying() {
    let (folder, cluster) = filled();
    let show = ["show", "versions", "-d", "db", "--format", "jsonl"];
    let (status, out, err) = run_on(folder.path(), &show);
    assert_eq!((status, err.as_str()), (0, ""));
    let versions: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(versions.len(), 2, "{out}");
    assert_eq!(versions[0]["version"], 1);
    let until = versions[0]["writes_until"].as_str().unwrap();
    let runtime = super::runtime().unwrap();
    let before = runtime.block_on(cluster.keys(KeyClass::Data));

    let restore = ["restore", "-d", "db", "--as-of", until, "--to", "old"];
    let (status, out, err) = run_on(folder.path(), &restore);
    assert_eq!((status, err.as_str()), (0, ""));
    let expected = format!(
        "Database \"db\" restored as \"old\": version 1, 1 sections, writes until {until}\n"
    );
    assert_eq!(out, expected);
    assert_eq!(runtime.block_on(cluster.keys(KeyClass::Data)), before);
    let (status, _, err) = run_on(folder.path(), &restore);
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Restore command failed: attempted to create a resource that already exists");
    let century = Duration::from_secs(100 * 365 * 24 * 3_600);
    let set = cluster.catalog.set_retention(DatabaseId::new(1), Some(century));
    runtime.block_on(set).unwrap();
    let now = ["restore", "-d", "db", "--as-of", "2200-01-01T00:00:00Z", "--to", "now"];
    let (status, out, err) = run_on(folder.path(), &now);
    assert_eq!(status, 0, "{err}");
    // The third version is the one that pins the first version.
    assert!(out.contains("version 3, 2 sections"), "{out}");
    insta::assert_snapshot!(err, @r"
    Retention is off in what is restored, so that old rows do not expire: set it again with `neap update database --retention-period`, or restore with --keep-retention
    Later writes are not included: `neap compact` creates a version with them
    ");
    let (status, out, _) = run_on(folder.path(), &["fsck", "--full"]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("checked fully: 3 databases, 3 tables, 5 sections"), "{out}");
    let bad = ["restore", "-d", "db", "--as-of", "yesterday", "--to", "x"];
    let (status, _, err) = run_on(folder.path(), &bad);
    assert_eq!(status, super::USAGE);
    assert!(
        err.contains("a time such as 2026-01-31T12:00:00Z or a stamp is expected"),
        "{err}"
    );
}

#[test]
fn a_copy_is_complete_and_the_next_copy_updates_it() {
    let (folder, cluster) = filled();
    let backups = tempfile::tempdir().unwrap();
    let backup = backups.path().join("backup");
    let copy = ["copy", "--to", backup.to_str().unwrap()];
    let (status, out, err) = run_on(folder.path(), &copy);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(
        out.starts_with("8 objects with ") && out.ends_with(", 0 existed already\n"),
        "{out}"
    );
    let (status, out, _) = run_on(&backup, &["fsck", "--full"]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("2 sections with 2 rows, 0 pages, 1 new segments"), "{out}");

    super::runtime().unwrap().block_on(cluster.flush());
    let (status, out, err) = run_on(folder.path(), &copy);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.ends_with(", 5 existed already\n"), "{out}");
    let (_, out, _) = run_on(&backup, &["fsck", "--full"]);
    assert!(out.contains("3 sections with 3 rows, 0 pages, 0 new segments"), "{out}");

    for inside in ["", "copies/one"] {
        let to = folder.path().join(inside);
        let (status, _, err) = run_on(folder.path(), &["copy", "--to", to.to_str().unwrap()]);
        assert_eq!(status, FAILED);
        insta::allow_duplicates! {
            insta::assert_snapshot!(err, @"Copy command failed: --to: it is the source itself, or inside of it");
        }
    }
    assert!(!folder.path().join("copies").exists());
}

#[test]
fn caches_are_filled_and_their_objects_are_copied() {
    let (folder, cluster) = filled();
    super::runtime().unwrap().block_on(async {
        // The cluster runs, so a command does not put its clock ahead.
        cluster.flush().await;
        let database = cluster.catalog.database_by_name("db", ANY_AGE).await.unwrap();
        let new = NewLastCache {
            table: "cpu".to_owned(),
            name: None,
            key_columns: None,
            value_columns: None,
            count: 1,
            ttl_s: 100 * 365 * 24 * 60 * 60,
        };
        let created = cluster.catalog.create_last_cache(database.unwrap(), &new);
        created.await.unwrap();
    });
    let compact = ["compact", "-d", "db", "--trust-store-clock"];
    let (status, out, err) = run_on(folder.path(), &compact);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("1 caches filled\n"), "{out}");
    let backups = tempfile::tempdir().unwrap();
    let backup = backups.path().join("backup");
    let copy = ["copy", "--to", backup.to_str().unwrap()];
    let (status, _, err) = run_on(folder.path(), &copy);
    assert_eq!((status, err.as_str()), (0, ""));
    let objects = super::runtime().unwrap().block_on(cluster.keys(KeyClass::Cache));
    assert_eq!(objects.len(), 1);
    assert!(backup.join(&objects[0]).exists());
    let (status, out, _) = run_on(&backup, &["fsck", "--full"]);
    assert!(status == 0 && out.contains("0 errors, 0 warnings, 0 notes"), "{out}");
}

#[test]
fn objects_missing_in_the_source_are_reported_after_the_copy() {
    let (folder, cluster) = filled();
    let data = super::runtime().unwrap().block_on(cluster.keys(KeyClass::Data));
    std::fs::remove_file(folder.path().join(&data[0])).unwrap();
    let backup = tempfile::tempdir().unwrap();
    let (status, _, err) =
        run_on(folder.path(), &["copy", "--to", backup.path().to_str().unwrap()]);
    assert_eq!(status, FAILED);
    assert!(
        err.starts_with(&format!("error    {} (\"db\".\"cpu\"): it is missing", data[0])),
        "{err}"
    );
    assert!(
        err.ends_with("Copy command failed: the copy is incomplete, 1 errors were found: run the command again\n"),
        "{err}"
    );
}

async fn copied(from: &ClusterFixture, to: &ClusterFixture) -> Result<Vec<KeyClass>, CopyError> {
    let (order, _) = copied_with_stats(from, to).await?;
    Ok(order)
}

async fn copied_with_stats(
    from: &ClusterFixture,
    to: &ClusterFixture,
) -> Result<(Vec<KeyClass>, CopyStats), CopyError> {
    let put: Arc<Mutex<Vec<KeyClass>>> = Arc::default();
    let recorded = Arc::clone(&put);
    let hook: CallHook = Arc::new(move |call| {
        if call.operation == Operation::Put && call.phase == CallPhase::Before {
            recorded.lock().unwrap().push(KeyClass::from_key(&call.key));
        }
        Box::pin(async {})
    });
    let (_, world) = past_world();
    let store = FaultyStore::new(Arc::clone(&to.store), world.clone(), StoreFaults::default())
        .with_hook(hook);
    let copier = ClusterCopier {
        from: &from.bucket,
        to: &Bucket::new(Arc::new(store), world),
        progress: &|_| {},
    };
    let stats = copier.run().await?;
    let put = put.lock().unwrap().clone();
    Ok((put, stats))
}

#[tokio::test]
async fn a_copy_has_the_objects_of_each_kind_that_its_policy_names() {
    let (from, to) = (ClusterFixture::in_memory(), ClusterFixture::in_memory());
    from.fill().await;
    for key in Key::one_of_each_kind(DatabaseId::new(1)) {
        // The registers of the cluster and of its database exist.
        let payload = if key.is_register() {
            compression::compress(br#"{"version":1,"recent":[],"value":{}}"#).unwrap()
        } else {
            b"payload".to_vec()
        };
        let object = match key.format() {
            Some(format) => format.encode(1, &payload),
            None => payload.into(),
        };
        from.bucket.put(&key, object, PutMode::Create).await.unwrap();
    }
    copied(&from, &to).await.unwrap();
    for key in Key::one_of_each_kind(DatabaseId::new(1)) {
        let got = to.bucket.get(&key, GetOptions::default()).await.unwrap();
        let is_copied = matches!(got.value, Get::Found(_));
        // The manifest references no object of these names.
        let is_left = matches!(key, Key::Parquet(..) | Key::Bundle(..) | Key::Page(..));
        let is_expected = key.policy().copy.stage().is_some() && !is_left;
        assert_eq!(is_copied, is_expected, "{key}");
    }
    let (order, stats) = copied_with_stats(&from, &to).await.unwrap();
    assert!(!order.contains(&KeyClass::Plugin), "it never changes");
    assert!(order.contains(&KeyClass::ViewProgress));
    assert_eq!(stats.damaged.len(), 0);
}

#[tokio::test]
async fn damage_is_reported_and_does_not_replace_earlier_copies() {
    let (from, to) = (ClusterFixture::in_memory(), ClusterFixture::in_memory());
    from.fill().await;
    copied(&from, &to).await.unwrap();
    let empty = ClusterFixture::in_memory();
    let data = keys_of(&from, "data/").await;
    let catalog = Key::DatabaseCatalog(DatabaseId::new(1)).to_string();
    for (number, key) in data.iter().chain([&catalog]).enumerate() {
        let mut bytes = bytes_of(&from, key).await;
        if number == 0 {
            bytes.pop();
        } else {
            bytes[30] ^= 1;
        }
        let put = from.store.put(key, bytes.into(), PutMode::Overwrite);
        put.await.unwrap();
    }
    let intact: Vec<_> = stream::iter(data.iter().chain([&catalog]))
        .then(|key| bytes_of(&to, key))
        .collect()
        .await;
    let (_, stats) = copied_with_stats(&from, &to).await.unwrap();
    // Objects of the same size are not read again.
    let damaged: Vec<_> = stats.damaged.keys().map(Key::to_string).collect();
    assert_eq!(damaged, [catalog.clone(), data[0].clone()]);
    let after: Vec<_> = stream::iter(data.iter().chain([&catalog]))
        .then(|key| bytes_of(&to, key))
        .collect()
        .await;
    assert_eq!(after, intact);
    // Other sections of a damaged object may be intact, so it is copied.
    let (order, stats) = copied_with_stats(&from, &empty).await.unwrap();
    assert_eq!(stats.damaged.len(), data.len() + 1);
    assert!(order.contains(&KeyClass::Data));
    assert!(!order.contains(&KeyClass::DatabaseCatalog));
}

async fn keys_of(cluster: &ClusterFixture, prefix: &str) -> Vec<String> {
    let page = cluster.store.list(ListRequest::new(prefix)).await.unwrap().value;
    page.entries.into_iter().map(|entry| entry.key).collect()
}

async fn bytes_of(cluster: &ClusterFixture, key: &str) -> Vec<u8> {
    match cluster.store.get(key, GetOptions::default()).await.unwrap().value {
        Get::Found(object) => object.bytes.to_vec(),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn objects_are_copied_in_an_order_that_keeps_the_copy_consistent() {
    let (from, to) = (ClusterFixture::in_memory(), ClusterFixture::in_memory());
    from.fill().await;
    let mut order = copied(&from, &to).await.unwrap();
    order.dedup();
    assert_eq!(
        order,
        [
            KeyClass::Tail,
            KeyClass::Manifest,
            KeyClass::Data,
            KeyClass::DatabaseCatalog,
            KeyClass::RootCatalog
        ]
    );
}

#[tokio::test]
async fn other_clusters_and_copies_that_were_used_are_not_overwritten() {
    let (from, to) = (ClusterFixture::in_memory(), ClusterFixture::in_memory());
    from.fill().await;
    copied(&from, &to).await.unwrap();
    to.catalog.create_database("mine", None).await.unwrap();
    let error = copied(&from, &to).await.unwrap_err();
    assert!(matches!(error, CopyError::Ahead { key: Key::RootCatalog }));

    let used = ClusterFixture::in_memory();
    copied(&from, &used).await.unwrap();
    used.clock.advance(Duration::from_secs(60));
    used.flush().await;
    let error = copied(&from, &used).await.unwrap_err();
    let manifest = Key::Manifest(DatabaseId::new(1));
    assert!(matches!(error, CopyError::Ahead { key } if key == manifest));

    let other = ClusterFixture::in_memory();
    other.clock.advance(Duration::from_secs(1));
    other.bucket.world().entropy.next_u64();
    other.catalog.create_database("db", None).await.unwrap();
    let error = copied(&from, &other).await.unwrap_err();
    assert!(matches!(error, CopyError::OtherCluster { .. }));
}
