//! Opens a store and assembles the functions over it.

use std::{sync::Arc, thread, time::Duration};

use neap_assembly::{store_location, stores::Stores};
use neap_bucket::{ObjectStoreKind, StoreConfig, StoreKind, World};
use neap_catalog::{Catalog, CatalogLimits};
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{Executor, QueryEngine, QuerySettings};
use neap_wal::{TailReader, TailReaderSettings, TailWriter, TailWriterSettings};
use neap_write::{WriteService, WriteServiceParts, WriteSettings};

use crate::{Connection, Error};

/// The database of a connection, unless its options name another one.
pub const DEFAULT_DATABASE: &str = "default";

/// The limits of `neap serve` without options.
const CATALOG_LIMITS: CatalogLimits = CatalogLimits {
    databases: None,
    tables: None,
    tables_per_database: Some(CatalogLimits::TABLES_PER_DATABASE),
    columns_per_table: Some(CatalogLimits::COLUMNS_PER_TABLE),
    tags_per_table: None,
};

/// Opens the store at a location, with the settings of the environment. See [`ConnectOptions::connect`].
///
/// # Errors
/// See [`ConnectOptions::from_environment`] and [`ConnectOptions::connect`].
pub async fn connect(location: &str) -> Result<Connection, Error> {
    ConnectOptions::from_environment()?.connect(location).await
}

/// The options of a connection.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The database of statements and rows. A write creates it if it is missing.
    pub database: String,
    /// Credentials, region, endpoint and connection settings of the store. The location replaces its kind, bucket,
    /// directory and prefix.
    pub store: StoreConfig,
    /// The memory of all running queries together, in bytes. Sorts and aggregations that need more spill to disk.
    pub query_memory_bytes: usize,
    /// The maximum duration of a query, from its start to the end of its rows. Must not exceed `--query-timeout` of the
    /// processes that compact the store, which may delete what a longer query still reads.
    pub query_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        let queries = QuerySettings::default();
        Self {
            database: DEFAULT_DATABASE.to_owned(),
            store: StoreConfig::default(),
            query_memory_bytes: queries.memory_pool_bytes,
            query_timeout: queries.timeout,
        }
    }
}

impl ConnectOptions {
    /// Returns the defaults, with the store's settings from the environment variables of `neap serve`, such as
    /// `AWS_ACCESS_KEY_ID` and `AWS_ENDPOINT`.
    ///
    /// # Errors
    /// A variable has an invalid value.
    pub fn from_environment() -> Result<Self, Error> {
        let store = StoreConfig::from_environment()
            .map_err(|error| Error::Environment(error.to_string()))?;
        Ok(Self { store, ..Self::default() })
    }

    /// Opens the store at a location: a directory, `file://PATH`, or `s3://`, `gs://` or `az://` with a bucket and an
    /// optional prefix. An unused store is checked for the operations that Neap needs, and a cluster is created in it.
    ///
    /// # Errors
    /// The location is invalid, or the store can't be used.
    pub async fn connect(&self, location: &str) -> Result<Connection, Error> {
        let world = World::system();
        let stores = Stores::open(&self.store_config(location)?, &world)?;
        stores.probe_if_unused().await?;
        let bucket = stores.bucket.clone();
        let catalog = Arc::new(
            Catalog::new(bucket.clone(), stores.margins, None).with_limits(CATALOG_LIMITS),
        );
        let rules = catalog.rules().await?;
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            TailReader::new(bucket.clone(), TailReaderSettings::default()),
            rules,
            SnapshotSettings::default(),
        ));
        let writer_settings = match stores.kind {
            StoreKind::Memory | StoreKind::Directory => TailWriterSettings::LOCAL,
            StoreKind::Network => TailWriterSettings::NETWORK,
        };
        // Queries of this connection need not read its own segments.
        let observer = Arc::clone(&snapshots) as _;
        let writes = Arc::new(WriteService::new(WriteServiceParts {
            catalog: Arc::clone(&catalog),
            writer: TailWriter::new(bucket.clone(), rules, writer_settings, Some(observer)),
            rules,
            metrics: stores.metrics.clone(),
            settings: WriteSettings::default(),
        }));
        let query_settings = self.query_settings()?;
        let queries = QueryEngine::new(bucket, catalog, manifests, snapshots, query_settings)?
            .with_deleter(Arc::clone(&writes) as _)
            .with_row_writer(Arc::clone(&writes) as _)
            .with_exports(stores.uploads.clone());
        queries.set_store_requests(stores.counted_requests());
        Ok(Connection::new(Arc::new(queries), writes, self.database.clone()))
    }

    /// Returns the settings of the store at a location.
    fn store_config(&self, location: &str) -> Result<StoreConfig, Error> {
        let config = store_location::parse(location, &self.store).map_err(|reason| {
            let location = location.to_owned();
            Error::Location { location, reason }
        })?;
        // Without the tail of a deployment, its newest rows would be missing.
        let of_tail =
            |name: &Option<String>| name.clone().filter(|_| config.kind() != ObjectStoreKind::File);
        Ok(StoreConfig {
            tail_bucket: of_tail(&self.store.tail_bucket),
            former_tail_bucket: of_tail(&self.store.former_tail_bucket),
            ..config
        })
    }

    fn query_settings(&self) -> Result<QuerySettings, Error> {
        let partitions = thread::available_parallelism().map_or(1, usize::from);
        Ok(QuerySettings {
            executor: Executor::with_threads(partitions)?,
            memory_pool_bytes: self.query_memory_bytes,
            partitions,
            timeout: self.query_timeout,
            ..QuerySettings::default()
        })
    }
}
