//! Operations that change the catalogs. Each operation is one commit to one register.

use std::time::Duration;

use neap_bucket::{RegisterChange, VersionedValue, WriteOrder};
use neap_schema::{ColumnType, DatabaseId, TIME_COLUMN, TableId};

use crate::{
    ANY_AGE, Catalog, CatalogError, DatabaseCatalog, RootCatalog, TableAddition, TablePermission,
    audit, catalog::commit_result, validate_database_name,
};

/// Why a database is created: only an explicit creation is recorded in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CreationKind {
    Explicit,
    Implicit,
}

/// Formats a retention for the audit log.
fn shown(retention: Option<Duration>) -> String {
    match retention {
        None => "none".to_owned(),
        Some(retention) => format!("{} s", retention.as_secs_f64()),
    }
}

impl Catalog {
    /// Creates a database.
    ///
    /// A retention needs a second commit, to the catalog of the new database. A crash between the two commits leaves a
    /// database that keeps rows forever; the caller has no answer.
    ///
    /// # Errors
    /// `InvalidName`, `AlreadyExists`, `NameIsAlias`, `Limit`, or an error of the commit.
    pub async fn create_database(
        &self,
        name: &str,
        retention: Option<Duration>,
    ) -> Result<DatabaseId, CatalogError> {
        validate_database_name(name)?;
        let exists = |root: &RootCatalog| root.name_conflict(name).map(Err);
        let id = self.add_database(name, exists, CreationKind::Explicit).await?;
        if retention.is_some() {
            self.set_retention(id, retention).await?;
        }
        Ok(id)
    }

    /// Returns the database with this name; creates it if it is missing.
    ///
    /// # Errors
    /// `InvalidName`, `SoftDeleted`, `Limit`, or an error of the commit.
    pub async fn get_or_create_database(
        &self,
        name: &str,
        max_age: Duration,
    ) -> Result<DatabaseId, CatalogError> {
        if let Some(id) = self.database_by_name(name, max_age).await? {
            return Ok(id);
        }
        validate_database_name(name)?;
        let there = |root: &RootCatalog| match root.database(name) {
            Some(id) => Some(Ok(id)),
            None => root
                .deleted_database(name)
                .map(|_| Err(CatalogError::SoftDeleted { name: name.to_owned() })),
        };
        self.add_database(name, there, CreationKind::Implicit).await
    }

    /// Adds a database unless `there` returns an answer.
    async fn add_database(
        &self,
        name: &str,
        there: impl Fn(&RootCatalog) -> Option<Result<DatabaseId, CatalogError>> + Sync,
        made: CreationKind,
    ) -> Result<DatabaseId, CatalogError> {
        let known = self.root(ANY_AGE).await?;
        let created = self.bucket.clock().now();
        let change = |root: &mut RootCatalog| {
            if let Some(answer) = there(root) {
                return answer.map(|id| (false, id));
            }
            let id = root.add(name, created, &self.limits)?;
            if made == CreationKind::Explicit {
                root.note(self.now()?, "create database", name, None);
            }
            Ok((true, id))
        };
        self.change_known_root(known, change).await
    }

