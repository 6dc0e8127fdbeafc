//! Executes the statements of one request one after the other.

use std::{future::Future, sync::Arc};

use arrow::{array::RecordBatch, datatypes::Schema};
use datafusion::common::DataFusionError;
use neap_bucket::Stamp;
use neap_catalog::{ChangeOrigin, DatabaseAction, INTERNAL_DATABASE, origin};
use neap_formats::series::{AnswerInterface, SeriesLayout};
use neap_http::Caller;
use neap_influxql::{ServerStatement, Statement};
use neap_schema::DatabaseId;

use super::{
    changes::{self, ChangeExecutor, SELECT_INTO},
    databases,
    error::InfluxqlError,
    planners::RowsPlanner,
    prepared_statement::{PreparedStatement, RequestedDatabase, prepare_statements},
    request_catalogs::RequestCatalogs,
};
use crate::{
    ClientQuery, QueryEngine, QueryError, QueryRequest, Rows, StatementDescription,
    request::QueryDatabases,
};

/// The maximum number of databases that a statement reads. It is limited because a query holds a snapshot of each.
const MAX_DATABASES: usize = 32;

/// The statements that change something and that a request of InfluxDB 1's interface may execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AllowedChanges {
    None,
    /// Those about continuous queries.
    ContinuousQueries,
    /// All.
    All,
}

impl AllowedChanges {
    fn allow(self, statement: &Statement) -> bool {
        match self {
            Self::None => false,
            Self::ContinuousQueries => matches!(statement, Statement::ContinuousQuery(_)),
            Self::All => true,
        }
    }
}

/// The context of a request: the caller, the interface and the common options.
#[derive(Clone, Debug)]
pub(crate) struct InfluxqlSession {
    pub(super) engine: Arc<QueryEngine>,
    pub(super) caller: Caller,
    pub(super) interface: AnswerInterface,
    pub(super) changes: AllowedChanges,
    /// The options shared by all statements.
    pub(super) request: QueryRequest,
    /// The origin recorded with changes.
    pub(super) origin: ChangeOrigin,
    /// The catalogs that its statements have read.
    pub(super) seen: Arc<RequestCatalogs>,
}

/// The rows of a statement and their series.
#[derive(Debug)]
pub(super) struct StatementAnswer {
    pub(super) rows: Rows,
    pub(super) series: SeriesLayout,
}

impl StatementAnswer {
    /// The answer of a statement that changes something: no columns, no rows, the stamp of a delete.
    pub(super) fn done(deleted_at: Option<Stamp>) -> Self {
        let rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        Self {
            rows: Rows { deleted_at, ..Rows::from_batch(rows) },
            series: SeriesLayout::Single(None),
        }
    }
}

impl InfluxqlSession {
    /// Executes the only statement of a query.
    /// Fails with `NotOneStatement`, or the error of the statement.
    pub(crate) async fn run_single(
        engine: &Arc<QueryEngine>,
        query: ClientQuery,
    ) -> Result<Rows, InfluxqlError> {
        let (session, statement) = Self::single(engine, query)?;
        Ok(session.run(&statement).await?.rows)
    }

    /// Returns the columns of the only statement of a query. Statements that only read the catalog are executed.
    /// Errors: same as [`run_single`](Self::run_single).
    pub(crate) async fn describe_single(
        engine: &Arc<QueryEngine>,
        query: ClientQuery,
    ) -> Result<StatementDescription, InfluxqlError> {
        let (session, prepared) = Self::single(engine, query)?;
        if changes::name(&prepared.statement).is_some() || is_list(&prepared.statement) {
            return Ok(StatementDescription {
                columns: session.run(&prepared).await?.rows.schema,
                placeholders: Vec::new(),
            });
        }
        let databases = session.resolve_for_read(&prepared).await?;
        let planner = RowsPlanner::new(prepared.statement.clone(), session.interface);
        let planner = Arc::new(planner);
        let request = session.request_of(&prepared);
        let described =
            engine.describe(databases.first, request, Arc::clone(&planner) as _).await?;
        Ok(StatementDescription { columns: planner.columns(&described.columns), ..described })
    }

    /// Returns the session of a query and its only statement.
    fn single(
        engine: &Arc<QueryEngine>,
        query: ClientQuery,
    ) -> Result<(Self, PreparedStatement), InfluxqlError> {
        let named = RequestedDatabase {
            database: query.database.as_deref(),
            ..RequestedDatabase::default()
        };
        let (text, parameters) = (&query.request.text, &query.request.parameters);
        let mut statements = prepare_statements(text, parameters, named)?;
        let statement = statements.pop().filter(|_| statements.is_empty());
        let session = Self {
            engine: Arc::clone(engine),
            caller: query.caller,
            interface: AnswerInterface::V3,
            changes: AllowedChanges::None,
            request: QueryRequest { may_delete: false, ..query.request },
            origin: query.origin,
            seen: Arc::default(),
        };
        Ok((session, statement.ok_or(InfluxqlError::NotOneStatement)?))
    }

