//! Begins, renews and ends sessions. Each operation is one commit to the root catalog.
//!
//! ```text
//!   sign-in: SessionEntry, generation 0
//!   renewal: the refresh token has the present generation ──> generation + 1
//!            it has an earlier one: it is a copy ──> the session ends
//!   sign-out, another password, a disabled or deleted user ──> the session ends
//! ```

use std::{collections::BTreeSet, time::Duration};

use super::{
    MAX_ROLES_PER_USER, NewUser, PasswordHash, RoleId, SessionEntry, SessionId, SigningKeyEntry,
    SigningKeyRequest, UserEntry, UserId,
};
use crate::{Catalog, CatalogError, RootCatalog};

/// The lifetime of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLifetime {
    /// The time after which a session ends that is not renewed.
    pub idle: Duration,
    /// The time after which a session ends in any case.
    pub total: Duration,
}

/// A user of the identity provider, as of a sign-in.
#[derive(Clone, Debug)]
pub struct ExternalUser {
    /// The id at the identity provider.
    pub oauth_id: String,
    /// The name of a user that is created.
    pub name: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// The names of the roles that follow from the groups. Names of roles that do not exist grant nothing.
    pub group_roles: BTreeSet<String>,
}

/// A new session.
#[derive(Clone, Debug)]
pub struct StartedSession {
    /// The id.
    pub id: SessionId,
    /// The entry in the root catalog.
    pub entry: SessionEntry,
    /// The user.
    pub user: UserEntry,
    /// The key that signs its tokens.
    pub key: SigningKeyEntry,
}

/// The outcome of the renewal of a session.
#[derive(Clone, Debug)]
pub enum RenewedSession {
    /// It was renewed.
    Renewed(Box<StartedSession>),
    /// The refresh token was used before, so the session was ended.
    Replayed,
    /// There is no such session.
    Ended,
}

impl Catalog {
    fn new_session_id(&self) -> SessionId {
        SessionId::new(self.bucket.world().entropy.next_u128())
    }

    /// Begins a session of a user who has proved to know the password.
    ///
    /// # Errors
    /// `Revoked` when the password was changed in the meantime, or the user is gone, disabled or expired, or must set
    /// another password; or an error of the commit.
    pub async fn begin_session(
        &self,
        user: UserId,
        password: &PasswordHash,
        lifetime: SessionLifetime,
        key: &SigningKeyRequest,
    ) -> Result<StartedSession, CatalogError> {
        let id = self.new_session_id();
        self.change_root(|root| {
            let entry = root
                .users()
                .get(&user)
                .filter(|it| it.password.as_ref() == Some(password))
                .filter(|it| !it.requires_reset)
                .cloned()
                .ok_or(CatalogError::Revoked)?;
            let started = self.start(root, id, (user, entry), lifetime, key)?;
            Ok((true, started))
        })
        .await
    }

    /// Begins a session of a user whom the identity provider has authenticated. Creates the user if the groups grant a
    /// role.
    ///
    /// # Errors
    /// `Revoked` when there is no such user and the groups grant no role, or the user is disabled or expired;
    /// `UserExists` when a user who signs in otherwise has the name, `Limit`, `InvalidUser`, or an error of the commit.
    pub async fn begin_external_session(
        &self,
        external: &ExternalUser,
        lifetime: SessionLifetime,
        key: &SigningKeyRequest,
    ) -> Result<StartedSession, CatalogError> {
        let id = self.new_session_id();
        self.change_root(|root| {
            let user = self.external_user(root, external)?;
            let started = self.start(root, id, user, lifetime, key)?;
            Ok((true, started))
        })
        .await
    }

    /// Returns the user of the identity provider, with the roles of the groups.
    fn external_user(
        &self,
        root: &mut RootCatalog,
        external: &ExternalUser,
    ) -> Result<(UserId, UserEntry), CatalogError> {
        let now = self.now()?;
        let named = external.group_roles.iter();
        let group_roles: BTreeSet<RoleId> = named
            .filter_map(|name| Some(root.role_by_name(name)?.id))
            .take(MAX_ROLES_PER_USER)
            .collect();
        if let Some((id, entry)) = root.user_by_oauth_id(&external.oauth_id) {
            let mut entry = entry.clone();
            if entry.group_roles != group_roles {
                entry.group_roles = group_roles;
                entry.updated = now;
                root.users.users.insert(id, entry.clone());
            }
            return Ok((id, entry));
        }
        if group_roles.is_empty() {
            return Err(CatalogError::Revoked);
        }
        let new = NewUser {
            name: external.name.clone(),
            display_name: external.display_name.clone(),
            oauth_id: Some(external.oauth_id.clone()),
            ..NewUser::default()
        };
        new.check()?;
        let entry = UserEntry { group_roles, ..new.entry(now) };
        let id = root.users.add_user(entry.clone())?;
        root.note(now, "create user", &new.name, Some("by its groups".to_owned()));
        Ok((id, entry))
    }

    fn start(
        &self,
        root: &mut RootCatalog,
        id: SessionId,
        (user, entry): (UserId, UserEntry),
        lifetime: SessionLifetime,
        key: &SigningKeyRequest,
    ) -> Result<StartedSession, CatalogError> {
        let now = self.now()?;
        if !entry.is_active(now) {
            return Err(CatalogError::Revoked);
        }
        root.users.remove_expired(now);
        let ends = now.plus(lifetime.total);
        let session = SessionEntry {
            user,
            created: now,
            renewed: now,
            expires: now.plus(lifetime.idle).min(ends),
            ends,
            generation: 0,
        };
        root.users.add_session(id, session.clone());
        Ok(StartedSession {
            id,
            key: root.users.signing_key(key, now, session.expires),
            entry: session,
            user: entry,
        })
    }

    /// Renews a session with the refresh token of a generation.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn renew_session(
        &self,
        id: SessionId,
        generation: u64,
        idle: Duration,
        key: &SigningKeyRequest,
    ) -> Result<RenewedSession, CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            root.users.remove_expired(now);
            let Some(session) = root.users.sessions.get_mut(&id) else {
                return Ok((false, RenewedSession::Ended));
            };
            let user = root
                .users
                .users
                .get(&session.user)
                .filter(|user| user.is_active(now) && !user.requires_reset);
            let Some(user) = user.cloned() else {
                return Ok((false, RenewedSession::Ended));
            };
            if generation != session.generation {
                root.users.sessions.remove(&id);
                root.note(now, "end replayed session", &user.name, None);
                return Ok((true, RenewedSession::Replayed));
            }
            session.generation = session.generation.saturating_add(1);
            session.renewed = now;
            session.expires = now.plus(idle).min(session.ends);
            let entry = session.clone();
            let key = root.users.signing_key(key, now, entry.expires);
            let renewed = StartedSession { id, entry, user, key };
            Ok((true, RenewedSession::Renewed(Box::new(renewed))))
        })
        .await
    }

    /// Ends a session. Ending it again changes nothing.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn end_session(&self, id: SessionId) -> Result<(), CatalogError> {
        self.change_root(|root| Ok((root.users.sessions.remove(&id).is_some(), ())))
            .await
    }
}
