//! Tests with two instances on one store, and a store that counts, delays and fails requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use neap_bucket::{
    Bucket, Clock, Get, GetOptions, ListPage, ListRequest, MemoryStore, Operation, PausedClock,
    ProtocolMargins, Put, PutMode, Store, StoreError, StoreResponse, World,
};
use neap_schema::{ColumnType, DatabaseId, TableId};
use neap_test_inputs::cases;
use proptest::prelude::*;

use crate::{
    ANY_AGE, Catalog, CatalogError, CatalogLimits, CopyOptions, HardDelete, TableAddition,
};

/// The wall clock at the start of a test: 10 September 2025, 13:25:05.
const START_MICROS: i64 = 1_757_510_705_000_000;

/// Numbers of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestCounts {
    pub(crate) gets: usize,
    pub(crate) puts: usize,
}

#[derive(Debug)]
struct InstrumentedStore {
    inner: MemoryStore,
    clock: Arc<PausedClock>,
    delay_micros: AtomicU64,
    failing: AtomicBool,
    gets: AtomicUsize,
    puts: AtomicUsize,
}

impl InstrumentedStore {
    async fn pass(&self, operation: Operation, key: &str) -> Result<(), StoreError> {
        let delay = Duration::from_micros(self.delay_micros.load(Ordering::Relaxed));
        if !delay.is_zero() {
            self.clock.sleep(delay).await;
        }
        tokio::task::yield_now().await;
        if self.failing.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable {
                operation,
                key: key.to_owned(),
                reason: "the store is unavailable".to_owned(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for InstrumentedStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.pass(Operation::Get, key).await?;
        self.inner.get(key, options).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.pass(Operation::Put, key).await?;
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }
}

/// An in-memory store, and a bucket on it.
#[derive(Debug)]
pub(crate) struct CatalogFixture {
    pub(crate) bucket: Bucket,
    store: Arc<InstrumentedStore>,
}

impl CatalogFixture {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(PausedClock::new(START_MICROS));
        let store = Arc::new(InstrumentedStore {
            inner: MemoryStore::new(Arc::new(PausedClock::new(START_MICROS))),
            clock: Arc::clone(&clock),
            delay_micros: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            gets: AtomicUsize::new(0),
            puts: AtomicUsize::new(0),
        });
        let world = World::seeded(clock, 1);
        Self {
            bucket: Bucket::new(Arc::clone(&store) as Arc<dyn Store>, world),
            store,
        }
    }

    pub(crate) fn with_instance() -> (Self, Catalog) {
        let fixture = Self::new();
        let catalog = fixture.instance();
        (fixture, catalog)
    }

    /// Returns an instance with a database `db`.
    pub(crate) async fn with_database() -> (Catalog, DatabaseId) {
        let catalog = Self::new().instance();
        let id = catalog.create_database("db", None).await.unwrap();
        (catalog, id)
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        self.store.clock.sleep(duration).await;
    }

    pub(crate) fn slow_down(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap();
        self.store.delay_micros.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.store.failing.store(failing, Ordering::Relaxed);
    }

    pub(crate) fn step_wall_clock(&self, step: Duration) {
        self.store.clock.step_wall_clock(step);
    }

    /// Returns the numbers of requests since the last call.
    pub(crate) fn taken(&self) -> RequestCounts {
        RequestCounts {
            gets: self.store.gets.swap(0, Ordering::Relaxed),
            puts: self.store.puts.swap(0, Ordering::Relaxed),
        }
    }

    pub(crate) fn instance(&self) -> Catalog {
        Catalog::new(self.bucket.clone(), ProtocolMargins::LOCAL, None)
    }
}

fn addition(table: &str, columns: &[(&str, ColumnType)]) -> TableAddition {
    let columns = columns.iter();
    TableAddition {
        table: table.to_owned(),
        columns: columns.map(|(name, column_type)| ((*name).to_owned(), *column_type)).collect(),
    }
}

const NOW: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn instances_agree_on_the_cluster_that_the_first_one_creates() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    let (one, other) = futures::join!(one.root(ANY_AGE), other.root(ANY_AGE));
    let (one, other) = (one.unwrap().value, other.unwrap().value);
    assert_eq!(one.cluster(), other.cluster());
    assert_eq!(one.cluster().len(), 36);
    assert_eq!(one.margins(), ProtocolMargins::LOCAL);
}

