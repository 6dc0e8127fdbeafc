//! Renames databases and tables, and deletes aliases.
//!
//! ```text
//!   rename a to b            name b, alias a       requests may name a or b
//!     |-- delete alias a --> name b                answered when no instance takes a for b (rule D): a is free
//! ```
//!
//! A rename is one commit that changes names only, because everything else refers to databases and tables by id. It needs no
//! settling time: an instance with a catalog from before it finds the table as a, and looks b up because it doesn't know it.
//! The retention policies of a database get its new name in the same commit. An alias of a database is also one of the names of
//! its policies ([`RootCatalog::database`]), so that they need none of their own.

use std::time::Duration;

use neap_schema::{DatabaseId, TableId, validate_table_name};

use crate::{
    Catalog, CatalogError, DatabaseAction, DatabaseCatalog, RootCatalog, TriggerSpecification,
    drops::check_permission, former_names, policy_name, validate_database_name,
};

impl Catalog {
    /// Renames a database, given by its name or an alias, with its retention policies. Its present name becomes an alias. If
    /// the database has the new name already, nothing changes, because a client may repeat an unanswered request.
    ///
    /// `allowed` receives the database that the commit renames, or `None` if there is none. The caller needs the permission to
    /// delete it, and the permission to create databases, because the new name may be meant for others.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `AlreadyExists`, `NameIsAlias`, `InvalidRename`, `InvalidName`, `Limit`, or an error of the commit.
    pub async fn rename_database_if(
        &self,
        name: &str,
        new_name: &str,
        allowed: impl Fn(DatabaseAction, Option<DatabaseId>) -> bool + Sync,
    ) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let id = root.database(name);
            check_permission(id, |id| allowed(DatabaseAction::Delete, id))?;
            check_permission(None, |none| allowed(DatabaseAction::Create, none))?;
            let id = id.ok_or_else(|| not_found(name))?;
            let entry = root.databases().get(&id);
            let before = entry.map(|entry| entry.name.clone()).unwrap_or_default();
            let changed = root.rename(id, new_name)?;
            if changed {
                let detail = Some(format!("to {new_name}"));
                root.note(self.now()?, "rename database", &before, detail);
            }
            Ok((changed, ()))
        })
        .await
    }

    /// Deletes an alias of a database, if `allowed` permits the caller to delete this database. Returns when no instance
    /// uses the alias.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound` when the name is not an alias, or an error of the commit.
    pub async fn delete_database_alias_if(
        &self,
        alias: &str,
        allowed: impl Fn(Option<DatabaseId>) -> bool + Sync,
    ) -> Result<(), CatalogError> {
        let deleted = self.change_root(|root| {
            let id = root.database(alias);
            check_permission(id, &allowed)?;
            let entry = id.and_then(|id| root.names_mut().get_mut(&id));
            let Some(entry) = entry.filter(|entry| entry.aliases.iter().any(|it| it == alias))
            else {
                return Err(not_found(alias));
            };
            former_names::remove(&mut entry.aliases, alias);
            let detail = Some(format!("of {}", entry.name));
            root.note(self.now()?, "delete database alias", alias, detail);
            Ok((true, ()))
        });
        let deleted = deleted.await;
        self.settle_removal(deleted).await
    }

    /// Renames a table, given by its name or an alias. Its present name becomes an alias. If the table has the new name already,
    /// nothing changes.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `NameIsAlias`, `InvalidRename`, `InvalidTableName`, `Limit`, or an error of the commit.
    pub async fn rename_table(
        &self,
        database: DatabaseId,
        name: &str,
        new_name: &str,
    ) -> Result<TableId, CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let table = catalog.table(name).ok_or_else(|| not_found(name))?;
            let (id, before) = (table.id(), table.name().to_owned());
            let changed = catalog.rename_table(id, new_name)?;
            if changed {
                let detail = Some(format!("to {new_name}"));
                catalog.note(self.now()?, "rename table", &before, detail);
            }
            Ok((changed, id))
        };
        let (_, id) = self.change(database, Some(known), change).await?;
        Ok(id)
    }

    /// Deletes an alias of a table. Returns the id of the table when no instance uses the alias.
    ///
    /// # Errors
    /// `NotFound` when the name is not an alias, `AliasInUse`, or an error of the commit.
    pub async fn delete_table_alias(
        &self,
        database: DatabaseId,
        alias: &str,
    ) -> Result<TableId, CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| {
            let (id, name) = catalog.delete_alias(alias)?;
            let detail = Some(format!("of {name}"));
            catalog.note(self.now()?, "delete table alias", alias, detail);
            Ok((true, id))
        };
        let deleted = self.change(database, Some(known), change).await;
        self.settle_removal(deleted.map(|(_, id)| id)).await
    }
}

impl RootCatalog {
    /// Refuses a new name under which a database would become a retention policy of another one, or the policies of others
    /// its own: permissions for a database include its policies.
    pub(crate) fn check_policies_of_name(
        &self,
        before: &str,
        new_name: &str,
    ) -> Result<(), CatalogError> {
        let database_of = |name: &str| {
            let stored = self.stored_name(name);
            stored.split_once('/').map(|(database, _)| database.to_owned())
        };
        let is_moved = |database: String| database_of(before) != Some(database);
        if database_of(new_name).is_some_and(is_moved) {
            let reason = "a retention policy has the name of its database";
            return Err(invalid(new_name, reason.to_owned()));
        }
        match self.policies_of(new_name).next() {
            Some((_, policy)) => {
                let reason = format!("the retention policy '{}' would be its own", policy.name);
                Err(invalid(new_name, reason))
            }
            None => Ok(()),
        }
    }

