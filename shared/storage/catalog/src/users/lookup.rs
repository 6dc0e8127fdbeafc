//! Looks up users, roles, sessions and keys in the root catalog.

use std::collections::BTreeMap;

use super::{
    Role, RoleId, SessionEntry, SessionId, SigningKeyEntry, UserEntry, UserId,
    roles::built_in_roles,
};
use crate::{Permissions, RootCatalog};

impl RootCatalog {
    /// Returns the users, by id.
    pub fn users(&self) -> &BTreeMap<UserId, UserEntry> {
        &self.users.users
    }

    /// Returns the user with this name.
    pub fn user_by_name(&self, name: &str) -> Option<(UserId, &UserEntry)> {
        let mut users = self.users.users.iter();
        let found = users.find(|(_, user)| user.name == name);
        found.map(|(id, user)| (*id, user))
    }

    /// Returns the user with this id at the identity provider.
    pub fn user_by_oauth_id(&self, oauth_id: &str) -> Option<(UserId, &UserEntry)> {
        let mut users = self.users.users.iter();
        let found = users.find(|(_, user)| user.oauth_id.as_deref() == Some(oauth_id));
        found.map(|(id, user)| (*id, user))
    }

    /// Returns the roles, by id: the built-in ones first.
    pub fn roles(&self) -> Vec<Role> {
        let own = self
            .users
            .roles
            .iter()
            .map(|(id, entry)| Role { id: *id, entry: entry.clone() });
        built_in_roles().into_iter().chain(own).collect()
    }

    /// Returns a role.
    pub fn role(&self, id: RoleId) -> Option<Role> {
        self.roles().into_iter().find(|role| role.id == id)
    }

    /// Returns the role with this name.
    pub fn role_by_name(&self, name: &str) -> Option<Role> {
        let mut roles = self.roles().into_iter();
        roles.find(|role| role.entry.name == name)
    }

    /// Returns the session with this id.
    pub fn session(&self, id: SessionId) -> Option<&SessionEntry> {
        self.users.sessions.get(&id)
    }

    /// Returns the keys whose tokens may still be valid.
    pub fn signing_keys(&self) -> &[SigningKeyEntry] {
        &self.users.keys
    }

    /// Returns the permissions of a user: the union of those of the roles. The user must exist and be active.
    pub fn user_permissions(&self, user: &UserEntry) -> Permissions {
        let permissions = self.users.permissions(user.all_roles());
        permissions.with_policies(&self.policies())
    }
}
