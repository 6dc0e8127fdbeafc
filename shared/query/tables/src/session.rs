//! SQL over a snapshot: the catalog that a statement sees.
//!
//! A statement sees the catalog `public` with three schemas: `iox` holds the tables of one database as of one snapshot,
//! `system` describes the database, and `information_schema` describes tables and columns. The table functions
//! `last_cache` and `distinct_cache` read the caches of the database.

use std::{collections::BTreeMap, ops::Deref, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider,
        TableProvider,
    },
    common::{DataFusionError, Result},
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, MemoryPool},
        object_store::ObjectStoreUrl,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::TableType,
    optimizer::{
        Analyzer, Optimizer, OptimizerRule, analyzer::type_coercion::TypeCoercion,
        optimize_projections::OptimizeProjections, push_down_filter::PushDownFilter,
        push_down_limit::PushDownLimit, simplify_expressions::SimplifyExpressions,
    },
    prelude::SessionConfig,
};
use neap_catalog::{StatementNames, Table};
use neap_manifest::Snapshot;
use neap_operators::{
    Cancellation, ComparedTextRule, LastValuesRule, RegexBackslashRule, RunningGuard, SubqueryRule,
    TimeRangeRule, interruptible_rules, operator_rules,
};
use neap_scan::{STORE_URL, ScanEnvironment, StaleTail};
use neap_schema::{CacheId, TableId};
use neap_sql_functions::{GapFillLimit, SqlFunctionsPlanner};
use neap_wal::TailReader;
use object_store::memory::InMemory;

use crate::{
    caches::{
        self, CacheRewrite, DISTINCT_CACHE, DistinctCacheFunction, LAST_CACHE, LastCacheFunction,
    },
    scope::{QueryScope, QueryTimes, SessionTemplates, SharedTables},
    system::{SystemSchema, SystemSources},
};

/// The catalog of all tables.
pub const CATALOG: &str = "public";

/// The schema of a database's own tables.
pub const SCHEMA: &str = "iox";

/// The schema of the tables that describe a database.
const SYSTEM_SCHEMA: &str = "system";

/// Limits of sessions.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The number of partitions of a plan that execute in parallel.
    pub partitions: usize,
    /// Maximum memory of all running queries together, in bytes.
    pub memory_pool_bytes: usize,
    /// The folder for spill files; `None`: the system's folder for temporary files.
    pub spill_dir: Option<PathBuf>,
    /// Maximum bytes in `spill_dir`.
    pub spill_bytes: u64,
    /// Maximum number of windows of time that a query fills for one series.
    pub max_windows: u64,
}

/// The sessions of all queries: state that does not depend on one query.
#[derive(Debug)]
pub struct Sessions {
    tables: Arc<SharedTables>,
    system: Arc<SystemSources>,
    templates: Arc<SessionTemplates>,
}

