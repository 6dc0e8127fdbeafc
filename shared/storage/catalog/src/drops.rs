//! Drops and undeletes databases and tables, and records the removal of their data.
//!
//! ```text
//!   drop: hidden and renamed            undelete: until hard_delete_at
//!     |------------ hard_delete_at ------ 60 s ------ due
//!                                                      |-- begin purge: a commit to the catalog
//!                                                      |-- the job removes sections, segments, ...
//!                                                      |-- finish purge: a commit to the catalog
//! ```
//!
//! A drop or an undeletion is answered when no instance uses a catalog from before it ([`crate::settling_time`]).
//!
//! If the job crashes in between, the next job starts again, because dropped data stays due until its removal is
//! finished. After the first commit an undeletion fails, also from an instance that paused after it checked the time.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use neap_bucket::{RegisterChange, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    ANY_AGE, Catalog, CatalogError, DatabaseAction, DatabaseCatalog, DatabaseEntry, HardDelete,
    PurgeState, RootCatalog, audit, catalog::commit_result, validate_database_name,
};

impl Catalog {
    /// Drops a database and its retention policies: renames and hides them. A dropped database, given by its new name,
    /// gets another deletion time.
    ///
    /// # Errors
    /// `NotFound`, `NameIsAlias`, `AlreadyDeleted`, or an error of the commit.
    pub async fn delete_database(
        &self,
        name: &str,
        hard_delete: HardDelete,
    ) -> Result<DatabaseId, CatalogError> {
        self.delete_database_if(name, hard_delete, |_| true).await
    }

    /// Drops a database like [`delete_database`](Self::delete_database), if `allowed` accepts the database that the
    /// commit drops. `allowed` receives `None` for a database that does not exist.
    ///
    /// # Errors
    /// `Forbidden`, and those of [`delete_database`](Self::delete_database).
    pub async fn delete_database_if(
        &self,
        name: &str,
        hard_delete: HardDelete,
        allowed: impl Fn(Option<DatabaseId>) -> bool + Sync,
    ) -> Result<DatabaseId, CatalogError> {
        let known = self.root(ANY_AGE).await?;
        let now = self.now()?;
        let change = |root: &mut RootCatalog| {
            let found = root.database(name);
            check_permission(found.or_else(|| root.deleted_database(name)), &allowed)?;
            if let Some(alias) = found.and_then(|id| root.alias_conflict(id, name)) {
                return Err(alias);
            }
            let id = root.delete_with_policies(name, now, hard_delete)?;
            root.note(now, "delete database", name, Some(shown(hard_delete, now)));
            Ok((true, id))
        };
        match self.change_known_root(known, change).await {
            Err(missing @ CatalogError::NotFound { .. }) => {
                self.settle_missing_database(name).await?;
                Err(missing)
            }
            dropped => {
                let id = dropped?;
                self.settle().await;
                Ok(id)
            }
        }
    }

