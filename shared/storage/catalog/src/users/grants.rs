//! Grants: what a user may do with single databases, as `GRANT` of InfluxQL gives it.
//!
//! They are the permissions of a role that only this user has, so that the rules of roles apply to them, and so that they are
//! shown with the roles.

use std::collections::BTreeSet;

use neap_bucket::StoreTime;
use neap_schema::DatabaseId;

use super::{
    Actor, MAX_ROLES_PER_USER, Role, RoleEntry, RoleId, UserEntry, UserId, changes::too_many_roles,
};
use crate::{
    Catalog, CatalogError, DatabaseAction, MAX_PERMISSION_NAMES, Permission,
    PermissionRequestError, Permissions, ResourceSet, RootCatalog, UserAction,
    tokens::grammar::missing_database,
};

impl Catalog {
    /// Lets a user perform exactly these actions on a database, in addition to what the roles allow. A caller that is not
    /// an administrator needs `user:*:update`, all permissions of the user, and those that are granted. `by` as for
    /// [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `NotFound` when the user or the database does not exist, `RoleExists` when another user has the role of the grants,
    /// `Permission`, `InvalidUser`, `Limit`, `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn grant_actions(
        &self,
        user: UserId,
        database: &str,
        actions: &[DatabaseAction],
        by: Option<Actor>,
    ) -> Result<(), CatalogError> {
        let granted: BTreeSet<_> = actions.iter().copied().collect();
        self.change_grants(user, database, &granted, by, |_| granted.clone()).await
    }

    /// Takes actions on a database from the grants of a user. `by` as for [`grant_actions`](Self::grant_actions).
    ///
    /// # Errors
    /// Those of [`grant_actions`](Self::grant_actions), and `InvalidUser` when a role of the user allows one of the actions.
    pub async fn revoke_actions(
        &self,
        user: UserId,
        database: &str,
        actions: &[DatabaseAction],
        by: Option<Actor>,
    ) -> Result<(), CatalogError> {
        let revoked: BTreeSet<_> = actions.iter().copied().collect();
        self.change_grants(user, database, &revoked, by, |granted| granted - &revoked)
            .await
    }

    /// Changes the actions on a database that are granted to a user. `wanted`: the actions that the caller needs itself, and
    /// that the user has afterwards only if they are granted.
    async fn change_grants(
        &self,
        user: UserId,
        database: &str,
        wanted: &BTreeSet<DatabaseAction>,
        by: Option<Actor>,
        change: impl Fn(&BTreeSet<DatabaseAction>) -> BTreeSet<DatabaseAction> + Send + Sync,
    ) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let entry = root.changeable_user(user, UserAction::Update, by, now)?;
            let own = root.caller_permissions(by, now)?.permissions;
            let known = root.database(database);
            let id = known.ok_or_else(|| missing_database(database.to_owned(), &own))?;
            let needed = Permissions::Of(vec![of_database(id, wanted.clone())]);
            root.check_role_change(UserAction::Update, &needed, by, now)?;
            let mut permissions = root.grants(&entry);
            let before = take(&mut permissions, id);
            let after = change(&before);
            add(&mut permissions, id, after.clone());
            let is_changed = before != after;
            if is_changed {
                let detail = Permissions::Of(vec![of_database(id, after.clone())]).named(root);
                root.set_grants(user, &entry, permissions, now)?;
                root.note(now, "set grants", &entry.name, Some(detail));
            }
            let refused: Vec<_> = wanted.difference(&after).copied().collect();
            let changed = root.users().get(&user).map(|user| root.user_permissions(user));
            if changed.is_some_and(|permissions| permissions.allow_any(&refused, Some(id))) {
                let reason = format!("a role of the user '{}' allows it", entry.name);
                return Err(CatalogError::InvalidUser { reason });
            }
            Ok((is_changed, ()))
        })
        .await
    }
}

impl RootCatalog {
    /// Returns the role of a user's grants, if the user has it.
    fn grants_role(&self, user: &UserEntry) -> Option<Role> {
        let role = self.role_by_name(&role_name(&user.name));
        role.filter(|role| user.roles.contains(&role.id))
    }

    /// Returns the permissions that are granted to a user.
    fn grants(&self, user: &UserEntry) -> Vec<Permission> {
        match self.grants_role(user).map(|role| role.entry.permissions) {
            Some(Permissions::Of(permissions)) => permissions,
            _ => Vec::new(),
        }
    }

    /// Replaces the permissions that are granted to a user.
    fn set_grants(
        &mut self,
        user: UserId,
        entry: &UserEntry,
        permissions: Vec<Permission>,
        now: StoreTime,
    ) -> Result<(), CatalogError> {
        if permissions.is_empty() {
            self.remove_grants(user, entry);
            return Ok(());
        }
        if permissions.iter().map(Permission::names).sum::<usize>() > MAX_PERMISSION_NAMES {
            return Err(PermissionRequestError::TooMany.into());
        }
        let name = role_name(&entry.name);
        let known = self.role_by_name(&name);
        if known.as_ref().is_some_and(|role| self.has_others_with(user, role.id)) {
            return Err(CatalogError::RoleExists { name });
        }
        let role = RoleEntry {
            name,
            description: Some("What is granted to the user".to_owned()),
            permissions: Permissions::Of(permissions),
            created: known.as_ref().map_or(now, |role| role.entry.created),
            updated: now,
        };
        let id = match known {
            Some(Role { id, .. }) => {
                self.users.roles.insert(id, role);
                id
            }
            None => self.users.add_role(role)?,
        };
        if let Some(entry) = self.users.users.get_mut(&user) {
            entry.roles.insert(id);
            entry.updated = now;
            if entry.roles.len() > MAX_ROLES_PER_USER {
                return Err(too_many_roles());
            }
        }
        Ok(())
    }

    /// Removes the role of a user's grants, unless other users have it.
    pub(super) fn remove_grants(&mut self, user: UserId, entry: &UserEntry) {
        let role = self.grants_role(entry).map(|role| role.id);
        if let Some(id) = role.filter(|id| !self.has_others_with(user, *id)) {
            self.users.remove_role(id);
        }
    }

    fn has_others_with(&self, user: UserId, role: RoleId) -> bool {
        let mut others = self.users().iter().filter(|(id, _)| **id != user);
        others.any(|(_, other)| other.all_roles().any(|id| id == role))
    }
}

/// Returns the name of the role of a user's grants.
fn role_name(user: &str) -> String {
    format!("grants of {user}")
}

fn of_database(id: DatabaseId, actions: BTreeSet<DatabaseAction>) -> Permission {
    Permission::Database { databases: ResourceSet::Of([id].into()), actions }
}

/// Removes a database from permissions. Returns the actions on it that they allowed.
fn take(permissions: &mut Vec<Permission>, id: DatabaseId) -> BTreeSet<DatabaseAction> {
    let mut removed = BTreeSet::new();
    permissions.retain_mut(|permission| match permission {
        Permission::Database { databases: ResourceSet::Of(ids), actions } => {
            if ids.remove(&id) {
                removed.extend(actions.iter().copied());
            }
            !ids.is_empty()
        }
        _ => true,
    });
    removed
}

fn add(permissions: &mut Vec<Permission>, id: DatabaseId, added: BTreeSet<DatabaseAction>) {
    if added.is_empty() {
        return;
    }
    for permission in permissions.iter_mut() {
        if let Permission::Database { databases: ResourceSet::Of(ids), actions } = permission
            && *actions == added
        {
            ids.insert(id);
            return;
        }
    }
    permissions.push(of_database(id, added));
}

#[cfg(test)]
mod tests;
