//! Renames, widens and drops columns, and deletes their aliases.
//!
//! ```text
//!   rename a to b              name b, alias a        answered when every instance knows b
//!     |-- delete alias a ----> name b                 answered when no instance takes a for b
//!     |-- drop b ------------> no column              answered when no instance reads or writes it
//!                                |-- a merge leaves the values out
//! ```
//!
//! Values that an instance with a catalog from before a drop stores afterwards are hidden as well, because the stored name
//! of the column stands for no other one ([`crate::Column`]).

use std::time::Duration;

use neap_schema::{ColumnId, ColumnType, DatabaseId, TableId};

use crate::{
    Catalog, CatalogError, Column, DatabaseCatalog, MaterializedView, StatementNames, Table,
    ValueColumns, ViewLanguage,
};

impl Catalog {
    /// Renames a column, given by its name or an alias, of a table. Its present name becomes an alias. If the column has the
    /// new name already, nothing changes. Returns when every instance knows the name.
    ///
    /// # Errors
    /// `NoSuchTable`, `NoSuchColumn`, `FixedColumn`, `ColumnInUse`, `AlreadyExists`, `NameIsAlias`, `ReservedColumn`,
    /// `InvalidColumnName`, `EmptyName`, `Limit`, or an error of the commit.
    pub async fn rename_column(
        &self,
        database: DatabaseId,
        table: &str,
        column: &str,
        new_name: &str,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let (of_table, found) = catalog.table_and_column(table, column)?;
            if found.column_type == ColumnType::Time {
                return Err(fixed(found, "renamed", "each table has it"));
            }
            if let Some(user) = catalog.view_into(of_table) {
                let column = column.to_owned();
                return Err(CatalogError::ColumnInUse { column, user });
            }
            let (table_id, id, before) = (of_table.id(), found.id, found.name.clone());
            let renamed = catalog.changed_table(table_id)?;
            let changed = renamed.rename_column(id, new_name)?;
            if changed {
                let (name, detail) = (renamed.name().to_owned(), format!("{before} to {new_name}"));
                catalog.note(self.now()?, "rename column", &name, Some(detail));
            }
            Ok((changed, ()))
        };
        self.change(database, Some(known), change).await?;
        self.settle().await;
        Ok(())
    }

    /// Deletes an alias of a column. Returns when no instance uses it.
    ///
    /// # Errors
    /// `NoSuchTable`, `NoSuchColumn` when the name is not an alias, `AliasInUse`, or an error of the commit.
    pub async fn delete_column_alias(
        &self,
        database: DatabaseId,
        table: &str,
        alias: &str,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let (of_table, found) = catalog.table_and_column(table, alias)?;
            if found.name == alias {
                return Err(no_such_column(of_table, alias));
            }
            if let Some(user) = catalog.view_of_column(of_table, &[alias]) {
                let name = alias.to_owned();
                return Err(CatalogError::AliasInUse { name, user });
            }
            let (id, detail) = (of_table.id(), format!("{alias} of {}", found.name));
            let changed = catalog.changed_table(id)?;
            changed.remove_column_alias(alias);
            let name = changed.name().to_owned();
            catalog.note(self.now()?, "delete column alias", &name, Some(detail));
            Ok((true, ()))
        };
        let deleted = self.change(database, Some(known), change).await;
        self.settle_removal(deleted.map(|_| ())).await
    }

    /// Drops a column of a table. Returns when no instance reads or writes it.
    ///
    /// # Errors
    /// `NoSuchTable`, `NoSuchColumn`, `NameIsAlias`, `FixedColumn`, `ColumnInUse`, `Limit`, or an error of the commit.
    pub async fn drop_column(
        &self,
        database: DatabaseId,
        table: &str,
        column: &str,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let (of_table, found) = catalog.table_and_column(table, column)?;
            catalog.check_drop(of_table, found, column)?;
            let (table_id, id) = (of_table.id(), found.id);
            let changed = catalog.changed_table(table_id)?;
            changed.drop_column(id)?;
            let name = changed.name().to_owned();
            catalog.note(self.now()?, "drop column", &name, Some(column.to_owned()));
            Ok((true, ()))
        };
        let dropped = self.change(database, Some(known), change).await;
        self.settle_removal(dropped.map(|_| ())).await
    }

    /// Changes the type of a field: an integer can become a float. Values are converted when they are read, and by merges. If
    /// the column has the type already, nothing changes. Returns when every instance knows the type.
    ///
    /// A reader with an older catalog never finds a float: the segments and the manifest that have one need the catalog
    /// with the new type.
    ///
    /// # Errors
    /// `NoSuchTable`, `NoSuchColumn`, `FixedColumn`, `ColumnInUse`, or an error of the commit.
    pub async fn change_column_type(
        &self,
        database: DatabaseId,
        table: &str,
        column: &str,
        column_type: ColumnType,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let (of_table, found) = catalog.table_and_column(table, column)?;
            if found.column_type == column_type {
                return Ok((false, ()));
            }
            if column_type != ColumnType::Float || !found.can_widen() {
                let reason = "only integers can become floats";
                return Err(fixed(found, "given this type", reason));
            }
            if let Some(user) = catalog.user_of_type(of_table, found) {
                let column = column.to_owned();
                return Err(CatalogError::ColumnInUse { column, user });
            }
            let (table_id, id) = (of_table.id(), found.id);
            let changed = catalog.changed_table(table_id)?;
            changed.widen_column(id);
            let name = changed.name().to_owned();
            catalog.note(self.now()?, "widen column", &name, Some(column.to_owned()));
            Ok((true, ()))
        };
        self.change(database, Some(known), change).await?;
        self.settle().await;
        Ok(())
    }
}

