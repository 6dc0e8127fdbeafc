//! The lifecycle of databases: additions, drops, undeletions, and removals.

use std::time::Duration;

use neap_bucket::StoreTime;
use neap_schema::DatabaseId;

use super::{DatabaseEntry, RootCatalog};
use crate::{
    CatalogError, CatalogLimits, Deletion, HardDelete, LimitError, PurgeState,
    deletion::{DroppedEntry, delete, deleted_name, find_dropped, note_purge},
    limits::exceeded_limit,
    validate_database_name,
};

impl RootCatalog {
    /// Returns the dropped databases whose removal should start or continue at this time of the store, by id.
    /// See [`Catalog::begin_database_purge`](crate::Catalog::begin_database_purge).
    pub fn due_databases(&self, now: StoreTime) -> impl Iterator<Item = DatabaseId> {
        let due = self.databases.iter().filter(move |(_, entry)| {
            let deletion = entry.deletion.as_ref();
            deletion.is_some_and(|deletion| deletion.is_due(now))
        });
        due.map(|(id, _)| *id)
    }

    /// Returns the databases whose data was removed long enough ago for their entries to leave the catalog, by id.
    pub fn obsolete_databases(&self, now: StoreTime) -> impl Iterator<Item = DatabaseId> {
        let obsolete = self.databases.iter().filter(move |(_, entry)| {
            let deletion = entry.deletion.as_ref();
            deletion.is_some_and(|deletion| deletion.is_obsolete(now))
        });
        obsolete.map(|(id, _)| *id)
    }

    /// Removes the entry of a database if it is obsolete. Returns whether this changes the catalog. The id is not
    /// reused.
    pub(crate) fn remove_obsolete(&mut self, id: DatabaseId, now: StoreTime) -> bool {
        let is_obsolete = self.obsolete_databases(now).any(|obsolete| obsolete == id);
        is_obsolete && self.databases.remove(&id).is_some()
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        created: Option<StoreTime>,
        limits: &CatalogLimits,
    ) -> Result<DatabaseId, CatalogError> {
        self.check_limit(limits)?;
        let stored_name = self.stored_name(name);
        validate_database_name(&stored_name)?;
        let entry = DatabaseEntry {
            name: stored_name.clone(),
            created,
            deletion: None,
            original_name: None,
            aliases: Vec::new(),
            has_triggers: false,
            is_restored: false,
            backup: None,
            default_policy: None,
        };
        let id = self.insert(entry)?;
        self.live.insert(&stored_name, id);
        Ok(id)
    }

    /// Adds a database that is hidden like a dropped one until it is undeleted. If that does not happen, its data is
    /// removed after `hidden_for`.
    pub(crate) fn add_hidden(
        &mut self,
        name: &str,
        now: StoreTime,
        hidden_for: Duration,
        limits: &CatalogLimits,
    ) -> Result<DatabaseId, CatalogError> {
        self.check_limit(limits)?;
        self.insert(DatabaseEntry {
            name: deleted_name(name, now),
            created: Some(now),
            deletion: Some(Deletion {
                deleted_at: now,
                hard_delete_at: Some(now.plus(hidden_for)),
                purge: PurgeState::Waiting,
                purged_at: None,
            }),
            original_name: Some(name.to_owned()),
            aliases: Vec::new(),
            has_triggers: false,
            is_restored: true,
            backup: None,
            default_policy: None,
        })
    }

    /// Returns whether a database is a copy that was never live: one that a backup holds, or one that is being restored.
    /// Only its job changes it.
    pub fn is_hidden_copy(&self, id: DatabaseId) -> bool {
        let entry = self.databases.get(&id);
        entry.is_some_and(|entry| {
            entry.backup.is_some() || (entry.is_restored && !self.was_published(id))
        })
    }

    /// Returns whether a database that was [hidden](Self::add_hidden) at first has been live.
    pub(crate) fn was_published(&self, id: DatabaseId) -> bool {
        self.databases.get(&id).is_some_and(|entry| {
            let hidden = entry.deletion.map(|deletion| deletion.deleted_at);
            hidden.is_none() || hidden != entry.created
        })
    }

