//! Hidden copies of databases, for backups and restores.
//!
//! ```text
//!   backup                                     store
//!     |-- root catalog: hidden copies ------------> |   each entry names the backup
//!     |-- manifests, catalogs of the copies ------> |   crash after: released when the backup counts as failed
//!     |
//!   restore
//!     |-- root catalog: hidden databases ---------> |   crash after: they are removed after a day
//!     |-- their manifests, catalogs --------------> |   the same
//!     |-- root catalog: replace databases --------> |   one commit: all of them, or none
//! ```

use std::collections::BTreeSet;

use neap_bucket::{RegisterChange, StoreTime, VersionedValue};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{
    Catalog, CatalogError, CopyOptions, DatabaseCatalog, DatabaseEntry, Deletion, HardDelete,
    LimitError, Permission, Permissions, PurgeState, RecordedRegister, ResourceSet, RootCatalog,
    SiteName, catalog::commit_result, copy::MAX_COPY_TIME,
};

/// Maximum number of databases in all backups, because each one has an entry in the root catalog.
pub const MAX_BACKUP_COPIES: usize = 10_000;

/// A hidden copy of a database, which a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupCopy {
    /// The database.
    pub source: DatabaseId,
    /// The copy.
    pub copy: DatabaseId,
}

/// A hidden database with restored contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredDatabase {
    /// The hidden database.
    pub copy: DatabaseId,
    /// The name that it gets.
    pub name: String,
    /// The database of the same cluster that it was copied from. If the restored database takes its name, it also takes
    /// its permissions.
    pub source: Option<DatabaseId>,
}

impl Catalog {
    /// Adds hidden copies of databases, without contents, which a backup holds. Returns them in the order of `sources`.
    ///
    /// # Errors
    /// `NotFound` if a source is not live, `Limit`, or an error of the commit.
    pub async fn add_backup_copies(
        &self,
        backup: Ulid,
        backup_name: &str,
        sources: &[DatabaseId],
    ) -> Result<Vec<BackupCopy>, CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let held = root.databases().values().filter(|entry| entry.backup.is_some()).count();
            if held + sources.len() > MAX_BACKUP_COPIES {
                let limit = MAX_BACKUP_COPIES;
                return Err(LimitError::BackupCopies { limit }.into());
            }
            let mut copies = Vec::with_capacity(sources.len());
            for source in sources {
                let name = root.live_name(*source)?;
                let copy = root.insert(DatabaseEntry {
                    name: format!("backup {backup_name} of {name}"),
                    created: Some(now),
                    deletion: Some(Deletion {
                        deleted_at: now,
                        hard_delete_at: None,
                        purge: PurgeState::Waiting,
                        purged_at: None,
                    }),
                    original_name: None,
                    aliases: Vec::new(),
                    has_triggers: false,
                    is_restored: false,
                    backup: Some(backup),
                    default_policy: None,
                })?;
                copies.push(BackupCopy { source: *source, copy });
            }
            Ok((!copies.is_empty(), copies))
        })
        .await
    }

    /// Lets the collector remove copies that backups hold. Returns their number.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn release_backup_copies(
        &self,
        copies: &BTreeSet<DatabaseId>,
    ) -> Result<usize, CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let mut released = 0;
            for (id, entry) in root.entries_mut() {
                let is_free = entry.backup.is_some() && copies.contains(id);
                let deletion = entry.deletion.as_mut().filter(|_| is_free);
                if let Some(deletion) = deletion.filter(|it| it.hard_delete_at.is_none()) {
                    deletion.hard_delete_at = Some(now);
                    released += 1;
                }
            }
            Ok((released > 0, released))
        })
        .await
    }

    /// Adds hidden databases for a restore. They are removed after a day unless
    /// [`publish_restored`](Self::publish_restored) publishes them.
    ///
    /// # Errors
    /// `Limit`, or an error of the commit.
    pub async fn add_restored_databases(
        &self,
        names: &[String],
    ) -> Result<Vec<DatabaseId>, CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let ids: Vec<_> = names
                .iter()
                .map(|name| root.add_hidden(name, now, MAX_COPY_TIME, &self.limits))
                .collect::<Result<_, _>>()?;
            Ok((!ids.is_empty(), ids))
        })
        .await
    }

    /// Commits the catalog of a hidden database that has a manifest: a copy of `catalog` with these options, with disabled
    /// triggers. From then on, the code of their plugins is kept.
    ///
    /// # Errors
    /// `AlreadyExists` if the hidden database has a catalog, or an error of the commit.
    pub async fn put_copied_catalog(
        &self,
        copy: DatabaseId,
        catalog: &DatabaseCatalog,
        options: CopyOptions,
    ) -> Result<VersionedValue<DatabaseCatalog>, CatalogError> {
        let mut copied = catalog.copied(options, self.now()?)?;
        copied.registers.insert(RecordedRegister::Manifest);
        let change = |base: &VersionedValue<DatabaseCatalog>| match base.version {
            0 => Ok(RegisterChange::Put(copied.clone(), ())),
            _ => Err(CatalogError::AlreadyExists { name: format!("catalog of database {copy}") }),
        };
        if copied.triggers().next().is_some() {
            self.change_root(|root| Ok((root.set_has_triggers(copy)?, ()))).await?;
        }
        let (catalog, ()) = commit_result(self.register(copy).commit(None, change).await?)?;
        Ok(catalog)
    }

    /// Publishes restored databases under their names in one commit. With `replaces`, live databases of these names are
    /// dropped, and so are the databases in `dropped`; they can be undeleted for 72 hours. A restored database gets the aliases
    /// of the one that it replaces, and its name if that is an alias of another one. A policy that is restored without its
    /// database becomes one of the database that its name means. Answers when every instance knows it. Changes nothing if
    /// they were published before, even if they were dropped since, because a process that was frozen may publish them late.
    ///
    /// # Errors
    /// `AlreadyExists` without `replaces`, `Purged` a day after the restore began, `Limit`, or an error of the commit.
    pub async fn publish_restored(
        &self,
        restored: &[RestoredDatabase],
        dropped: &[String],
        replaces: bool,
    ) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            if restored.iter().any(|one| root.was_published(one.copy)) {
                return Ok((false, ()));
            }
            for name in dropped.iter().filter(|_| replaces) {
                if root.database(name).is_some() {
                    root.delete(name, now, HardDelete::DEFAULT)?;
                    root.note(now, "delete database", name, Some("by a restore".to_owned()));
                }
            }
            // Before any is published, because a policy belongs to the database that its name means.
            for database in restored.iter().filter(|_| replaces) {
                root.free_alias(&database.name);
            }
            for database in restored {
                publish(self, root, database, replaces, now)?;
            }
            Ok((!restored.is_empty() || !dropped.is_empty(), ()))
        })
        .await?;
        self.settle().await;
        Ok(())
    }
}

