//! SQL over a snapshot: the catalog that a statement sees.
//!
//! A statement sees the catalog `public` with the schema `iox`, which holds the tables of one database as of
//! one snapshot, `system`, which tells about the database, and `information_schema`. The table functions
//! `last_cache` and `distinct_cache` read its caches.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider,
        TableProvider,
    },
    common::{DataFusionError, Result},
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        object_store::ObjectStoreUrl,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    optimizer::{
        Analyzer, OptimizerRule, analyzer::type_coercion::TypeCoercion,
        optimize_projections::OptimizeProjections, push_down_filter::PushDownFilter,
        push_down_limit::PushDownLimit, simplify_expressions::SimplifyExpressions,
    },
    physical_optimizer::optimizer::PhysicalOptimizer,
    prelude::SessionConfig,
};
use neap_bucket::StoreTime;
use neap_catalog::Table;
use neap_manifest::Snapshot;
use object_store::memory::InMemory;

use crate::{
    QuerySettings,
    caches::{DISTINCT_CACHE, DistinctCacheFunction, LAST_CACHE, LastCacheFunction, NarrowToCache},
    interrupt::Interrupt,
    patterns::KeepBackslashes,
    scan::{self, AggregateSplit, Behind, Shared, SnapshotTable},
    system::{Cluster, SystemSchema},
};

/// The catalog of all tables.
pub(crate) const CATALOG: &str = "public";

/// The schema of a database's own tables.
pub(crate) const SCHEMA: &str = "iox";

/// The schema of the tables that tell about a database.
const SYSTEM_SCHEMA: &str = "system";

/// Everything of a session that does not depend on the query.
#[derive(Debug)]
pub(crate) struct Sessions {
    shared: Arc<Shared>,
    /// What `system` tells about.
    cluster: Arc<Cluster>,
    /// For any statement.
    full: SessionState,
    /// For statements that do little more than read a cache: without functions, and with the few rules
    /// that such a statement needs. A full session takes longer to set up than such a statement to answer.
    simple: SessionState,
}

impl Sessions {
    /// Prepares sessions with these limits.
    pub(crate) fn new(
        settings: &QuerySettings,
        runtime: Arc<RuntimeEnv>,
        shared: Arc<Shared>,
        cluster: Arc<Cluster>,
    ) -> Self {
        let mut analysis = Analyzer::new().rules;
        analysis.insert(0, Arc::new(KeepBackslashes));
        let mut planning = PhysicalOptimizer::new().rules;
        // Before any rule moves a filter into a scan.
        planning.insert(0, Arc::new(AggregateSplit));
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config(settings.partitions, settings.memory_pool_bytes))
            .with_runtime_env(Arc::clone(&runtime))
            .with_analyzer_rules(analysis)
            .with_physical_optimizer_rules(planning)
            // After all others: what they make of the plan is what is looked at.
            .with_optimizer_rule(Arc::new(NarrowToCache));
        let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(PushDownFilter::new()),
            Arc::new(PushDownLimit::new()),
            Arc::new(OptimizeProjections::new()),
        ];
        let mut one_pass = config(1, settings.memory_pool_bytes);
        one_pass.options_mut().optimizer.max_passes = 1;
        let simple = SessionStateBuilder::new()
            .with_config(one_pass)
            .with_runtime_env(runtime)
            .with_analyzer_rules(vec![
                Arc::new(KeepBackslashes),
                Arc::new(TypeCoercion::new()),
            ])
            .with_optimizer_rules(rules)
            .with_physical_optimizer_rules(Vec::new());
        Self {
            shared,
            cluster,
            full: neap_sql_functions::register(builder).build(),
            simple: simple.build(),
        }
    }

    /// What the tables of all queries share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What `system` tells about.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The memory that running queries have set aside, in bytes.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.full.runtime_env().memory_pool.reserved()
    }
}

/// So many sorts can set aside at once what they need to merge.
const MERGING_SORTS: usize = 64;

/// The rows of a batch. Each input of each operator holds some batches that are not counted; together they would be
/// larger than a small pool.
fn batch_rows(memory_bytes: usize) -> usize {
    const MIB: usize = 1 << 20;
    match memory_bytes / MIB {
        0..96 => 1_024,
        96..384 => 4_096,
        _ => 8_192,
    }
}

/// The least that a sort sets aside to merge what it has spilled.
const LEAST_MERGE_BYTES: usize = 256 << 10;

