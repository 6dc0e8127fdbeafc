//! `pg_catalog`, for the statements with which tools read the catalog.
//!
//! The tables and functions are those of `datafusion-pg-catalog`, over the tables of the connection's database. Statements
//! that name none of them are planned without: to register the functions takes longer than to plan a small query.
//! `information_schema` has the name of the database, too, which elsewhere is that of all catalogs.

use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
        SchemaProvider, TableFunctionImpl,
        information_schema::{INFORMATION_SCHEMA, InformationSchemaProvider},
    },
    common::{DataFusionError, Result, plan_err},
    datasource::TableType,
    execution::{FunctionRegistry, SessionState, SessionStateBuilder},
    logical_expr::ScalarUDF,
    prelude::SessionContext,
};
use datafusion_pg_catalog::{
    pg_catalog::{
        PgCatalogSchemaProvider, PgCatalogStaticTables, catalog_info::CatalogInfo,
        context::EmptyContextProvider, oid_type_planner::PgOidTypePlanner,
    },
    setup_pg_catalog,
    sql::PostgresCompatibilityParser,
};
use neap_http::Caller;
use neap_query::{QueryEngine, SessionExtension};
use neap_sql_changes::StatementText;

use crate::{
    tool_functions::{FUNCTION_NAMES, connection_functions},
    tool_rewriting::{rewrite, without_casts},
    tool_schema::{InformationSchema, ToolSchema},
    variables::SessionVariables,
};

/// The schema of the catalog.
const PG_CATALOG: &str = "pg_catalog";

/// Returns whether a statement names `pg_catalog`, one of its tables, `information_schema`, or a function of PostgreSQL.
pub(crate) fn is_of_tools(statement: &StatementText) -> bool {
    statement.any_word(|word| {
        let lower = word.to_ascii_lowercase();
        lower.starts_with("pg_")
            || lower == INFORMATION_SCHEMA
            || FUNCTION_NAMES.contains(&lower.as_str())
    })
}

/// The catalog that the tools of a connection see. Object ids stay the same as long as the connection.
#[derive(Debug)]
pub(crate) struct ToolCatalog {
    tables: ConnectionTables,
    schema: Arc<ToolSchema>,
    user: String,
}

impl ToolCatalog {
    /// Creates the catalog of a connection.
    ///
    /// # Errors
    /// The tables of `datafusion-pg-catalog` can't be read.
    pub(crate) fn new(queries: Arc<QueryEngine>, database: &str, user: &str) -> Result<Self> {
        let tables = ConnectionTables {
            queries,
            database: database.to_owned(),
            state: Arc::default(),
        };
        let parts = tool_parts()?;
        let schema = PgCatalogSchemaProvider::try_new(
            tables.clone(),
            Arc::clone(&parts.tables),
            EmptyContextProvider,
        )?;
        Ok(Self {
            tables,
            schema: Arc::new(ToolSchema(Arc::new(schema))),
            user: user.to_owned(),
        })
    }

    /// Sets the sender and the variables of the next statement.
    pub(crate) fn set_session(&self, caller: Caller, variables: SessionVariables) {
        let mut state = self.tables.write();
        state.caller = Some(caller);
        state.variables = variables;
    }

    /// Releases the tables of the newest statement. Called when no statement is open.
    pub(crate) fn release_tables(&self) {
        self.tables.write().catalogs = None;
    }
}

impl SessionExtension for ToolCatalog {
    fn rewrite(&self, statement: &str) -> Result<String> {
        static PARSER: OnceLock<PostgresCompatibilityParser> = OnceLock::new();
        let parser = PARSER.get_or_init(PostgresCompatibilityParser::new);
        match parser.parse(&without_casts(statement))?.as_mut_slice() {
            [rewritten] => {
                rewrite(rewritten);
                Ok(rewritten.to_string())
            }
            _ => plan_err!("one statement is expected"),
        }
    }

