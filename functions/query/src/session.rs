//! SQL over a snapshot: the catalog that a statement sees, and the statements that are allowed.
//!
//! A statement sees the catalog `public` with the schema `iox`, which holds the tables of one database as of
//! one snapshot, `system`, which tells about the database, and `information_schema`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider,
        TableProvider,
    },
    common::{DataFusionError, ParamValues, Result, not_impl_err, plan_err},
    execution::{
        SessionState, SessionStateBuilder,
        context::SQLOptions,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        object_store::ObjectStoreUrl,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{DmlStatement, LogicalPlan, Statement, WriteOp},
    prelude::SessionConfig,
    sql::{
        parser::Statement as SqlStatement,
        sqlparser::{
            dialect::GenericDialect,
            keywords::Keyword,
            tokenizer::{Token, Tokenizer},
        },
    },
};
use neap_bucket::StoreTime;
use neap_manifest::Snapshot;
use object_store::memory::InMemory;

use crate::{
    Parameters, QuerySettings,
    scan::{self, Shared},
    system::SystemSchema,
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
    base: SessionState,
}

impl Sessions {
    /// Prepares sessions with these limits.
    pub(crate) fn new(settings: &QuerySettings) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_target_partitions(settings.partitions)
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false);
        let options = config.options_mut();
        // Sections of a mebibyte are worth being read in parts: the data are sorted and dense.
        options.optimizer.repartition_file_min_size = 1 << 20;
        options.execution.collect_statistics = false;
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::new(runtime(settings)?));
        Ok(Self {
            base: neap_sql_functions::register(builder).build(),
        })
    }

    /// A session over a snapshot, for one query.
    pub(crate) fn over(
        &self,
        shared: &Arc<Shared>,
        snapshot: &Arc<Snapshot>,
        times: Times,
    ) -> SessionState {
        let tables = SnapshotSchema {
            shared: Arc::clone(shared),
            snapshot: Arc::clone(snapshot),
            kept_until: times.kept_until,
        };
        let catalog = SnapshotCatalog {
            tables: Arc::new(tables),
            system: Arc::new(SystemSchema::new(
                Arc::clone(shared),
                Arc::clone(snapshot),
                times.kept_until,
            )),
        };
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
        let mut state = self.base.clone();
        state.register_catalog_list(Arc::new(list));
        state.mark_start_execution();
        // It has taken the system's time, which need not be that of the world.
        let now = DateTime::from_timestamp_micros(times.now);
        state.execution_props_mut().query_execution_start_time = now;
        state
    }
}

/// The times that a query counts with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// What `now()` gives, in microseconds since the Unix epoch.
    pub(crate) now: i64,
    /// The time of the store from which retention counts back.
    pub(crate) kept_until: StoreTime,
}

fn runtime(settings: &QuerySettings) -> Result<RuntimeEnv> {
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

/// The most operators of a statement. Parsing, planning and dropping a chain of operators takes a few
/// kilobytes of stack for each of them.
const MAX_OPERATORS: usize = 5_000;

/// Refuses statements that are so long that they would overflow a stack.
fn check_length(sql: &str) -> Result<()> {
    let is_operator = |token: &Token| match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::LIKE
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen => false,
        _ => true,
    };
    // What can't be divided into tokens is refused by the parser, which says why.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let operators = tokens
        .unwrap_or_default()
        .iter()
        .filter(|token| is_operator(token))
        .count();
    if operators > MAX_OPERATORS {
        return plan_err!("the statement has {operators} operators, more than {MAX_OPERATORS}");
    }
    Ok(())
}

/// What a statement asks for.
#[derive(Debug)]
pub(crate) enum Planned {
    /// Rows.
    Query(LogicalPlan),
    /// That rows be deleted.
    Delete(DmlStatement),
}

/// The plan of a statement, its placeholders filled.
pub(crate) async fn plan(
    state: &SessionState,
    sql: &str,
    parameters: Parameters,
) -> Result<Planned> {
    check_length(sql)?;
    let dialect = state.config().options().sql_parser.dialect;
    let statement: SqlStatement = state.sql_to_statement(sql, &dialect)?;
    let plan = state.statement_to_plan(statement).await?;
    if let LogicalPlan::Statement(statement) = &plan
        && !matches!(
            statement,
            Statement::SetVariable(_) | Statement::ResetVariable(_)
        )
    {
        return not_impl_err!("Unsupported SQL statement: {}", statement.name());
    }
    let is_delete = matches!(&plan, LogicalPlan::Dml(dml) if dml.op == WriteOp::Delete);
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(is_delete)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    Ok(match filled(plan, parameters)? {
        LogicalPlan::Dml(delete) if is_delete => Planned::Delete(delete),
        query => Planned::Query(query),
    })
}

/// The plan with values in place of its placeholders.
fn filled(plan: LogicalPlan, Parameters(parameters): Parameters) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    let values = parameters
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    plan.with_param_values(ParamValues::Map(values))
}

/// The catalog of a snapshot.
#[derive(Debug)]
struct SnapshotCatalog {
    tables: Arc<SnapshotSchema>,
    system: Arc<SystemSchema>,
}

impl CatalogProvider for SnapshotCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned(), SYSTEM_SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            SCHEMA => Some(Arc::clone(&self.tables) as _),
            SYSTEM_SCHEMA => Some(Arc::clone(&self.system) as _),
            _ => None,
        }
    }
}

/// The tables of a snapshot.
#[derive(Debug)]
struct SnapshotSchema {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    kept_until: StoreTime,
}

#[async_trait]
impl SchemaProvider for SnapshotSchema {
    fn table_names(&self) -> Vec<String> {
        let catalog = &self.snapshot.catalog.value;
        let mut names: Vec<_> = catalog
            .tables()
            .map(|table| table.name().to_owned())
            .collect();
        names.sort_unstable();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = self.snapshot.catalog.value.table(name);
        Ok(table.map(|table| {
            let (shared, snapshot) = (Arc::clone(&self.shared), Arc::clone(&self.snapshot));
            Arc::new(scan::SnapshotTable::new(
                shared,
                snapshot,
                Arc::clone(table),
                self.kept_until,
            )) as _
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.catalog.value.table(name).is_some()
    }
}
