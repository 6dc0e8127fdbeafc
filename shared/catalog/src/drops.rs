//! Dropping databases and tables, taking that back, and removing their data.
//!
//! ```text
//!   drop: hidden and renamed            undelete: until hard_delete_at
//!     |------------ hard_delete_at ------ 60 s ------ due
//!                                                      |-- begin purge: a commit to the catalog
//!                                                      |-- the job removes sections, segments, ...
//!                                                      |-- finish purge: a commit to the catalog
//! ```
//!
//! A job that crashes in between is begun again: what is due stays due until it is finished. From its first
//! commit on an undeletion fails, also that of an instance which was frozen since it looked at the clock.

use std::time::Duration;

use neap_bucket::{Change, Versioned};
use neap_schema::{DatabaseId, TableId};

use crate::{
    ANY_AGE, Catalog, CatalogError, DatabaseCatalog, HardDelete, Purge, RootCatalog,
    catalog::settled, validate_database_name,
};

impl Catalog {
    /// Drops a database: renames and hides it. A dropped one, named by its new name, gets another time.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyDeleted`, and what a commit can end with.
    pub async fn delete_database(
        &self,
        name: &str,
        hard_delete: HardDelete,
    ) -> Result<DatabaseId, CatalogError> {
        let root = self.root(ANY_AGE).await?;
        let now = self.now()?;
        let change = |base: &Versioned<RootCatalog>| {
            let mut root = RootCatalog::clone(&base.value);
            let id = root.delete(name, now, hard_delete)?;
            Ok(Change::Put(root, id))
        };
        let (_, id) = settled(self.root.commit(Some(root), change).await?)?;
        Ok(id)
    }

    /// Drops a table: renames and hides it. A dropped one, named by its new name, gets another time.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyDeleted`, and what a commit can end with.
    pub async fn delete_table(
        &self,
        database: DatabaseId,
        name: &str,
        hard_delete: HardDelete,
    ) -> Result<TableId, CatalogError> {
        let known = self.database(database, ANY_AGE).await?;
        let now = self.now()?;
        let change = |catalog: &mut DatabaseCatalog| {
            let id = catalog.delete_table(name, now, hard_delete)?;
            Ok((true, id))
        };
        let (_, id) = self.change(database, Some(known), change).await?;
        Ok(id)
    }

    /// Takes back the drop of a database. It is named by the name that it has since then, or by the one that
    /// it had before if no other dropped one had it. It gets the name that it had before, or `name`.
    /// Returns its id and the name that it has now.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `Purged`, `AlreadyExists` when the name is another's, `InvalidName`,
    /// `Limit`, and what a commit can end with.
    pub async fn undelete_database(
        &self,
        dropped: &str,
        name: Option<&str>,
    ) -> Result<(DatabaseId, String), CatalogError> {
        if let Some(name) = name {
            validate_database_name(name)?;
        }
        self.change_root(|root| {
            let now = self.now()?;
            let id = root.find_dropped(dropped, now)?;
            let name = root.undelete(id, name, now, &self.limits)?;
            Ok((true, (id, name)))
        })
        .await
    }

    /// Takes back the drop of a table, named as by [`undelete_database`](Self::undelete_database).
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `Purged`, `AlreadyExists` when the name is another's, `EmptyName`, `Limit`,
    /// and what a commit can end with.
    pub async fn undelete_table(
        &self,
        database: DatabaseId,
        dropped: &str,
        name: Option<&str>,
    ) -> Result<(TableId, String), CatalogError> {
        let elsewhere = self.tables_elsewhere(database, true).await?;
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let now = self.now()?;
            let limits = &self.limits;
            let undeleted = catalog.undelete_table(dropped, name, now, elsewhere, limits)?;
            Ok((true, undeleted))
        };
        let (_, undeleted) = self.change(database, Some(known), change).await?;
        Ok(undeleted)
    }

    /// Says that the data of a dropped database is being removed: before the first of it goes.
    ///
    /// # Errors
    /// `NotFound` when it is not due, for instance because it was undeleted; and what a commit can end with.
    pub async fn begin_database_purge(&self, database: DatabaseId) -> Result<(), CatalogError> {
        self.purge_database(database, Purge::Begun).await
    }

    /// Says that nothing of a dropped database is left, so that it is no longer due.
    ///
    /// # Errors
    /// `NotFound` when it is not due, and what a commit can end with.
    pub async fn finish_database_purge(&self, database: DatabaseId) -> Result<(), CatalogError> {
        self.purge_database(database, Purge::Done).await
    }

    async fn purge_database(&self, database: DatabaseId, purge: Purge) -> Result<(), CatalogError> {
        self.change_root(|root| Ok((root.note_purge(database, purge, self.now()?)?, ())))
            .await
    }

    /// Says that the data of dropped tables is being removed: before the first of it goes.
    ///
    /// # Errors
    /// `NotFound` when one of them is not due, for instance because it was undeleted; and what a commit can
    /// end with.
    pub async fn begin_table_purge(
        &self,
        database: DatabaseId,
        tables: &[TableId],
    ) -> Result<(), CatalogError> {
        self.purge_tables(database, tables, Purge::Begun).await
    }

    /// Says that nothing of dropped tables is left, so that they are no longer due.
    ///
    /// # Errors
    /// `NotFound` when one of them is not due, and what a commit can end with.
    pub async fn finish_table_purge(
        &self,
        database: DatabaseId,
        tables: &[TableId],
    ) -> Result<(), CatalogError> {
        self.purge_tables(database, tables, Purge::Done).await
    }

    async fn purge_tables(
        &self,
        database: DatabaseId,
        tables: &[TableId],
        purge: Purge,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, ANY_AGE).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let changed = catalog.note_purge(tables, purge, self.now()?)?;
            Ok((changed, ()))
        };
        let (_, ()) = self.change(database, Some(known), change).await?;
        Ok(())
    }

    /// Commits a change to the root catalog, judged by a fresh one; the closure says whether it changed
    /// anything.
    pub(crate) async fn change_root<R>(
        &self,
        mut change: impl FnMut(&mut RootCatalog) -> Result<(bool, R), CatalogError>,
    ) -> Result<R, CatalogError> {
        let root = self.root(Duration::ZERO).await?;
        let change = |base: &Versioned<RootCatalog>| {
            let mut root = RootCatalog::clone(&base.value);
            let (changed, result) = change(&mut root)?;
            Ok(if changed {
                Change::Put(root, result)
            } else {
                Change::Keep(result)
            })
        };
        let (_, result) = settled(self.root.commit(Some(root), change).await?)?;
        Ok(result)
    }
}