    /// Rejects the request if the caller lacks the permission for any statement, before any statement is executed.
    pub(super) async fn authorize(
        &self,
        statements: &[PreparedStatement],
    ) -> Result<(), InfluxqlError> {
        for prepared in statements {
            if changes::name(&prepared.statement).is_some() || is_list(&prepared.statement) {
                continue;
            }
            for name in &prepared.databases {
                let database = self.find(name).await?;
                self.caller.require(DatabaseAction::Read, database)?;
            }
        }
        Ok(())
    }

    /// Executes a statement.
    pub(super) async fn run(
        &self,
        prepared: &PreparedStatement,
    ) -> Result<StatementAnswer, InfluxqlError> {
        if let Some(name) = changes::name(&prepared.statement) {
            self.check_changes(name, &prepared.statement)?;
            return self.change_in_task(prepared).await;
        }
        if let Statement::Server(statement) = &prepared.statement {
            return self.describe_server(statement, &prepared.text).await;
        }
        if let Statement::ContinuousQuery(statement) = &prepared.statement {
            let answer = self.continuous_query(statement);
            return self.engine.run_with_permit(answer).await;
        }
        if is_list(&prepared.statement) {
            return self.engine.run_with_permit(self.list(prepared)).await;
        }
        self.rows(prepared).await
    }

    /// Answers statements that list databases.
    async fn list(&self, prepared: &PreparedStatement) -> Result<StatementAnswer, InfluxqlError> {
        let (catalog, seen, interface) = (self.engine.catalog(), &self.seen, self.interface);
        let sees = |database: DatabaseId| self.caller.can_see(database);
        let (rows, name) = match &prepared.statement {
            Statement::ShowDatabases => {
                (databases::databases(catalog, seen, interface, sees).await?, "databases")
            }
            _ => {
                let database = prepared.databases.first().map(String::as_str);
                if database.is_none() && interface == AnswerInterface::V1 {
                    return Err(InfluxqlError::NoDatabase);
                }
                let rows = databases::retention_policies(catalog, seen, database, interface, sees);
                (rows.await?, "retention_policies")
            }
        };
        Ok(StatementAnswer {
            rows: Rows::from_batch(rows),
            series: SeriesLayout::Single(Some(name)),
        })
    }

    /// Executes a change in its own task, so that it completes even if the client disconnects.
    async fn change_in_task(
        &self,
        prepared: &PreparedStatement,
    ) -> Result<StatementAnswer, InfluxqlError> {
        let (session, prepared) = (self.clone(), prepared.clone());
        let change = tokio::spawn(async move {
            let change = session.execute_change(&prepared);
            let done = origin::scope(session.origin.clone(), change).await;
            if !matches!(done, Err(InfluxqlError::Forbidden(_))) {
                session.seen.forget().await;
            }
            done
        });
        let ended = change.await.map_err(Box::new);
        ended.map_err(|error| QueryError::Execution(DataFusionError::ExecutionJoin(error)))?
    }

    async fn execute_change(
        &self,
        prepared: &PreparedStatement,
    ) -> Result<StatementAnswer, InfluxqlError> {
        match &prepared.statement {
            Statement::SelectInto(statement) => self.select_into(prepared, statement).await,
            Statement::Server(ServerStatement::KillQuery { id, .. }) => self.kill_query(*id),
            Statement::ContinuousQuery(statement) => self.continuous_query(statement).await,
            Statement::User(statement) => self.change_user(statement).await,
            _ => Ok(StatementAnswer::done(self.change(prepared).await?)),
        }
    }

    pub(super) async fn rows(
        &self,
        prepared: &PreparedStatement,
    ) -> Result<StatementAnswer, InfluxqlError> {
        let databases = self.resolve_for_read(prepared).await?;
        let planner = RowsPlanner::new(prepared.statement.clone(), self.interface)
            .with_plans(self.engine.plan_cache());
        let planner = Arc::new(planner);
        let request = self.request_of(prepared);
        let rows = self.engine.run_over(databases, request, Arc::clone(&planner) as _).await?;
        let schema = planner.columns(&rows.schema);
        Ok(StatementAnswer { rows: Rows { schema, ..rows }, series: planner.series() })
    }

    fn request_of(&self, prepared: &PreparedStatement) -> QueryRequest {
        QueryRequest { text: prepared.text.clone(), ..self.request.clone() }
    }

