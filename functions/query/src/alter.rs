//! Executes `ALTER DATABASE` and `ALTER TABLE`.

mod statement;

use std::time::Duration;

use neap_catalog::{CatalogError, DatabaseAction, INTERNAL_DATABASE_ID};
use neap_http::{ApiError, Caller, Kind};
use neap_schema::DatabaseId;

use crate::{ClientQueryError, QueryEngine};

pub(crate) use statement::{AlterStatement, DatabaseChange, TableChange, parse_alter_statement};

impl QueryEngine {
    /// Executes a statement that changes a database or a table, for a caller who may read `database`. The permissions are those
    /// of the endpoints of the write function.
    pub(crate) async fn alter(
        &self,
        caller: &Caller,
        database: DatabaseId,
        statement: AlterStatement,
    ) -> Result<(), ClientQueryError> {
        match statement {
            AlterStatement::Database { name, change } => {
                self.alter_database(caller, &name, change).await
            }
            AlterStatement::Table { name, change } => {
                self.alter_table(caller, database, &name, change).await
            }
        }
    }

    async fn alter_database(
        &self,
        caller: &Caller,
        name: &str,
        change: DatabaseChange,
    ) -> Result<(), ClientQueryError> {
        let catalog = self.catalog();
        let changed = match change {
            DatabaseChange::Rename(new_name) => {
                let may = |action, database| caller.may(action, database);
                catalog.rename_database_if(name, &new_name, may).await
            }
            DatabaseChange::DropAlias(alias) => {
                let root = catalog.root(Duration::ZERO).await.map_err(ApiError::from)?.value;
                let named = root.database(name);
                caller.require(DatabaseAction::Delete, named)?;
                if root.database(&alias) == named {
                    let may = |database| caller.may(DatabaseAction::Delete, database);
                    catalog.delete_database_alias_if(&alias, may).await
                } else {
                    Err(CatalogError::NotFound { name: alias })
                }
            }
        };
        Ok(changed.map_err(ApiError::from)?)
    }

    async fn alter_table(
        &self,
        caller: &Caller,
        database: DatabaseId,
        table: &str,
        change: TableChange,
    ) -> Result<(), ClientQueryError> {
        let creates = !matches!(
            change,
            TableChange::DropAlias(_)
                | TableChange::DropColumn { .. }
                | TableChange::DropColumnAlias(_)
        );
        let deletes = !matches!(change, TableChange::AddColumn { .. });
        if deletes {
            caller.require(DatabaseAction::Delete, Some(database))?;
        }
        if creates {
            let create = [DatabaseAction::Create, DatabaseAction::Write];
            caller.require_any(&create, Some(database))?;
        }
        if database == INTERNAL_DATABASE_ID {
            let text = "the tables of the internal database can't be changed";
            return Err(ApiError::text(Kind::Invalid, text).into());
        }
        let catalog = self.catalog();
        let changed = match change {
            TableChange::Rename(new_name) => {
                catalog.rename_table(database, table, &new_name).await.map(|_| ())
            }
            TableChange::DropAlias(alias) => {
                let read = catalog.database(database, Duration::ZERO).await;
                let tables = read.map_err(ApiError::from)?.value;
                match tables.table(table).filter(|table| table.is_named(&alias)) {
                    Some(_) => catalog.delete_table_alias(database, &alias).await.map(|_| ()),
                    None => Err(CatalogError::NotFound { name: alias }),
                }
            }
            TableChange::AddColumn { name, column_type, if_not_exists } => {
                let permission = caller.table_permission(database);
                let added =
                    catalog.add_column(database, permission, table, &name, column_type).await;
                match added {
                    Err(CatalogError::AlreadyExists { .. }) if if_not_exists => Ok(()),
                    added => added,
                }
            }
            TableChange::RenameColumn { name, new_name } => {
                catalog.rename_column(database, table, &name, &new_name).await
            }
            TableChange::ChangeType { name, column_type } => {
                catalog.change_column_type(database, table, &name, column_type).await
            }
            TableChange::DropColumn { name, if_exists } => {
                match catalog.drop_column(database, table, &name).await {
                    Err(CatalogError::NoSuchColumn { .. }) if if_exists => Ok(()),
                    dropped => dropped,
                }
            }
            TableChange::DropColumnAlias(alias) => {
                catalog.delete_column_alias(database, table, &alias).await
            }
        };
        Ok(changed.map_err(ApiError::from)?)
    }
}