    /// Waits for the settling time if the missing database was dropped recently. For callers that treat a drop of a
    /// missing database as done.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub async fn settle_missing_database(&self, name: &str) -> Result<(), CatalogError> {
        let root = self.root(Duration::ZERO).await?.value;
        let known = root.databases().values().map(|entry| (entry.original_name(), entry.deletion));
        self.settle_missing(name, known).await;
        Ok(())
    }

    /// Drops a table: renames and hides it. A dropped table, given by its new name, gets another deletion time.
    ///
    /// # Errors
    /// `NotFound`, `NameIsAlias`, `AlreadyDeleted`, or an error of the commit.
    pub async fn delete_table(
        &self,
        database: DatabaseId,
        name: &str,
        hard_delete: HardDelete,
    ) -> Result<TableId, CatalogError> {
        let known = self.database(database, ANY_AGE).await?;
        // Versions as of an earlier acknowledged write must have the table.
        let now = self.time_after_writes(database).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let id = catalog.delete_table(name, now, hard_delete)?;
            catalog.note(now, "delete table", name, Some(shown(hard_delete, now)));
            Ok((true, id))
        };
        match self.change(database, Some(known), change).await {
            Err(missing @ CatalogError::NotFound { .. }) => {
                let catalog = self.database(database, Duration::ZERO).await?.value;
                let known =
                    catalog.all_tables().map(|table| (table.original_name(), table.deletion()));
                self.settle_missing(name, known).await;
                Err(missing)
            }
            dropped => {
                let (_, id) = dropped?;
                self.settle().await;
                Ok(id)
            }
        }
    }

    /// Undeletes a database with the retention policies that were dropped with it, given by its present name, or by its
    /// original name if no other dropped database had it. It is renamed to `name`, otherwise to its original name.
    /// Returns its id and name.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `Purged`, `AlreadyExists` or `NameIsAlias` when another database has the name, `InvalidName`, `Limit`,
    /// or an error of the commit.
    pub async fn undelete_database(
        &self,
        dropped: &str,
        name: Option<&str>,
    ) -> Result<(DatabaseId, String), CatalogError> {
        self.undelete_database_if(dropped, name, |_, _| true).await
    }

    /// Undeletes a database like [`undelete_database`](Self::undelete_database), if `allowed` permits the caller to
    /// delete the database that the commit undeletes. `allowed` receives `None` for a database that does not exist.
    /// Another name than the original one also requires the permission to create databases, because that name may be
    /// meant for others.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidRename`, and those of [`undelete_database`](Self::undelete_database).
    pub async fn undelete_database_if(
        &self,
        dropped: &str,
        name: Option<&str>,
        allowed: impl Fn(DatabaseAction, Option<DatabaseId>) -> bool + Sync,
    ) -> Result<(DatabaseId, String), CatalogError> {
        if let Some(name) = name {
            validate_database_name(name)?;
        }
        let change = |root: &mut RootCatalog| {
            let now = self.now()?;
            let id = root.find_dropped(dropped, now);
            check_permission(id.as_ref().ok().copied(), |found| {
                allowed(DatabaseAction::Delete, found)
            })?;
            let id = id?;
            let before = root.databases().get(&id).map(DatabaseEntry::original_name);
            if name.is_some() && name != before {
                check_permission(None, |none| allowed(DatabaseAction::Create, none))?;
                if let (Some(name), Some(before)) = (name, before) {
                    root.check_policies_of_name(before, name)?;
                }
            }
            let name = root.undelete_with_policies(id, name, now, &self.limits)?;
            root.note(now, "undelete database", dropped, Some(format!("as {name}")));
            Ok((true, (id, name)))
        };
        let undeleted = self.change_root(change).await?;
        self.settle().await;
        Ok(undeleted)
    }

    /// Undeletes a table, given by a name as in [`undelete_database`](Self::undelete_database).
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `Purged`, `AlreadyExists` or `NameIsAlias` when another table has the name, `InvalidTableName`, `Limit`,
    /// or an error of the commit.
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
            let detail = format!("as {}", undeleted.1);
            catalog.note(now, "undelete table", dropped, Some(detail));
            Ok((true, undeleted))
        };
        let (_, undeleted) = self.change(database, Some(known), change).await?;
        self.settle().await;
        Ok(undeleted)
    }

    /// Records that the removal of a dropped database begins. Called before the first object is removed.
    ///
    /// # Errors
    /// `NotFound` when it is not due, for instance because it was undeleted, or an error of the commit.
    pub async fn begin_database_purge(&self, database: DatabaseId) -> Result<(), CatalogError> {
        self.purge_database(database, PurgeState::Begun).await
    }

    /// Records that all data of a dropped database is removed, so that it is no longer due.
    ///
    /// # Errors
    /// `NotFound` when it is not due, or an error of the commit.
    pub async fn finish_database_purge(&self, database: DatabaseId) -> Result<(), CatalogError> {
        self.purge_database(database, PurgeState::Done).await
    }

    async fn purge_database(
        &self,
        database: DatabaseId,
        purge: PurgeState,
    ) -> Result<(), CatalogError> {
        self.change_root(|root| Ok((root.note_purge(database, purge, self.now()?)?, ())))
            .await
    }

    /// Records that the removal of dropped tables begins. Called before the first object is removed.
    ///
    /// # Errors
    /// `NotFound` when one of them is not due, for instance because it was undeleted,
    /// or an error of the commit.
    pub async fn begin_table_purge(
        &self,
        database: DatabaseId,
        tables: &[TableId],
    ) -> Result<(), CatalogError> {
        self.purge_tables(database, tables, PurgeState::Begun).await
    }

    /// Records that all data of dropped tables is removed, so that they are no longer due.
    ///
    /// # Errors
    /// `NotFound` when one of them is not due, or an error of the commit.
    pub async fn finish_table_purge(
        &self,
        database: DatabaseId,
        tables: &[TableId],
    ) -> Result<(), CatalogError> {
        self.purge_tables(database, tables, PurgeState::Done).await
    }

    async fn purge_tables(
        &self,
        database: DatabaseId,
        tables: &[TableId],
        purge: PurgeState,
    ) -> Result<(), CatalogError> {
        let known = self.database(database, ANY_AGE).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let changed = catalog.note_purge(tables, purge, self.now()?)?;
            Ok((changed, ()))
        };
        let (_, ()) = self.change(database, Some(known), change).await?;
        Ok(())
    }

    /// Removes the entry of a database whose data was removed long ago, so that the catalog does not grow with each
    /// drop. Does nothing if the database is not obsolete.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn remove_obsolete_database(&self, database: DatabaseId) -> Result<(), CatalogError> {
        self.change_root(|root| Ok((root.remove_obsolete(database, self.now()?), ())))
            .await
    }

    /// Removes the entries of tables whose data was removed long ago. Tables that are not obsolete keep their entries.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn remove_obsolete_tables(
        &self,
        database: DatabaseId,
        tables: &[TableId],
    ) -> Result<(), CatalogError> {
        let known = self.database(database, ANY_AGE).await?;
        let change =
            |catalog: &mut DatabaseCatalog| Ok((catalog.remove_obsolete(tables, self.now()?), ()));
        let (_, ()) = self.change(database, Some(known), change).await?;
        Ok(())
    }

    /// Commits a change to a freshly read root catalog. The closure returns whether it changed anything.
    pub(crate) async fn change_root<R: Send>(
        &self,
        change: impl FnMut(&mut RootCatalog) -> Result<(bool, R), CatalogError> + Send,
    ) -> Result<R, CatalogError> {
        let known = self.root(Duration::ZERO).await?;
        self.change_known_root(known, change).await
    }

    /// Commits a change to a root catalog that may be outdated.
    pub(crate) async fn change_known_root<R: Send>(
        &self,
        known: VersionedValue<RootCatalog>,
        mut change: impl FnMut(&mut RootCatalog) -> Result<(bool, R), CatalogError> + Send,
    ) -> Result<R, CatalogError> {
        let mut noted = None;
        let change = |base: &VersionedValue<RootCatalog>| {
            base.value.verify_format_level(self.bucket.format_levels())?;
            let mut root = RootCatalog::clone(&base.value);
            let (changed, result) = change(&mut root)?;
            noted = root.audit.new_entry_since(&base.value.audit);
            Ok(if changed {
                RegisterChange::Put(root, result)
            } else {
                RegisterChange::Keep(result)
            })
        };
        let (_, result) = commit_result(self.root.commit(Some(known), change).await?)?;
        audit::log_change(noted, None);
        Ok(result)
    }
}