    fn check_limit(&self, limits: &CatalogLimits) -> Result<(), CatalogError> {
        if let Some(limit) = exceeded_limit(self.live_databases().count() + 1, limits.databases) {
            return Err(LimitError::Databases { limit }.into());
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, entry: DatabaseEntry) -> Result<DatabaseId, CatalogError> {
        let id = self.next_database;
        let no_more = CatalogError::NoMoreIds { what: "database" };
        self.next_database = id.next().ok_or(no_more)?;
        self.databases.insert(id, entry);
        Ok(id)
    }

    /// Drops a database, or changes the deletion time of a dropped one.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        now: StoreTime,
        hard_delete: HardDelete,
    ) -> Result<DatabaseId, CatalogError> {
        let not_found = || CatalogError::NotFound { name: name.to_owned() };
        let id = self
            .database(name)
            .or_else(|| self.deleted_database(name))
            .ok_or_else(not_found)?;
        let entry = self.databases.get_mut(&id).ok_or_else(not_found)?;
        let (name, deletion) = delete(&entry.name, entry.deletion, now, hard_delete)?;
        let before = std::mem::replace(&mut entry.name, name);
        if entry.deletion.replace(deletion).is_none() {
            entry.original_name = Some(before);
        }
        self.live.reset();
        Ok(id)
    }

    /// Returns the dropped database to undelete, by its present or its original name.
    pub(crate) fn find_dropped(
        &self,
        name: &str,
        now: StoreTime,
    ) -> Result<DatabaseId, CatalogError> {
        let own = self.databases.iter().filter(|(_, entry)| entry.backup.is_none());
        let dropped = own.filter_map(|(id, entry)| {
            Some(DroppedEntry {
                id: *id,
                name: &entry.name,
                original_name: entry.original_name(),
                deletion: entry.deletion?,
            })
        });
        find_dropped(dropped, name, now)
    }

    /// Undeletes a database, under another name if one is given. Returns its name.
    pub(crate) fn undelete(
        &mut self,
        id: DatabaseId,
        name: Option<&str>,
        now: StoreTime,
        limits: &CatalogLimits,
    ) -> Result<String, CatalogError> {
        let not_found = || CatalogError::NotFound { name: format!("database {id}") };
        let entry = self.databases.get(&id).ok_or_else(not_found)?;
        let deletion = entry.deletion.ok_or_else(not_found)?;
        if !deletion.can_be_undone(now) {
            let name = entry.name.clone();
            return Err(CatalogError::Purged { name });
        }
        let name = self.stored_name(name.unwrap_or(entry.original_name()));
        validate_database_name(&name)?;
        let is_own = self.database(&name).is_none() && self.deleted_database(&name) == Some(id);
        if let Some(conflict) = self.name_conflict(&name).filter(|_| !is_own) {
            return Err(conflict);
        }
        self.check_limit(limits)?;
        // Aliases that others have got since the drop are none any more.
        let mut aliases = entry.aliases.clone();
        aliases.retain(|alias| *alias != name && self.database(alias).is_none());
        let entry = self.databases.get_mut(&id).ok_or_else(not_found)?;
        entry.name.clone_from(&name);
        entry.aliases = aliases;
        entry.deletion = None;
        entry.original_name = None;
        self.live.reset();
        Ok(name)
    }

    /// Records the progress of the removal of a dropped database. Returns whether this changes the catalog.
    /// Fails with `NotFound`: the database does not exist, is not dropped, or is not due for removal yet.
    pub(crate) fn note_purge(
        &mut self,
        id: DatabaseId,
        purge: PurgeState,
        now: StoreTime,
    ) -> Result<bool, CatalogError> {
        let entry = self.databases.get_mut(&id);
        let deletion = entry.and_then(|entry| entry.deletion.as_mut());
        note_purge(deletion, purge, now)
            .ok_or_else(|| CatalogError::NotFound { name: format!("deleted database {id}") })
    }
}