#[tokio::test(start_paused = true)]
async fn databases_created_concurrently_by_two_instances_all_exist() {
    let stage = CatalogFixture::new();
    let instances = [stage.instance(), stage.instance()];
    let names: Vec<_> = (0..8).map(|n| format!("db{n}")).collect();
    let creations = names.iter().enumerate().map(|(n, name)| {
        let instance = &instances[n % 2];
        async move { instance.create_database(name, None).await }
    });
    let mut ids: Vec<_> = join_all(creations).await.into_iter().map(Result::unwrap).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    for name in &names {
        let found = instances[0].database_by_name(name, NOW).await.unwrap();
        assert!(found.is_some_and(|id| ids.contains(&id)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_creators_of_a_name_wins_and_get_or_create_returns_the_same_id() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    let (first, second) =
        futures::join!(one.create_database("db", None), other.create_database("db", None));
    assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1);
    let lost = first.err().or(second.err()).unwrap();
    assert_eq!(lost.to_string(), "attempted to create a resource that already exists");
    let (first, second) = futures::join!(
        one.get_or_create_database("new", MINUTE),
        other.get_or_create_database("new", MINUTE)
    );
    assert_eq!(first.unwrap(), second.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_another_instance_just_created_is_found() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    assert_eq!(one.database_by_name("db", MINUTE).await.unwrap(), None);
    let id = other.create_database("db", None).await.unwrap();
    stage.taken();
    assert_eq!(one.database_by_name("db", MINUTE).await.unwrap(), Some(id));
    assert_eq!(stage.taken().gets, 1);
    assert_eq!(one.database_by_name("db", MINUTE).await.unwrap(), Some(id));
    assert_eq!(stage.taken().gets, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cold_lookup_of_a_missing_name_is_one_request() {
    let stage = CatalogFixture::new();
    stage.instance().root(ANY_AGE).await.unwrap();
    stage.taken();
    let cold = stage.instance();
    assert_eq!(cold.database_by_name("db", MINUTE).await.unwrap(), None);
    assert_eq!(stage.taken(), RequestCounts { gets: 1, puts: 0 });
}

#[tokio::test(start_paused = true)]
async fn columns_added_concurrently_by_two_instances_all_exist() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    let id = one.create_database("db", None).await.unwrap();
    let known = one.database(id, NOW).await.unwrap();
    let add = |instance: &'static str, catalog: Catalog| {
        let known = known.clone();
        async move {
            let added = (0..5).map(|n| {
                let columns = [("shared", ColumnType::Tag)];
                let mut addition = addition("cpu", &columns);
                addition.columns.push((format!("{instance}{n}"), ColumnType::Float));
                let (catalog, known) = (&catalog, known.clone());
                async move { catalog.add(id, known, &[addition]).await }
            });
            join_all(added).await.into_iter().for_each(|added| assert!(added.is_ok()));
        }
    };
    futures::join!(add("a", one), add("b", other));
    let catalog = stage.instance().database(id, NOW).await.unwrap();
    let table = catalog.value.table("cpu").unwrap();
    assert_eq!(table.columns().len(), 1 + 1 + 10);
    let mut ids: Vec<_> = table.columns().iter().map(|column| column.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn adding_tables_is_one_put_and_a_known_schema_needs_none() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let id = catalog.create_database("db", None).await.unwrap();
    let known = catalog.database(id, NOW).await.unwrap();
    stage.taken();
    let additions = [
        addition("cpu", &[("host", ColumnType::Tag)]),
        addition("mem", &[("free", ColumnType::Integer)]),
    ];
    let added = catalog.add(id, known, &additions).await.unwrap();
    assert_eq!(stage.taken(), RequestCounts { gets: 0, puts: 1 });
    assert_eq!(added.version, 1);
    let again = catalog.add(id, added, &additions).await.unwrap();
    assert_eq!(stage.taken(), RequestCounts::default());
    assert_eq!(again.version, 1);
    assert_eq!(
        catalog.database(id, MINUTE).await.unwrap().version,
        1,
        "the commit is the newest value known"
    );
    assert_eq!(stage.taken(), RequestCounts::default());
}

#[tokio::test(start_paused = true)]
async fn a_column_type_set_by_another_instance_is_a_conflict_and_nothing_is_added() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    let id = one.create_database("db", None).await.unwrap();
    let known = one.database(id, NOW).await.unwrap();
    let rival = [addition("cpu", &[("n", ColumnType::Float)])];
    other.add(id, known.clone(), &rival).await.unwrap();
    let late = [addition("cpu", &[("new", ColumnType::Tag), ("n", ColumnType::Integer)])];
    let error = one.add(id, known, &late).await.unwrap_err();
    assert!(matches!(
        &error,
        CatalogError::TypeConflict { table, column, existing: ColumnType::Float, wanted: ColumnType::Integer }
            if table == "cpu" && column == "n"
    ));
    let catalog = one.database(id, NOW).await.unwrap();
    assert!(catalog.value.table("cpu").unwrap().column("new").is_none());
}

#[tokio::test(start_paused = true)]
async fn dropped_databases_and_tables_are_hidden_and_their_ids_not_reused() {
    let (catalog, first) = CatalogFixture::with_database().await;
    let dropped = catalog.delete_database("db", HardDelete::DEFAULT).await;
    assert_eq!(dropped.unwrap(), first);
    assert_eq!(catalog.database_by_name("db", MINUTE).await.unwrap(), None);
    let second = catalog.create_database("db", None).await.unwrap();
    assert_eq!(second, DatabaseId::new(2));
    let error = catalog.get_or_create_database("db-20250910T132505", MINUTE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write to soft-deleted database 'db-20250910T132505' - it is marked for deletion"
    );

    catalog.create_table(second, "t", &[], &[]).await.unwrap();
    let exists = catalog.create_table(second, "t", &[], &[]).await;
    assert!(matches!(exists, Err(CatalogError::AlreadyExists { .. })));
    let id = catalog.delete_table(second, "t", HardDelete::NOW).await;
    assert_eq!(id.unwrap(), TableId::new(1));
    let tags = ["b".to_owned(), "a".to_owned()];
    let fields = [("f".to_owned(), ColumnType::String)];
    let created = catalog.create_table(second, "t", &tags, &fields).await.unwrap();
    let table = created.value.table("t").unwrap();
    assert_eq!(table.id(), TableId::new(2));
    let tags: Vec<_> = table.tags().map(|tag| tag.name.as_str()).collect();
    assert_eq!(tags, ["b", "a"]);
    let missing = catalog.delete_table(second, "no", HardDelete::NOW).await;
    assert_eq!(missing.unwrap_err().to_string(), "the requested resource was not found: no");
}

#[tokio::test(start_paused = true)]
async fn a_table_with_a_repeated_or_reserved_column_is_refused() {
    let (catalog, id) = CatalogFixture::with_database().await;
    let create = |tag: &'static str, field: &'static str| {
        let catalog = &catalog;
        async move {
            let fields = [(field.to_owned(), ColumnType::Float)];
            let tags = [tag.to_owned()];
            let created = catalog.create_table(id, "t", &tags, &fields).await;
            created.unwrap_err().to_string()
        }
    };
    assert_eq!(create("a", "a").await, "duplicate column 'a'");
    assert_eq!(create("a", "time").await, "'time' is a reserved column");
    assert_eq!(create("", "a").await, "column name cannot be empty");
}

#[tokio::test(start_paused = true)]
async fn retention_is_set_with_the_database_and_changed_later() {
    let catalog = CatalogFixture::new().instance();
    let id = catalog.create_database("db", Some(MINUTE)).await.unwrap();
    let read = catalog.database(id, NOW).await.unwrap();
    assert_eq!(read.value.retention(), Some(MINUTE));
    let cleared = catalog.set_retention(id, None).await.unwrap();
    assert_eq!(cleared.value.retention(), None);
}

#[tokio::test(start_paused = true)]
async fn databases_and_tables_of_all_databases_are_limited() {
    let stage = CatalogFixture::new();
    let limits = CatalogLimits {
        databases: Some(2),
        tables: Some(3),
        ..CatalogLimits::default()
    };
    let catalog = stage.instance().with_limits(limits);
    let one = catalog.create_database("one", None).await.unwrap();
    let two = catalog.create_database("two", None).await.unwrap();
    let error = catalog.get_or_create_database("three", MINUTE).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "Adding a new database would exceed limit of 2 databases"
    );
    for table in ["a", "b"] {
        catalog.create_table(one, table, &[], &[]).await.unwrap();
    }
    catalog.create_table(two, "a", &[], &[]).await.unwrap();
    let known = catalog.database(two, NOW).await.unwrap();
    let error = catalog.add(two, known, &[addition("b", &[])]).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "Update to schema would exceed number of tables limit: attempted to create table but already have 3 table(s) (limit: 3)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_an_error() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let id = catalog.create_database("db", None).await.unwrap();
    stage.fail(true);
    assert!(matches!(
        catalog.database_by_name("other", MINUTE).await,
        Err(CatalogError::Store(_))
    ));
    let known = catalog.known_database(id);
    assert!(known.is_none());
    let unknown = catalog.create_database("new", None).await.unwrap_err();
    assert!(matches!(unknown, CatalogError::Unknown { .. }));
}

#[tokio::test(start_paused = true)]
async fn another_instance_can_undelete_until_the_deletion_time() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    let id = one.create_database("db", None).await.unwrap();
    one.create_table(id, "t", &[], &[]).await.unwrap();
    let soon = HardDelete::After(MINUTE);
    one.delete_table(id, "t", soon).await.unwrap();
    let back = other.undelete_table(id, "t", None).await.unwrap();
    assert_eq!(back, (TableId::new(1), "t".to_owned()));
    one.delete_database("db", soon).await.unwrap();
    let back = other.undelete_database("db", Some("new")).await.unwrap();
    assert_eq!(back, (id, "new".to_owned()));
    assert_eq!(one.database_by_name("new", NOW).await.unwrap(), Some(id));

    one.delete_database("new", soon).await.unwrap();
    one.delete_table(id, "t", soon).await.unwrap();
    stage.sleep(MINUTE + MINUTE / 60).await;
    let late = other.undelete_database("new", None).await.unwrap_err();
    assert!(
        late.to_string().ends_with("is deleted for good: it can't be undeleted"),
        "{late}"
    );
    let late = other.undelete_table(id, "t", None).await;
    assert!(matches!(late, Err(CatalogError::Purged { .. })));
}

#[tokio::test(start_paused = true)]
async fn data_is_removed_once_and_not_before_it_is_due() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let id = catalog.create_database("db", None).await.unwrap();
    catalog.create_table(id, "t", &[], &[]).await.unwrap();
    let table = catalog.delete_table(id, "t", HardDelete::NOW).await.unwrap();
    let early = catalog.begin_table_purge(id, &[table]).await;
    assert!(matches!(early, Err(CatalogError::NotFound { .. })));
    stage.sleep(MINUTE).await;
    let due = async || {
        let now = stage.bucket.clock().now().unwrap();
        let read = catalog.database(id, NOW).await.unwrap();
        read.value.due_tables(now).collect::<Vec<_>>()
    };
    assert_eq!(due().await, [table]);
    stage.taken();
    catalog.begin_table_purge(id, &[table]).await.unwrap();
    assert_eq!(stage.taken().puts, 1);
    catalog.begin_table_purge(id, &[table]).await.unwrap();
    assert_eq!(stage.taken().puts, 0);
    assert_eq!(due().await, [table], "a job that crashed is begun again");
    catalog.finish_table_purge(id, &[table]).await.unwrap();
    assert_eq!(due().await, []);

    catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    stage.sleep(MINUTE).await;
    catalog.begin_database_purge(id).await.unwrap();
    let undeleted = catalog.undelete_database("db", None).await;
    assert!(matches!(undeleted, Err(CatalogError::Purged { .. })));
    catalog.finish_database_purge(id).await.unwrap();
    let now = stage.bucket.clock().now().unwrap();
    let root = catalog.root(NOW).await.unwrap();
    assert_eq!(root.value.due_databases(now).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_hidden_until_it_is_published() {
    let catalog = CatalogFixture::new().instance();
    let source = catalog.create_database("db", Some(MINUTE)).await.unwrap();
    catalog.create_table(source, "t", &[], &[]).await.unwrap();
    let options = CopyOptions::default();
    let exists = catalog.create_copy(source, "db", options).await;
    assert!(matches!(exists, Err(CatalogError::AlreadyExists { .. })));
    let nothing = catalog.create_copy(DatabaseId::new(9), "x", options).await;
    assert!(matches!(nothing, Err(CatalogError::NotFound { .. })));
    let copy = catalog.create_copy(source, "copy", options).await.unwrap();
    assert_eq!(catalog.database_by_name("copy", NOW).await.unwrap(), None);
    assert_eq!(copy.catalog.version, 1);
    assert!(copy.hidden_name.starts_with("copy-"));

    // The name is taken: the copy can be undeleted under another name.
    catalog.create_database("copy", None).await.unwrap();
    let taken = catalog.publish_copy(copy.id).await;
    assert!(matches!(taken, Err(CatalogError::AlreadyExists { .. })));
    let other = catalog.undelete_database(&copy.hidden_name, Some("other"));
    assert_eq!(other.await.unwrap().0, copy.id);

    let copy = catalog.create_copy(source, "third", options).await.unwrap();
    assert_eq!(catalog.publish_copy(copy.id).await.unwrap(), "third");
    let found = catalog.database_by_name("third", NOW).await.unwrap();
    assert_eq!(found, Some(copy.id));
    let read = catalog.database(copy.id, NOW).await.unwrap().value;
    assert_eq!(read.table("t").unwrap().id(), TableId::new(1));
    assert_eq!(read.retention(), None);
    let again = catalog.publish_copy(copy.id).await;
    assert!(matches!(again, Err(CatalogError::NotFound { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(32)))]
    #[test]
    fn any_interleaving_of_additions_ends_with_all_of_them(
        requests in proptest::collection::vec((0usize..2, 0u8..3, 0u8..6, 0u64..30), 1..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let stage = CatalogFixture::new();
            let instances = [stage.instance(), stage.instance()];
            let id = instances[0].create_database("db", None).await.unwrap();
            let (stage, instances) = (&stage, &instances);
            stage.slow_down(Duration::from_millis(3));
            let adding = requests.iter().map(|(instance, table, column, delay)| async move {
                stage.sleep(Duration::from_millis(*delay)).await;
                let known = instances[*instance].database(id, MINUTE).await.unwrap();
                let name = format!("c{column}");
                let addition = addition(&format!("t{table}"), &[(&name, ColumnType::Float)]);
                instances[*instance].add(id, known, &[addition]).await.unwrap();
            });
            join_all(adding).await;
            let catalog = stage.instance().database(id, NOW).await.unwrap().value;
            for (_, table, column, _) in &requests {
                let table = catalog.table(&format!("t{table}")).unwrap();
                assert!(table.column(&format!("c{column}")).is_some());
                let names: std::collections::BTreeSet<_> =
                    table.columns().iter().map(|column| &column.name).collect();
                assert_eq!(names.len(), table.columns().len());
            }
        });
    }
}
