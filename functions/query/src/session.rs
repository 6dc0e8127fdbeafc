//! SQL over a snapshot: the catalog that a statement sees, and the statements that are allowed.
//!
//! A statement sees the catalog `public` with the schema `iox`, which holds the tables of one database as of
//! one snapshot, and `information_schema`.

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
    logical_expr::{LogicalPlan, Statement},
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
use neap_manifest::Snapshot;
use object_store::memory::InMemory;

use crate::{
    Parameters, QuerySettings,
    scan::{self, Shared},
};

/// The catalog of all tables.
const CATALOG: &str = "public";

/// The schema of a database's own tables.
const SCHEMA: &str = "iox";

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

    /// A session over a snapshot, for one query. `now` is what `now()` gives, in microseconds.
    pub(crate) fn over(
        &self,
        shared: &Arc<Shared>,
        snapshot: &Arc<Snapshot>,
        now: i64,
    ) -> SessionState {
        let tables = SnapshotSchema {
            shared: Arc::clone(shared),
            snapshot: Arc::clone(snapshot),
        };
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(
            CATALOG.to_owned(),
            Arc::new(SnapshotCatalog(Arc::new(tables))),
        );
        let mut state = self.base.clone();
        state.register_catalog_list(Arc::new(list));
        state.mark_start_execution();
        // It has taken the system's time, which need not be that of the world.
        let now = DateTime::from_timestamp_micros(now);
        state.execution_props_mut().query_execution_start_time = now;
        state
    }
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

/// The plan of a statement, its placeholders filled.
pub(crate) async fn plan(
    state: &SessionState,
    sql: &str,
    parameters: Parameters,
) -> Result<LogicalPlan> {
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
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    let Parameters(parameters) = parameters;
    if parameters.is_empty() {
        return Ok(plan);
    }
    let values = parameters
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    plan.with_param_values(ParamValues::Map(values))
}

/// The catalog with the one schema that has tables.
#[derive(Debug)]
struct SnapshotCatalog(Arc<SnapshotSchema>);

impl CatalogProvider for SnapshotCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        (name == SCHEMA).then(|| Arc::clone(&self.0) as _)
    }
}

/// The tables of a snapshot.
#[derive(Debug)]
struct SnapshotSchema {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
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
            )) as _
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.catalog.value.table(name).is_some()
    }
}