impl Sessions {
    /// Prepares sessions within these limits.
    pub fn new(
        settings: &SessionSettings,
        runtime: Arc<RuntimeEnv>,
        tables: Arc<SharedTables>,
        system: Arc<SystemSources>,
    ) -> Self {
        let mut analysis = Analyzer::new().rules;
        analysis.insert(0, Arc::new(RegexBackslashRule));
        analysis.insert(0, Arc::new(ComparedTextRule));
        analysis.push(Arc::new(TimeRangeRule));
        analysis.push(Arc::new(SubqueryRule));
        let planning = operator_rules();
        let windows = Arc::new(GapFillLimit(settings.max_windows));
        let usual = config(settings.partitions, settings.memory_pool_bytes).with_extension(windows);
        // The last ones match optimized plans.
        let own: [Arc<dyn OptimizerRule + Send + Sync>; 2] =
            [Arc::new(CacheRewrite), Arc::new(LastValuesRule)];
        let all_rules = Optimizer::new().rules.into_iter().chain(own);
        let optimized = SessionStateBuilder::new()
            .with_config(usual.clone())
            .with_runtime_env(Arc::clone(&runtime))
            .with_analyzer_rules(Vec::new())
            .with_optimizer_rules(Vec::new())
            .with_query_planner(Arc::new(SqlFunctionsPlanner::for_limited_plans()))
            .with_physical_optimizer_rules(planning.clone());
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(usual)
            .with_runtime_env(Arc::clone(&runtime))
            .with_analyzer_rules(analysis)
            .with_physical_optimizer_rules(planning)
            .with_optimizer_rules(interruptible_rules(all_rules));
        let mut simple_rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(PushDownFilter::new()),
            Arc::new(PushDownLimit::new()),
            Arc::new(OptimizeProjections::new()),
        ];
        neap_sql_functions::restrict_rules(&mut simple_rules);
        let mut one_pass = config(1, settings.memory_pool_bytes);
        one_pass.options_mut().optimizer.max_passes = 1;
        let simple = SessionStateBuilder::new()
            .with_config(one_pass)
            .with_runtime_env(runtime)
            .with_analyzer_rules(vec![
                Arc::new(ComparedTextRule),
                Arc::new(RegexBackslashRule),
                Arc::new(TypeCoercion::new()),
                Arc::new(TimeRangeRule),
            ])
            .with_optimizer_rules(simple_rules)
            .with_physical_optimizer_rules(Vec::new());
        let templates = SessionTemplates {
            full: neap_sql_functions::register(builder).build(),
            simple: simple.build(),
            optimized: optimized.build(),
        };
        Self { tables, system, templates: Arc::new(templates) }
    }

    /// The state that the tables of all queries share.
    pub fn tables(&self) -> &SharedTables {
        &self.tables
    }

    /// The sources of the schema `system`.
    pub fn system(&self) -> &SystemSources {
        &self.system
    }

    /// The memory that running queries have reserved, in bytes.
    pub fn reserved_bytes(&self) -> usize {
        self.templates.full.runtime_env().memory_pool.reserved()
    }

    /// Executes fragments of scans with the stores, caches and functions of these sessions. `tail` reads segments.
    pub fn scan_environment(&self, tail: TailReader) -> ScanEnvironment {
        let scan = Arc::clone(&self.tables.scan);
        ScanEnvironment::new(scan, tail, self.templates.full.clone())
    }
}

/// The number of sorts that can reserve memory for merging at once.
const CONCURRENT_SORT_MERGES: usize = 64;

/// Returns the number of rows of a batch for a memory pool of this size. Each input of each operator holds some batches
/// that the pool does not count; large batches would together exceed a small pool.
fn batch_rows(memory_bytes: usize) -> usize {
    const MIB: usize = 1 << 20;
    match memory_bytes / MIB {
        0..96 => 1_024,
        96..384 => 4_096,
        _ => 8_192,
    }
}

/// Minimum memory that a sort reserves for merging its spill files, in bytes.
const MIN_SORT_MERGE_BYTES: usize = 256 << 10;

fn config(partitions: usize, memory_bytes: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(batch_rows(memory_bytes))
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    // Sections of 1 MiB and more are read in parts, because the data are sorted and dense.
    options.optimizer.repartition_file_min_size = 1 << 20;
    options.execution.collect_statistics = false;
    // DataFusion 55.2 fails where its two plans disagree on whether a column of groups may be null, such as that of `x IS TRUE`, or on
    // the metadata of a column of a union. The plan that is executed has schemas of its own.
    options.execution.skip_physical_aggregate_schema_check = true;
    // The default reservation of a sort for merging its spill files would take all of a small pool.
    let usual = options.execution.sort_spill_reservation_bytes;
    let share = memory_bytes / CONCURRENT_SORT_MERGES;
    options.execution.sort_spill_reservation_bytes = usual.min(share).max(MIN_SORT_MERGE_BYTES);
    config
}

/// Creates the memory pool and the folder for spill files that all queries share.
pub fn runtime(settings: &SessionSettings) -> Result<RuntimeEnv> {
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
    let url = ObjectStoreUrl::parse(STORE_URL)?;
    runtime.register_object_store(url.as_ref(), Arc::new(InMemory::new()));
    Ok(runtime)
}