    /// Adds the missing tables and columns in one commit; commits nothing if none is missing. `known` is the catalog
    /// that the caller has validated against. Additions by other instances since then are not a conflict.
    ///
    /// # Errors
    /// `CreationRefused`, `TypeConflict`, `ReservedColumn`, `InvalidColumnName`, `InvalidTableName`, `EmptyName`, `Limit`, or
    /// an error of the commit.
    pub async fn add(
        &self,
        database: DatabaseId,
        known: VersionedValue<DatabaseCatalog>,
        additions: &[TableAddition],
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let new_table =
            additions.iter().any(|addition| known.value.table(&addition.table).is_none());
        let elsewhere = self.tables_elsewhere(database, new_table).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            catalog.check_auto_create(additions)?;
            let changed = catalog.add(additions, elsewhere, &self.limits)?;
            Ok((changed, ()))
        };
        let (catalog, ()) = self.change(database, Some(known), change).await?;
        Ok(catalog)
    }

    /// Creates a table with these tags, in the order of the series key, and fields.
    ///
    /// # Errors
    /// `AlreadyExists`, `NameIsAlias`, `DuplicateColumn`, `ReservedColumn`, `InvalidColumnName`, `InvalidTableName`,
    /// `EmptyName`, `Limit`, or an error of the commit.
    pub async fn create_table(
        &self,
        database: DatabaseId,
        name: &str,
        tags: &[String],
        fields: &[(String, ColumnType)],
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let permission = TablePermission::Create;
        self.create_permitted_table(database, permission, name, tags, fields, None)
            .await
    }

    /// Creates a table by a permission, with a retention; `None`: the retention of the database applies.
    ///
    /// # Errors
    /// Those of [`create_table`](Self::create_table), and `CreationRefused`.
    pub async fn create_permitted_table(
        &self,
        database: DatabaseId,
        permission: TablePermission,
        name: &str,
        tags: &[String],
        fields: &[(String, ColumnType)],
        retention: Option<Duration>,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let mut detail = format!("{} tags, {} fields", tags.len(), fields.len());
        if retention.is_some() {
            detail = format!("{detail}, retention {}", shown(retention));
        }
        let tags = tags.iter().map(|tag| (tag.clone(), ColumnType::Tag));
        let columns: Vec<_> = tags.chain(fields.iter().cloned()).collect();
        for (place, (column, _)) in columns.iter().enumerate() {
            let column = column.clone();
            if column == TIME_COLUMN {
                return Err(CatalogError::ReservedColumn { column });
            }
            if columns.iter().take(place).any(|(other, _)| *other == column) {
                return Err(CatalogError::DuplicateColumn { column });
            }
        }
        let addition = [TableAddition { table: name.to_owned(), columns }];
        let elsewhere = self.tables_elsewhere(database, true).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            if let Some(holder) = catalog.table(name).map(|table| table.id()) {
                return Err(catalog.name_conflict(holder, name));
            }
            if permission == TablePermission::Write {
                catalog.check_auto_create(&addition)?;
            }
            let changed = catalog.add(&addition, elsewhere, &self.limits)?;
            let created = catalog.table(name).map(|table| table.id());
            if let (Some(table), Some(_)) = (created, retention) {
                catalog.set_table_retention(table, retention)?;
            }
            catalog.note(self.now()?, "create table", name, Some(detail.clone()));
            Ok((changed, ()))
        };
        let (catalog, ()) = self.change(database, None, change).await?;
        Ok(catalog)
    }

    /// Adds a column to a table, given by its name or an alias.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `CreationRefused`, `TypeConflict`, `ReservedColumn`, `InvalidColumnName`, `EmptyName`,
    /// `Limit`, or an error of the commit.
    pub async fn add_column(
        &self,
        database: DatabaseId,
        permission: TablePermission,
        table: &str,
        column: &str,
        column_type: ColumnType,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let addition = TableAddition {
            table: table.to_owned(),
            columns: vec![(column.to_owned(), column_type)],
        };
        let change = |catalog: &mut DatabaseCatalog| {
            if permission == TablePermission::Write {
                catalog.check_auto_create(std::slice::from_ref(&addition))?;
            }
            let added = catalog.add_column(table, column, column_type, &self.limits)?;
            let detail = Some(format!("{column} {column_type}"));
            catalog.note(self.now()?, "add column", &added, detail);
            Ok((true, ()))
        };
        let (_, ()) = self.change(database, Some(known), change).await?;
        Ok(())
    }

    /// Sets the retention of a table, which overrides that of its database; `None`: the retention of the database
    /// applies.
    ///
    /// # Errors
    /// `NotFound`, or an error of the commit.
    pub async fn set_table_retention(
        &self,
        database: DatabaseId,
        table: TableId,
        retention: Option<Duration>,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        // A fresh catalog, for the same reason as in `set_retention`.
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let changed = catalog.set_table_retention(table, retention)?;
            if changed {
                let found = catalog.table_by_id(table);
                let name = found.map(|table| table.name().to_owned()).unwrap_or_default();
                let detail = Some(shown(retention));
                catalog.note(self.now()?, "set table retention", &name, detail);
            }
            Ok((changed, ()))
        };
        let (catalog, ()) = self.change(database, Some(known), change).await?;
        Ok(catalog)
    }

    /// Sets the retention of a database; `None`: rows are kept forever.
    pub async fn set_retention(
        &self,
        database: DatabaseId,
        retention: Option<Duration>,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        // The new value must override earlier changes by other instances, so it is compared with a fresh catalog.
        let known = self.database(database, Duration::ZERO).await?;
        let root = self.root(ANY_AGE).await?;
        let name = root.value.databases().get(&database).map(|entry| entry.name.as_str());
        let change = |catalog: &mut DatabaseCatalog| {
            let changed = catalog.set_retention(retention);
            if changed {
                let (name, detail) = (name.unwrap_or_default(), Some(shown(retention)));
                catalog.note(self.now()?, "set retention", name, detail);
            }
            Ok((changed, ()))
        };
        let (catalog, ()) = self.change(database, Some(known), change).await?;
        Ok(catalog)
    }

    /// Records in the audit log that an operator has quarantined a damaged object, with the rows that are lost. The
    /// rest of the catalog does not change.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn record_quarantine(
        &self,
        database: DatabaseId,
        object: &str,
        lost: String,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            catalog.note(self.now()?, "quarantine", object, Some(lost.clone()));
            Ok((true, ()))
        };
        self.change(database, Some(known), change).await?;
        Ok(())
    }

    /// Sets the write order of a database. Returns after every instance uses it.
    pub async fn set_write_order(
        &self,
        database: DatabaseId,
        order: WriteOrder,
    ) -> Result<(), CatalogError> {
        let (action, shown) = ("set order of writes", order.to_string());
        let set = |catalog: &mut DatabaseCatalog| Ok(catalog.set_write_order(order));
        self.change_setting(database, action, &shown, set).await
    }

    /// Changes a setting of a database, and records it in the audit log. `set` returns whether this changes the catalog.
    /// Returns after every instance uses the setting.
    pub(crate) async fn change_setting(
        &self,
        database: DatabaseId,
        action: &'static str,
        shown: &str,
        mut set: impl FnMut(&mut DatabaseCatalog) -> Result<bool, CatalogError> + Send,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let root = self.root(ANY_AGE).await?;
        let entry = root.value.databases().get(&database);
        let name = entry.map(|entry| entry.name.as_str()).unwrap_or_default();
        let change = |catalog: &mut DatabaseCatalog| {
            let changed = set(catalog)?;
            if changed {
                catalog.note(self.now()?, action, name, Some(shown.to_owned()));
            }
            Ok((changed, ()))
        };
        self.change(database, Some(known), change).await?;
        self.settle().await;
        Ok(())
    }

    /// Commits a change to a database catalog. The closure returns whether it changed anything. If the catalog does not
    /// exist yet, 2 LISTs verify that it never did.
    pub(crate) async fn change<R: Send>(
        &self,
        database: DatabaseId,
        known: Option<VersionedValue<DatabaseCatalog>>,
        mut change: impl FnMut(&mut DatabaseCatalog) -> Result<(bool, R), CatalogError> + Send,
    ) -> Result<(VersionedValue<DatabaseCatalog>, R), CatalogError> {
        let mut noted = None;
        let change = |base: &VersionedValue<DatabaseCatalog>| {
            let mut catalog = DatabaseCatalog::clone(&base.value);
            let (changed, result) = change(&mut catalog)?;
            noted = catalog.audit.new_entry_since(&base.value.audit);
            Ok(if changed {
                RegisterChange::Put(catalog, result)
            } else {
                RegisterChange::Keep(result)
            })
        };
        let register = self.register(database);
        let base = match known.or_else(|| register.cached_value()) {
            Some(known) => known,
            None => register.get(ANY_AGE).await?,
        };
        // Tables of a new catalog get the ids of tables of a lost one.
        let verified = if base.version == 0 {
            register.verify_unused(base).await?
        } else {
            base
        };
        let outcome = register.commit(Some(verified), change).await?;
        let (catalog, result) = commit_result(outcome)?;
        audit::log_change(noted, Some(database));
        self.cache().note(database, catalog.version, &catalog.value);
        Ok((catalog, result))
    }

    /// Returns the number of tables in other databases, or 0 if no limit needs it.
    pub(crate) async fn tables_elsewhere(
        &self,
        database: DatabaseId,
        new_table: bool,
    ) -> Result<usize, CatalogError> {
        if self.limits.tables.is_none() || !new_table {
            return Ok(0);
        }
        let mut count = 0;
        for (other, _) in self.root(ANY_AGE).await?.value.live_databases() {
            if other != database {
                count += self.database(other, ANY_AGE).await?.value.tables().count();
            }
        }
        Ok(count)
    }
}
