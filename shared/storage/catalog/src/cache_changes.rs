//! Creates and deletes caches. Each operation is one commit to the catalog of the database.
//!
//! The rules for columns and default names and the error messages are those of InfluxDB 3 Core (`CreateLastCacheOp`,
//! `CreateDistinctCacheOp`). InfluxDB accepts a column that is named twice, which no query could answer; Neap refuses
//! it. The maximum numbers are Neap's own.

use std::{sync::Arc, time::Duration};

use neap_bucket::VersionedValue;
use neap_schema::{CacheId, ColumnId, ColumnType, DatabaseId, OnDuplicate, TIME_COLUMN};

use crate::{
    Catalog, CatalogError, Column, DatabaseCatalog, DistinctCacheDefinition, LastCacheDefinition,
    LimitError, Table, ValueColumns,
};

/// Maximum number of caches in a database, including those of dropped tables.
pub const MAX_CACHES: usize = 1_000;
/// Maximum number of caches of each kind for a table.
pub const MAX_CACHES_PER_TABLE: usize = 32;
/// Maximum bytes of the name of a cache.
pub const MAX_CACHE_NAME_BYTES: usize = 512;
/// Maximum number of rows that a last value cache keeps for a key.
pub const MAX_LAST_CACHE_COUNT: u64 = 1_000;
/// Maximum number of columns in one list of a cache definition.
pub const MAX_CACHE_COLUMNS: usize = 250;

/// The parameters of a last value cache to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLastCache {
    /// The table.
    pub table: String,
    /// The name; `None`: `<table>_<key columns with _ between>_last_cache`.
    pub name: Option<String>,
    /// The key columns: tags, strings, integers and booleans; `None`: the present tags.
    pub key_columns: Option<Vec<String>>,
    /// The other output columns; `None`: all, including columns added later. `time` is always included.
    pub value_columns: Option<Vec<String>>,
    /// Number of rows kept for each key, from 1 to [`MAX_LAST_CACHE_COUNT`].
    pub count: u64,
    /// Maximum age of a row by its timestamp, in seconds.
    pub ttl_s: u64,
}

/// The parameters of a distinct value cache to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDistinctCache {
    /// The table.
    pub table: String,
    /// The name; `None`: `<table>_<columns with _ between>_distinct_cache`.
    pub name: Option<String>,
    /// The columns: tags and strings, at least one.
    pub columns: Vec<String>,
    /// Maximum number of combinations kept, at least 1.
    pub max_cardinality: u64,
    /// Maximum age of a row by its timestamp, in seconds.
    pub max_age_s: u64,
}

impl Catalog {
    /// Creates a last value cache. It includes existing rows of its table.
    ///
    /// # Errors
    /// `NoSuchTable`, `AlreadyExists`, `InvalidCache`, `LastCacheKeyType`, `DuplicateColumn`, `EmptyName`,
    /// `Limit`, or an error of the commit.
    pub async fn create_last_cache(
        &self,
        database: DatabaseId,
        new: &NewLastCache,
    ) -> Result<(VersionedValue<DatabaseCatalog>, Arc<LastCacheDefinition>), CatalogError> {
        self.change_caches(database, |catalog| {
            let cache = catalog.add_last_cache(new)?;
            let detail = Some(format!("of table {}", new.table));
            catalog.note(self.now()?, "create last cache", &cache.name, detail);
            Ok(cache)
        })
        .await
    }

    /// Creates a distinct value cache. It includes existing values of its table.
    ///
    /// # Errors
    /// `NoSuchTable`, `AlreadyExists`, `InvalidCache`, `DistinctCacheColumnType`, `DuplicateColumn`,
    /// `EmptyName`, `Limit`, or an error of the commit.
    pub async fn create_distinct_cache(
        &self,
        database: DatabaseId,
        new: &NewDistinctCache,
    ) -> Result<(VersionedValue<DatabaseCatalog>, Arc<DistinctCacheDefinition>), CatalogError> {
        self.change_caches(database, |catalog| {
            let cache = catalog.add_distinct_cache(new)?;
            let detail = Some(format!("of table {}", new.table));
            catalog.note(self.now()?, "create distinct cache", &cache.name, detail);
            Ok(cache)
        })
        .await
    }

    /// Deletes a last value cache.
    ///
    /// # Errors
    /// `NoSuchTable`, `NotFound`, or an error of the commit.
    pub async fn delete_last_cache(
        &self,
        database: DatabaseId,
        table: &str,
        name: &str,
    ) -> Result<(), CatalogError> {
        let delete = |catalog: &mut DatabaseCatalog| {
            let caches = &mut catalog.table_with_caches(table)?.last_caches;
            remove(caches, name, |cache| &cache.name)?;
            let detail = Some(format!("of table {table}"));
            catalog.note(self.now()?, "delete last cache", name, detail);
            Ok(())
        };
        self.change_caches(database, delete).await?;
        Ok(())
    }

