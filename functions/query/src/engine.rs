//! The query engine: resolves the database, takes a snapshot, plans and streams rows.

mod accessors;
mod permits;
mod query_contexts;
mod query_run;
mod statistics;

use std::sync::{Arc, OnceLock};

use neap_bucket::{Bucket, ObjectUploads};
use neap_catalog::{Catalog, INTERNAL_DATABASE, INTERNAL_DATABASE_ID};
use neap_identity::IdentityService;
use neap_manifest::{ManifestStore, SnapshotReader};
use neap_row_delete::RowDeleter;
use neap_rows::columnar::RowWriter;
use neap_rules::Notifier;
use neap_scan::{DataCacheLimits, ScanContext, SectionData, TailImages};
use neap_schema::DatabaseId;
use neap_tables::{CacheLayers, SessionSettings, Sessions, SharedTables, SystemSources, runtime};

pub use self::statistics::MemoryStats;
use crate::{
    PlanDistributor, QueryError, QuerySettings, answer_cache::AnswerCache,
    distribution::EngineDistributor, plan_cache::PlanCache, query_log::QueryLog,
    query_permits::QueryPermits,
};

/// Answers queries over the databases of a bucket.
#[derive(Debug)]
pub struct QueryEngine {
    catalog: Arc<Catalog>,
    snapshots: Arc<SnapshotReader>,
    sessions: Sessions,
    settings: QuerySettings,
    running: QueryPermits,
    log: Arc<QueryLog>,
    plans: Arc<PlanCache>,
    answers: Arc<AnswerCache>,
    bucket: Bucket,
    deleter: Option<Arc<dyn RowDeleter>>,
    row_writer: Option<Arc<dyn RowWriter>>,
    exports: Option<ObjectUploads>,
    distributor: Option<EngineDistributor>,
    identity: Option<Arc<IdentityService>>,
    /// Whether this process refreshes materialized views and evaluates rules.
    keeps_views: bool,
    notifier: Option<Arc<Notifier>>,
}

impl QueryEngine {
    /// Creates an engine with empty caches.
    ///
    /// # Errors
    /// The spill directory can't be used.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        snapshots: Arc<SnapshotReader>,
        settings: QuerySettings,
    ) -> Result<Self, QueryError> {
        let limits = DataCacheLimits {
            metadata_bytes: settings.metadata_cache_bytes,
            chunk_bytes: settings.chunk_cache_bytes,
        };
        let io_runtime = settings.executor.io_runtime();
        let session_settings = SessionSettings {
            partitions: settings.partitions,
            memory_pool_bytes: settings.memory_pool_bytes,
            spill_dir: settings.spill_dir.clone(),
            spill_bytes: settings.spill_bytes,
            max_windows: settings.max_windows,
        };
        let runtime = Arc::new(runtime(&session_settings)?);
        let scan = ScanContext {
            manifests,
            data: SectionData::new(bucket.clone(), io_runtime.clone(), limits),
            tails: TailImages::new(settings.tail_bytes, Arc::clone(&runtime)),
            io_runtime: io_runtime.clone(),
        };
        let tables = SharedTables {
            scan: Arc::new(scan),
            cache_layers: Arc::new(CacheLayers::new(
                bucket.clone(),
                io_runtime.clone(),
                settings.cache_bytes,
                settings.timeout,
            )),
        };
        let log = Arc::new(QueryLog::new(bucket.world().clone(), settings.query_log_size));
        let system = SystemSources {
            catalog: Arc::clone(&catalog),
            queries: Arc::clone(&log) as _,
            plugin_logs: OnceLock::new(),
            plugin_files: OnceLock::new(),
            store_requests: OnceLock::new(),
            shows_token_hashes: settings.with_authentication,
        };
        let sessions =
            Sessions::new(&session_settings, runtime, Arc::new(tables), Arc::new(system));
        Ok(Self {
            catalog,
            snapshots,
            sessions,
            log,
            plans: Arc::default(),
            answers: Arc::new(AnswerCache::new(if settings.use_caches {
                settings.answer_cache_bytes
            } else {
                0
            })),
            running: QueryPermits::new(settings.concurrent_queries),
            settings,
            bucket,
            deleter: None,
            row_writer: None,
            exports: None,
            distributor: None,
            identity: None,
            keeps_views: false,
            notifier: None,
        })
    }

    /// Adds a deleter, which lets the engine execute `DELETE` statements.
    #[must_use]
    pub fn with_deleter(self, deleter: Arc<dyn RowDeleter>) -> Self {
        Self { deleter: Some(deleter), ..self }
    }

    /// Adds a writer of rows, which lets the engine execute `SELECT ... INTO` statements of InfluxQL.
    #[must_use]
    pub fn with_row_writer(self, row_writer: Arc<dyn RowWriter>) -> Self {
        Self { row_writer: Some(row_writer), ..self }
    }

    /// Lets clients create materialized views and rules. The engine must have a deleter and a writer of rows, and the process
    /// calls [`refresh_views`](Self::refresh_views) and [`evaluate_rules`](Self::evaluate_rules).
    #[must_use]
    pub fn with_views(self) -> Self {
        Self { keeps_views: true, ..self }
    }

    /// Adds the client that sends notifications about alerts, if there are targets.
    #[must_use]
    pub fn with_notifier(self, notifier: Option<Arc<Notifier>>) -> Self {
        Self { notifier, ..self }
    }

    /// Adds uploads to the store, which lets the engine execute `COPY` statements.
    #[must_use]
    pub fn with_exports(self, exports: ObjectUploads) -> Self {
        Self { exports: Some(exports), ..self }
    }

    /// Adds a distributor, which lets the engine run queries on workers.
    #[must_use]
    pub fn with_distributor(self, plans: Arc<dyn PlanDistributor>) -> Self {
        let counters = Arc::default();
        Self {
            distributor: Some(EngineDistributor { plans, counters }),
            ..self
        }
    }

    /// Adds the sign-in of users, which lets the engine execute statements of InfluxQL that change users.
    #[must_use]
    pub fn with_identity(self, identity: Option<Arc<IdentityService>>) -> Self {
        Self { identity, ..self }
    }

    /// Resolves a database name with the cached catalog, which may be a few seconds old.
    /// Fails if the catalog can't be read.
    pub(crate) async fn known_database(
        &self,
        name: &str,
    ) -> Result<Option<DatabaseId>, QueryError> {
        if name == INTERNAL_DATABASE {
            return Ok(Some(INTERNAL_DATABASE_ID));
        }
        let root = self.catalog.root(self.catalog.max_age()).await?;
        Ok(root.value.database(name))
    }

    /// Resolves a database name. A request calls this before it checks the caller's permission.
    ///
    /// # Errors
    /// `DatabaseNotFound`, or the catalog can't be read.
    pub async fn find_database(&self, name: &str) -> Result<DatabaseId, QueryError> {
        if name == INTERNAL_DATABASE {
            return Ok(INTERNAL_DATABASE_ID);
        }
        let max_age = self.catalog.max_age();
        let database = self.catalog.database_by_name(name, max_age).await?;
        database.ok_or_else(|| QueryError::DatabaseNotFound(name.to_owned()))
    }
}
