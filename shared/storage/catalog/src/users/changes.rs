//! Creates, changes and deletes users. Each operation is one commit to the root catalog.
//!
//! As for tokens, the permissions of the caller are checked against the value that the commit replaces, and a caller
//! can't grant or take away permissions that it does not have.

use std::collections::BTreeSet;

use neap_bucket::StoreTime;

use super::{
    Actor, MAX_ROLES_PER_USER, PasswordHash, RoleId, UserEntry, UserId, check_name, check_text,
};
use crate::{Catalog, CatalogError, IssuedToken, RootCatalog, UserAction};

/// The parameters of a new user.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// The name for signing in.
    pub name: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// The hash of the password; `None`: the user can't sign in with a password.
    pub password: Option<PasswordHash>,
    /// Whether the user must set another password at the first sign-in.
    pub requires_reset: bool,
    /// The id at the identity provider.
    pub oauth_id: Option<String>,
    /// The roles.
    pub roles: BTreeSet<RoleId>,
    /// When the user expires; `None`: never.
    pub expiry: Option<StoreTime>,
}

/// Changes of a user. `None` leaves a property as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The name to show; an empty text removes it.
    pub display_name: Option<String>,
    /// Whether the user can't sign in. Disabling ends all sessions.
    pub disabled: Option<bool>,
    /// The id at the identity provider; an empty text removes it.
    pub oauth_id: Option<String>,
    /// Another password, which the user must replace at the next sign-in. It ends all sessions.
    pub password: Option<PasswordHash>,
    /// `Some(true)`: the user must set another password, which ends all sessions.
    pub requires_reset: Option<bool>,
}

/// The first user of a cluster, and its operator token.
#[derive(Clone, Debug)]
pub struct FirstUser {
    /// The id.
    pub id: UserId,
    /// The entry in the root catalog.
    pub entry: UserEntry,
    /// The operator token.
    pub operator: IssuedToken,
}

impl NewUser {
    pub(super) fn check(&self) -> Result<(), CatalogError> {
        check_name("user", &self.name)?;
        for text in [&self.display_name, &self.oauth_id].into_iter().flatten() {
            check_text("user", text)?;
        }
        if self.roles.len() > MAX_ROLES_PER_USER {
            return Err(too_many_roles());
        }
        Ok(())
    }

    pub(super) fn entry(&self, now: StoreTime) -> UserEntry {
        UserEntry {
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            password: self.password.clone(),
            requires_reset: self.requires_reset,
            oauth_id: self.oauth_id.clone(),
            disabled: false,
            roles: self.roles.clone(),
            group_roles: BTreeSet::new(),
            created: now,
            updated: now,
            expiry: self.expiry,
        }
    }
}

impl Catalog {
    /// Creates the first user, an administrator, together with the operator token. The call needs no authorization.
    ///
    /// # Errors
    /// `TokenExists` when there is an administrator token, `UserExists` when there is a user, `InvalidUser`,
    /// `EmptyName`, or an error of the commit.
    pub async fn create_first_user(&self, new: &NewUser) -> Result<FirstUser, CatalogError> {
        new.check()?;
        let (secret, cluster_secret) = (self.new_token(), self.new_cluster_secret());
        let hash = secret.hash();
        let (id, user, entry) = self
            .change_root(|root| {
                if root.has_admin_token() {
                    let name = crate::OPERATOR_TOKEN_NAME.to_owned();
                    return Err(CatalogError::TokenExists { name });
                }
                if let Some(user) = root.users().values().next() {
                    let name = user.name.clone();
                    return Err(CatalogError::UserExists { name });
                }
                let now = self.now()?;
                let user = UserEntry { roles: [RoleId::ADMIN].into(), ..new.entry(now) };
                let id = root.users.add_user(user.clone())?;
                let entry = root.add_operator_token(hash.clone(), now)?;
                root.rotate_cluster_secret(&cluster_secret, now);
                root.note(now, "create first user", &new.name, None);
                Ok((true, (id, user, entry)))
            })
            .await?;
        Ok(FirstUser {
            id,
            entry: user,
            operator: IssuedToken { id: crate::TokenId::OPERATOR, entry, secret },
        })
    }

    /// Creates a user. A caller that is not an administrator needs `user:*:create` and all permissions of the roles.
    /// `by`: the caller; `None`: a caller without a token, at the store itself or at a server that requires none.
    ///
    /// # Errors
    /// `UserExists`, `InvalidUser`, `EmptyName`, `NotFound` when a role does not exist, `Limit`, `Revoked`,
    /// `Forbidden`, or an error of the commit.
    pub async fn create_user(
        &self,
        new: &NewUser,
        by: Option<Actor>,
    ) -> Result<(UserId, UserEntry), CatalogError> {
        new.check()?;
        self.change_root(|root| {
            let now = self.now()?;
            let own = root.caller_permissions(by, now)?;
            if !own.permissions.allow_users(UserAction::Create) {
                return Err(CatalogError::Forbidden);
            }
            root.check_roles(&new.roles)?;
            let wanted = root.users.permissions(new.roles.iter().copied());
            if !own.permissions.cover(&wanted) {
                return Err(CatalogError::Forbidden);
            }
            let entry = UserEntry { expiry: own.limit(new.expiry), ..new.entry(now) };
            let id = root.users.add_user(entry.clone())?;
            let detail = format!("roles {}", shown(&new.roles));
            root.note(now, "create user", &new.name, Some(detail));
            Ok((true, (id, entry)))
        })
        .await
    }