/// Publishes a restored database.
fn publish(
    catalog: &Catalog,
    root: &mut RootCatalog,
    database: &RestoredDatabase,
    replaces: bool,
    now: StoreTime,
) -> Result<(), CatalogError> {
    let name = &database.name;
    let present = root.database(name);
    let replaced = present.and_then(|id| root.databases().get(&id));
    let aliases = replaced.map(|entry| entry.aliases.clone()).unwrap_or_default();
    if present.is_some() {
        if !replaces {
            let name = name.clone();
            return Err(CatalogError::AlreadyExists { name });
        }
        root.delete(name, now, HardDelete::DEFAULT)?;
    }
    root.undelete(database.copy, Some(name), now, &catalog.limits)?;
    let before = present.or(database.source).and_then(|id| root.databases().get(&id));
    let default_policy = before.and_then(|entry| entry.default_policy.clone());
    if let Some(entry) = root.names_mut().get_mut(&database.copy) {
        entry.aliases = aliases;
        entry.default_policy = default_policy;
    }
    if let Some(before) = present.or(database.source).filter(|_| replaces) {
        let of_tokens = root.tokens.permissions_mut();
        for permissions in of_tokens.chain(root.users.permissions_mut()) {
            permissions.follow(before, database.copy);
        }
    }
    root.note(now, "restore database", name, None);
    Ok(())
}