/// Refuses an unauthorized caller before any other error reveals whether the database exists.
pub(crate) fn check_permission(
    found: Option<DatabaseId>,
    allowed: impl Fn(Option<DatabaseId>) -> bool,
) -> Result<(), CatalogError> {
    if allowed(found) {
        Ok(())
    } else {
        Err(CatalogError::Forbidden)
    }
}

/// Formats the deletion time for the audit log.
fn shown(hard_delete: HardDelete, now: StoreTime) -> String {
    let at = hard_delete
        .time(now)
        .and_then(|at| DateTime::from_timestamp_micros(at.micros()));
    match at {
        None => "its data is kept".to_owned(),
        Some(at) => {
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("its data is deleted after {at}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ANY_AGE, tests::CatalogFixture};

    #[tokio::test(start_paused = true)]
    async fn undeleting_under_another_name_requires_the_permission_to_create() {
        let catalog = CatalogFixture::new().instance();
        let id = catalog.create_database("own", None).await.unwrap();
        let hard_delete = HardDelete::Never;
        catalog.delete_database("own", hard_delete).await.unwrap();
        let delete = |action, of| (action, of) == (DatabaseAction::Delete, Some(id));
        let both =
            |action, of| delete(action, of) || (action, of) == (DatabaseAction::Create, None);
        let other = catalog.undelete_database_if("own", Some("payments"), delete);
        assert!(matches!(other.await, Err(CatalogError::Forbidden)));
        let same = catalog.undelete_database_if("own", Some("own"), delete);
        assert_eq!(same.await.unwrap(), (id, "own".to_owned()));
        catalog.delete_database("own", hard_delete).await.unwrap();
        let other = catalog.undelete_database_if("own", Some("new"), both);
        assert_eq!(other.await.unwrap(), (id, "new".to_owned()));
        catalog.delete_database("new", hard_delete).await.unwrap();
        // A permission to read `mine` includes `mine/own`.
        for name in ["mine/own", "theirs"] {
            catalog.get_or_create_database("theirs/week", ANY_AGE).await.unwrap();
            let policy = catalog.undelete_database_if("new", Some(name), both).await;
            assert!(matches!(policy, Err(CatalogError::InvalidRename { .. })), "{name}");
        }
        let plain = catalog.undelete_database_if("new", None, delete);
        assert_eq!(plain.await.unwrap(), (id, "new".to_owned()));
    }
}