fn config(partitions: usize, memory_bytes: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(batch_rows(memory_bytes))
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    // Sections of a mebibyte are worth being read in parts: the data are sorted and dense.
    options.optimizer.repartition_file_min_size = 1 << 20;
    options.execution.collect_statistics = false;
    // What each sort sets aside to merge what it has spilled: of a small pool it would take all.
    let usual = options.execution.sort_spill_reservation_bytes;
    let share = memory_bytes / MERGING_SORTS;
    options.execution.sort_spill_reservation_bytes = usual.min(share).max(LEAST_MERGE_BYTES);
    config
}

/// The memory and the folder for spilling of all queries together.
pub(crate) fn runtime(settings: &QuerySettings) -> Result<RuntimeEnv> {
    let mode = match &settings.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(settings.spill_bytes);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(settings.memory_pool_bytes)))
        .with_disk_manager_builder(disk)
        .build()?;
    let url = ObjectStoreUrl::parse(scan::STORE_URL)?;
    runtime.register_object_store(url.as_ref(), Arc::new(InMemory::new()));
    Ok(runtime)
}

/// The times that a query counts with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// What `now()` gives, in microseconds since the Unix epoch.
    pub(crate) now: i64,
    /// The time of the store from which retention counts back.
    pub(crate) kept_until: StoreTime,
}

/// What one query is about: a database in a snapshot, at a time.
#[derive(Debug)]
pub(crate) struct Scope {
    /// What all queries share.
    pub(crate) sessions: Arc<Sessions>,
    /// The database.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The times that the query counts with.
    pub(crate) times: Times,
    /// Whether contents of caches may be used.
    pub(crate) uses_caches: bool,
    /// What is done when what is kept of a tail is ahead of the snapshot.
    pub(crate) behind: Behind,
    /// Whether the query was given up.
    pub(crate) interrupt: Interrupt,
}

impl Scope {
    /// What the tables of all queries share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.sessions.shared
    }

    /// What `system` tells about.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.sessions.cluster
    }

    /// A table of the database.
    pub(crate) fn table(&self, table: &Arc<Table>) -> SnapshotTable {
        SnapshotTable::new(
            Arc::clone(self.shared()),
            Arc::clone(&self.snapshot),
            Arc::clone(table),
            self.times.kept_until,
            self.behind,
        )
    }

    /// A session for any statement.
    pub(crate) fn full_session(self: &Arc<Self>) -> SessionState {
        self.over(self.sessions.full.clone())
    }

    /// A session for statements that do little more than read a cache.
    pub(crate) fn simple_session(self: &Arc<Self>) -> SessionState {
        self.over(self.sessions.simple.clone())
    }

    fn over(self: &Arc<Self>, mut state: SessionState) -> SessionState {
        let list = MemoryCatalogProviderList::new();
        let catalog = ScopeCatalog(Arc::clone(self));
        list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        state.register_catalog_list(Arc::new(list));
        state.register_udtf(LAST_CACHE, Arc::new(LastCacheFunction(Arc::clone(self))));
        let distinct = DistinctCacheFunction(Arc::clone(self));
        state.register_udtf(DISTINCT_CACHE, Arc::new(distinct));
        state.mark_start_execution();
        // It has taken the system's time, which need not be that of the world.
        let now = DateTime::from_timestamp_micros(self.times.now);
        state.execution_props_mut().query_execution_start_time = now;
        state
    }
}

/// The catalog of a snapshot.
#[derive(Debug)]
struct ScopeCatalog(Arc<Scope>);

impl CatalogProvider for ScopeCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned(), SYSTEM_SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let scope = &self.0;
        match name {
            SCHEMA => Some(Arc::new(ScopeSchema(Arc::clone(scope)))),
            SYSTEM_SCHEMA => Some(Arc::new(SystemSchema(Arc::clone(scope)))),
            _ => None,
        }
    }
}

/// The tables of a snapshot.
#[derive(Debug)]
struct ScopeSchema(Arc<Scope>);

#[async_trait]
impl SchemaProvider for ScopeSchema {
    fn table_names(&self) -> Vec<String> {
        let catalog = &self.0.snapshot.catalog.value;
        let mut names: Vec<_> = catalog
            .tables()
            .map(|table| table.name().to_owned())
            .collect();
        names.sort_unstable();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let scope = &self.0;
        let table = scope.snapshot.catalog.value.table(name);
        Ok(table.map(|table| {
            let rows = scope.table(table);
            match scope.uses_caches {
                true => Arc::new(rows.helped_by_caches(scope)) as _,
                false => Arc::new(rows) as _,
            }
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.snapshot.catalog.value.table(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_spilled_can_be_read_by_nobody_else() {
        let runtime = runtime(&QuerySettings::default()).unwrap();
        let spilled = runtime.disk_manager.create_tmp_file("a test").unwrap();
        let metadata = std::fs::metadata(spilled.path().unwrap()).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}
