//! The cached catalogs of an instance.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64},
    },
    time::Duration,
};

use neap_bucket::{
    Bucket, CommitOutcome, Key, ProtocolMargins, ProtocolRules, RECENT_PUT_IDS, RegisterChange,
    StoreTime, VersionedValue,
};
use neap_schema::DatabaseId;
use uuid::Builder;

use crate::{
    CatalogError, CatalogLimits, DatabaseCatalog, RootCatalog, database_cache::DatabaseCache,
    register::CachedRegister, tail_record::TailRecord,
};

/// A `max_age` that accepts any cached value.
pub const ANY_AGE: Duration = Duration::MAX;

/// The catalogs of a cluster, cached by an instance. Concurrent callers share requests.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use neap_bucket::{Bucket, ProtocolMargins, World};
/// use neap_catalog::{ANY_AGE, Catalog};
/// use neap_schema::ColumnType;
///
/// let catalog = Catalog::new(Bucket::in_memory(World::system()), ProtocolMargins::LOCAL, None);
/// let id = catalog.create_database("sensors", None).await?;
/// assert_eq!(catalog.database_by_name("sensors", ANY_AGE).await?, Some(id));
///
/// let fields = [("load".to_owned(), ColumnType::Float)];
/// let database = catalog.create_table(id, "cpu", &["host".to_owned()], &fields).await?;
/// let tags = database.value.table("cpu").map(|table| table.tag_names());
/// assert_eq!(tags, Some(vec!["host".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Catalog {
    pub(crate) bucket: Bucket,
    pub(crate) limits: CatalogLimits,
    pub(crate) root: CachedRegister<RootCatalog>,
    pub(crate) margins: ProtocolMargins,
    pub(crate) rules: Option<ProtocolRules>,
    /// Whether this is the only known process on the bucket.
    pub(crate) is_sole: AtomicBool,
    /// When the tail was moved, in microseconds by the store's clock, if this instance has waited for its spread.
    pub(crate) awaited_move: AtomicI64,
    databases: Mutex<DatabaseCache>,
}

impl Catalog {
    /// Creates the catalogs of a bucket. The first read of an unused bucket creates a cluster with these margins.
    /// `rules` replace those that follow from the margins, for simulations.
    pub fn new(
        bucket: Bucket,
        margins_for_new_cluster: ProtocolMargins,
        rules: Option<ProtocolRules>,
    ) -> Self {
        let recent = rules.map_or(RECENT_PUT_IDS, |rules| rules.recent_put_ids);
        Self {
            root: CachedRegister::new(bucket.clone(), Key::RootCatalog, recent),
            bucket,
            limits: CatalogLimits::default(),
            margins: margins_for_new_cluster,
            rules,
            is_sole: AtomicBool::default(),
            awaited_move: AtomicI64::default(),
            databases: Mutex::default(),
        }
    }

