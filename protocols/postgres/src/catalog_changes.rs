//! Executes the statements that create or drop databases and tables.

use std::time::Duration;

use neap_catalog::{CatalogError, DatabaseAction, INTERNAL_DATABASE, INTERNAL_DATABASE_ID, origin};
use neap_schema::DatabaseId;
use neap_write::WriteService;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    connection::Connection,
    create_table::NewTable,
    definition::{Definition, DropTarget},
    failure::Failure,
    session::Session,
    sql_error::{SqlError, SqlState},
};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<'_, S> {
    /// Executes a statement that creates or drops a database or a table.
    pub(crate) async fn define(&mut self, definition: &Definition) -> Result<(), Failure> {
        let writes = self.writes()?;
        let origin = self.session.origin(self.registered.process);
        let changed = change(writes, &self.session, definition);
        origin::scope(origin, changed).await?;
        self.complete(definition.tag())
    }
}

async fn change(
    writes: &WriteService,
    session: &Session,
    definition: &Definition,
) -> Result<(), SqlError> {
    match definition {
        Definition::CreateDatabase(name) => create_database(writes, session, name).await,
        Definition::CreateTable(table) => create_table(writes, session, table).await,
        Definition::DropDatabase(target) => drop_database(writes, session, target).await,
        Definition::DropTable(target) => drop_table(writes, session, target).await,
    }
}

async fn create_database(
    writes: &WriteService,
    session: &Session,
    name: &str,
) -> Result<(), SqlError> {
    session.caller.require(DatabaseAction::Create, None)?;
    match writes.catalog().create_database(name, None).await {
        Ok(_) => Ok(()),
        Err(CatalogError::AlreadyExists { .. }) => {
            let message = format!("database \"{name}\" already exists");
            Err(SqlError::new(SqlState::DUPLICATE_DATABASE, message))
        }
        Err(error) => Err(error.into()),
    }
}

async fn drop_database(
    writes: &WriteService,
    session: &Session,
    target: &DropTarget,
) -> Result<(), SqlError> {
    let name = &target.name;
    if *name == session.database {
        let message = "cannot drop the currently open database";
        return Err(SqlError::new(SqlState::OBJECT_IN_USE, message));
    }
    if name == INTERNAL_DATABASE {
        session.caller.require(DatabaseAction::Delete, Some(INTERNAL_DATABASE_ID))?;
        return Err(internal_database());
    }
    let may = |database| session.caller.may(DatabaseAction::Delete, database);
    let hard_delete = writes.settings().hard_delete;
    match writes.catalog().delete_database_if(name, hard_delete, may).await {
        Ok(_) => Ok(()),
        Err(CatalogError::NotFound { .. }) if target.if_exists => Ok(()),
        Err(CatalogError::NotFound { .. }) => Err(SqlError::undefined_database(name)),
        Err(error) => Err(error.into()),
    }
}

async fn create_table(
    writes: &WriteService,
    session: &Session,
    table: &NewTable,
) -> Result<(), SqlError> {
    let actions = [DatabaseAction::Create, DatabaseAction::Write];
    let database = changed_database(writes, session, &actions).await?;
    let permission = session.caller.table_permission(database);
    let (name, tags, fields) = (&table.name, &table.tags, &table.fields);
    let created = writes
        .catalog()
        .create_permitted_table(database, permission, name, tags, fields, None);
    match created.await {
        Ok(_) => Ok(()),
        Err(CatalogError::AlreadyExists { .. }) if table.if_missing => Ok(()),
        Err(CatalogError::AlreadyExists { .. }) => {
            let message = format!("relation \"{name}\" already exists");
            Err(SqlError::new(SqlState::DUPLICATE_TABLE, message))
        }
        Err(CatalogError::CreationRefused(_)) => Err(CatalogError::Forbidden.into()),
        Err(error) => Err(error.into()),
    }
}

async fn drop_table(
    writes: &WriteService,
    session: &Session,
    target: &DropTarget,
) -> Result<(), SqlError> {
    let database = changed_database(writes, session, &[DatabaseAction::Delete]).await?;
    let hard_delete = writes.settings().hard_delete;
    match writes.catalog().delete_table(database, &target.name, hard_delete).await {
        Ok(_) => Ok(()),
        Err(CatalogError::NotFound { .. }) if target.if_exists => Ok(()),
        Err(CatalogError::NotFound { .. }) => {
            let message = format!("table \"{}\" does not exist", target.name);
            Err(SqlError::new(SqlState::UNDEFINED_TABLE, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the database of the connection, if the sender may perform any of these actions on it.
async fn changed_database(
    writes: &WriteService,
    session: &Session,
    actions: &[DatabaseAction],
) -> Result<DatabaseId, SqlError> {
    let name = &session.database;
    let found = writes.catalog().database_by_name(name, Duration::ZERO).await?;
    session.caller.require_any(actions, found)?;
    let database = found.ok_or_else(|| SqlError::undefined_database(name))?;
    if database == INTERNAL_DATABASE_ID {
        return Err(internal_database());
    }
    Ok(database)
}

fn internal_database() -> SqlError {
    SqlError::unsupported("the internal database can't be changed")
}