    fn extend(&self, session: SessionState) -> Result<SessionState> {
        let parts = tool_parts()?;
        let list = Arc::clone(session.catalog_list());
        let own = list.catalog(QueryEngine::CATALOG).ok_or_else(|| {
            DataFusionError::Internal("the session has no catalog of tables".to_owned())
        })?;
        let variables = {
            let mut state = self.tables.write();
            state.catalogs = Some(list);
            state.variables.clone()
        };
        let described = MemoryCatalogProviderList::new();
        let catalog = ToolCatalogProvider {
            own,
            schema: Arc::clone(&self.schema) as _,
            information: None,
        };
        described.register_catalog(self.tables.database.clone(), Arc::new(catalog.clone()));
        let information = InformationSchemaProvider::new(Arc::new(described))
            .with_table_functions(session.table_functions().clone());
        let extended = MemoryCatalogProviderList::new();
        let with_information = ToolCatalogProvider {
            information: Some(Arc::new(InformationSchema(Arc::new(information)))),
            ..catalog
        };
        extended.register_catalog(QueryEngine::CATALOG.to_owned(), Arc::new(with_information));
        let mut state = SessionStateBuilder::new_from_existing(session)
            .with_catalog_list(Arc::new(extended))
            .with_type_planner(Arc::new(PgOidTypePlanner))
            .build();
        state.config_mut().options_mut().catalog.information_schema = false;
        for function in &parts.functions {
            state.register_udf(Arc::clone(function))?;
        }
        for (name, function) in &parts.table_functions {
            state.register_udtf(name, Arc::clone(function));
        }
        for function in connection_functions(&self.tables.database, &self.user, variables) {
            state.register_udf(Arc::new(function))?;
        }
        Ok(state)
    }
}

/// The parts of all catalogs.
struct ToolParts {
    tables: Arc<PgCatalogStaticTables>,
    functions: Vec<Arc<ScalarUDF>>,
    table_functions: Vec<(String, Arc<dyn TableFunctionImpl>)>,
}

/// Returns the tables and functions of `datafusion-pg-catalog`, which are created once.
fn tool_parts() -> Result<&'static ToolParts> {
    static PARTS: OnceLock<ToolParts> = OnceLock::new();
    if let Some(parts) = PARTS.get() {
        return Ok(parts);
    }
    let parts = ToolParts::new()?;
    Ok(PARTS.get_or_init(|| parts))
}

impl ToolParts {
    fn new() -> Result<Self> {
        let context = SessionContext::new();
        context.register_catalog(QueryEngine::CATALOG, Arc::new(MemoryCatalogProvider::new()));
        let usual = SessionContext::new().state();
        setup_pg_catalog(&context, QueryEngine::CATALOG, EmptyContextProvider)
            .map_err(|error| *error)?;
        let state = context.state();
        let is_new = |name: &str| !usual.scalar_functions().contains_key(name);
        let mut functions = Vec::new();
        for (name, function) in state.scalar_functions() {
            if is_new(name) {
                functions.push(Arc::clone(function));
            }
        }
        let mut table_functions = Vec::new();
        for (name, function) in state.table_functions() {
            table_functions.push((name.clone(), Arc::clone(function.function())));
        }
        Ok(Self {
            tables: Arc::new(PgCatalogStaticTables::try_new()?),
            functions,
            table_functions,
        })
    }
}

/// The catalog of a session with `pg_catalog`.
#[derive(Clone, Debug)]
struct ToolCatalogProvider {
    own: Arc<dyn CatalogProvider>,
    schema: Arc<dyn SchemaProvider>,
    /// The description of this catalog under the name of the database; `None`: not resolved here.
    information: Option<Arc<dyn SchemaProvider>>,
}

impl CatalogProvider for ToolCatalogProvider {
    fn schema_names(&self) -> Vec<String> {
        let mut names = self.own.schema_names();
        names.push(PG_CATALOG.to_owned());
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            PG_CATALOG => Some(Arc::clone(&self.schema)),
            INFORMATION_SCHEMA => self.information.clone(),
            _ => self.own.schema(name),
        }
    }
}