    /// Deletes a distinct value cache.
    ///
    /// # Errors
    /// `NoSuchTable`, `NotFound`, or an error of the commit.
    pub async fn delete_distinct_cache(
        &self,
        database: DatabaseId,
        table: &str,
        name: &str,
    ) -> Result<(), CatalogError> {
        let delete = |catalog: &mut DatabaseCatalog| {
            let caches = &mut catalog.table_with_caches(table)?.distinct_caches;
            remove(caches, name, |cache| &cache.name)?;
            let detail = Some(format!("of table {table}"));
            catalog.note(self.now()?, "delete distinct cache", name, detail);
            Ok(())
        };
        self.change_caches(database, delete).await?;
        Ok(())
    }

    /// Commits a change to a freshly read catalog, because another instance may just have changed the columns and
    /// caches that it depends on.
    async fn change_caches<R: Send>(
        &self,
        database: DatabaseId,
        mut change: impl FnMut(&mut DatabaseCatalog) -> Result<R, CatalogError> + Send,
    ) -> Result<(VersionedValue<DatabaseCatalog>, R), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| Ok((true, change(catalog)?));
        self.change(database, Some(known), change).await
    }
}

impl DatabaseCatalog {
    fn add_last_cache(
        &mut self,
        new: &NewLastCache,
    ) -> Result<Arc<LastCacheDefinition>, CatalogError> {
        let (next, in_all) = (self.next_cache, self.cache_ids().count());
        let table = self.table_with_caches(&new.table)?;
        check_replaces(table)?;
        let cache = Arc::new(new.define(next, table)?);
        if table.last_cache(&cache.name).is_some() {
            return Err(already_exists(&cache.name));
        }
        check_number(table.last_caches.len(), in_all)?;
        table.last_caches.push(Arc::clone(&cache));
        self.next_cache = after(next)?;
        Ok(cache)
    }

    fn add_distinct_cache(
        &mut self,
        new: &NewDistinctCache,
    ) -> Result<Arc<DistinctCacheDefinition>, CatalogError> {
        let (next, in_all) = (self.next_cache, self.cache_ids().count());
        let table = self.table_with_caches(&new.table)?;
        check_replaces(table)?;
        let cache = Arc::new(new.define(next, table)?);
        if table.distinct_cache(&cache.name).is_some() {
            return Err(already_exists(&cache.name));
        }
        check_number(table.distinct_caches.len(), in_all)?;
        table.distinct_caches.push(Arc::clone(&cache));
        self.next_cache = after(next)?;
        Ok(cache)
    }

    fn table_with_caches(&mut self, name: &str) -> Result<&mut Table, CatalogError> {
        let id = self.table(name).map(|table| table.id());
        let table = id.and_then(|id| self.tables.get_mut(&id));
        table.map(Arc::make_mut).ok_or_else(|| CatalogError::no_such_table(name))
    }
}

impl NewLastCache {
    fn define(&self, id: CacheId, table: &Table) -> Result<LastCacheDefinition, CatalogError> {
        let keys = match &self.key_columns {
            None => table.tags().collect(),
            Some(names) => self.keys(names, table)?,
        };
        let value_columns = match &self.value_columns {
            None => ValueColumns::AllNonKey,
            Some(names) => ValueColumns::Explicit(values(names, &keys, table)?),
        };
        if !(1..=MAX_LAST_CACHE_COUNT).contains(&self.count) {
            return Err(invalid(format!(
                "last cache size must be from 1 to {MAX_LAST_CACHE_COUNT}"
            )));
        }
        Ok(LastCacheDefinition {
            id,
            name: cache_name(self.name.as_deref(), table, &keys, "last_cache")?,
            key_columns: ids(&keys),
            value_columns,
            count: self.count,
            ttl_s: self.ttl_s,
        })
    }

    fn keys<'a>(
        &self,
        names: &[String],
        table: &'a Table,
    ) -> Result<Vec<&'a Column>, CatalogError> {
        let keys = find(names, "key column", table)?;
        let allowed = |column: &&Column| match column.column_type {
            ColumnType::Tag
            | ColumnType::String
            | ColumnType::Integer
            | ColumnType::UInteger
            | ColumnType::Boolean => true,
            ColumnType::Time | ColumnType::Float => false,
        };
        if keys.iter().all(allowed) {
            Ok(keys)
        } else {
            Err(CatalogError::LastCacheKeyType)
        }
    }
}

