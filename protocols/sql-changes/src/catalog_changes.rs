//! Executes the statements that create or drop databases and tables.

use std::time::Duration;

use neap_catalog::{CatalogError, DatabaseAction, INTERNAL_DATABASE, INTERNAL_DATABASE_ID};
use neap_http::Caller;
use neap_schema::DatabaseId;
use neap_write::WriteService;

use crate::{
    change_error::ChangeError,
    create_table::NewTable,
    data_definition::{DataDefinition, DropTarget},
    sql_error::{SqlError, SqlState},
};

/// The sender of a change, and the database of its tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChangeContext<'a> {
    /// The sender.
    pub(crate) caller: &'a Caller,
    /// The name of the database.
    pub(crate) database: &'a str,
}

/// Executes a statement that creates or drops a database or a table.
///
/// # Errors
/// The sender lacks the permission that the endpoints of the write function require, what is created exists, what is dropped
/// does not, or the catalog can't be changed.
pub(crate) async fn define(
    writes: &WriteService,
    context: ChangeContext<'_>,
    definition: &DataDefinition,
) -> Result<(), ChangeError> {
    match definition {
        DataDefinition::CreateDatabase(name) => create_database(writes, context, name).await,
        DataDefinition::CreateTable(table) => create_table(writes, context, table).await,
        DataDefinition::DropDatabase(target) => drop_database(writes, context, target).await,
        DataDefinition::DropTable(target) => drop_table(writes, context, target).await,
    }
}

async fn create_database(
    writes: &WriteService,
    context: ChangeContext<'_>,
    name: &str,
) -> Result<(), ChangeError> {
    context.caller.require(DatabaseAction::Create, None)?;
    match writes.catalog().create_database(name, None).await {
        Ok(_) => Ok(()),
        Err(CatalogError::AlreadyExists { .. }) => {
            let message = format!("database \"{name}\" already exists");
            Err(SqlError::new(SqlState::DUPLICATE_DATABASE, message).into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn drop_database(
    writes: &WriteService,
    context: ChangeContext<'_>,
    target: &DropTarget,
) -> Result<(), ChangeError> {
    let name = &target.name;
    if *name == context.database {
        let message = "cannot drop the currently open database";
        return Err(SqlError::new(SqlState::OBJECT_IN_USE, message).into());
    }
    if name == INTERNAL_DATABASE {
        context.caller.require(DatabaseAction::Delete, Some(INTERNAL_DATABASE_ID))?;
        return Err(internal_database().into());
    }
    let may = |database| context.caller.may(DatabaseAction::Delete, database);
    let hard_delete = writes.settings().hard_delete;
    match writes.catalog().delete_database_if(name, hard_delete, may).await {
        Ok(_) => Ok(()),
        Err(CatalogError::NotFound { .. }) if target.if_exists => Ok(()),
        Err(CatalogError::NotFound { .. }) => Err(SqlError::undefined_database(name).into()),
        Err(error) => Err(error.into()),
    }
}

async fn create_table(
    writes: &WriteService,
    context: ChangeContext<'_>,
    table: &NewTable,
) -> Result<(), ChangeError> {
    let actions = [DatabaseAction::Create, DatabaseAction::Write];
    let database = changed_database(writes, context, &actions).await?;
    let permission = context.caller.table_permission(database);
    let (name, tags, fields) = (&table.name, &table.tags, &table.fields);
    let created = writes
        .catalog()
        .create_permitted_table(database, permission, name, tags, fields, None);
    match created.await {
        Ok(_) => Ok(()),
        Err(CatalogError::AlreadyExists { .. }) if table.if_missing => Ok(()),
        Err(CatalogError::AlreadyExists { .. }) => {
            let message = format!("relation \"{name}\" already exists");
            Err(SqlError::new(SqlState::DUPLICATE_TABLE, message).into())
        }
        Err(CatalogError::CreationRefused(_)) => Err(CatalogError::Forbidden.into()),
        Err(error) => Err(error.into()),
    }
}

async fn drop_table(
    writes: &WriteService,
    context: ChangeContext<'_>,
    target: &DropTarget,
) -> Result<(), ChangeError> {
    let database = changed_database(writes, context, &[DatabaseAction::Delete]).await?;
    let hard_delete = writes.settings().hard_delete;
    match writes.catalog().delete_table(database, &target.name, hard_delete).await {
        Ok(_) => Ok(()),
        Err(CatalogError::NotFound { .. }) if target.if_exists => Ok(()),
        Err(CatalogError::NotFound { .. }) => {
            let message = format!("table \"{}\" does not exist", target.name);
            Err(SqlError::new(SqlState::UNDEFINED_TABLE, message).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the database of the statement, if the sender may perform any of these actions on it.
async fn changed_database(
    writes: &WriteService,
    context: ChangeContext<'_>,
    actions: &[DatabaseAction],
) -> Result<DatabaseId, ChangeError> {
    let name = context.database;
    let found = writes.catalog().database_by_name(name, Duration::ZERO).await?;
    context.caller.require_any(actions, found)?;
    let database = found.ok_or_else(|| SqlError::undefined_database(name))?;
    if database == INTERNAL_DATABASE_ID {
        return Err(internal_database().into());
    }
    Ok(database)
}

fn internal_database() -> SqlError {
    SqlError::unsupported("the internal database can't be changed")
}