    /// Sets limits on the number of databases, tables and columns.
    pub fn with_limits(self, limits: CatalogLimits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the bucket of the catalogs.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Returns the limits on the number of databases, tables and columns.
    pub fn limits(&self) -> &CatalogLimits {
        &self.limits
    }

    /// Returns the rules of the storage protocol in this cluster.
    pub async fn rules(&self) -> Result<ProtocolRules, CatalogError> {
        match self.rules {
            Some(rules) => Ok(rules),
            None => Ok(ProtocolRules::new(self.root(ANY_AGE).await?.value.margins())),
        }
    }

    /// Returns the margins of the cluster. Until the root catalog is read, these are the standard ones, which are the
    /// longest.
    pub(crate) fn known_margins(&self) -> ProtocolMargins {
        let root = self.root.cached_value().filter(|root| root.version > 0);
        root.map_or(ProtocolMargins::NETWORK, |root| root.value.margins())
    }

    /// Returns the maximum age of a catalog by which an instance resolves names. A drop is answered after that time.
    pub fn max_age(&self) -> Duration {
        self.known_margins().max_catalog_age()
    }

    /// Returns the root catalog, confirmed current at most `max_age` ago by the store's clock and by this machine's
    /// clocks. With `max_age` zero, the confirming request begins after this call. Creates the cluster in an unused
    /// bucket, which costs 1 LIST more. Moves the tail if this process is configured for that.
    ///
    /// # Errors
    /// `Missing` if the root catalog is lost, `OtherFormatLevel`, `OtherTail`, or an error of the commit.
    pub async fn root(
        &self,
        max_age: Duration,
    ) -> Result<VersionedValue<RootCatalog>, CatalogError> {
        let found_root = self.root.get(max_age).await?;
        let root = if found_root.version > 0 {
            found_root
        } else {
            // Rare, and much larger than a read, which is a part of each request.
            Box::pin(self.create_root(found_root)).await?
        };
        root.value.verify_format_level(self.bucket.format_levels())?;
        self.follow_tail(root).await
    }

    /// Creates the cluster, unless its bucket is used.
    async fn create_root(
        &self,
        absent: VersionedValue<RootCatalog>,
    ) -> Result<VersionedValue<RootCatalog>, CatalogError> {
        let base = self.root.verify_unused(absent).await?;
        let cluster = Builder::from_random_bytes(self.draw_bytes()).into_uuid();
        let mut found = RootCatalog::new(cluster.to_string(), self.margins);
        found.format_level = self.bucket.format_levels().initial;
        found.tail = TailRecord::new(self.bucket.tail_locations().current.clone());
        let change = |base: &VersionedValue<RootCatalog>| {
            Ok::<_, CatalogError>(if base.version > 0 {
                RegisterChange::Keep(())
            } else {
                RegisterChange::Put(found.clone(), ())
            })
        };
        let (root, ()) = commit_result(self.root.commit(Some(base), change).await?)?;
        Ok(root)
    }

    fn draw_bytes(&self) -> [u8; 16] {
        self.bucket.world().entropy.next_u128().to_be_bytes()
    }

    /// Returns the catalog of a database, confirmed current at most `max_age` ago. The catalog of an id that was never
    /// assigned is empty.
    pub async fn database(
        &self,
        database: DatabaseId,
        max_age: Duration,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let catalog = self.register(database).get(max_age).await?;
        self.cache().note(database, catalog.version, &catalog.value);
        Ok(catalog)
    }

    /// Returns the newest cached catalog of a database, without a request.
    pub fn known_database(&self, database: DatabaseId) -> Option<VersionedValue<DatabaseCatalog>> {
        self.register(database).cached_value()
    }

    /// Returns the newest cached root catalog, without a request.
    pub fn known_root(&self) -> Option<VersionedValue<RootCatalog>> {
        self.root.cached_value()
    }

    /// Returns the newest cached catalogs of all databases, without a request.
    pub fn known_databases(&self) -> Vec<(DatabaseId, VersionedValue<DatabaseCatalog>)> {
        let cache = self.cache();
        let known = cache.registers();
        known
            .filter_map(|(database, register)| Some((database, register.cached_value()?)))
            .collect()
    }

    /// Returns the database with this name that is not dropped. A name that is missing in the cached catalog is looked
    /// up in the bucket, because another instance may just have created the database.
    pub async fn database_by_name(
        &self,
        name: &str,
        max_age: Duration,
    ) -> Result<Option<DatabaseId>, CatalogError> {
        let previous = self.root.cached_value().map(|held| (held.version, held.current_at));
        let root = self.root(max_age).await?;
        let found = root.value.database(name);
        if found.is_some() || previous != Some((root.version, root.current_at)) {
            return Ok(found);
        }
        Ok(self.root(Duration::ZERO).await?.value.database(name))
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, DatabaseCache> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn register(&self, database: DatabaseId) -> Arc<CachedRegister<DatabaseCatalog>> {
        let recent = self.rules.map_or(RECENT_PUT_IDS, |rules| rules.recent_put_ids);
        self.cache().register(database, &self.bucket, recent)
    }

    /// Returns the present time of the store.
    pub(crate) fn now(&self) -> Result<StoreTime, CatalogError> {
        self.bucket.clock().now().ok_or(CatalogError::NoStoreTime)
    }
}

/// Converts the outcome of a commit to its value and result, or to a [`CatalogError`].
pub(crate) fn commit_result<T, R>(
    outcome: CommitOutcome<T, R, CatalogError>,
) -> Result<(VersionedValue<T>, R), CatalogError> {
    match outcome {
        CommitOutcome::Committed { current, result } => Ok((current, result)),
        CommitOutcome::Refused(error) => Err(error),
        CommitOutcome::Unknown { reason } => Err(CatalogError::Unknown { reason }),
    }
}
