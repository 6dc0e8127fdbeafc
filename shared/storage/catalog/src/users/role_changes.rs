//! Creates, changes and deletes roles. Each operation is one commit to the root catalog.

use neap_bucket::StoreTime;

use super::{Actor, Role, RoleEntry, RoleId, check_name, check_text};
use crate::{
    Catalog, CatalogError, PermissionRequest, Permissions, RootCatalog, UserAction,
    tokens::grammar::resolve,
};

/// The parameters of a new role.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The permissions.
    pub permissions: Vec<PermissionRequest>,
}

impl Catalog {
    /// Creates a role. A caller that is not an administrator needs `user:*:create` and all permissions of the role.
    /// `by` as for [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `RoleExists`, `InvalidUser`, `EmptyName`, `Permission`, `NotFound` when a database does not exist, `Limit`,
    /// `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn create_role(
        &self,
        new: &NewRole,
        by: Option<Actor>,
    ) -> Result<Role, CatalogError> {
        check_name("role", &new.name)?;
        if let Some(description) = &new.description {
            check_text("role", description)?;
        }
        self.change_root(|root| {
            let now = self.now()?;
            let own = root.caller_permissions(by, now)?.permissions;
            let permissions = resolve(&new.permissions, root, &own)?;
            root.check_role_change(UserAction::Create, &permissions, by, now)?;
            if root.role_by_name(&new.name).is_some() {
                let name = new.name.clone();
                return Err(CatalogError::RoleExists { name });
            }
            let shown = permissions.named(root);
            let entry = RoleEntry {
                name: new.name.clone(),
                description: new.description.clone(),
                permissions,
                created: now,
                updated: now,
            };
            let id = root.users.add_role(entry.clone())?;
            root.note(now, "create role", &new.name, Some(shown));
            Ok((true, Role { id, entry }))
        })
        .await
    }

    /// Replaces the permissions of a role. A caller that is not an administrator needs `user:*:update` and all
    /// permissions of the role before and after. `by` as for [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `NotFound` when the role or a database does not exist, `BuiltInRole`, `Permission`, `Revoked`, `Forbidden`, or
    /// an error of the commit.
    pub async fn set_role_permissions(
        &self,
        id: RoleId,
        permissions: &[PermissionRequest],
        by: Option<Actor>,
    ) -> Result<Role, CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let own = root.caller_permissions(by, now)?.permissions;
            let permissions = resolve(permissions, root, &own)?;
            let before = root.changeable_role(id, UserAction::Update, by, now)?;
            root.check_role_change(UserAction::Update, &permissions, by, now)?;
            let shown = permissions.named(root);
            let entry = RoleEntry { permissions, updated: now, ..before };
            root.note(now, "update role", &entry.name, Some(shown));
            root.users.roles.insert(id, entry.clone());
            Ok((true, Role { id, entry }))
        })
        .await
    }

    /// Deletes a role, also from its users. A caller that is not an administrator needs `user:*:delete` and all
    /// permissions of the role. `by` as for [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `NotFound`, `BuiltInRole`, `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn delete_role(&self, id: RoleId, by: Option<Actor>) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let entry = root.changeable_role(id, UserAction::Delete, by, now)?;
            root.users.remove_role(id);
            root.note(now, "delete role", &entry.name, None);
            Ok((true, ()))
        })
        .await
    }
}

impl RootCatalog {
    /// Refuses a caller that may not perform this action on roles, or does not have these permissions.
    pub(super) fn check_role_change(
        &self,
        action: UserAction,
        permissions: &Permissions,
        by: Option<Actor>,
        now: StoreTime,
    ) -> Result<(), CatalogError> {
        let own = self.caller_permissions(by, now)?.permissions;
        if own.allow_users(action) && own.cover(permissions) {
            Ok(())
        } else {
            Err(CatalogError::Forbidden)
        }
    }

    /// Returns a role that the caller may change in this way.
    fn changeable_role(
        &self,
        id: RoleId,
        action: UserAction,
        by: Option<Actor>,
        now: StoreTime,
    ) -> Result<RoleEntry, CatalogError> {
        let nothing = Permissions::Of(Vec::new());
        self.check_role_change(action, &nothing, by, now)?;
        let role = self
            .role(id)
            .ok_or_else(|| CatalogError::NotFound { name: format!("role {id}") })?;
        self.check_role_change(action, &role.entry.permissions, by, now)?;
        if id.is_built_in() {
            Err(CatalogError::BuiltInRole)
        } else {
            Ok(role.entry)
        }
    }
}