    /// Changes a user. A caller that is not an administrator needs `user:*:update` and all permissions of the user.
    /// `by` as for [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `NotFound`, `UserExists` when another user has the id at the identity provider, `InvalidUser`, `Revoked`,
    /// `Forbidden`, or an error of the commit.
    pub async fn update_user(
        &self,
        id: UserId,
        change: &UserChange,
        by: Option<Actor>,
    ) -> Result<UserEntry, CatalogError> {
        for text in [&change.display_name, &change.oauth_id].into_iter().flatten() {
            check_text("user", text)?;
        }
        self.change_root(|root| {
            let now = self.now()?;
            let mut entry = root.changeable_user(id, UserAction::Update, by, now)?;
            let text = |new: &Option<String>, old: &mut Option<String>| {
                if let Some(new) = new {
                    *old = Some(new.clone()).filter(|text| !text.is_empty());
                }
            };
            text(&change.display_name, &mut entry.display_name);
            text(&change.oauth_id, &mut entry.oauth_id);
            entry.disabled = change.disabled.unwrap_or(entry.disabled);
            entry.requires_reset = change.requires_reset.unwrap_or(entry.requires_reset);
            if let Some(password) = &change.password {
                entry.password = Some(password.clone());
                entry.requires_reset = true;
            }
            entry.updated = now;
            root.users.check_unique(Some(id), &entry)?;
            let must_reset = change.requires_reset == Some(true) || change.password.is_some();
            if entry.disabled || must_reset {
                root.users.end_sessions_of(id);
            }
            root.note(now, "update user", &entry.name, None);
            root.users.users.insert(id, entry.clone());
            Ok((true, entry))
        })
        .await
    }

    /// Replaces the roles of a user. A caller that is not an administrator needs `user:*:update` and all permissions of
    /// the user before and after. `by` as for [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `NotFound` when the user or a role does not exist, `InvalidUser`, `Revoked`, `Forbidden`, or an error of the
    /// commit.
    pub async fn set_user_roles(
        &self,
        id: UserId,
        roles: &BTreeSet<RoleId>,
        by: Option<Actor>,
    ) -> Result<UserEntry, CatalogError> {
        if roles.len() > MAX_ROLES_PER_USER {
            return Err(too_many_roles());
        }
        self.change_root(|root| {
            let now = self.now()?;
            let entry = root.changeable_user(id, UserAction::Update, by, now)?;
            root.check_roles(roles)?;
            let own = root.caller_permissions(by, now)?;
            let wanted = root.users.permissions(roles.iter().copied());
            if !own.permissions.cover(&wanted) {
                return Err(CatalogError::Forbidden);
            }
            let entry = UserEntry { roles: roles.clone(), updated: now, ..entry };
            root.note(now, "set roles", &entry.name, Some(shown(roles)));
            root.users.users.insert(id, entry.clone());
            Ok((true, entry))
        })
        .await
    }

    /// Replaces the password of a user who has proved to know the old one, and ends all sessions.
    ///
    /// # Errors
    /// `Revoked` when the password was changed in the meantime or the user is gone, or an error of the commit.
    pub async fn replace_password(
        &self,
        id: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let user = root
                .users
                .users
                .get_mut(&id)
                .filter(|user| user.password.as_ref() == Some(old))
                .filter(|user| user.is_active(now))
                .ok_or(CatalogError::Revoked)?;
            user.password = Some(new.clone());
            user.requires_reset = false;
            user.updated = now;
            let name = user.name.clone();
            root.users.end_sessions_of(id);
            root.note(now, "reset password", &name, None);
            Ok((true, ()))
        })
        .await
    }

    /// Deletes a user with the grants, and ends all sessions. Tokens that the user created stay. A caller that is not an administrator
    /// needs `user:*:delete` and all permissions of the user. `by` as for [`create_user`](Self::create_user).
    ///
    /// # Errors
    /// `NotFound`, `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn delete_user(&self, id: UserId, by: Option<Actor>) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let entry = root.changeable_user(id, UserAction::Delete, by, now)?;
            root.remove_grants(id, &entry);
            root.users.users.remove(&id);
            root.users.end_sessions_of(id);
            root.note(now, "delete user", &entry.name, None);
            Ok((true, ()))
        })
        .await
    }
}

impl RootCatalog {
    /// Returns a user whom the caller may change in this way.
    pub(super) fn changeable_user(
        &self,
        id: UserId,
        action: UserAction,
        by: Option<Actor>,
        now: StoreTime,
    ) -> Result<UserEntry, CatalogError> {
        let own = self.caller_permissions(by, now)?;
        if !own.permissions.allow_users(action) {
            return Err(CatalogError::Forbidden);
        }
        let entry = self
            .users()
            .get(&id)
            .ok_or_else(|| CatalogError::NotFound { name: format!("user {id}") })?;
        if own.permissions.cover(&self.user_permissions(entry)) {
            Ok(entry.clone())
        } else {
            Err(CatalogError::Forbidden)
        }
    }

    /// Refuses roles that do not exist.
    fn check_roles(&self, roles: &BTreeSet<RoleId>) -> Result<(), CatalogError> {
        let mut unknown = roles.iter().filter(|id| self.role(**id).is_none());
        match unknown.next() {
            None => Ok(()),
            Some(id) => Err(CatalogError::NotFound { name: format!("role {id}") }),
        }
    }
}

fn shown(roles: &BTreeSet<RoleId>) -> String {
    let ids: Vec<String> = roles.iter().map(ToString::to_string).collect();
    ids.join(",")
}

pub(super) fn too_many_roles() -> CatalogError {
    let reason = format!("a user has at most {MAX_ROLES_PER_USER} roles");
    CatalogError::InvalidUser { reason }
}