/// The view of one query, with the sessions that plan its statements. Cloning shares the view.
#[derive(Clone, Debug)]
pub struct QueryContext {
    scope: Arc<QueryScope>,
    system: Arc<SystemSources>,
    has_former_columns: bool,
    /// The text of the statement.
    statement: Option<Arc<str>>,
    /// Plans that are executed while the statement is planned hold it.
    pub(crate) running_guard: Option<Arc<RunningGuard>>,
    /// The databases of a query of several ones, by the names that its statement has for them; otherwise empty.
    databases: Arc<BTreeMap<String, Self>>,
}

impl QueryContext {
    /// A query over `snapshot`.
    pub fn new(
        sessions: &Sessions,
        snapshot: Arc<Snapshot>,
        times: QueryTimes,
        uses_caches: bool,
        stale_tail: StaleTail,
        cancellation: Cancellation,
    ) -> Self {
        let scope = QueryScope {
            tables: Arc::clone(&sessions.tables),
            sessions: Arc::clone(&sessions.templates),
            snapshot,
            times,
            uses_caches,
            stale_tail,
            cancellation,
        };
        Self {
            scope: Arc::new(scope),
            system: Arc::clone(&sessions.system),
            has_former_columns: false,
            statement: None,
            running_guard: None,
            databases: Arc::default(),
        }
    }

    /// Returns a view of several databases, by the names that the statement has for them. Names without a database are in
    /// this one.
    #[must_use]
    pub fn with_databases(&self, databases: BTreeMap<String, Self>) -> Self {
        Self { databases: Arc::new(databases), ..self.clone() }
    }

    /// Returns the view of a database of a query of several ones.
    pub fn database(&self, name: &str) -> Option<&Self> {
        self.databases.get(name)
    }

    /// Returns the views of all databases of the query.
    pub fn all_databases(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.databases.values())
    }

    /// Whether the query reads several databases.
    pub fn has_several_databases(&self) -> bool {
        !self.databases.is_empty()
    }

    /// Returns the same view, whose system tables show renamed columns under their former names, too.
    #[must_use]
    pub fn with_former_columns(&self) -> Self {
        Self { has_former_columns: true, ..self.clone() }
    }

    /// Returns the same view with the guard of the query, which plans hold that are executed while the statement is planned.
    #[must_use]
    pub fn with_running_guard(&self, guard: &Arc<RunningGuard>) -> Self {
        let databases = self.databases.iter();
        let guarded = databases.map(|(name, view)| (name.clone(), view.with_running_guard(guard)));
        Self {
            running_guard: Some(Arc::clone(guard)),
            databases: Arc::new(guarded.collect()),
            ..self.clone()
        }
    }

    /// Returns the same view for a statement. Tables show those aliases of their columns that its text contains.
    #[must_use]
    pub fn with_statement(&self, text: &str) -> Self {
        let of_statement = |(name, context): (&String, &Self)| {
            let named = context.with_statement(text);
            (name.clone(), named)
        };
        let databases = self.databases.iter().map(of_statement);
        Self {
            statement: Some(Arc::from(text)),
            databases: Arc::new(databases.collect()),
            ..self.clone()
        }
    }

    /// Returns the same view for a statement that names no column by an alias. Tables have their columns only.
    #[must_use]
    pub fn without_aliases(&self) -> Self {
        let databases = self.databases.iter();
        let without = databases.map(|(name, context)| (name.clone(), context.without_aliases()));
        Self {
            statement: None,
            databases: Arc::new(without.collect()),
            ..self.clone()
        }
    }

    /// Returns the aliases of columns of a table that the text of the statement contains, in letters of any case. A metric of
    /// PromQL has one after the name of the table.
    pub fn named_aliases<'a>(&self, table: &'a Table) -> Vec<&'a str> {
        let Some(statement) = self.statement.as_ref().filter(|_| table.has_column_aliases()) else {
            return Vec::new();
        };
        let names = StatementNames::new(statement);
        let is_metric = |alias: &str| {
            table.names().any(|of_table| names.contains(&format!("{of_table}_{alias}")))
        };
        let aliases = table.columns().iter().flat_map(|column| column.aliases());
        let named = aliases.filter(|alias| names.contains(alias) || is_metric(alias));
        named.map(String::as_str).collect()
    }

    /// Returns the same view, which rebuilds the tail of a table if the cached image has become newer than the snapshot.
    #[must_use]
    pub fn rebuilding_tails(&self) -> Self {
        let scope = QueryScope {
            stale_tail: StaleTail::Rebuild,
            ..QueryScope::clone(&self.scope)
        };
        let databases = self
            .databases
            .iter()
            .map(|(name, context)| (name.clone(), context.rebuilding_tails()));
        Self {
            scope: Arc::new(scope),
            databases: Arc::new(databases.collect()),
            ..self.clone()
        }
    }

    /// The memory that all running queries share.
    pub fn memory_pool(&self) -> &Arc<dyn MemoryPool> {
        &self.scope.sessions.full.runtime_env().memory_pool
    }

    /// The rows of a table. Optimizer rules may read them from the caches of the table.
    pub fn table_provider(&self, table: &Arc<Table>) -> Arc<dyn TableProvider> {
        caches::table_provider(&self.scope, table, &self.named_aliases(table))
    }

    /// Brings the contents of a cache up to date; false if there is no such cache.
    ///
    /// # Errors
    /// The contents can't be read or computed.
    pub async fn refresh_cache(&self, table: TableId, cache: CacheId) -> Result<bool> {
        caches::refresh(&self.scope, table, cache).await
    }

    /// A session for any statement.
    pub fn full_session(&self) -> SessionState {
        self.with_catalog(self.scope.sessions.full.clone())
    }

    /// A session for statements that do little more than read a cache.
    pub fn simple_session(&self) -> SessionState {
        self.with_catalog(self.scope.sessions.simple.clone())
    }

    /// A session that executes optimized plans. It resolves no names.
    pub fn optimized_session(&self) -> SessionState {
        self.scope.start(self.scope.sessions.optimized.clone())
    }

    /// Lets a session resolve the names of tables and caches.
    fn with_catalog(&self, mut state: SessionState) -> SessionState {
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(CATALOG.to_owned(), Arc::new(SnapshotCatalog(self.clone())));
        state.register_catalog_list(Arc::new(list));
        let last = LastCacheFunction(Arc::clone(&self.scope));
        state.register_udtf(LAST_CACHE, Arc::new(last));
        let distinct = DistinctCacheFunction(Arc::clone(&self.scope));
        state.register_udtf(DISTINCT_CACHE, Arc::new(distinct));
        self.scope.start(state)
    }
}

