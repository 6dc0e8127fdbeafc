//! File indexes: columns by which users search for rows (InfluxDB 3 Enterprise `file_index`).
//!
//! Chunks carry the ranges of all their columns anyway, so an index changes no object and no answer. The catalog keeps
//! it for compatibility: creating an index again replaces it, and deleting an index that does not exist fails.

use std::{sync::Arc, time::Duration};

use neap_bucket::VersionedValue;
use neap_schema::DatabaseId;

use crate::{Catalog, CatalogError, DatabaseCatalog, MAX_CACHE_COLUMNS, Table};

impl Catalog {
    /// Creates the file index of a table, or of all tables of a database. Replaces an existing one.
    ///
    /// # Errors
    /// `NoSuchTable`, `InvalidFileIndex`, `DuplicateColumn`, or an error of the commit.
    pub async fn create_file_index(
        &self,
        database: DatabaseId,
        table: Option<&str>,
        columns: &[String],
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let create = |catalog: &mut DatabaseCatalog| {
            let changed = catalog.set_file_index(table, columns)?;
            if changed {
                let detail = Some(format!("of {}", columns.join(", ")));
                catalog.note(self.now()?, "create file index", target(table), detail);
            }
            Ok((changed, ()))
        };
        let (catalog, ()) = self.change(database, Some(known), create).await?;
        Ok(catalog)
    }

    /// Deletes the file index of a table, or of all tables of a database.
    ///
    /// # Errors
    /// `NoSuchTable`, `NotFound`, or an error of the commit.
    pub async fn delete_file_index(
        &self,
        database: DatabaseId,
        table: Option<&str>,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let delete = |catalog: &mut DatabaseCatalog| {
            catalog.remove_file_index(table)?;
            catalog.note(self.now()?, "delete file index", target(table), None);
            Ok((true, ()))
        };
        self.change(database, Some(known), delete).await?;
        Ok(())
    }
}

fn target(table: Option<&str>) -> &str {
    table.unwrap_or("all tables")
}

impl DatabaseCatalog {
    /// Returns the columns of the file index of all tables; empty if there is no such index.
    pub fn file_index(&self) -> &[String] {
        &self.file_index
    }

    /// Sets the columns of a file index. Returns whether this changes the catalog.
    fn set_file_index(
        &mut self,
        table: Option<&str>,
        columns: &[String],
    ) -> Result<bool, CatalogError> {
        let known: Vec<&Arc<Table>> = match table {
            Some(name) => {
                vec![self.table(name).ok_or_else(|| CatalogError::no_such_table(name))?]
            }
            None => self.tables().collect(),
        };
        check(columns, &known)?;
        let index = self.file_index_of(table)?;
        if index.as_slice() == columns {
            return Ok(false);
        }
        *index = columns.to_vec();
        Ok(true)
    }

    fn remove_file_index(&mut self, table: Option<&str>) -> Result<(), CatalogError> {
        let index = self.file_index_of(table)?;
        if index.is_empty() {
            let name = match table {
                Some(table) => format!("file index of table {table}"),
                None => "file index of the database".to_owned(),
            };
            return Err(CatalogError::NotFound { name });
        }
        index.clear();
        Ok(())
    }

    fn file_index_of(&mut self, table: Option<&str>) -> Result<&mut Vec<String>, CatalogError> {
        let Some(name) = table else {
            return Ok(&mut self.file_index);
        };
        let id = self.table(name).map(|table| table.id());
        let found = id.and_then(|id| self.tables.get_mut(&id));
        let changed = found.ok_or_else(|| CatalogError::no_such_table(name))?;
        Ok(&mut Arc::make_mut(changed).file_index)
    }
}

impl Table {
    /// Returns the columns of the file index of this table; empty if there is no such index.
    pub fn file_index(&self) -> &[String] {
        &self.file_index
    }
}

/// Checks that each column is named once and that at least one table has it.
fn check(columns: &[String], tables: &[&Arc<Table>]) -> Result<(), CatalogError> {
    if columns.is_empty() {
        return Err(invalid("no columns provided when creating file index"));
    }
    if columns.len() > MAX_CACHE_COLUMNS {
        let reason = format!("more than {MAX_CACHE_COLUMNS} columns provided");
        return Err(invalid(reason));
    }
    for (place, name) in columns.iter().enumerate() {
        if columns.iter().take(place).any(|before| before == name) {
            let column = name.clone();
            return Err(CatalogError::DuplicateColumn { column });
        }
        if !tables.iter().any(|table| table.column(name).is_some()) {
            return Err(invalid(format!("invalid column provided: {name}")));
        }
    }
    Ok(())
}

fn invalid(reason: impl Into<String>) -> CatalogError {
    let reason = reason.into();
    CatalogError::InvalidFileIndex { reason }
}

#[cfg(test)]
mod tests {
    use neap_schema::ColumnType;

    use super::*;
    use crate::{CatalogLimits, TableAddition};

    fn catalog() -> DatabaseCatalog {
        let mut catalog = DatabaseCatalog::default();
        let columns =
            vec![("host".to_owned(), ColumnType::Tag), ("usage".to_owned(), ColumnType::Float)];
        let table = "cpu".to_owned();
        let additions = [TableAddition { table, columns }];
        catalog.add(&additions, 0, &CatalogLimits::default()).unwrap();
        catalog
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_index_is_kept_until_it_is_deleted() {
        for table in [None, Some("cpu")] {
            let mut catalog = catalog();
            assert!(catalog.set_file_index(table, &names(&["host"])).unwrap());
            assert!(!catalog.set_file_index(table, &names(&["host"])).unwrap());
            let other = names(&["usage", "host"]);
            assert!(catalog.set_file_index(table, &other).unwrap());
            let json = serde_json::to_string(&catalog).unwrap();
            let mut read: DatabaseCatalog = serde_json::from_str(&json).unwrap();
            let kept = match table {
                Some(table) => read.table(table).unwrap().file_index(),
                None => read.file_index(),
            };
            assert_eq!(kept, other);
            read.remove_file_index(table).unwrap();
            let gone = read.remove_file_index(table);
            assert!(matches!(gone, Err(CatalogError::NotFound { .. })));
        }
    }

    #[test]
    fn tables_and_columns_of_an_index_must_exist() {
        let mut catalog = catalog();
        let mut error = |table, columns: &[&str]| {
            let set = catalog.set_file_index(table, &names(columns));
            set.unwrap_err().to_string()
        };
        assert_eq!(error(Some("mem"), &["host"]), "there is no table 'mem' in the database");
        for table in [None, Some("cpu")] {
            assert_eq!(
                error(table, &["host", "rack"]),
                "invalid configuration provided: invalid column provided: rack"
            );
            assert_eq!(error(table, &["host", "host"]), "duplicate column 'host'");
            assert_eq!(
                error(table, &[]),
                "invalid configuration provided: no columns provided when creating file index"
            );
        }
        assert!(catalog.remove_file_index(Some("mem")).is_err());
    }
}