    /// Renames a database and its retention policies. Returns whether this changes the catalog.
    fn rename(&mut self, id: DatabaseId, new_name: &str) -> Result<bool, CatalogError> {
        let entry = self.databases().get(&id).ok_or_else(|| not_found(&id.to_string()))?;
        if entry.name == new_name {
            return Ok(false);
        }
        validate_database_name(new_name)?;
        if [entry.name.as_str(), new_name].iter().any(|name| name.contains('/')) {
            let reason = "a retention policy has the name of its database";
            return Err(invalid(new_name, reason.to_owned()));
        }
        let is_own = self.database(new_name) == Some(id);
        if let Some(conflict) = self.name_conflict(new_name).filter(|_| !is_own) {
            return Err(conflict);
        }
        self.check_policies_of_name(&entry.name, new_name)?;
        let before = entry.name.clone();
        let mut policies = Vec::new();
        for (policy, entry) in self.policies_of(&before) {
            let name = policy_name(&entry.name, &before).unwrap_or_default();
            let renamed = format!("{new_name}/{name}");
            validate_database_name(&renamed)?;
            policies.push((policy, renamed));
        }
        let entries = self.names_mut();
        if let Some(entry) = entries.get_mut(&id) {
            former_names::rename(&mut entry.name, &mut entry.aliases, new_name)?;
        }
        for (policy, name) in policies {
            if let Some(entry) = entries.get_mut(&policy) {
                entry.name = name;
            }
        }
        Ok(true)
    }

    /// Takes a name away from the database that has it as an alias, for a restored database that had it.
    pub(crate) fn free_alias(&mut self, name: &str) {
        let holder = self.database(name);
        if let Some(entry) = holder.and_then(|id| self.names_mut().get_mut(&id)) {
            former_names::remove(&mut entry.aliases, name);
        }
    }
}

impl DatabaseCatalog {
    /// Returns the present name of a table, given by its name or an alias. Another name is returned unchanged.
    pub fn present_table_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.table(name).map_or(name, |table| table.name())
    }

    fn rename_table(&mut self, id: TableId, new_name: &str) -> Result<bool, CatalogError> {
        validate_table_name(new_name)?;
        let holder = self.table(new_name).map(|table| (table.id(), table.name() == new_name));
        match holder {
            Some((holder, true)) if holder == id => return Ok(false),
            Some((holder, false)) if holder == id => {}
            Some((holder, _)) => return Err(self.name_conflict(holder, new_name)),
            None => {
                // The table would take the place of one that was dropped, or was never written.
                if let Some(user) = self.view_of_name(new_name) {
                    let reason = format!("{user} uses it for another table");
                    return Err(invalid(new_name, reason));
                }
            }
        }
        let table = self.table_names_mut(id).ok_or_else(|| not_found(&id.to_string()))?;
        table.rename(new_name)?;
        Ok(true)
    }

    /// Deletes an alias. Returns the id and the present name of its table.
    fn delete_alias(&mut self, alias: &str) -> Result<(TableId, String), CatalogError> {
        let table = self.table(alias).filter(|table| table.name() != alias);
        let id = table.ok_or_else(|| not_found(alias))?.id();
        let user = self.view_of_name(alias).or_else(|| self.trigger_of_name(alias));
        if let Some(user) = user {
            let name = alias.to_owned();
            return Err(CatalogError::AliasInUse { name, user });
        }
        let renamed = self.table_names_mut(id).ok_or_else(|| not_found(alias))?;
        renamed.remove_alias(alias);
        Ok((id, renamed.name().to_owned()))
    }

    /// Returns the error of a name that a live table has, as its name or as an alias.
    pub(crate) fn name_conflict(&self, holder: TableId, name: &str) -> CatalogError {
        let name = name.to_owned();
        match self.table_by_id(holder).filter(|table| table.name() != name) {
            Some(table) => {
                CatalogError::NameIsAlias { name, present_name: table.name().to_owned() }
            }
            None => CatalogError::AlreadyExists { name },
        }
    }

    /// Takes a name away from the table that has it as an alias, for a restored table that had it.
    pub(crate) fn free_alias(&mut self, name: &str) {
        let holder = self.table(name).map(|table| table.id());
        if let Some(table) = holder.and_then(|id| self.table_names_mut(id)) {
            table.remove_alias(name);
        }
    }

    /// Returns a view that refers to a table by exactly this name, because its query or its definition has this name.
    fn view_of_name(&self, name: &str) -> Option<String> {
        let mut views = self.views();
        let view = views.find(|view| view.source == name || view.local_target() == Some(name));
        let is_foreign = self.foreign_views.contains_key(name);
        view.map(|view| format!("materialized view '{}'", view.name))
            .or_else(|| is_foreign.then(|| "a continuous query of another database".to_owned()))
    }

    /// Returns a trigger that refers to a table by exactly this name.
    fn trigger_of_name(&self, name: &str) -> Option<String> {
        let is_of_table = |specification: &TriggerSpecification| match specification {
            TriggerSpecification::SingleTableWalWrite { table_name } => table_name == name,
            _ => false,
        };
        let trigger = self.triggers().find(|trigger| is_of_table(&trigger.specification))?;
        Some(format!("trigger '{}'", trigger.name))
    }
}

fn not_found(name: &str) -> CatalogError {
    CatalogError::NotFound { name: name.to_owned() }
}

fn invalid(name: &str, reason: String) -> CatalogError {
    CatalogError::InvalidRename { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests;