/// The tables of the connection's database as of its newest statement, under the name of the database.
#[derive(Clone, Debug)]
struct ConnectionTables {
    queries: Arc<QueryEngine>,
    database: String,
    state: Arc<RwLock<StatementState>>,
}

/// The state of a connection at its newest statement.
#[derive(Debug, Default)]
struct StatementState {
    caller: Option<Caller>,
    variables: SessionVariables,
    /// The tables of the statement.
    catalogs: Option<Arc<dyn CatalogProviderList>>,
}

impl ConnectionTables {
    fn read(&self) -> RwLockReadGuard<'_, StatementState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, StatementState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the schema of a database; `None` if it is that of another one.
    fn schema(&self, catalog: &str, schema: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.catalog(catalog)?.schema(schema)
    }

    fn catalog(&self, catalog: &str) -> Option<Arc<dyn CatalogProvider>> {
        if catalog != self.database {
            return None;
        }
        self.read().catalogs.as_ref()?.catalog(QueryEngine::CATALOG)
    }
}

#[async_trait]
impl CatalogInfo for ConnectionTables {
    async fn catalog_names(&self) -> Result<Vec<String>, DataFusionError> {
        let caller = self.read().caller.clone();
        let sees = |database| caller.as_ref().is_some_and(|caller| caller.can_see(database));
        let listed = self.queries.databases(false, false, sees).await;
        let visible = listed.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut names = names_of(&visible);
        if !names.contains(&self.database) {
            names.push(self.database.clone());
        }
        Ok(names)
    }

    async fn schema_names(
        &self,
        catalog_name: &str,
    ) -> Result<Option<Vec<String>>, DataFusionError> {
        let names = self.catalog(catalog_name).map(|catalog| {
            let mut names = catalog.schema_names();
            names.push(PG_CATALOG.to_owned());
            names
        });
        Ok(names)
    }

    async fn table_names(
        &self,
        catalog_name: &str,
        schema_name: &str,
    ) -> Result<Option<Vec<String>>, DataFusionError> {
        let schema = self.schema(catalog_name, schema_name);
        Ok(schema.map(|schema| schema.table_names()))
    }

    async fn table_schema(
        &self,
        catalog_name: &str,
        schema_name: &str,
        table_name: &str,
    ) -> Result<Option<SchemaRef>, DataFusionError> {
        let Some(schema) = self.schema(catalog_name, schema_name) else {
            return Ok(None);
        };
        Ok(schema.table(table_name).await?.map(|table| table.schema()))
    }

    async fn table_type(
        &self,
        catalog_name: &str,
        schema_name: &str,
        table_name: &str,
    ) -> Result<Option<TableType>, DataFusionError> {
        let Some(schema) = self.schema(catalog_name, schema_name) else {
            return Ok(None);
        };
        schema.table_type(table_name).await
    }
}

/// Returns the names in the first column of a list of databases.
fn names_of(databases: &RecordBatch) -> Vec<String> {
    let column = databases.columns().first().and_then(|column| column.as_string_opt::<i32>());
    column.into_iter().flatten().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_tools(text: &str) -> bool {
        super::is_of_tools(&StatementText::split(text).unwrap()[0])
    }

    #[test]
    fn statements_of_tools_name_functions_or_tables_of_postgresql() {
        for text in [
            "SELECT version()",
            "select * from pg_catalog.pg_class",
            "SELECT 't'::regclass",
            "SELECT relname FROM pg_class",
            "select current_schema()",
            "SELECT table_name FROM information_schema.tables",
        ] {
            assert!(is_of_tools(text), "{text}");
        }
        for text in ["SELECT 'pg_class'", "SELECT * FROM cpu"] {
            assert!(!is_of_tools(text), "{text}");
        }
    }
}