    /// Resolves the databases of a statement and checks that the caller may read each of them.
    async fn resolve_for_read(
        &self,
        prepared: &PreparedStatement,
    ) -> Result<QueryDatabases, InfluxqlError> {
        let Some((first, others)) = prepared.databases.split_first() else {
            return Err(InfluxqlError::NoDatabase);
        };
        if others.len() >= MAX_DATABASES {
            let text = format!("more than {MAX_DATABASES} databases in one statement");
            return Err(InfluxqlError::Invalid(text));
        }
        let first_id = self.resolve_readable(first).await?;
        if others.is_empty() {
            return Ok(first_id.into());
        }
        let mut named = vec![(first.clone(), first_id)];
        for name in others {
            named.push((name.clone(), self.resolve_readable(name).await?));
        }
        Ok(QueryDatabases { first: first_id, named })
    }

    /// Resolves the name of a database and checks that the caller may read it.
    async fn resolve_readable(&self, name: &str) -> Result<DatabaseId, InfluxqlError> {
        let database = self.find(name).await?;
        self.caller.require(DatabaseAction::Read, database)?;
        // Do not resolve again, because the name may refer to another database by now.
        match database {
            Some(database) => Ok(database),
            None => Err(self.unknown_database(name).await),
        }
    }

    /// Returns the error for a name that no database has. It names the retention policy if the database exists.
    async fn unknown_database(&self, name: &str) -> InfluxqlError {
        if self.interface == AnswerInterface::V1
            && let Some((database, policy)) = name.split_once('/')
            && let Ok(Some(_)) = self.find(database).await
        {
            return InfluxqlError::Invalid(format!("retention policy not found: {policy}"));
        }
        QueryError::DatabaseNotFound(name.to_owned()).into()
    }

    pub(super) async fn find(&self, name: &str) -> Result<Option<DatabaseId>, InfluxqlError> {
        if let Some(database) = self.engine.known_database(name).await? {
            return Ok(Some(database));
        }
        let root = self.seen.root(self.engine.catalog()).await?;
        Ok(root.database(name))
    }

    fn check_changes(
        &self,
        name: &'static str,
        statement: &Statement,
    ) -> Result<(), InfluxqlError> {
        match self.interface {
            AnswerInterface::V3 if name == SELECT_INTO => Err(InfluxqlError::OnlyV1(name)),
            // As in InfluxDB 3, which has separate endpoints for these statements.
            AnswerInterface::V3 => Err(InfluxqlError::NotImplemented(name)),
            AnswerInterface::V1 if self.changes.allow(statement) => Ok(()),
            AnswerInterface::V1 if self.changes == AllowedChanges::None => {
                Err(InfluxqlError::OnlyV1(name))
            }
            AnswerInterface::V1 => Err(InfluxqlError::ReadOnly(name)),
        }
    }

    fn change<'a>(
        &'a self,
        prepared: &'a PreparedStatement,
    ) -> impl Future<Output = Result<Option<Stamp>, InfluxqlError>> + Send + 'a {
        let changes =
            ChangeExecutor { engine: &self.engine, caller: &self.caller, seen: &self.seen };
        async move {
            match &prepared.statement {
                Statement::CreateDatabase { name, policy } => {
                    changes.create_database(name, policy.as_ref()).await
                }
                Statement::DropDatabase(name) => changes.drop_database(name).await,
                Statement::CreateRetentionPolicy(policy) => changes.set_policy(policy, true).await,
                Statement::AlterRetentionPolicy(policy) => changes.set_policy(policy, false).await,
                Statement::DropRetentionPolicy { name, database } => {
                    changes.drop_policy(name, database).await
                }
                Statement::DropMeasurement(table) => {
                    let database = self.resolve_for_change(prepared).await?;
                    changes.drop_measurement(database, table).await
                }
                Statement::Delete(deletion) | Statement::DropSeries(deletion) => {
                    let database = self.resolve_for_change(prepared).await?;
                    let request = self.request_of(prepared);
                    return changes.delete(database, deletion, &request).await;
                }
                _ => Ok(()),
            }
            .map(|()| None)
        }
    }

    /// Resolves the database of a statement that changes data in it.
    async fn resolve_for_change(
        &self,
        prepared: &PreparedStatement,
    ) -> Result<DatabaseId, InfluxqlError> {
        let name = prepared.databases.first().ok_or(InfluxqlError::NoDatabase)?;
        self.changed_database(name).await
    }

    /// Resolves the name of a database that a statement changes.
    pub(super) async fn changed_database(&self, name: &str) -> Result<DatabaseId, InfluxqlError> {
        if name == INTERNAL_DATABASE {
            let text = format!("{INTERNAL_DATABASE} can't be changed");
            return Err(InfluxqlError::Invalid(text));
        }
        match self.find(name).await? {
            Some(database) => Ok(database),
            None => {
                self.caller.require(DatabaseAction::Read, None)?;
                Err(QueryError::DatabaseNotFound(name.to_owned()).into())
            }
        }
    }
}

/// Whether a statement lists databases or describes the server. Such a statement shows what the caller may see.
fn is_list(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::ShowDatabases
            | Statement::ShowRetentionPolicies { .. }
            | Statement::Server(_)
            | Statement::ContinuousQuery(_)
    )
}