impl Deref for QueryContext {
    type Target = QueryScope;

    fn deref(&self) -> &QueryScope {
        &self.scope
    }
}

#[derive(Debug)]
struct SnapshotCatalog(QueryContext);

impl CatalogProvider for SnapshotCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned(), SYSTEM_SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let context = &self.0;
        match name {
            SCHEMA => Some(Arc::new(SnapshotSchema(context.clone()))),
            SYSTEM_SCHEMA => Some(Arc::new(SystemSchema {
                scope: Arc::clone(&context.scope),
                sources: Arc::clone(&context.system),
                has_former_columns: context.has_former_columns,
            })),
            _ => None,
        }
    }
}

/// The schema of the tables of a snapshot.
#[derive(Debug)]
struct SnapshotSchema(QueryContext);

#[async_trait]
impl SchemaProvider for SnapshotSchema {
    fn table_names(&self) -> Vec<String> {
        let catalog = &self.0.snapshot.catalog.value;
        let mut names: Vec<_> = catalog.tables().map(|table| table.name().to_owned()).collect();
        names.sort_unstable();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = self.0.snapshot.catalog.value.table(name);
        Ok(table.map(|table| self.0.table_provider(table)))
    }

    /// The default implementation creates the provider of the table.
    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
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
    fn spill_files_are_readable_by_their_owner_only() {
        let runtime = runtime(&SessionSettings {
            partitions: 1,
            memory_pool_bytes: 1 << 20,
            spill_dir: None,
            spill_bytes: 1 << 20,
            max_windows: 1_000,
        })
        .unwrap();
        let spilled = runtime.disk_manager.create_tmp_file("a test").unwrap();
        let metadata = std::fs::metadata(spilled.path().unwrap()).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}