/// Refuses a table that keeps earlier rows, because caches are merged from the oldest rows to the newest.
fn check_replaces(table: &Table) -> Result<(), CatalogError> {
    match table.on_duplicate() {
        OnDuplicate::Replace => Ok(()),
        OnDuplicate::Keep => Err(invalid(
            "tables that keep earlier rows (on-duplicate: keep) have no caches".to_owned(),
        )),
    }
}

/// Resolves an explicit list of value columns. Omits `time`, which is always included, and refuses key columns.
fn values(
    names: &[String],
    keys: &[&Column],
    table: &Table,
) -> Result<Vec<ColumnId>, CatalogError> {
    let columns = find(names, "value column", table)?;
    if let Some(key) = columns.iter().find(|column| keys.contains(column)) {
        return Err(invalid(format!("column '{}' is in the key already", key.name)));
    }
    let columns = columns.into_iter().filter(|column| column.name != TIME_COLUMN);
    Ok(columns.map(|column| column.id).collect())
}

impl NewDistinctCache {
    fn define(&self, id: CacheId, table: &Table) -> Result<DistinctCacheDefinition, CatalogError> {
        if self.columns.is_empty() {
            return Err(invalid("no columns provided when creating distinct cache"));
        }
        let columns = find(&self.columns, "column", table)?;
        let allowed = [ColumnType::Tag, ColumnType::String];
        if !columns.iter().all(|column| allowed.contains(&column.column_type)) {
            return Err(CatalogError::DistinctCacheColumnType);
        }
        if self.max_cardinality == 0 {
            return Err(invalid("distinct cache size must be greater than 0"));
        }
        Ok(DistinctCacheDefinition {
            id,
            name: cache_name(self.name.as_deref(), table, &columns, "distinct_cache")?,
            columns: ids(&columns),
            max_cardinality: self.max_cardinality,
            max_age_s: self.max_age_s,
        })
    }
}

/// Resolves names to columns, and refuses duplicates.
fn find<'a>(
    names: &[String],
    what: &str,
    table: &'a Table,
) -> Result<Vec<&'a Column>, CatalogError> {
    if names.len() > MAX_CACHE_COLUMNS {
        return Err(invalid(format!("more than {MAX_CACHE_COLUMNS} columns provided")));
    }
    let mut columns: Vec<&Column> = Vec::with_capacity(names.len());
    for name in names {
        let column = table
            .column(name)
            .ok_or_else(|| invalid(format!("invalid {what} provided: {name}")))?;
        if columns.contains(&column) {
            return Err(CatalogError::DuplicateColumn { column: name.clone() });
        }
        columns.push(column);
    }
    Ok(columns)
}

fn ids(columns: &[&Column]) -> Vec<ColumnId> {
    columns.iter().map(|column| column.id).collect()
}

fn cache_name(
    given: Option<&str>,
    table: &Table,
    columns: &[&Column],
    kind: &str,
) -> Result<String, CatalogError> {
    let name = given.map_or_else(
        || {
            let columns: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            format!("{}_{}_{kind}", table.name(), columns.join("_"))
        },
        str::to_owned,
    );
    if name.is_empty() {
        return Err(CatalogError::EmptyName { what: "cache" });
    }
    if name.len() > MAX_CACHE_NAME_BYTES {
        return Err(invalid(format!("cache name too long: max {MAX_CACHE_NAME_BYTES}")));
    }
    Ok(name)
}

fn invalid(reason: impl Into<String>) -> CatalogError {
    let reason = reason.into();
    CatalogError::InvalidCache { reason }
}

fn already_exists(name: &str) -> CatalogError {
    let name = name.to_owned();
    CatalogError::AlreadyExists { name }
}

fn check_number(of_table: usize, in_all: usize) -> Result<(), CatalogError> {
    if in_all >= MAX_CACHES {
        let limit = MAX_CACHES;
        return Err(LimitError::CachesOfDatabase { limit }.into());
    }
    if of_table >= MAX_CACHES_PER_TABLE {
        let limit = MAX_CACHES_PER_TABLE;
        return Err(LimitError::Caches { limit }.into());
    }
    Ok(())
}

fn after(id: CacheId) -> Result<CacheId, CatalogError> {
    id.next().ok_or(CatalogError::NoMoreIds { what: "cache" })
}

fn remove<C>(
    caches: &mut Vec<Arc<C>>,
    name: &str,
    name_of: impl Fn(&C) -> &str,
) -> Result<(), CatalogError> {
    let place = caches
        .iter()
        .position(|cache| name_of(cache) == name)
        .ok_or_else(|| CatalogError::NotFound { name: name.to_owned() })?;
    caches.remove(place);
    Ok(())
}

#[cfg(test)]
mod tests;
