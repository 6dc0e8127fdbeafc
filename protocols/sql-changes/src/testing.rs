//! A query and a write function on a store in memory, for tests of the protocols.

use std::sync::Arc;

use neap_bucket::{Bucket, ProtocolMargins, ProtocolRules, World};
use neap_catalog::Catalog;
use neap_http::Metrics;
use neap_identity::{IdentityService, IdentitySettings, PasswordCost};
use neap_manifest::{ManifestSettings, ManifestStore, SnapshotReader, SnapshotSettings};
use neap_query::{Executor, QueryEngine, QueryError, QuerySettings};
use neap_row_delete::RowDeleter;
use neap_wal::{SegmentObserver, TailReader, TailReaderSettings, TailWriter, TailWriterSettings};
use neap_write::{WriteService, WriteServiceParts, WriteSettings};

/// The cost of passwords that are hashed fast.
const PASSWORD_COST: PasswordCost = PasswordCost { memory_kib: 64, passes: 1 };

/// The settings of a [`MemoryServer`].
#[derive(Debug, Default)]
pub struct MemoryServerSettings {
    /// The settings of the write function.
    pub writes: WriteSettings,
    /// The settings of the query function.
    pub queries: QuerySettings,
    /// Receives the segments that are put.
    pub observer: Option<Arc<dyn SegmentObserver>>,
}

/// The functions of a process without other processes.
#[derive(Clone, Debug)]
pub struct MemoryServer {
    /// The bucket.
    pub bucket: Bucket,
    /// The manifests.
    pub manifests: ManifestStore,
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// The metrics of writes.
    pub metrics: Metrics,
    /// The query function. It deletes rows.
    pub queries: Arc<QueryEngine>,
    /// The write function. Users sign in with passwords.
    pub writes: Arc<WriteService>,
}

impl MemoryServer {
    /// Starts the functions on an empty store. Queries have two threads of their own.
    ///
    /// # Errors
    /// The threads of queries can't be started.
    pub fn new(writes: WriteSettings) -> Result<Self, QueryError> {
        let queries = QuerySettings {
            executor: Executor::with_threads(2)?,
            ..QuerySettings::default()
        };
        Self::with(MemoryServerSettings { writes, queries, observer: None })
    }

    /// Starts the functions on an empty store.
    ///
    /// # Errors
    /// The settings of queries are refused.
    pub fn with(settings: MemoryServerSettings) -> Result<Self, QueryError> {
        let bucket = Bucket::in_memory(World::system());
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let catalog = Arc::new(Catalog::for_sole_process(bucket.clone()));
        let metrics = Metrics::default();
        let service = WriteService::new(WriteServiceParts {
            catalog: Arc::clone(&catalog),
            writer: TailWriter::new(
                bucket.clone(),
                rules,
                TailWriterSettings::LOCAL,
                settings.observer,
            ),
            rules,
            metrics: metrics.clone(),
            settings: settings.writes,
        });
        let writes = Arc::new(service.with_identity(identity(&catalog)));
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let snapshots = Arc::new(SnapshotReader::new(
            manifests.clone(),
            Arc::clone(&catalog),
            TailReader::new(bucket.clone(), TailReaderSettings::default()),
            rules,
            SnapshotSettings::default(),
        ));
        let queries = QueryEngine::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            snapshots,
            settings.queries,
        )?
        .with_deleter(Arc::clone(&writes) as Arc<dyn RowDeleter>);
        Ok(Self {
            bucket,
            manifests,
            catalog,
            metrics,
            queries: Arc::new(queries),
            writes,
        })
    }
}

fn identity(catalog: &Arc<Catalog>) -> Option<Arc<IdentityService>> {
    let settings = IdentitySettings { password_cost: PASSWORD_COST, ..IdentitySettings::default() };
    IdentityService::new(Arc::clone(catalog), settings).ok().map(Arc::new)
}