impl DatabaseCatalog {
    /// Returns a table and its column, given by their names or aliases.
    fn table_and_column(
        &self,
        table: &str,
        column: &str,
    ) -> Result<(&Table, &Column), CatalogError> {
        let of_table = self.table(table).ok_or_else(|| CatalogError::no_such_table(table))?;
        let found = of_table.column(column).ok_or_else(|| no_such_column(of_table, column))?;
        Ok((of_table, found))
    }

    fn changed_table(&mut self, id: TableId) -> Result<&mut Table, CatalogError> {
        self.table_names_mut(id)
            .ok_or_else(|| CatalogError::no_such_table(&id.to_string()))
    }

    /// Checks whether a column may be dropped that a request names.
    fn check_drop(&self, table: &Table, column: &Column, name: &str) -> Result<(), CatalogError> {
        if column.name != name {
            return Err(CatalogError::NameIsAlias {
                name: name.to_owned(),
                present_name: column.name.clone(),
            });
        }
        if column.column_type.is_key() {
            return Err(fixed(column, "dropped", "it is part of the key of each row"));
        }
        let names = names_of(column);
        let user = cache_of_column(table, column.id)
            .or_else(|| self.view_of_column(table, &names))
            .or_else(|| self.view_into(table));
        match user {
            Some(user) => {
                let column = name.to_owned();
                Err(CatalogError::ColumnInUse { column, user })
            }
            None => Ok(()),
        }
    }

    /// Returns what depends on the type of a column: a cache whose key it is in, or a view, whose rows have types, too, and whose
    /// query may have wildcards and regular expressions for names.
    fn user_of_type(&self, table: &Table, column: &Column) -> Option<String> {
        let mut names = names_of(column);
        names.push("*");
        let mut keyed = table.last_caches().iter().filter(|it| it.key_columns.contains(&column.id));
        let cache = keyed.next().map(|cache| format!("the key of cache '{}'", cache.name));
        let has_pattern = |view: &MaterializedView| {
            view.language == ViewLanguage::InfluxQl && view.query.contains('/')
        };
        cache
            .or_else(|| self.view_of_column(table, &names))
            .or_else(|| self.view_of_table(table, has_pattern))
            .or_else(|| self.view_into(table))
    }

    /// Returns a view that reads a table, and whose query has one of the names.
    fn view_of_column(&self, table: &Table, names: &[&str]) -> Option<String> {
        self.view_of_table(table, |view| {
            let of_query = StatementNames::new(&view.query);
            names.iter().any(|name| of_query.contains(name))
        })
    }

    /// Returns a view that reads a table and meets a condition.
    fn view_of_table(
        &self,
        table: &Table,
        condition: impl Fn(&MaterializedView) -> bool,
    ) -> Option<String> {
        let is_wanted = |view: &MaterializedView| table.is_named(&view.source) && condition(view);
        let view = self.views().find(|view| is_wanted(view))?;
        Some(format!("materialized view '{}'", view.name))
    }

    /// Returns a view whose rows go to a table. Its refreshes compare the rows by the names of its own columns.
    fn view_into(&self, table: &Table) -> Option<String> {
        let is_target = |name: Option<&str>| name.is_some_and(|name| table.is_named(name));
        let view = self.views().find(|view| is_target(view.local_target()));
        let is_foreign = self.foreign_views.keys().any(|name| table.is_named(name));
        view.map(|view| format!("materialized view '{}'", view.name))
            .or_else(|| is_foreign.then(|| "a continuous query of another database".to_owned()))
    }
}

/// Returns the aliases and the name of a column.
fn names_of(column: &Column) -> Vec<&str> {
    let all = column.aliases().iter().chain([&column.name]);
    all.map(String::as_str).collect()
}

/// Returns a cache that has a column by its definition.
fn cache_of_column(table: &Table, column: ColumnId) -> Option<String> {
    let last = table.last_caches().iter().filter(|cache| {
        let is_listed = match &cache.value_columns {
            ValueColumns::Explicit(columns) => columns.contains(&column),
            ValueColumns::AllNonKey => false,
        };
        is_listed || cache.key_columns.contains(&column)
    });
    let distinct = table.distinct_caches().iter().filter(|it| it.columns.contains(&column));
    let mut names = last.map(|cache| &cache.name).chain(distinct.map(|cache| &cache.name));
    names.next().map(|name| format!("cache '{name}'"))
}

fn no_such_column(table: &Table, column: &str) -> CatalogError {
    CatalogError::NoSuchColumn { table: table.name().to_owned(), column: column.to_owned() }
}

fn fixed(column: &Column, change: &'static str, reason: &'static str) -> CatalogError {
    let column = column.name.clone();
    CatalogError::FixedColumn { column, change, reason }
}

#[cfg(test)]
mod tests;