impl Permissions {
    /// Extends the permissions on a database to the one that replaces it.
    pub(crate) fn follow(&mut self, before: DatabaseId, after: DatabaseId) {
        let Self::Of(permissions) = self else {
            return;
        };
        for permission in permissions {
            match permission {
                Permission::Database { databases: ResourceSet::Of(ids), .. }
                    if ids.contains(&before) =>
                {
                    ids.insert(after);
                }
                Permission::Site { sites } => {
                    let of_database = sites.iter().filter(|name| name.database == before);
                    let new: Vec<_> = of_database
                        .map(|name| SiteName { database: after, ..name.clone() })
                        .collect();
                    sites.extend(new);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{NewTrigger, TriggerSpecification, tests::CatalogFixture};

    const BACKUP: Ulid = Ulid(7);

    #[tokio::test(start_paused = true)]
    async fn copies_of_a_backup_are_hidden_until_it_is_released() {
        let (catalog, id) = CatalogFixture::with_database().await;
        let copies = catalog.add_backup_copies(BACKUP, "nightly", &[id]).await;
        let [BackupCopy { source, copy }] = copies.unwrap()[..] else {
            panic!("one copy is expected");
        };
        assert_eq!(source, id);
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        let entry = &root.databases()[&copy];
        assert_eq!(entry.name, "backup nightly of db");
        assert!(root.deleted_database(&entry.name).is_none());
        let undeleted = catalog.undelete_database("backup nightly of db", Some("x"));
        assert!(matches!(undeleted.await, Err(CatalogError::NotFound { .. })));
        let later = catalog.now().unwrap().plus(Duration::from_secs(1_000_000));
        assert_eq!(root.due_databases(later).count(), 0);

        for (released_copy, released) in [(id, 0), (copy, 1), (copy, 0)] {
            let copies = BTreeSet::from([released_copy]);
            let number = catalog.release_backup_copies(&copies).await.unwrap();
            assert_eq!(number, released);
        }
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        assert_eq!(root.due_databases(later).collect::<Vec<_>>(), [copy]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_with_triggers_is_marked_as_such() {
        let (catalog, id) = CatalogFixture::with_database().await;
        let trigger = NewTrigger::new("t", "p.py", TriggerSpecification::AllTablesWalWrite);
        let copies = catalog.add_backup_copies(BACKUP, "nightly", &[id]).await;
        let copy = copies.unwrap()[0].copy;
        catalog.create_trigger(id, &trigger).await.unwrap();
        let source = catalog.database(id, Duration::ZERO).await.unwrap().value;
        let put = catalog.put_copied_catalog(copy, &source, CopyOptions::default());
        put.await.unwrap();
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        assert!(root.databases()[&copy].has_triggers);
    }

    #[tokio::test(start_paused = true)]
    async fn restored_databases_replace_live_ones_in_one_commit() {
        let catalog = CatalogFixture::new().instance();
        let one = catalog.create_database("one", None).await.unwrap();
        catalog.create_database("late", None).await.unwrap();
        let names = ["one".to_owned(), "gone".to_owned()];
        let ids = catalog.add_restored_databases(&names).await.unwrap();
        let restored: Vec<_> = names
            .iter()
            .zip(&ids)
            .map(|(name, id)| RestoredDatabase { copy: *id, name: name.clone(), source: None })
            .collect();
        let refused = catalog.publish_restored(&restored, &[], false).await;
        assert!(matches!(refused, Err(CatalogError::AlreadyExists { .. })));
        let root = catalog.root(Duration::ZERO).await.unwrap();
        assert_eq!(root.value.database("one"), Some(one));
        assert_eq!(root.value.database("gone"), None);
        let late = ["late".to_owned()];
        for _ in 0..2 {
            let published = catalog.publish_restored(&restored, &late, true).await;
            published.unwrap();
        }
        let after = catalog.root(Duration::ZERO).await.unwrap();
        assert_eq!(after.version, root.version + 1);
        assert_eq!(after.value.database("one"), Some(ids[0]));
        assert_eq!(after.value.database("gone"), Some(ids[1]));
        assert_eq!(after.value.database("late"), None);
        let (id, _) = catalog.undelete_database("one", Some("before")).await.unwrap();
        assert_eq!(id, one);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restored_database_has_the_default_policy_of_the_one_it_replaces() {
        let (catalog, db) = CatalogFixture::with_database().await;
        catalog.create_database("db/week", None).await.unwrap();
        catalog.set_default_policy(db, Some("week")).await.unwrap();
        let names = ["db".to_owned(), "db/week".to_owned()];
        let ids = catalog.add_restored_databases(&names).await.unwrap();
        let restored: Vec<_> = names
            .iter()
            .zip(ids)
            .map(|(name, copy)| RestoredDatabase { copy, name: name.clone(), source: None })
            .collect();
        catalog.publish_restored(&restored, &[], true).await.unwrap();
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        assert_eq!(root.database("db"), Some(restored[0].copy));
        assert_eq!(root.default_policy("db"), Some("week"));
    }

    #[tokio::test(start_paused = true)]
    async fn restored_databases_that_were_dropped_are_not_published_again() {
        let catalog = CatalogFixture::new().instance();
        let ids = catalog.add_restored_databases(&["one".to_owned()]).await;
        let restored =
            [RestoredDatabase { copy: ids.unwrap()[0], name: "one".to_owned(), source: None }];
        let publish = || catalog.publish_restored(&restored, &[], true);
        publish().await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let drop = catalog.delete_database("one", HardDelete::DEFAULT);
        drop.await.unwrap();
        let new = catalog.create_database("one", None).await.unwrap();
        publish().await.unwrap();
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        assert_eq!(root.database("one"), Some(new));
    }

    #[test]
    fn permissions_extend_to_the_database_that_replaces_another() {
        let [before, after, other] = [1, 2, 3].map(DatabaseId::new);
        let on = |ids: &[DatabaseId]| {
            Permissions::Of(vec![Permission::Database {
                databases: ResourceSet::Of(ids.iter().copied().collect()),
                actions: [crate::DatabaseAction::Read].into(),
            }])
        };
        let mut followed = on(&[before, other]);
        followed.follow(before, after);
        assert_eq!(followed, on(&[before, after, other]));
        let mut same = on(&[other]);
        same.follow(before, after);
        assert_eq!(same, on(&[other]));
    }
}
